"""On-demand views that are written as rows arrive: each is a feature view of those rows.

Not for views that are computed at the request (``on_demand``): a written one stores what it
computes, and is read, reviewed and exported as the feature view that it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from sqlglot import exp

from lib.errors import AssayError, did_you_mean
from registry.choices import Kind
from registry.models import DataSource, Entity
from registry.reading.parsing import InvalidDefinitions
from registry.reading.rules import rule_problems
from registry.spec.base import Described
from registry.spec.dialect import DIALECT
from registry.spec.model import EntitySpec, FeatureSpec, FeatureViewSpec
from registry.spec.on_demand import OnDemandFeature, OnDemandViewSpec, OnDemandWrite
from registry.spec.row_sql import MAX_LENGTH, check_expression, columns_of
from registry.spec.scalar.compiling import NOW, compiled
from registry.spec.scalar.kinds import Untyped
from registry.spec.scalar.plain import plain_sql
from registry.spec.sources.arriving import ArrivingSource
from registry.spec.sources.base import SourceSpec
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registry.models import Project
    from registry.reading.findings import Found
    from registry.reading.parsing import Definition


class _Parts(NamedTuple):
    """Sources and entities by name: as they are sent, else as they are registered."""

    sources: Mapping[str, Any]
    entities: Mapping[str, EntitySpec]


def with_written(definitions: list[Definition], project: Project) -> list[Definition]:
    """Return the definitions, each on-demand view that is written as the feature view it is.

    :raises InvalidDefinitions: one cannot be computed of the rows that its source gets.
    """
    if not any(map(_is_written, definitions)):
        return definitions
    parts = _parts(definitions, project)
    stored = {each.spec.name for each in definitions if each.kind is Kind.FEATURE_VIEW}
    found, problems = [], []
    for definition in definitions:
        if not _is_written(definition):
            found.append(definition)
            continue
        view = cast("OnDemandViewSpec", definition.spec)
        write = cast("OnDemandWrite", view.write)
        said = list(_problems(view, write, parts))
        values, refused = _written_out(view)
        said += refused
        if view.name in stored:
            said.append((("name",), f"a FeatureView {view.name!r} is sent, too; name one anew."))
        if not said:
            spec = _as_feature_view(view, write, parts, values)
            said = [(_place(path), message) for path, message in rule_problems(spec)]
            found.append(definition._replace(kind=Kind.FEATURE_VIEW, spec=spec))
        problems += [definition.problem(path, message) for path, message in said]
    if problems:
        raise InvalidDefinitions(problems)
    return sorted(found, key=lambda each: list(Kind).index(each.kind))


def _is_written(definition: Definition) -> bool:
    spec = definition.spec
    return isinstance(spec, OnDemandViewSpec) and spec.write is not None


def _parts(definitions: list[Definition], project: Project) -> _Parts:
    sources = {each.name: each.spec for each in DataSource.objects.filter(project=project)}
    entities = {each.name: each.spec for each in Entity.objects.filter(project=project)}
    for definition in definitions:
        if isinstance(definition.spec, SourceSpec):
            sources[definition.spec.name] = cast("Any", definition.spec)
        elif isinstance(definition.spec, EntitySpec):
            entities[definition.spec.name] = definition.spec
    return _Parts(sources, entities)


def _problems(view: OnDemandViewSpec, write: OnDemandWrite, parts: _Parts) -> Iterator[Found]:
    if view.inputs.features:
        yield (
            ("inputs", "features"),
            "what is written is computed of the row that arrives; to compute with stored features"
            " leave `write` out, or define a FeatureView with `views`.",
        )
    for index, name in enumerate(write.entities):
        if name not in parts.entities:
            hint = did_you_mean(name, list(parts.entities))
            yield ("write", "entities", index), f"there is no entity {name!r}.{hint}"
    source = parts.sources.get(write.source)
    if source is None:
        hint = did_you_mean(write.source, list(parts.sources))
        yield ("write", "source"), f"there is no data source {write.source!r}.{hint}"
    elif not isinstance(source, ArrivingSource):
        yield (
            ("write", "source"),
            f"the rows of {write.source!r} are read by runs; define a FeatureView with `sql`.",
        )
    else:
        yield from _column_problems(view.inputs.request, source)


def _column_problems(request: Mapping[str, str], source: ArrivingSource) -> Iterator[Found]:
    for name, kind in request.items():
        place = ("inputs", "request", name)
        its = source.schema.get(name)
        if its is None:
            hint = did_you_mean(name, list(source.schema))
            yield place, f"rows of {source.name!r} have no column {name!r}.{hint}"
        elif parse_type(its) != parse_type(kind):
            yield place, f"{kind} here, and {its} in the rows of {source.name!r}; say {its}."


def _written_out(view: OnDemandViewSpec) -> tuple[list[str], list[Found]]:
    """Return each feature as SQL of the row, and what cannot be; no more than a view's SQL has."""
    values: list[str] = []
    problems: list[Found] = []
    if view.inputs.features:
        return values, problems  # nothing is known of those
    length = 0
    for index, feature in enumerate(view.features):
        try:
            values.append(_as_sql(feature, view.inputs.request))
            length += len(values[-1])
        except AssayError as exc:
            problems.append((("features", index, "sql"), exc.message))
            length += len(feature.sql)
        if length > MAX_LENGTH:
            words = f"all `sql`, casts included, has more than {MAX_LENGTH:,} characters; split it."
            problems.append((("features",), words))
            break
    return values, problems


def _as_sql(feature: OnDemandFeature, request: Mapping[str, str]) -> str:
    """Return what a request would be answered with, as SQL of the row.

    :raises AssayError: it is not computed at requests, as it is written or written anew.
    """
    if NOW in set(columns_of(feature.sql)) - {*request}:
        raise Untyped("`now` is the instant of a request; name the column of the row's time.")
    compiled(feature.sql, inputs=request, declared=feature.type)
    return plain_sql(check_expression(feature.sql), inputs=request, declared=feature.type)


def _as_feature_view(
    view: OnDemandViewSpec, write: OnDemandWrite, parts: _Parts, values: list[str]
) -> FeatureViewSpec:
    source = parts.sources[write.source]
    keys = [key.name for name in write.entities for key in parts.entities[name].join_keys]
    times = [each.column for each in (source.event_timestamp, source.created_timestamp) if each]
    columns = [_quoted(name) for name in dict.fromkeys([*keys, *times])]
    columns += [
        f"{value} AS {_quoted(each.name)}"
        for value, each in zip(values, view.features, strict=True)
    ]
    words = {name: getattr(view, name) for name in Described.__struct_fields__}
    shared = ("name", "type", "description", "unit", "sensitivity")
    return FeatureViewSpec(
        **words,
        version=view.version,
        based_on=view.based_on,
        entities=write.entities,
        source=write.source,
        sql=f"SELECT {', '.join(columns)} FROM {_quoted(write.source)}",  # noqa: S608 - checked as all
        features=tuple(
            FeatureSpec(**{name: getattr(each, name) for name in shared}) for each in view.features
        ),
        ttl=write.ttl,
    )


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql(dialect=DIALECT)


def _place(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return where in the definition stands what a rule of feature views is about."""
    if path[0] == "sql":
        return ("features",)
    return ("write", *path) if path[0] in ("entities", "source", "ttl") else path
