"""Strict casts: a value becomes the declared type or is an error, never a silent NULL. [pure]

Not for finding columns (``base``). Input types are the texts of DuckDB's DESCRIBE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lib.sql_text import text
from materialization.errors import SourceValueInvalid
from registry.spec.value_types import ValueType

if TYPE_CHECKING:
    from registry.spec.sources import TimeUnit

#: Marks our own error texts among DuckDB's; JSON follows.
MARK = "assay:"
INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
UNSIGNED = tuple(f"U{name}" for name in INTEGERS)
#: From here on a float stands for several whole numbers, and which one was meant is lost.
EXACT_BELOW = {"FLOAT": 2**24, "DOUBLE": 2**53}
_TEXT_WANTED = ("string", "json", "bytes")
_NUMERIC_WANTED = ("int32", "int64", "float32", "float64", "decimal")
_MULTIPLIERS: dict[str, int] = {"s": 1_000_000, "ms": 1_000, "us": 1}
_YEARS = "TIMESTAMPTZ '0001-01-01 00:00:00+00' AND TIMESTAMPTZ '9999-12-31 23:59:59.999999+00'"
_DAYS = "DATE '0001-01-01' AND DATE '9999-12-31'"
_FLOAT_HINT = (
    "The column is read as floats, which are exact whole numbers only below 2**53 (float32: 2**24)."
    " One file with floats is enough: write it as integers, or as text, in every file."
)


#: For texts that are not times: what is read, and what else a source's own times may be.
_DAY_HINT = "Write days as ISO 8601, as in 2026-01-31."
_TIME_HINT = "Write times as ISO 8601, as in 2026-01-31T12:00:00Z."
_UNIT_HINT = "For numbers since 1970 write {{column: {column}, unit: s}}, or ms, us, ns."


class Cast(NamedTuple):
    """``value`` is the cast expression; ``bad`` is true where it is not the source's value."""

    value: str
    bad: str | None
    source: str
    column: str
    type: str
    #: What else to do about a value that cannot, where the column's own type is the trouble.
    hint: str = ""

    @property
    def strict(self) -> str:
        """The value, or an error that names column, type and the value found."""
        if self.bad is None:
            return self.value
        found = f"left(CAST({self.source} AS VARCHAR), 80)"
        names = f"'column': {text(self.column)}, 'type': {text(self.type)}"
        names += f", 'hint': {text(self.hint)}" if self.hint else ""
        report = f"to_json({{{names}, 'value': {found}}})"
        error = f"error({text(MARK)} || CAST({report} AS VARCHAR))"
        return f"CASE WHEN {self.bad} THEN {error} ELSE {self.value} END"


def a_value_of(type_name: str) -> str:
    """Return the words for one value of a type: ``a timestamp``, ``an int64``, ``a time in s``."""
    return f"{'an' if type_name[0] in 'aeiou' else 'a'} {type_name}"


def values_of(type_name: str) -> str:
    """Return the words for several: ``timestamps``, ``int64 values``, ``times in s``."""
    if type_name.startswith("time in "):
        return type_name.replace("time", "times", 1)
    return f"{type_name}s" if type_name in ("timestamp", "date") else f"{type_name} values"


def family(have: str) -> str:
    """Return the kind of a DuckDB type: integer, float, decimal, text, time, …."""
    if have in INTEGERS or have in UNSIGNED:
        return "integer"
    if have in EXACT_BELOW:
        return "float"
    if have.endswith("]"):  # first: a list of timestamps begins as a timestamp does
        return "list"
    for beginning, name in (("DECIMAL(", "decimal"), ("ENUM(", "enum"), ("TIMESTAMP", "time")):
        if have.startswith(beginning):
            return name
    if have.startswith(("STRUCT(", "MAP(", "UNION(")):
        return "nested"
    names = {"VARCHAR": "text", "BOOLEAN": "bool", "DATE": "date", "BLOB": "bytes", "JSON": "json"}
    return names.get(have, "null" if have in ('"NULL"', "NULL") else "other")


def cast(expression: str, *, have: str, want: ValueType, column: str) -> Cast:
    """Return the cast of ``expression``, of type ``have``, to the declared type ``want``.

    :raises SourceValueInvalid: when no value of the one type can be of the other.
    """
    source, have = _readable(expression, have, want)
    filled = _filled(source, family(have)) if want.kind not in _TEXT_WANTED else source
    pair = _pair(filled, have, want, column)
    if pair is None:
        raise SourceValueInvalid(
            f"column {column!r} holds {have}, which cannot become {want}.",
            column=column,
            type=str(want),
            value=have,
        )
    return Cast(*pair, source, column, str(want), _hint(have, want))


def _readable(expression: str, have: str, want: ValueType) -> tuple[str, str]:
    """Return an expression whose type says how to read it: JSON scalars and enums are texts."""
    kind = family(have)
    if kind == "json" and want.kind != "json":
        return f"({expression} ->> '$')", "VARCHAR"
    return (f"CAST({expression} AS VARCHAR)", "VARCHAR") if kind == "enum" else (expression, have)


def _hint(have: str, want: ValueType) -> str:
    while want.item is not None:
        have, want = have.rpartition("[")[0], want.item
    if want.kind in ("timestamp", "date") and family(have) == "text":
        return _TIME_HINT if want.kind == "timestamp" else _DAY_HINT
    is_exact = want.kind in ("int32", "int64", "string")
    return _FLOAT_HINT if is_exact and family(have) == "float" else ""


def _pair(source: str, have: str, want: ValueType, column: str) -> tuple[str, str | None] | None:
    """Return a cast's ``value`` and ``bad``; None when no value of the one can be of the other."""
    kind = family(have)
    if kind == "null":
        return f"CAST({source} AS {want.duckdb})", None
    if want.kind in _TEXT_WANTED:
        return _text_pair(source, have, want.kind)
    if want.kind in _NUMERIC_WANTED or want.kind == "bool":
        return _number_pair(source, have, want)
    if want.kind == "timestamp":
        numeric = kind in ("integer", "float", "decimal")  # only a source's own times have a unit
        return None if numeric else instant_pair(source, have, "timestamp", column)
    if want.kind == "date":
        return _date_pair(source) if kind in ("text", "date", "time") else None
    return _list_pair(source, have, want, column)


def _filled(source: str, kind: str) -> str:
    """An empty text is neither a number nor a date: text formats write NULL that way."""
    return f"nullif(trim({source}), '')" if kind == "text" else source


def _tried(source: str, want: str, unlike: str = "FALSE") -> tuple[str, str]:
    value = f"TRY_CAST({source} AS {want})"
    return value, f"({source} IS NOT NULL AND ({value} IS NULL OR {unlike}))"


def _date_pair(source: str) -> tuple[str, str]:
    """Years 1 to 9999, what ISO 8601 and every client can write; infinity is not a day."""
    return _tried(source, "DATE", f"TRY_CAST({source} AS DATE) NOT BETWEEN {_DAYS}")


def _text_pair(source: str, have: str, want: str) -> tuple[str, str | None] | None:
    kind = family(have)
    if want == "bytes":
        return {"bytes": (source, None), "text": (f"encode({source})", None)}.get(kind)
    if want == "json" and kind == "text":
        return source, f"({source} IS NOT NULL AND NOT json_valid({source}))"
    if kind == "bytes":
        value = f"TRY(decode({source}))"
        return value, f"({source} IS NOT NULL AND {value} IS NULL)"
    if (want == "json" and kind != "json") or kind in ("list", "nested"):
        return f"CAST(to_json({source}) AS VARCHAR)", None
    if kind == "float":
        return f"CAST({source} AS VARCHAR)", _inexact(source, have)
    return (source if kind == "text" else f"CAST({source} AS VARCHAR)"), None


def _inexact(source: str, have: str) -> str:
    return f"(isfinite({source}) AND abs({source}) >= {EXACT_BELOW[have]})"


def _number_pair(source: str, have: str, want: ValueType) -> tuple[str, str | None] | None:
    if have == want.duckdb:
        return source, None
    if family(have) not in ("integer", "float", "decimal", "bool", "text"):
        return None
    return _tried(source, want.duckdb, _unlike(source, have, want))


def _unlike(source: str, have: str, want: ValueType) -> str:
    """Return SQL that is true where DuckDB's cast would give another number and say nothing."""
    kind = family(have)
    if want.kind == "bool":  # every number but 0 would be true
        return f"{source} NOT IN (0, 1)" if kind in ("integer", "float", "decimal") else "FALSE"
    if want.kind in ("int32", "int64"):  # 1.5 would be 2
        if kind == "float":
            return f"{_fraction(source)} OR {_inexact(source, have)}"
        if kind == "text":
            # As a decimal no digit is lost; what is smaller than its last one shows as a double.
            digits = _fraction(f"TRY_CAST({source} AS DECIMAL(38, 19))")
            rest = _fraction(f"TRY_CAST({source} AS DOUBLE)")
            may_be = f"regexp_matches({source}, '[.eE]')"
            return f"CASE WHEN {may_be} THEN {digits} OR {rest} ELSE FALSE END"
        return _fraction(source) if kind == "decimal" else "FALSE"
    if want.kind in ("float32", "float64") and kind == "text":  # 1e400 would be infinite
        says_so = f"regexp_full_match({source}, '\\s*[+-]?inf(inity)?\\s*', 'i')"
        return f"(isinf(TRY_CAST({source} AS {want.duckdb})) AND NOT {says_so})"
    return "FALSE"


def _fraction(number: str) -> str:
    return f"{number} <> trunc({number})"


def _list_pair(
    source: str, have: str, want: ValueType, column: str
) -> tuple[str, str | None] | None:
    """Cast item by item, by the rules of single values; one bad item makes the list bad."""
    kind, item_want = family(have), want.item or ValueType("float32")
    if kind == "text":
        items, have = f"TRY_CAST({source} AS VARCHAR[])", "VARCHAR[]"
    elif kind == "list":
        items = source
    else:
        return None
    # Lists inside lists: each level has its own name for an item.
    name = f"item{str(want).count('<')}"
    item, item_have = _readable(name, have.rpartition("[")[0], item_want)
    pair = _pair(item, item_have, item_want, column)
    if pair is None:
        return None
    value, bad_item = pair
    values = items if value == name else f"list_transform({items}, lambda {name}: {value})"
    bad = [f"{items} IS NULL"] if kind == "text" else []
    if bad_item is not None:
        bad.append(f"len(list_filter({items}, lambda {name}: {bad_item})) > 0")
    if want.kind == "vector":
        bad.append(f"len({items}) <> {want.length}")
        bad.append(f"list_aggregate({items}, 'count') <> {want.length}")
    is_bad = f"({source} IS NOT NULL AND ({' OR '.join(bad)}))" if bad else None
    return values, is_bad


def cast_instant(expression: str, *, have: str, unit: TimeUnit, column: str) -> Cast:
    """Return the cast of a time column to ``TIMESTAMP WITH TIME ZONE``, microseconds.

    Naive times are UTC, dates are midnight UTC, numbers count ``unit`` since 1970. Nanoseconds
    are cut, never rounded into the future.

    :raises SourceValueInvalid: when the column's type does not fit the unit.
    """
    source = f"({expression} ->> '$')" if have == "JSON" else expression
    have = "VARCHAR" if have == "JSON" else have
    value, bad = instant_pair(_filled(source, family(have)), have, unit, column)
    if unit != "timestamp":
        return Cast(value, bad, source, column, f"time in {unit}")
    is_text = family(have) == "text"
    hint = f"{_TIME_HINT} {_UNIT_HINT.format(column=column)}" if is_text else ""
    return Cast(value, bad, source, column, "timestamp", hint)


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
            else f"column {column!r} holds {have}, which is not a time."
        )
        raise SourceValueInvalid(message, column=column, type="timestamp", value=have)
    if unit != "timestamp" and kind in ("time", "date"):
        raise SourceValueInvalid(
            f"column {column!r} holds {have}, not numbers in {unit}; leave the unit out.",
            column=column,
            type=unit,
            value=have,
        )
    value = _instant(source, have, kind) if unit == "timestamp" else _counted(source, kind, unit)
    return value, f"({source} IS NOT NULL AND ({value} IS NULL OR {value} NOT BETWEEN {_YEARS}))"


def _instant(source: str, have: str, kind: str) -> str:
    if have in ("TIMESTAMP_NS", "TIMESTAMPTZ_NS"):
        return f"TRY(make_timestamptz({_floor_thousandth(f'epoch_ns({source})')}))"
    if kind == "text" or "TIME ZONE" in have:
        return f"TRY_CAST({source} AS TIMESTAMP WITH TIME ZONE)"
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
