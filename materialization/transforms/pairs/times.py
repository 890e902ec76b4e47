"""Instants and days out of times, days, texts and counts since 1970. [pure]

Not for reading a source's own time columns (``casts.cast_instant``): those cut nanoseconds, values
are kept whole or refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import INSTANT_TEXT
from materialization.errors import SourceValueInvalid
from materialization.transforms.pairs.families import family

if TYPE_CHECKING:
    from registry.spec.sources.base import TimeUnit

_MULTIPLIERS: dict[str, int] = {"s": 1_000_000, "ms": 1_000, "us": 1}
_YEARS = "TIMESTAMPTZ '0001-01-01 00:00:00+00' AND TIMESTAMPTZ '9999-12-31 23:59:59.999999+00'"
_DAYS = "DATE '0001-01-01' AND DATE '9999-12-31'"
_NANOSECONDS = ("TIMESTAMP_NS", "TIMESTAMPTZ_NS", "TIMESTAMP_NS WITH TIME ZONE")
#: What to do about days that are written without their dashes.
WRITTEN_DAYS_ADVICE = (
    "write them as 1997-01-31, or have the view's `sql` make times of them, as in"
    " strptime(CAST(day AS VARCHAR), '%Y%m%d') AS day."
)
#: A digit, not 0, below the microsecond.
_BELOW_MICROSECOND = "[.][0-9]{6}[0-9]*[1-9]"


def day_pair(source: str, have: str) -> tuple[str, str] | None:
    """Years 1 to 9999, what ISO 8601 and every client can write; infinity is not a day.

    A time is a day only at its midnight, in UTC: the rest of it would be lost.
    """
    kind = family(have)
    if kind not in ("text", "date", "time"):
        return None
    value = f"TRY_CAST({source} AS DATE)"
    bad = f"{value} IS NULL OR {value} NOT BETWEEN {_DAYS}"
    if kind != "date":
        instant = _instant(source, have, kind)
        midnight = f"(TRY_CAST({value} AS TIMESTAMP) AT TIME ZONE 'UTC')"
        bad += f" OR {instant} IS DISTINCT FROM {midnight} OR {_is_finer(source, have)}"
    return value, f"({source} IS NOT NULL AND ({bad}))"


def value_pair(source: str, have: str, column: str) -> tuple[str, str] | None:
    """An instant among the values: to the microsecond, with nothing below it."""
    kind = family(have)
    if kind not in ("text", "date", "time"):  # numbers: only a source's own times have a unit
        return None
    value, bad = instant_pair(source, have, "timestamp", column)
    return value, f"({bad} OR ({source} IS NOT NULL AND {_is_finer(source, have)}))"


def instant_pair(source: str, have: str, unit: TimeUnit, column: str) -> tuple[str, str]:
    """Naive times are UTC; nanoseconds are cut, never rounded into the future.

    :raises SourceValueInvalid: when the column's type does not fit the unit.
    """
    kind = family(have)
    numeric = kind in ("integer", "float", "decimal")
    if kind == "null":
        return f"CAST({source} AS TIMESTAMP WITH TIME ZONE)", "FALSE"
    if kind not in ("text", "time", "date") and not (numeric and unit != "timestamp"):
        raise SourceValueInvalid(
            _no_instant(column, have, numeric=numeric), column=column, type="timestamp", value=have
        )
    if unit != "timestamp" and kind in ("time", "date"):
        raise SourceValueInvalid(
            f"column {column!r} holds {have}, not numbers in {unit}; leave the unit out.",
            column=column,
            type=unit,
            value=have,
        )
    value = _instant(source, have, kind) if unit == "timestamp" else _counted(source, kind, unit)
    return value, f"({source} IS NOT NULL AND ({value} IS NULL OR {value} NOT BETWEEN {_YEARS}))"


def _no_instant(column: str, have: str, *, numeric: bool) -> str:
    if numeric:
        return (
            f"column {column!r} holds numbers ({have}): say what they count since 1970, as in"
            f" {{column: {column}, unit: ms}}; units are s, ms, us, ns. Days that are written as"
            f" numbers, as 19970131, count nothing: {WRITTEN_DAYS_ADVICE}"
        )
    if have.startswith("TIME"):
        return (
            f"column {column!r} holds times of a day without the day ({have}); write both in one"
            " column, as in 2026-01-31T12:00:00Z."
        )
    return f"column {column!r} holds {have}, which is not a time."


def _is_finer(source: str, have: str) -> str:
    if have in _NANOSECONDS:
        return f"epoch_ns({source}) % 1000 <> 0"
    is_text = family(have) == "text"
    return f"regexp_matches({source}, '{_BELOW_MICROSECOND}')" if is_text else "FALSE"


def _instant(source: str, have: str, kind: str) -> str:
    if have in _NANOSECONDS:
        return f"TRY(make_timestamptz({_floor_thousandth(f'epoch_ns({source})')}))"
    if (
        kind == "text"
    ):  # the engine would take more than a frame does: epoch, 2024/1/1, a zone's name
        source = f"CASE WHEN regexp_full_match({source}, '{INSTANT_TEXT}') THEN {source} END"
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
