"""Strict casts: a value becomes the declared type or is an error, never a silent NULL. [pure]

Not for finding columns (``sql``). Input types are the texts of DuckDB's DESCRIBE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materialization.errors import SourceValueInvalid
from materialization.sql_text import text

if TYPE_CHECKING:
    from registry.spec import TimeUnit
    from registry.value_types import ValueType

#: Marks our own error texts among DuckDB's; JSON follows.
MARK = "assay:"
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
UNSIGNED = tuple(f"U{name}" for name in INTEGERS)
FLOATS = ("FLOAT", "DOUBLE")
_NUMERIC_WANTED = ("int32", "int64", "float32", "float64", "decimal")
_MULTIPLIERS: dict[str, int] = {"s": 1_000_000, "ms": 1_000, "us": 1}


class Cast(NamedTuple):
    """``value`` is the cast expression; ``bad`` is true where it is not the source's value."""

    value: str
    bad: str | None
    source: str
    column: str
    type: str

    @property
    def strict(self) -> str:
        """The value, or an error that names column, type and the value found."""
        if self.bad is None:
            return self.value
        found = f"left(CAST({self.source} AS VARCHAR), 80)"
        names = f"'column': {text(self.column)}, 'type': {text(self.type)}"
        report = f"to_json({{{names}, 'value': {found}}})"
        error = f"error({text(MARK)} || CAST({report} AS VARCHAR))"
        return f"CASE WHEN {self.bad} THEN {error} ELSE {self.value} END"


def family(have: str) -> str:
    """Return the kind of a DuckDB type: integer, float, decimal, text, time, …."""
    if have in INTEGERS or have in UNSIGNED:
        return "integer"
    if have in FLOATS:
        return "float"
    for beginning, name in (("DECIMAL(", "decimal"), ("ENUM(", "enum"), ("TIMESTAMP", "time")):
        if have.startswith(beginning):
            return name
    if have.endswith("]"):
        return "list"
    if have.startswith(("STRUCT(", "MAP(", "UNION(")):
        return "nested"
    names = {"VARCHAR": "text", "BOOLEAN": "bool", "DATE": "date", "BLOB": "bytes", "JSON": "json"}
    return names.get(have, "null" if have in ('"NULL"', "NULL") else "other")


def cast(expression: str, *, have: str, want: ValueType, column: str) -> Cast:
    """Return the cast of ``expression``, of type ``have``, to the declared type ``want``.

    :raises SourceValueInvalid: when no value of the one type can be of the other.
    """
    kind = family(have)
    source = expression
    if kind == "json" and want.kind != "json":
        source, kind = f"({expression} ->> '$')", "text"
    elif kind == "enum":
        source, kind = f"CAST({expression} AS VARCHAR)", "text"
    if kind == "null":
        value, bad = f"CAST({expression} AS {want.duckdb})", None
    else:
        value, bad = _pair(source, kind, have, want, column)
    return Cast(value, bad, source, column, str(want))


def _pair(
    source: str, kind: str, have: str, want: ValueType, column: str
) -> tuple[str, str | None]:
    if want.kind in ("string", "json", "bytes"):
        pair = _text_pair(source, kind, want.kind)
    elif want.kind in _NUMERIC_WANTED or want.kind == "bool":
        pair = _number_pair(source, kind, want)
    elif want.kind == "timestamp":
        return instant_pair(source, have if kind != "text" else "VARCHAR", "timestamp", column)
    elif want.kind == "date":
        pair = _tried(_filled(source, kind), "DATE") if kind in ("text", "date", "time") else None
    else:
        pair = _list_pair(source, kind, want)
    if pair is None:
        raise SourceValueInvalid(
            f"column {column!r} holds {have}, which cannot become {want}.",
            column=column,
            type=str(want),
            value=have,
        )
    return pair


def _filled(source: str, kind: str) -> str:
    """An empty text is no number and no date: text formats write NULL that way."""
    return f"nullif(trim({source}), '')" if kind == "text" else source


def _tried(source: str, want: str, unlike: str = "FALSE") -> tuple[str, str]:
    value = f"TRY_CAST({source} AS {want})"
    return value, f"({source} IS NOT NULL AND ({value} IS NULL OR {unlike}))"


def _text_pair(source: str, kind: str, want: str) -> tuple[str, str | None] | None:
    if want == "bytes":
        return {"bytes": (source, None), "text": (f"encode({source})", None)}.get(kind)
    if want == "json" and kind == "text":
        return source, f"({source} IS NOT NULL AND NOT json_valid({source}))"
    if kind == "bytes":
        value = f"TRY(decode({source}))"
        return value, f"({source} IS NOT NULL AND {value} IS NULL)"
    if (want == "json" and kind != "json") or kind in ("list", "nested"):
        return f"CAST(to_json({source}) AS VARCHAR)", None
    return (source if kind == "text" else f"CAST({source} AS VARCHAR)"), None


def _number_pair(source: str, kind: str, want: ValueType) -> tuple[str, str | None] | None:
    if kind not in ("integer", "float", "decimal", "bool", "text"):
        return None
    filled = _filled(source, kind)
    if want.kind == "bool":
        # DuckDB calls every number but 0 true.
        unlike = f"{source} NOT IN (0, 1)" if kind in ("integer", "float", "decimal") else "FALSE"
    elif want.kind in ("int32", "int64") and kind in ("float", "decimal", "text"):
        # DuckDB rounds 1.5 to 2 and says nothing.
        unlike = f"TRY_CAST({filled} AS DOUBLE) <> trunc(TRY_CAST({filled} AS DOUBLE))"
    else:
        unlike = "FALSE"
    return _tried(filled, want.duckdb, unlike)


def _list_pair(source: str, kind: str, want: ValueType) -> tuple[str, str] | None:
    if kind not in ("list", "text"):
        return None
    filled = _filled(source, kind)
    value = f"TRY_CAST({filled} AS {want.duckdb})"
    items = filled if kind == "list" else f"TRY_CAST({filled} AS VARCHAR[])"
    # An item that cannot be cast becomes NULL inside the list: count before and after.
    unlike = f"list_aggregate({items}, 'count') <> list_aggregate({value}, 'count')"
    if want.kind == "vector":
        full = f"list_aggregate({value}, 'count')"
        unlike += f" OR {full} <> {want.length} OR len({value}) <> {want.length}"
    elif want.item and want.item.kind in ("int32", "int64"):
        unlike += f" OR CAST({value} AS DOUBLE[]) <> TRY_CAST({items} AS DOUBLE[])"
    return _tried(filled, want.duckdb, unlike)


def cast_instant(expression: str, *, have: str, unit: TimeUnit, column: str) -> Cast:
    """Return the cast of a time column to ``TIMESTAMP WITH TIME ZONE``, microseconds.

    Naive times are UTC, dates are midnight UTC, numbers count ``unit`` since 1970. Nanoseconds
    are cut, never rounded into the future.

    :raises SourceValueInvalid: when the column's type does not fit the unit.
    """
    source = f"({expression} ->> '$')" if have == "JSON" else expression
    value, bad = instant_pair(source, "VARCHAR" if have == "JSON" else have, unit, column)
    return Cast(
        value, bad, source, column, "timestamp" if unit == "timestamp" else f"time in {unit}"
    )


def instant_pair(source: str, have: str, unit: TimeUnit, column: str) -> tuple[str, str]:
    kind = family(have)
    numeric = kind in ("integer", "float", "decimal")
    if kind == "null":
        return f"CAST({source} AS TIMESTAMP WITH TIME ZONE)", "FALSE"
    if kind not in ("text", "time", "date") and not (numeric and unit != "timestamp"):
        message = (
            f"column {column!r} holds numbers ({have}): say what they count, as in "
            f"{{column: {column}, unit: ms}}; units are s, ms, us, ns."
            if numeric
            else f"column {column!r} holds {have}, which is no time."
        )
        raise SourceValueInvalid(message, column=column, type="timestamp", value=have)
    if unit != "timestamp" and kind in ("time", "date"):
        raise SourceValueInvalid(
            f"column {column!r} holds {have}, not numbers in {unit}; leave the unit out.",
            column=column,
            type=unit,
            value=have,
        )
    filled = _filled(source, kind)
    value = _instant(filled, have, kind) if unit == "timestamp" else _counted(filled, kind, unit)
    years = "TIMESTAMPTZ '0001-01-01 00:00:00+00' AND TIMESTAMPTZ '9999-12-31 23:59:59.999999+00'"
    return value, f"({filled} IS NOT NULL AND ({value} IS NULL OR {value} NOT BETWEEN {years}))"


def _instant(source: str, have: str, kind: str) -> str:
    if kind == "text" or "TIME ZONE" in have:
        return f"TRY_CAST({source} AS TIMESTAMP WITH TIME ZONE)"
    if have == "TIMESTAMP_NS":
        return f"TRY(make_timestamptz({_floor_thousandth(f'epoch_ns({source})')}))"
    return f"(TRY_CAST({source} AS TIMESTAMP) AT TIME ZONE 'UTC')"


def _counted(source: str, kind: str, unit: str) -> str:
    whole = f"TRY_CAST({source} AS HUGEINT)"
    exact = _floor_thousandth(whole) if unit == "ns" else f"{whole} * {_MULTIPLIERS[unit]}"
    factor = f"/ {1000}" if unit == "ns" else f"* {_MULTIPLIERS[unit]}"
    rounded = f"TRY_CAST(round(TRY_CAST({source} AS DOUBLE) {factor}) AS HUGEINT)"
    if kind == "text":
        count = (
            f"CASE WHEN regexp_full_match({source}, '[+-]?[0-9]+') THEN {exact} ELSE {rounded} END"
        )
    else:
        count = exact if kind == "integer" else rounded
    return f"TRY(make_timestamptz(TRY_CAST({count} AS BIGINT)))"


def _floor_thousandth(expression: str) -> str:
    """Divide nanoseconds by 1000 towards the past; DuckDB's // goes towards zero."""
    rest = f"((({expression}) % 1000) + 1000) % 1000"
    return f"((({expression}) - {rest}) // 1000)"
