"""What a well-formed spec must also satisfy on its own: names, types, durations, windows. [pure]

Not for rules that compare objects: ``operations.view_drafts`` has those.
"""

from __future__ import annotations

import math
import re
from functools import singledispatch
from typing import TYPE_CHECKING

from croniter import croniter

from registry.durations import parse_duration
from registry.errors import AssayError, did_you_mean
from registry.references import parse_reference
from registry.row_sql import check_row_sql
from registry.spec import (
    Checks,
    Described,
    EntitySpec,
    FeatureServiceSpec,
    FeatureSpec,
    FeatureViewSpec,
    ScheduleSpec,
    SourceSpec,
)
from registry.value_types import KEY_TYPES, parse_type
from registry.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.yaml_documents import Path

Found = tuple["Path", str]
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
#: Names the stored tables and the answers use themselves.
RESERVED = ("event_timestamp", "created_timestamp", "timing", "explain")
FILE_ENDINGS = (".parquet", ".csv", ".json", ".jsonl", ".ndjson")
#: Years that stay representable whatever zone or window is taken off them.
YEARS = range(1000, 9001)
MAX_FEATURES = 500
MAX_OWNER = 200


def rule_problems(spec: Described) -> list[Found]:
    """Return ``(path, message)`` for each rule the spec breaks."""
    found = [*_name_problems(("name",), spec.name), *_rules(spec)]
    if len(spec.owner) > MAX_OWNER:
        found.append(
            (("owner",), f"{len(spec.owner)} characters; an owner has at most {MAX_OWNER}.")
        )
    return found


@singledispatch
def _rules(spec: Described) -> Iterator[Found]:
    raise TypeError(f"no rules for {type(spec).__name__}")


@_rules.register(EntitySpec)
def _(spec: EntitySpec) -> Iterator[Found]:
    if not spec.join_keys:
        yield ("join_keys",), "an entity needs at least one join key."
    for index, key in enumerate(spec.join_keys):
        yield from _column_name(("join_keys", index, "name"), key.name)
        path = ("join_keys", index, "type")
        if error := _error(parse_type, key.type):
            yield path, error
        elif key.type not in KEY_TYPES:
            yield path, f"{key.type} cannot identify an entity. Valid: {', '.join(KEY_TYPES)}."
    # Engines fold the case of column names, so two that differ in case only are one.
    yield from _repeated(("join_keys",), [key.name.lower() for key in spec.join_keys])


@_rules.register(SourceSpec)
def _(spec: SourceSpec) -> Iterator[Found]:
    path = spec.path
    if not path.strip():
        yield ("path",), "name a file or a glob, as in data/events/*.parquet."
    elif not path.endswith(FILE_ENDINGS):
        yield ("path",), f"{path!r} must end in one of {', '.join(FILE_ENDINGS)}."
    if ".." in path.split("/") or path.startswith(("~", "\\")) or "://" in path:
        yield ("path",), f"{path!r} leaves the project's roots; write it relative to one of them."
    if spec.created_timestamp and spec.created_timestamp.column == spec.event_timestamp.column:
        message = (
            "it is the event_timestamp's column; leave it out when a source has one time only."
        )
        yield ("created_timestamp",), message


@_rules.register(FeatureViewSpec)
def _(spec: FeatureViewSpec) -> Iterator[Found]:
    if not spec.entities:
        yield ("entities",), "a feature view needs at least one entity."
    yield from _repeated(("entities",), list(spec.entities))
    yield from _features_rules(spec.features)
    for key in ("version", "based_on"):
        value = getattr(spec, key)
        if value is not None and (error := _error(parse_version, value)):
            yield (key,), error
    if spec.start is not None and spec.start.year not in YEARS:
        yield ("start",), f"{spec.start.year} is no year of data; {YEARS[0]} to {YEARS[-1]} are."
    if spec.ttl is not None and (error := _error(parse_duration, spec.ttl)):
        yield ("ttl",), error
    yield from schedule_problems(spec.schedule)
    yield from _sql_rules(spec)
    if spec.aggregations:
        yield from _aggregation_rules(spec)


def _features_rules(features: tuple[FeatureSpec, ...]) -> Iterator[Found]:
    if not features:
        yield ("features",), "a feature view needs at least one feature."
    if len(features) > MAX_FEATURES:
        message = f"{len(features)} features; a view has at most {MAX_FEATURES}, split it."
        yield ("features",), message
    for index, feature in enumerate(features):
        path: Path = ("features", index)
        yield from _name_problems((*path, "name"), feature.name)
        if error := _error(parse_type, feature.type):
            yield (*path, "type"), error
        else:
            yield from _check_rules((*path, "checks"), feature)
    yield from _repeated(("features",), [feature.name for feature in features])


def _check_rules(path: Path, feature: FeatureSpec) -> Iterator[Found]:
    checks = feature.checks
    if checks.not_null is not None and not 0 <= checks.not_null <= 1:
        message = f"{checks.not_null} is a share of rows; write 0 to 1, as in 0.99."
        yield (*path, "not_null"), message
    for bound in ("min", "max"):
        value = getattr(checks, bound)
        if value is None:
            continue
        if not feature.value_type.is_numeric:
            message = f"{feature.type} has no order to check; min and max are for numbers."
            yield (*path, bound), message
        elif not math.isfinite(value):
            yield (*path, bound), f"{value} bounds nothing; write a number or leave it out."
    yield from _order_rules(path, checks)


def _order_rules(path: Path, checks: Checks) -> Iterator[Found]:
    if checks.min is not None and checks.max is not None and checks.min > checks.max:
        yield (*path, "min"), f"min {checks.min:g} is above max {checks.max:g}: no value fits."


def schedule_problems(schedule: ScheduleSpec | None) -> Iterator[Found]:
    """Yield what is wrong with a schedule, wherever it was written: a definition or the admin."""
    if schedule is None:
        return
    if (schedule.every is None) == (schedule.cron is None):
        yield ("schedule",), 'write either {every: 1h} or {cron: "15 * * * *"}.'
    elif schedule.every is not None:
        if error := _error(parse_duration, schedule.every):
            yield ("schedule", "every"), error
    elif not _is_cron(schedule.cron or ""):
        message = f'{schedule.cron!r} is no cron expression of five fields, as in "15 * * * *".'
        yield ("schedule", "cron"), message


def _is_cron(text: str) -> bool:
    return len(text.split()) == 5 and croniter.is_valid(text)


def _sql_rules(spec: FeatureViewSpec) -> Iterator[Found]:
    if spec.sql is None:
        return
    if spec.aggregations:
        yield ("sql",), "a view has `sql` or `aggregations`, not both."
    elif error := _error(lambda sql: check_row_sql(sql, source=spec.source), spec.sql):
        yield ("sql",), error


def _aggregation_rules(spec: FeatureViewSpec) -> Iterator[Found]:
    if spec.schedule is None:
        message = "aggregations need a schedule: it makes the ticks at which windows are closed."
        yield ("schedule",), message
    bad_windows: list[Found] = [
        (("aggregations", i, "windows", j), error)
        for i, aggregation in enumerate(spec.aggregations)
        for j, window in enumerate(aggregation.windows)
        if (error := _error(parse_duration, window))
    ]
    yield from bad_windows
    if bad_windows:
        return
    outputs = spec.aggregate_outputs()
    for index, feature in enumerate(spec.features):
        column = feature.source_column
        if column not in outputs:
            key = "column" if feature.column else "name"
            message = f"the aggregations do not give {column!r}.{did_you_mean(column, outputs)}"
            yield ("features", index, key), message
    yield from _tick_rules(spec)


def _tick_rules(spec: FeatureViewSpec) -> Iterator[Found]:
    every = spec.schedule.every if spec.schedule else None
    if spec.ttl is None or every is None:
        return
    if _error(parse_duration, spec.ttl) or _error(parse_duration, every):
        return
    if parse_duration(spec.ttl) < parse_duration(every):
        message = (
            f"{spec.ttl} is shorter than a tick ({every}): values would expire before the next."
        )
        yield ("ttl",), message


@_rules.register(FeatureServiceSpec)
def _(spec: FeatureServiceSpec) -> Iterator[Found]:
    if not spec.features:
        yield ("features",), "a feature service needs at least one reference, as in view:feature."
    for index, reference in enumerate(spec.features):
        if error := _error(parse_reference, reference):
            yield ("features", index), error
    yield from _repeated(("features",), list(spec.features))


def _error(check: Callable[[str], object], value: str) -> str | None:
    try:
        check(value)
    except AssayError as exc:
        return exc.message
    return None


def _name_problems(path: Path, name: str) -> Iterator[Found]:
    if not NAME.fullmatch(name):
        rule = "use lower-case letters, digits and _, beginning with a letter, at most 63."
        yield path, f"name {name!r}: {rule}"
    elif name in RESERVED or "__" in name:
        yield path, f"name {name!r} is reserved (so is any with two underscores together)."


def _column_name(path: Path, name: str) -> Iterator[Found]:
    """Join keys are columns of other people's data: any case, but no odd characters."""
    if not COLUMN.fullmatch(name) or name.lower() in RESERVED or "__" in name:
        rule = f"use letters, digits and single _; {' and '.join(RESERVED[:2])} are taken."
        yield path, f"join key {name!r}: {rule}"


def _repeated(path: Path, names: list[str]) -> Iterator[Found]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield (*path, index), f"{name!r} stands twice; keep one."
