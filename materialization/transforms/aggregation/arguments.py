"""The ways a function can take its column: as it is, as a number, as the feature's own type. [pure]

Not for what is done with it. NULL stays NULL; what cannot be cast is an error, never a NULL.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lib.sql_text import identifier
from materialization.errors import SourceValueInvalid
from materialization.transforms.casts import Cast, cast
from materialization.transforms.pairs.families import family
from registry.spec.value_types import ValueType, parse_type

if TYPE_CHECKING:
    from registry.spec.model import FeatureSpec

#: Sums of these could leave 128 bits.
_HUGE = ("HUGEINT", "UHUGEINT")
#: '1 month' is '30 days', (-0.0) is (0.0), and 13:00+01 is 12:00+00.
_UNLIKE = re.compile(r"INTERVAL|STRUCT|MAP|UNION|\bTIME WITH TIME ZONE|TIMETZ|VARIANT")
_FLOAT, _BOOL, _TEXT = parse_type("float64"), parse_type("bool"), parse_type("string")
#: The declared types whose sums are exact → what each text is read as.
_EXACT = {
    "int32": parse_type("int64"),
    "int64": parse_type("int64"),
    "decimal": parse_type("decimal(38,0)"),
}


class Input(NamedTuple):
    """An aggregated column, its DuckDB type, and the feature it becomes."""

    column: str
    have: str
    feature: FeatureSpec


class Argument(NamedTuple):
    """An aggregated expression over the source, and its DuckDB type.

    ``null_as`` is the expression that is NULL where it is.
    """

    sql: str
    type: str
    null_as: str


class Taken(NamedTuple):
    """What a function reads, and the cast its column goes through; None: taken as it is."""

    argument: Argument
    cast: Cast | None


def as_it_is(given: Input) -> Taken:
    """Take any type: only whether a value is there, or equal to another, matters."""
    column = identifier(given.column)
    sql = _one_zero(column) if family(given.have) == "float" else column
    return Taken(Argument(sql, given.have, column), None)


def refuse_unlike_its_text(given: Input) -> None:
    """Refuse what is compared and stored by its text, where equal values have several texts.

    :raises SourceValueInvalid: a type whose equal values are written differently.
    """
    if not given.have.startswith("ENUM") and _UNLIKE.search(given.have):
        raise SourceValueInvalid(
            f"feature {given.feature.name!r}: values of {given.column!r} ({given.have}) are stored "
            "as text for `accuracy: temporal`, and equal ones may have different texts; "
            "count another column, such as a text made in the source, or use "
            "`accuracy: snapshot`.",
            column=given.column,
            type=str(given.feature.value_type),
            value=given.have,
        )


def as_declared(given: Input) -> Taken:
    """Take what becomes the feature's type, for functions that choose one of the values."""
    return _to_choose_of(given, given.feature.value_type)


def as_item(given: Input) -> Taken:
    """Take what becomes an item of the feature's list.

    :raises SourceValueInvalid: when the feature is no list.
    """
    declared = given.feature.value_type
    if declared.kind != "list" or declared.item is None:
        raise SourceValueInvalid(
            f"feature {given.feature.name!r} becomes a list of values of {given.column!r}, "
            f"not {declared}; write list<T>, as in list<float64>.",
            column=given.column,
            type=str(declared),
            value=given.have,
        )
    return _to_choose_of(given, declared.item)


def _to_choose_of(given: Input, want: ValueType) -> Taken:
    """Take values by whose order one is chosen: of numbers that are told by their text their own.

    What is chosen becomes text: 10 is more than 9, and "10" is less than "9".
    """
    if want.kind == "string" and family(given.have) in ("integer", "decimal", "float"):
        return as_it_is(given)
    return _cast(given, want)


def as_double(given: Input) -> Taken:
    """Take numbers as doubles."""
    return _cast(given, _FLOAT)


def as_rounded(given: Input) -> Taken:
    """Take numbers as doubles of three significant digits: at most half a percent beside it."""
    taken = as_double(given)
    exact = taken.argument.sql
    near = f"TRY_CAST(format('{{:.2e}}', {exact}) AS DOUBLE)"
    # The greatest doubles have none above them that has three digits.
    sql = f"CASE WHEN isfinite({near}) THEN {near} ELSE {exact} END"
    return taken._replace(argument=taken.argument._replace(sql=sql))


def as_truth(given: Input) -> Taken:
    """Take what is true or false, as 1 and 0."""
    made = _made(given, _BOOL)
    return Taken(Argument(f"CAST({made.strict} AS HUGEINT)", "HUGEINT", made.strict), made)


def as_text(given: Input) -> Taken:
    """Take any value by its text, whatever it becomes."""
    if family(given.have) == "float":  # as it is: of which whole numbers it stands for no matter
        column = identifier(given.column)
        return Taken(Argument(f"CAST({_one_zero(column)} AS VARCHAR)", "VARCHAR", column), None)
    return _cast(given, _TEXT)


def as_number(given: Input) -> Taken:
    """Take numbers to be added: integers and decimals exactly, in 128 bits, others as doubles."""
    kind = family(given.have)
    if kind in ("text", "json") and (want := _EXACT.get(given.feature.value_type.kind)):
        return _exactly(given, want)
    if kind not in ("integer", "bool", "decimal") or given.have in _HUGE:
        made = _made(given, _FLOAT)
        return Taken(Argument(made.strict, _FLOAT.duckdb, made.strict), made)
    scale = given.have.rstrip(")").split(",")[1].strip() if kind == "decimal" else ""
    exact = f"DECIMAL(38,{scale})" if scale else "HUGEINT"
    column = identifier(given.column)
    return Taken(Argument(f"CAST({column} AS {exact})", exact, column), None)


def only_where(taken: Taken, truth: str) -> Taken:
    """Return the same with NULL, which counts for nothing, where ``truth`` is not true."""

    def inside(sql: str) -> str:
        return f"CASE WHEN {truth} THEN {sql} END"

    argument, made = taken
    if made is not None:
        bad = None if made.bad is None else f"({truth} AND {made.bad})"
        made = made._replace(value=inside(made.value), bad=bad)
    return Taken(Argument(inside(argument.sql), argument.type, inside(argument.null_as)), made)


def _exactly(given: Input, want: ValueType) -> Taken:
    """Take numbers that are written as text as what the sum of them is declared to be."""
    if want.kind == "decimal":
        want = msgspec.structs.replace(want, scale=given.feature.value_type.scale)
    made = _made(given, want)
    total = "HUGEINT" if want.kind == "int64" else want.duckdb
    return Taken(Argument(f"CAST({made.strict} AS {total})", total, made.strict), made)


def _cast(given: Input, want: ValueType) -> Taken:
    made = _made(given, want)
    sql = _one_zero(made.strict) if want.kind in ("float32", "float64") else made.strict
    return Taken(Argument(sql, want.duckdb, made.strict), made)


def _made(given: Input, want: ValueType) -> Cast:
    return cast(identifier(given.column), have=given.have, want=want, column=given.column)


def _one_zero(expression: str) -> str:
    """Turn -0.0 into 0.0: they are equal, so which of them is stored must not be chance."""
    return f"({expression} + 0)"
