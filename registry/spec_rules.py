"""What a well-formed spec must also satisfy on its own: names, types, durations, windows. [pure]

Not for rules that compare objects: ``operations.definitions`` has those.
"""

from __future__ import annotations

import re
from functools import singledispatch
from typing import TYPE_CHECKING

from croniter import croniter

from registry.durations import parse_duration
from registry.errors import AssayError, did_you_mean
from registry.references import parse_reference
from registry.row_sql import check_row_sql
from registry.spec import (
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
#: Names the stored tables and the answers use themselves.
RESERVED = ("event_timestamp", "created_timestamp", "timing", "explain")
MAX_FEATURES = 500


def rule_problems(spec: Described) -> list[Found]:
    """Return ``(path, message)`` for each rule the spec breaks."""
    return [*_name_problems(("name",), spec.name), *_rules(spec)]


@singledispatch
def _rules(spec: Described) -> Iterator[Found]:
    raise TypeError(f"no rules for {type(spec).__name__}")


@_rules.register(EntitySpec)
def _(spec: EntitySpec) -> Iterator[Found]:
    if not spec.join_keys:
        yield ("join_keys",), "an entity needs at least one join key."
    for index, key in enumerate(spec.join_keys):
        path: Path = ("join_keys", index)
        yield from _column_name((*path, "name"), key.name)
        if error := _error(parse_type, key.type):
            yield (*path, "type"), error
        elif key.type not in KEY_TYPES:
            yield (
                (*path, "type"),
                f"{key.type} cannot identify an entity. Valid: {', '.join(KEY_TYPES)}.",
            )
    yield from _repeated(("join_keys",), [key.name for key in spec.join_keys])


@_rules.register(SourceSpec)
def _(spec: SourceSpec) -> Iterator[Found]:
    if not spec.path.strip():
        yield ("path",), "name a file or a glob, as in data/events/*.parquet."
    if not spec.path.endswith((".parquet", ".csv", ".json", ".jsonl", ".ndjson")):
        yield ("path",), f"{spec.path!r} must end in .parquet, .csv, .json, .jsonl or .ndjson."
    if ".." in spec.path.split("/") or spec.path.startswith(("~", "\\")) or "://" in spec.path:
        yield (
            ("path",),
            f"{spec.path!r} leaves the project's roots; write it relative to one of them.",
        )
    if spec.created_timestamp and spec.created_timestamp.column == spec.event_timestamp.column:
        yield (
            ("created_timestamp",),
            "it is the event_timestamp's column; leave it out when a source has only one time.",
        )


@_rules.register(FeatureViewSpec)
def _(spec: FeatureViewSpec) -> Iterator[Found]:
    if not spec.entities:
        yield ("entities",), "a feature view needs at least one entity."
    yield from _repeated(("entities",), list(spec.entities))
    if not spec.features:
        yield ("features",), "a feature view needs at least one feature."
    if len(spec.features) > MAX_FEATURES:
        yield (
            ("features",),
            f"{len(spec.features)} features; a view has at most {MAX_FEATURES}, split it.",
        )
    for index, feature in enumerate(spec.features):
        yield from _feature_rules(("features", index), feature)
    yield from _repeated(("features",), [feature.name for feature in spec.features])
    for key in ("version", "based_on"):
        value = getattr(spec, key)
        if value is not None and (error := _error(parse_version, value)):
            yield (key,), error
    if spec.ttl is not None and (error := _error(parse_duration, spec.ttl)):
        yield ("ttl",), error
    yield from schedule_problems(spec.schedule)
    if spec.sql is not None and spec.aggregations:
        yield (
            ("sql",),
            "a view has `sql` or `aggregations`, not both; filter in a source view instead.",
        )
    elif spec.sql is not None and (
        error := _error(lambda sql: check_row_sql(sql, source=spec.source), spec.sql)
    ):
        yield ("sql",), error
    yield from _aggregation_rules(spec)


def _feature_rules(path: Path, feature: FeatureSpec) -> Iterator[Found]:
    yield from _name_problems((*path, "name"), feature.name)
    if error := _error(parse_type, feature.type):
        yield (*path, "type"), error
        return
    checks = feature.checks
    if checks.not_null is not None and not 0 <= checks.not_null <= 1:
        yield (
            (*path, "checks", "not_null"),
            f"{checks.not_null} is a share of rows; write 0 to 1, as in 0.99.",
        )
    for bound in ("min", "max"):
        if getattr(checks, bound) is not None and not feature.value_type.is_numeric:
            yield (
                (*path, "checks", bound),
                f"{feature.type} has no order to check; min and max are for numbers.",
            )


def schedule_problems(schedule: ScheduleSpec | None) -> Iterator[Found]:
    if schedule is None:
        return
    if (schedule.every is None) == (schedule.cron is None):
        yield ("schedule",), 'write either {every: 1h} or {cron: "15 * * * *"}.'
    elif schedule.every is not None:
        if error := _error(parse_duration, schedule.every):
            yield ("schedule", "every"), error
    elif schedule.cron is not None and (
        len(schedule.cron.split()) != 5 or not croniter.is_valid(schedule.cron)
    ):
        yield (
            ("schedule", "cron"),
            f'{schedule.cron!r} is no cron expression of five fields, as in "15 * * * *".',
        )


def _aggregation_rules(spec: FeatureViewSpec) -> Iterator[Found]:
    if not spec.aggregations:
        return
    if spec.schedule is None:
        yield (
            ("schedule",),
            "aggregations need a schedule: it makes the ticks at which windows are closed.",
        )
    bad_windows = [
        (("aggregations", i, "windows", j), error)
        for i, aggregation in enumerate(spec.aggregations)
        for j, window in enumerate(aggregation.windows)
        if (error := _error(parse_duration, window))
    ]
    if bad_windows:
        yield from bad_windows
        return
    outputs = spec.aggregate_outputs()
    for index, feature in enumerate(spec.features):
        if feature.source_column not in outputs:
            message = f"the aggregations do not give {feature.source_column!r}.{did_you_mean(feature.source_column, outputs)}"
            yield ("features", index, "column" if feature.column else "name"), message
    every = spec.schedule.every if spec.schedule else None
    if (
        spec.ttl
        and every
        and not (_error(parse_duration, spec.ttl) or _error(parse_duration, every))
        and (parse_duration(spec.ttl) < parse_duration(every))
    ):
        yield (
            ("ttl",),
            f"ttl {spec.ttl} is shorter than a tick ({every}): values would expire before the next.",
        )


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
        yield (
            path,
            f"name {name!r}: use lower-case letters, digits and _, beginning with a letter, at most 63.",
        )
    elif name in RESERVED or "__" in name:
        yield path, f"name {name!r} is reserved (so is any with two underscores together)."


def _column_name(path: Path, name: str) -> Iterator[Found]:
    """Join keys are columns of other people's data: any case, but no odd characters."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", name) or name in RESERVED or "__" in name:
        yield (
            path,
            f"join key {name!r}: use letters, digits and _; event_timestamp and created_timestamp are taken.",
        )


def _repeated(path: Path, names: list[str]) -> Iterator[Found]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield (*path, index), f"{name!r} stands twice; keep one."
