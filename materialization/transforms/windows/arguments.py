"""What is kept of a row for its windows: each argument, made of one column by Arrow. [pure]

An argument is what ``aggregation`` makes of the column of a file in SQL, so that both stores have
the same. What Arrow does not make the same way is refused when the view is planned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc

from lib.instants import MICROSECOND
from materialization.errors import SourceValueInvalid
from materialization.stores.columns import SEQUENCE
from materialization.transforms.aggregation.aggregates import read_aggregates
from materialization.transforms.aggregation.events import (
    events_schema,
    kept_columns,
    source_types,
)
from materialization.transforms.windows.results import result_problem
from registry.spec.aggregate_functions import function_name, parameters
from registry.spec.derived import derived_scalar, inputs_of
from registry.spec.value_types import SCALARS, ValueType, parse_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from registry.spec.aggregations import AggregateOutput
    from registry.spec.model import FeatureSpec, FeatureViewSpec
    from registry.spec.sources.arriving import ArrivingSource
    from registry.spec.version_spec import VersionSpec

_FLOAT, _WHOLE, _TEXT = parse_type("float64"), parse_type("int64"), parse_type("string")
_INTEGERS, _FLOATS = ("int32", "int64"), ("float32", "float64")
_NO_SCALARS = ("list", "vector", "json")
#: Functions that give one of the values, and those that give several of them.
_CHOOSES, _LISTS = ("min", "max", "first", "last"), ("first_k", "last_k", "top_k")
_ADDS, _SPREADS = ("sum", "mean"), ("stddev", "variance")


#: DuckDB's name of what is stored → what it is computed with; all others are there as text.
_KEPT = {duckdb: parse_type(name) for name, (_, duckdb) in SCALARS.items() if name != "json"} | {
    "HUGEINT": _WHOLE,
    "TINYINT": parse_type("int32"),
    "SMALLINT": parse_type("int32"),
}

#: What was made of specs, by their identity: the same text is one spec (``load_version_spec``).
_MADE: dict[int, tuple[VersionSpec, WindowArguments]] = {}
_MOST_MADE = 256


class WindowArgument(NamedTuple):
    """One argument: ``name`` and ``arrow`` as it is stored offline, ``column`` of the source.

    ``type`` is what its values are computed with online; ``make`` makes those of the column. Of
    rows that runs store nothing is made any more: they are what is stored.
    """

    name: str
    arrow: pa.DataType
    column: str
    type: ValueType
    make: Callable[[pa.Array], pa.Array]


class WindowOutput(NamedTuple):
    """One feature: a function of the values of one argument within ``window`` (µs)."""

    feature: str
    type: ValueType
    function: str
    parameters: Mapping[str, float]
    argument: int
    window: int


class WindowDerived(NamedTuple):
    """One feature that is computed of others: ``inputs`` are their places among the outputs.

    ``place`` is its own among all features; ``run`` takes a row of those values, the instant (µs),
    and a list for what has no result.
    """

    feature: str
    type: ValueType
    place: int
    inputs: tuple[int, ...]
    run: Callable[[Sequence[Any]], Any]


class WindowArguments(NamedTuple):
    """All that windows of a view are made of; outputs are sorted by the feature's name,
    ``windows`` (µs) by their length.
    """

    arguments: tuple[WindowArgument, ...]
    outputs: tuple[WindowOutput, ...]
    windows: tuple[int, ...]
    #: The columns of events as they are logged: as stored, but for the sequence.
    logged: pa.Schema
    #: Events are a bag: the last that is kept of each is how often it is there, which may be never.
    is_bag: bool = False
    #: Sorted by the feature's name, as outputs are.
    derived: tuple[WindowDerived, ...] = ()


def window_arguments(spec: VersionSpec) -> WindowArguments:
    """Return what is kept of each row of a submitted version, and what is made of it."""
    found = _MADE.get(id(spec))
    if found is None or found[0] is not spec:
        if len(_MADE) >= _MOST_MADE:
            _MADE.clear()
        found = _MADE[id(spec)] = spec, _made(spec) if spec.is_pushed else _loaded(spec)
    return found[1]


def _made(spec: VersionSpec) -> WindowArguments:
    every = read_aggregates(spec, source_types(spec))
    outputs, source = spec.view.aggregate_outputs(), cast("ArrivingSource", spec.rows_from)
    kept = kept_columns(every)
    places = {each.argument: place for place, each in enumerate(kept)}
    made: dict[int, WindowArgument] = {}
    found = []
    for feature, _, number in every.outputs:
        asked, call = outputs[feature.source_column], every.calls[number]
        place = places[call.source]
        taken = taken_of(asked, feature, parse_type(source.schema[asked.column]))
        each = kept[place]
        made[place] = WindowArgument(each.name, each.arrow, asked.column, taken.type, taken.make)
        name, given = function_name(asked.function), parameters(asked.function)
        window = every.windows[call.window] // MICROSECOND
        found.append(WindowOutput(feature.name, feature.value_type, name, given, place, window))
    found.sort(key=lambda each: each.feature)
    return WindowArguments(
        tuple(made[place] for place in range(len(kept))),
        tuple(found),
        tuple(window // MICROSECOND for window in every.windows),
        pa.schema([field for field in events_schema(spec) if field.name != SEQUENCE]),
        derived=_derived(spec.view, found),
    )


def _loaded(spec: VersionSpec) -> WindowArguments:
    """Return what windows are made of where runs have stored the rows, by SQL."""
    every = read_aggregates(spec, source_types(spec))
    asked = spec.view.aggregate_outputs()
    kept = kept_columns(every)
    places = {each.argument: place for place, each in enumerate(kept)}
    outputs, columns = [], dict[int, str]()
    for feature, _, number in every.outputs:
        output, call = asked[feature.source_column], every.calls[number]
        place = places[call.source]
        columns[place] = output.column
        loaded_of(kept[place].type, output, feature)
        name, given = function_name(output.function), parameters(output.function)
        window = every.windows[call.window] // MICROSECOND
        outputs.append(WindowOutput(feature.name, feature.value_type, name, given, place, window))
    outputs.sort(key=lambda each: each.feature)
    return WindowArguments(
        tuple(
            WindowArgument(each.name, each.arrow, columns[place], kept_type(each.type), _same)
            for place, each in enumerate(kept)
        ),
        tuple(outputs),
        tuple(window // MICROSECOND for window in every.windows),
        pa.schema([]),
        is_bag=True,
        derived=_derived(spec.view, outputs),
    )


def _derived(view: FeatureViewSpec, outputs: Sequence[WindowOutput]) -> tuple[WindowDerived, ...]:
    places = {each.feature: place for place, each in enumerate(outputs)}
    every = enumerate(sorted(view.features, key=lambda each: each.name))
    return tuple(
        WindowDerived(
            feature.name,
            feature.unencoded.value_type,
            place,
            tuple(places[name] for name in inputs_of(view, feature)),
            derived_scalar(view, feature).run,
        )
        for place, feature in every
        if feature.sql is not None
    )


def loaded_of(kept: str, asked: AggregateOutput, feature: FeatureSpec) -> None:
    """Return if windows online can be made of values of DuckDB's type ``kept``.

    :raises SourceValueInvalid: they cannot, or not what the feature is declared to be.
    """
    name, found = function_name(asked.function), kept_type(kept)
    problem = result_problem(name, found, feature.value_type)
    if found.kind in _NO_SCALARS:
        problem = f"windows online are of single values, and {asked.column!r} is {kept}."
    if problem is not None:
        raise SourceValueInvalid(
            f"{feature.name}: {problem} Or write `accuracy: temporal`.",
            column=asked.column,
            type=feature.type,
            value=kept,
        )


def kept_type(kept: str) -> ValueType:
    """Return the type that stored values of a type of DuckDB are computed with."""
    if kept.endswith("[]"):
        return ValueType("list", item=_TEXT)
    if kept.startswith("DECIMAL"):
        return parse_type(kept.lower())
    return _KEPT.get(kept, _TEXT)


class Taken(NamedTuple):
    """The type that values of an argument are computed with, and what makes them of a column."""

    type: ValueType
    make: Callable[[pa.Array], pa.Array]


def taken_of(asked: AggregateOutput, feature: FeatureSpec, have: ValueType) -> Taken:
    """Return how a function takes a column of pushed rows.

    :raises SourceValueInvalid: what it takes, or gives, would have to be cast in a way that pushed
        rows are not; says what to write.
    """
    name = function_name(asked.function)
    found = _taken(name, feature, have)
    problem = (
        found if isinstance(found, str) else result_problem(name, found.type, feature.value_type)
    )
    if problem is not None:
        raise SourceValueInvalid(
            f"{feature.name}: {problem}", column=asked.column, type=feature.type, value=str(have)
        )
    return cast("Taken", found)


def _taken(name: str, feature: FeatureSpec, have: ValueType) -> Taken | str:
    want = feature.value_type
    if have.kind in _NO_SCALARS:
        return f"windows of single rows are of single values, and the column is {have}."
    if name in ("count", "count_distinct"):
        return _as_it_is(have)
    if name in _CHOOSES or name in _LISTS:
        want = want if name in _CHOOSES else want.item or want
        if want == have:
            return _as_it_is(have)
        return (
            f"{name} gives values of the column, which is {have}; declare that, not {want}, and"
            f" leave out an `encode` that takes {want}."
        )
    if name in ("any", "all"):
        return Taken(_WHOLE, _whole) if have.kind == "bool" else f"{name} takes bool, not {have}."
    if name == "histogram":
        return Taken(have, _same) if have.kind == "string" else f"{name} takes string, not {have}."
    if name in _ADDS or name in _SPREADS:
        if have.kind in (*_INTEGERS, "bool"):
            return Taken(_WHOLE, _whole)
        if have.kind == "decimal":
            return Taken(ValueType("decimal", precision=38, scale=have.scale), _same)
    if have.kind in _FLOATS or (have.kind == "int32" and name not in (*_ADDS, *_SPREADS)):
        return Taken(_FLOAT, _rounded if name == "approx_percentile" else _double)
    return f"{name} takes float64, float32 or int32 of single rows, not {have}."


def _as_it_is(have: ValueType) -> Taken:
    return Taken(have, _plus_zero if have.kind in _FLOATS else _same)


def _same(column: pa.Array) -> pa.Array:
    return column


def _plus_zero(column: pa.Array) -> pa.Array:
    """Turn -0.0 into 0.0: they are equal, so which of them is kept must not be chance."""
    return pc.add(column, pa.scalar(0.0, column.type))


def _whole(column: pa.Array) -> pa.Array:
    return column.cast(pa.int8() if pa.types.is_boolean(column.type) else pa.int64()).cast(
        pa.int64()
    )


def _double(column: pa.Array) -> pa.Array:
    return _plus_zero(column.cast(pa.float64()))


def _rounded(column: pa.Array) -> pa.Array:
    """Return doubles of three digits; the greatest have none above them that has."""
    doubles = _double(column)
    near = [None if each is None else float(f"{each:.2e}") for each in doubles.to_pylist()]
    return pc.if_else(pc.is_finite(pa.array(near, pa.float64())), near, doubles)
