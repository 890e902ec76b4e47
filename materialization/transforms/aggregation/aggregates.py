"""What each aggregate function adds up, per column and window, and how its value is read. [pure]

Not for ticks or storage: ``stages`` places these expressions in its stages. NULL is
ignored by every function; NaN is a value, above all others for ``max``. An emptied window gives
``count`` and ``count_distinct`` 0 and NULL for the rest. ``stddev`` is the sample's (n - 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lib.sql_text import identifier
from materialization.transforms.aggregation.exact_sums import bin_sql, scaled_sql, total_sql
from materialization.transforms.base import require
from materialization.transforms.casts import Cast, cast, family
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta

    from registry.spec.model import FeatureSpec, VersionSpec

#: Functions that choose one of the values.
CHOICES = ("min", "max", "first", "last")
#: Those of them that are looked up in the tree of ticks; ``last`` needs only the newest row so far.
EXTREMES = ("min", "max", "first")
SUMS = ("sum", "mean")
#: Sums of these could leave 128 bits.
_HUGE = ("HUGEINT", "UHUGEINT")


class Argument(NamedTuple):
    """An aggregated expression: its SQL over the source, and how it is added."""

    sql: str
    #: ``exact`` (integers, decimals), ``float``, or nothing when it is never added.
    adds: str
    #: The DuckDB type of an exact sum.
    exact_type: str = "HUGEINT"


class Output(NamedTuple):
    """One feature: ``function`` over argument ``argument`` in window number ``window``."""

    feature: FeatureSpec
    function: str
    argument: int
    window: int


class Found(NamedTuple):
    """What the rows at hold decide about one float argument."""

    bins: tuple[int, ...]
    non_finite: bool


class Aggregates(NamedTuple):
    arguments: list[Argument]
    windows: list[timedelta]
    outputs: list[Output]

    def with_function(self, *functions: str) -> list[Output]:
        return [output for output in self.outputs if output.function in functions]


def read_aggregates(spec: VersionSpec, columns: Mapping[str, str]) -> Aggregates:
    """Return arguments, windows and outputs of the features; what no feature takes is left out.

    :raises UnknownColumn: an aggregated column the source does not have.
    :raises SourceValueInvalid: a column whose type the function cannot take.
    """
    named = spec.view.aggregate_outputs()
    windows = sorted({named[feature.source_column][2] for feature in spec.features})
    arguments: dict[Argument, int] = {}
    outputs = []
    for feature in spec.features:
        column, function, window = named[feature.source_column]
        argument = _argument(column, function, feature, columns)
        number = arguments.setdefault(argument, len(arguments))
        outputs.append(Output(feature, function, number, windows.index(window)))
    return Aggregates(list(arguments), windows, outputs)


def argument_cast(
    column: str, function: str, feature: FeatureSpec, columns: Mapping[str, str]
) -> Cast | None:
    """Return the cast an aggregated column goes through; None when it is taken as it is."""
    have, name = require(column, columns), identifier(column)
    if function in CHOICES:
        return cast(name, have=have, want=feature.value_type, column=column)
    exact = family(have) in ("integer", "bool", "decimal") and have not in _HUGE
    if function in ("sum", "mean", "stddev") and not exact:
        return cast(name, have=have, want=parse_type("float64"), column=column)
    return None


def _argument(
    column: str, function: str, feature: FeatureSpec, columns: Mapping[str, str]
) -> Argument:
    made = argument_cast(column, function, feature, columns)
    have, name = columns[column], identifier(column)
    if function in CHOICES and made is not None:
        return Argument(_one_zero(made.strict, feature.type), "")
    if made is not None:
        return Argument(made.strict, "float")
    if function in ("count", "count_distinct"):
        return Argument(_one_zero(name, "float64" if family(have) == "float" else ""), "")
    scale = have.rstrip(")").split(",")[1].strip() if family(have) == "decimal" else ""
    exact = f"DECIMAL(38,{scale})" if scale else "HUGEINT"
    return Argument(f"CAST({name} AS {exact})", "exact", exact)


def _one_zero(expression: str, type_name: str) -> str:
    """Turn -0.0 into 0.0: they are equal, so which of them is stored must not be chance."""
    return f"({expression} + 0)" if type_name in ("float32", "float64") else expression


def argument_facts_sql(argument: int) -> str:
    """Return two aggregates over the rows: the list of bins, and whether all are finite."""
    name = f"a{argument}"
    return (
        f"list(DISTINCT {bin_sql(name)}) FILTER ({name} IS NOT NULL), bool_or(NOT isfinite({name}))"
    )


def amounts(aggregates: Aggregates, facts: Mapping[int, Found]) -> dict[str, tuple[int, str]]:
    """Return what is counted: running sum's name → (window, amount a row adds while inside)."""
    found: dict[str, tuple[int, str]] = {}
    for output in aggregates.outputs:
        name, window, argument = _stem(output), output.window, f"a{output.argument}"
        if output.function not in CHOICES and output.function != "count_distinct":
            found[f"{name}_n"] = (window, f"CAST({argument} IS NOT NULL AS INTEGER)")
        if output.function in SUMS:
            for suffix, amount in _summands(argument, facts.get(output.argument)):
                found[f"{name}_{suffix}"] = (window, amount)
    return found


def _summands(argument: str, facts: Found | None) -> Iterable[tuple[str, str]]:
    if facts is None:
        yield "s", argument
        return
    for position, number in enumerate(facts.bins):
        yield f"b{position}", scaled_sql(argument, number)
    if facts.non_finite:
        yield "nan", f"CAST(isnan({argument}) AS INTEGER)"
        yield "up", f"CAST({argument} = 'inf'::DOUBLE AS INTEGER)"
        yield "down", f"CAST({argument} = '-inf'::DOUBLE AS INTEGER)"


def _stem(output: Output) -> str:
    return f"s{output.argument}_{output.window}"


def value_sql(output: Output, facts: Mapping[int, Found]) -> str:
    """Return the feature's value, before its cast to the declared type, at one candidate tick."""
    stem = _stem(output)
    if output.function == "count":
        return f"{stem}_n"
    if output.function == "count_distinct":
        return distinct_name(output)
    if output.function in (*EXTREMES, "stddev"):
        return part_name(output)
    if output.function == "last":
        name = part_name(output)
        # Rows leave in the order of their events: when the newest is gone, so are the others.
        return f"CASE WHEN {name}.leave > i THEN {name}.x END"
    total = _total_sql(stem, facts.get(output.argument))
    value = f"CAST({total} AS DOUBLE) / {stem}_n" if output.function == "mean" else total
    return f"CASE WHEN {stem}_n > 0 THEN {value} END"


def _total_sql(stem: str, facts: Found | None) -> str:
    if facts is None:
        return f"{stem}_s"
    total = total_sql([(number, f"{stem}_b{i}") for i, number in enumerate(facts.bins)])
    if not facts.non_finite:
        return total
    nan = f"{stem}_nan > 0 OR ({stem}_up > 0 AND {stem}_down > 0)"
    return (
        f"CASE WHEN {nan} THEN 'nan'::DOUBLE WHEN {stem}_up > 0 THEN 'inf'::DOUBLE "
        f"WHEN {stem}_down > 0 THEN '-inf'::DOUBLE ELSE {total} END"
    )


def distinct_name(output: Output) -> str:
    return f"d{output.argument}_{output.window}"


def part_name(output: Output) -> str:
    return f"{output.function}{output.argument}_{output.window}"
