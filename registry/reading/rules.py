"""What a well-formed spec must also satisfy on its own: names, types, durations, windows. [pure]

Not for rules that compare objects (``operations.registration``), nor for what aggregations must
satisfy (``aggregation_rules``).
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from croniter import croniter

from lib.errors import UNSEEN
from registry.choices import Accuracy
from registry.reading.aggregation_rules import aggregation_problems
from registry.reading.check_rules import feature_check_problems, view_check_problems
from registry.reading.encode_rules import encode_problems
from registry.reading.findings import error_of, repeated, too_many
from registry.reading.join_rules import join_problems
from registry.reading.mask_rules import mask_problems
from registry.reading.names import column_name_problems, name_problems
from registry.reading.on_demand_rules import on_demand_problems
from registry.reading.python_rules import python_problems
from registry.reading.read_rules import read_problems
from registry.reading.source_rules import YEARS, source_problems
from registry.spec.base import Described
from registry.spec.context import parse_template
from registry.spec.durations import parse_duration
from registry.spec.model import (
    EntitySpec,
    FeatureServiceSpec,
    FeatureSpec,
    FeatureViewSpec,
    ScheduleSpec,
)
from registry.spec.on_demand import OnDemandFeature, OnDemandViewSpec
from registry.spec.references import parse_reference
from registry.spec.row_sql import check_expression, check_row_sql
from registry.spec.sources.base import SourceSpec
from registry.spec.transforms import KEYED, Aggregations, Python, RowSql, Transform, asked_for
from registry.spec.value_types import KEY_TYPES, parse_type
from registry.spec.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registry.reading.findings import Found
    from registry.reading.yaml_documents import Path

MAX_FEATURES = 500
MAX_UNIT = 32
MAX_OWNER = 200
#: Far beyond any definition: a list over its limit is told so and looked at no further.
MAX_TAGS = 100
MAX_ENTITIES = MAX_JOIN_KEYS = 16
MAX_REFERENCES = 1000
#: As wide as the columns that keep a schedule.
MAX_EVERY, MAX_CRON = 12, 64


def rule_problems(spec: Described) -> list[Found]:
    """Return ``(path, message)`` for each rule the spec breaks."""
    return [*name_problems(("name",), spec.name), *_rules(spec), *_word_rules(spec)]


def _word_rules(spec: Described) -> Iterator[Found]:
    if len(spec.owner) > MAX_OWNER:
        yield ("owner",), f"{len(spec.owner)} characters; an owner has at most {MAX_OWNER}."
    if excess := too_many(("tags",), "tags", spec.tags, MAX_TAGS):
        yield excess
    elif any("\x00" in key for key in spec.tags):
        yield ("tags",), "a key holds a NUL, which text cannot be stored with; leave it out."


@singledispatch
def _rules(spec: Described) -> Iterator[Found]:
    raise TypeError(f"no rules for {type(spec).__name__}")


@_rules.register(EntitySpec)
def _(spec: EntitySpec) -> Iterator[Found]:
    if not spec.join_keys:
        yield ("join_keys",), "an entity needs at least one join key."
    if excess := too_many(("join_keys",), "join keys", spec.join_keys, MAX_JOIN_KEYS):
        yield excess
        return
    for index, key in enumerate(spec.join_keys):
        yield from column_name_problems(("join_keys", index, "name"), key.name)
        path = ("join_keys", index, "type")
        if error := error_of(parse_type, key.type):
            yield path, error
        elif key.type not in KEY_TYPES:
            yield path, f"{key.type} cannot identify an entity. Valid: {', '.join(KEY_TYPES)}."
    # Engines fold the case of column names, so two that differ in case only are one.
    yield from repeated(("join_keys",), [key.name.lower() for key in spec.join_keys])


@_rules.register(SourceSpec)
def _(spec: SourceSpec) -> Iterator[Found]:
    yield from source_problems(spec)


@_rules.register(FeatureViewSpec)
def _(spec: FeatureViewSpec) -> Iterator[Found]:
    if not spec.entities:
        yield ("entities",), "a feature view needs at least one entity."
    if excess := too_many(("entities",), "entities", spec.entities, MAX_ENTITIES):
        yield excess
    else:
        yield from repeated(("entities",), spec.entities)
    yield from _features_rules(spec.features)
    yield from _number_rules(spec)
    if spec.inputs is not None:
        yield ("inputs",), "a FeatureView reads a source; inputs are for an OnDemandFeatureView."
    for index, feature in enumerate(spec.features):
        if feature.sql is not None and not spec.aggregations:
            message = (
                "a feature's own sql is for a view with `aggregations` or an OnDemandFeatureView;"
                " give the view `sql`."
            )
            yield ("features", index, "sql"), message
    if spec.start is not None and spec.start.year not in YEARS:
        yield ("start",), f"{spec.start.year} is not a year of data; {YEARS[0]} to {YEARS[-1]} are."
    if spec.ttl is not None and (error := error_of(parse_duration, spec.ttl)):
        yield ("ttl",), error
    if spec.freshness is not None and (error := error_of(parse_duration, spec.freshness)):
        yield ("freshness",), error
    if spec.accuracy is not Accuracy.SNAPSHOT and not spec.aggregations:
        message = (
            f"{spec.accuracy} is an accuracy of aggregations, and the view has none. Rows that"
            " stand alone are read as of each row's own time anyway: leave it out."
        )
        yield ("accuracy",), message
    yield from schedule_problems(spec.schedule)
    yield from view_check_problems(spec)
    yield from mask_problems(spec)
    yield from encode_problems(spec)
    yield from _transform_rules(spec)
    yield from read_problems(spec)
    yield from _condition_rules(spec)


def _condition_rules(spec: FeatureViewSpec) -> Iterator[Found]:
    """Judge what chooses rows of the source, for the view or for one aggregation."""
    if spec.where is not None and spec.sql is not None:
        yield ("where",), "the view has `sql`: choose its rows there, in its WHERE."
    for path, where in spec.conditions().items():
        if error := error_of(check_expression, where):
            yield path, error


def _number_rules(spec: FeatureViewSpec | OnDemandViewSpec) -> Iterator[Found]:
    for key in ("version", "based_on"):
        value = getattr(spec, key)
        if value is not None and (error := error_of(parse_version, value)):
            yield (key,), error


def _features_rules(features: Sequence[FeatureSpec | OnDemandFeature]) -> Iterator[Found]:
    if not features:
        yield ("features",), "a feature view needs at least one feature."
    if excess := too_many(("features",), "features", features, MAX_FEATURES):
        yield excess
        return
    for index, feature in enumerate(features):
        path: Path = ("features", index)
        yield from name_problems((*path, "name"), feature.name)
        yield from _unit_rules((*path, "unit"), feature.unit)
        if error := error_of(parse_type, feature.type):
            yield (*path, "type"), error
        elif isinstance(feature, FeatureSpec):
            yield from feature_check_problems((*path, "checks"), feature)
    yield from repeated(("features",), [feature.name for feature in features])


def _unit_rules(path: Path, unit: str) -> Iterator[Found]:
    is_seen = unit.isprintable() and not UNSEEN.search(unit) and unit == unit.strip()
    if len(unit) > MAX_UNIT or not is_seen:
        message = (
            f"{unit[:MAX_UNIT]!r}: write a few characters that can be read, as in USD or km/h."
        )
        yield path, message


def schedule_problems(schedule: ScheduleSpec | None) -> Iterator[Found]:
    """Yield what is wrong with a schedule, wherever it was written: a definition or the admin."""
    if schedule is None:
        return
    if (schedule.every is None) == (schedule.cron is None):
        yield ("schedule",), 'write either {every: 1h} or {cron: "15 * * * *"}.'
    elif len(schedule.every or "") > MAX_EVERY:
        message = f"{len(schedule.every or '')} characters; write at most {MAX_EVERY}, as in 1h."
        yield ("schedule", "every"), message
    elif schedule.every is not None:
        if error := error_of(parse_duration, schedule.every):
            yield ("schedule", "every"), error
    elif not _is_cron(schedule.cron or ""):
        message = (
            f"{(schedule.cron or '')[:100]!r} is not a cron expression of five fields and at most"
            f' {MAX_CRON} characters, as in "15 * * * *".'
        )
        yield ("schedule", "cron"), message


def _is_cron(text: str) -> bool:
    return len(text) <= MAX_CRON and len(text.split()) == 5 and croniter.is_valid(text)


def _transform_rules(spec: FeatureViewSpec) -> Iterator[Found]:
    asked = [each for each in asked_for(spec) if each.is_stored]
    if len(asked) > 1:
        words = " or ".join(f"`{kind.key}`" for kind in KEYED if kind.is_stored)
        yield (str(asked[0].key),), f"a view has {words}, not both."
        asked = asked[1:]
    for transform in asked:
        yield from _of_transform(transform, spec)
    if spec.sql is None:
        yield from join_problems(spec)


@singledispatch
def _of_transform(transform: Transform, spec: FeatureViewSpec) -> Iterator[Found]:
    raise TypeError(f"no rules for {type(transform).__name__}")


@_of_transform.register(RowSql)
def _(transform: RowSql, spec: FeatureViewSpec) -> Iterator[Found]:
    if error := error_of(lambda sql: check_row_sql(sql, source=spec.source), transform.sql):
        yield ("sql",), error
    else:
        yield from join_problems(spec)


@_of_transform.register(Python)
def _(transform: Python, spec: FeatureViewSpec) -> Iterator[Found]:
    yield from python_problems(transform.python, spec)


@_of_transform.register(Aggregations)
def _(transform: Aggregations, spec: FeatureViewSpec) -> Iterator[Found]:
    yield from aggregation_problems(spec)


@_rules.register(OnDemandViewSpec)
def _(spec: OnDemandViewSpec) -> Iterator[Found]:
    yield from _features_rules(spec.features)
    yield from _number_rules(spec)
    yield from on_demand_problems(spec)


@_rules.register(FeatureServiceSpec)
def _(spec: FeatureServiceSpec) -> Iterator[Found]:
    if not spec.features:
        yield ("features",), "a feature service needs at least one reference, as in view:feature."
    if excess := too_many(("features",), "references", spec.features, MAX_REFERENCES):
        yield excess
        return
    for index, reference in enumerate(spec.features):
        if error := error_of(parse_reference, reference):
            yield ("features", index), error
    yield from repeated(("features",), spec.features)
    if spec.context is not None and (error := error_of(parse_template, spec.context)):
        yield ("context",), error
