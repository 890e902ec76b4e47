"""Strict casts: a value becomes the declared type or is an error, never another value. [pure]

Not for finding columns (``base``) or for what each pair of types does (``pairs``). Input types are
the texts of DuckDB's DESCRIBE.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from lib.sql_text import text
from materialization.errors import SourceValueInvalid
from materialization.transforms.pairs.families import family
from materialization.transforms.pairs.numbers import NUMERIC_WANTED, number_pair
from materialization.transforms.pairs.texts import TEXT_WANTED, is_json, text_pair
from materialization.transforms.pairs.times import (
    WRITTEN_DAYS_ADVICE,
    day_pair,
    instant_pair,
    value_pair,
)
from registry.spec.value_types import ValueType

if TYPE_CHECKING:
    from registry.spec.sources.base import TimeUnit

#: Marks our own error texts among DuckDB's; JSON follows.
MARK = "assay:"
#: Characters of a value that an error tells.
SHOWN_LENGTH = 80
#: What to do about a value that the declared type does not have.
_WAY_OUT = "Correct the source, declare the type it has, or CAST it in the view's `sql`."
_FLOAT_HINT = (
    "The column is read as floats, which are exact whole numbers only below 2**53 (float32: 2**24)."
    " One file with floats is enough: write it as integers, or as text, in every file."
)
#: For texts that are not times: what is read, and what else a source's own times may be.
_DAY_HINT = "Write days as ISO 8601, as in 2026-01-31."
_TIME_HINT = "Write times as ISO 8601, as in 2026-01-31T12:00:00Z."
_UNIT_HINT = "For numbers since 1970 write {{column: {column}, unit: s}}, or ms, us, ns."
#: The same for days that are written without their dashes: they count nothing since 1970.
_WRITTEN_DAY = "(1[5-9]|2[0-9])[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"
_WRITTEN_DAY_HINT = f"Days that are written as 19970131 are no counts: {WRITTEN_DAYS_ADVICE}"
#: For a number among the texts of a list: its digits would be written anew.
_IS_FRACTION = "json_type({}) = 'DOUBLE'"


class Cast(NamedTuple):
    """``value`` is the cast expression; ``bad`` is true where it is not the source's value."""

    value: str
    bad: str | None
    source: str
    column: str
    type: str
    #: What to do about a value that cannot.
    hint: str = ""
    #: Whether errors leave the value out: what is stored tells less than it.
    is_private: bool = False
    #: What to do instead about a text that is a day without its dashes.
    day_hint: str = ""

    def hint_for(self, shown: str | None) -> str:
        """Return what to do about a value, by how errors show it."""
        is_day = bool(self.day_hint) and shown is not None and re.fullmatch(_WRITTEN_DAY, shown)
        return self.day_hint if is_day else self.hint

    @property
    def strict(self) -> str:
        """The value, or an error that names column, type and, if it may, the value found."""
        if self.bad is None:
            return self.value
        names = f"'column': {text(self.column)}, 'type': {text(self.type)}"
        names += f", 'hint': {self._hint_sql()}" if self.hint else ""
        names += "" if self.is_private else f", 'value': {shown_sql(self.source)}"
        report = f"to_json({{{names}}})"
        error = f"error({text(MARK)} || CAST({report} AS VARCHAR))"
        return f"CASE WHEN {self.bad} THEN {error} ELSE {self.value} END"

    def _hint_sql(self) -> str:
        if not self.day_hint:
            return text(self.hint)
        is_day = f"regexp_full_match(CAST({self.source} AS VARCHAR), {text(_WRITTEN_DAY)})"
        return f"CASE WHEN {is_day} THEN {text(self.day_hint)} ELSE {text(self.hint)} END"


def shown_sql(expression: str) -> str:
    """Return SQL of how an error tells a value."""
    return f"left(CAST({expression} AS VARCHAR), {SHOWN_LENGTH})"


def a_value_of(type_name: str) -> str:
    """Return the words for one value of a type: ``a timestamp``, ``an int64``, ``a time in s``."""
    return f"{'an' if type_name[0] in 'aeiou' else 'a'} {type_name}"


def values_of(type_name: str) -> str:
    """Return the words for several: ``timestamps``, ``int64 values``, ``times in s``."""
    if type_name.startswith("time in "):
        return type_name.replace("time", "times", 1)
    return f"{type_name}s" if type_name in ("timestamp", "date") else f"{type_name} values"


def cast(expression: str, *, have: str, want: ValueType, column: str) -> Cast:
    """Return the cast of ``expression``, of type ``have``, to the declared type ``want``.

    :raises SourceValueInvalid: when no value of the one type can be of the other.
    """
    source, have = _readable(expression, have, want)
    filled = _filled(source, family(have)) if want.kind not in TEXT_WANTED else source
    pair = _pair(filled, have, want, column)
    if pair is None:
        raise SourceValueInvalid(
            f"column {column!r} holds {have}, which cannot become {want}; declare the type it has, "
            "or cast it in the view's `sql`.",
            column=column,
            type=str(want),
            value=have,
        )
    return Cast(*pair, source, column, str(want), _hint(have, want))


def _readable(expression: str, have: str, want: ValueType) -> tuple[str, str]:
    """Return an expression whose type says how to read it: JSON scalars and enums are texts.

    A number in JSON keeps the digits it is written with: ``->>`` would write 1.10 as 1.1.
    """
    kind = family(have)
    if kind == "json" and want.kind != "json":
        written = f"CAST({expression} AS VARCHAR)"
        cases = f"WHEN 'VARCHAR' THEN {expression} ->> '$' WHEN 'NULL' THEN NULL ELSE {written}"
        return f"(CASE json_type({expression}) {cases} END)", "VARCHAR"
    return (f"CAST({expression} AS VARCHAR)", "VARCHAR") if kind == "enum" else (expression, have)


def _hint(have: str, want: ValueType) -> str:
    while want.item is not None:
        have, want = have.rpartition("[")[0], want.item
    if want.kind in ("timestamp", "date") and family(have) == "text":
        return _TIME_HINT if want.kind == "timestamp" else _DAY_HINT
    is_exact = want.kind in ("int32", "int64", "string")
    return _FLOAT_HINT if is_exact and family(have) == "float" else _WAY_OUT


def _pair(source: str, have: str, want: ValueType, column: str) -> tuple[str, str | None] | None:
    """Return a cast's ``value`` and ``bad``; None when no value of the one can be of the other."""
    if family(have) == "null":
        return f"CAST({source} AS {want.duckdb})", None
    if want.kind in TEXT_WANTED:
        return text_pair(source, have, want.kind)
    if want.kind in NUMERIC_WANTED or want.kind == "bool":
        return number_pair(source, have, want)
    if want.kind == "timestamp":
        return value_pair(source, have, column)
    return day_pair(source, have) if want.kind == "date" else _list_pair(source, have, want, column)


def _filled(source: str, kind: str) -> str:
    """An empty text is neither a number nor a date: text formats write NULL that way."""
    return f"nullif(trim({source}), '')" if kind == "text" else source


def _list_pair(
    source: str, have: str, want: ValueType, column: str
) -> tuple[str, str | None] | None:
    """Cast item by item, by the rules of single values; one bad item makes the list bad."""
    kind, item_want = family(have), want.item or ValueType("float32")
    bad = []
    if kind == "text":  # a JSON array
        bad.append(f"NOT {is_json(source)} OR TRY(json_type({source})) <> 'ARRAY'")
        items, have = _json_items(source, item_want)
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
    as_it_is = value == name and have.endswith("[]")  # else an array, of one length
    values = items if as_it_is else f"list_transform({items}, lambda {name}: {value})"
    unlike = [bad_item] if bad_item is not None else []
    if have == "JSON[]" and item_want.kind == "string":
        unlike.append(_IS_FRACTION.format(name))
    bad += [f"len(list_filter({items}, lambda {name}: {each})) > 0" for each in unlike]
    if want.kind == "vector":
        bad.append(f"len({items}) <> {want.length}")
        bad.append(f"list_aggregate({items}, 'count') <> {want.length}")
    is_bad = f"({source} IS NOT NULL AND ({' OR '.join(bad)}))" if bad else None
    return values, is_bad


def _json_items(source: str, item: ValueType) -> tuple[str, str]:
    """Return the items of a JSON array and their type; numbers as texts, with all their digits."""
    while item.item is not None:
        item = item.item
    if item.kind in (*NUMERIC_WANTED, "bool", "vector"):
        return f"TRY_CAST({source} AS VARCHAR[])", "VARCHAR[]"
    return f"TRY(json_extract({source}, '$[*]'))", "JSON[]"


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
        return Cast(value, bad, source, column, f"time in {unit}", _WAY_OUT)
    is_text = family(have) == "text"
    hint = f"{_TIME_HINT} {_UNIT_HINT.format(column=column)}" if is_text else ""
    day_hint = _WRITTEN_DAY_HINT if is_text else ""
    return Cast(value, bad, source, column, "timestamp", hint, day_hint=day_hint)
