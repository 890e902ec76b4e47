"""What the values of one column look like: its type, whether it holds times, what identifies.
Not for what a definition makes of it; see proposals.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from assay.authoring.samples import Sample
from assay.encoding import parse_instant
from assay.errors import Invalid
from assay.parts import Unit

KEY_TYPES = ("bool", "int32", "int64", "string", "bytes", "timestamp", "date")
INTEGERS = ("int32", "int64")
NUMBERS = (*INTEGERS, "float32", "float64", "decimal")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what instants are shown as has no zone
_INT = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|nan|NaN|inf|-inf")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME_NAME = re.compile(r"(^|_)(ts|time|timestamp|at|date|day|epoch|ds|dt)(_|$)|(Time|At|Ts)$")
#: Numbers since 1970 by unit, as one second's worth; 1990 to 2100 do not overlap.
_PER_SECOND: dict[Unit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
#: Digits that a float64 keeps.
_EXACT = 15
_FROM, _TO = 631_152_000, 4_102_444_800


@dataclass(frozen=True)
class Column:
    """One column as it was seen; ``distinct``, ``least`` and ``most`` are of the sample."""

    name: str
    type: str
    rows: int
    nulls: int
    distinct: int
    least: Any = None
    most: Any = None
    #: What counts its instants; None where it holds none.
    unit: Unit | None = None
    #: What is remarkable, in words.
    note: str = ""

    @property
    def is_row_id(self) -> bool:
        """Tell whether every row has another value, in a table of some length."""
        return self.rows > 1 and not self.nulls and self.distinct == self.rows

    @property
    def is_numeric(self) -> bool:
        return self.type.startswith(NUMBERS)

    @property
    def may_be_key(self) -> bool:
        return self.type in KEY_TYPES and not self.nulls

    def span(self) -> str:
        """Say from when to when its instants go."""
        return f"{_instant(self.least, self.unit)} to {_instant(self.most, self.unit)}"


def columns_of(sample: Sample) -> list[Column]:
    return [_column(name, values, sample) for name, values in sample.columns.items()]


def _column(name: str, values: list[Any], sample: Sample) -> Column:
    present = [value for value in values if value is not None]
    declared = sample.types.get(name)
    kind, note = (declared, "") if declared else _inferred(present, is_text=sample.is_text)
    if sample.is_text:
        present = [_READ.get(kind, str)(value) for value in present]
    unit = _unit(name, kind, present)
    days = "" if unit or not _are_days(kind, present) else DAY_NUMBERS
    return Column(
        name,
        kind,
        sample.rows,
        len(values) - len(present),
        len(set(map(_hashable, present))),
        *_extent(kind, present),
        unit,
        note or days,
    )


DAY_NUMBERS = "days written as numbers, as in 20260131"


def _inferred(present: Sequence[Any], *, is_text: bool) -> tuple[str, str]:
    """Give the type that all values have, and what is to be said of it."""
    if not present:
        return "string", "no value in the rows that were looked at, so the type is a guess"
    if is_text:
        return _of_texts(present)
    kinds = {type(value) for value in present}
    if kinds <= {str}:
        return _of_times(present), ""
    if kinds <= {list}:
        inner, _ = _inferred(
            [x for value in present for x in value if x is not None], is_text=False
        )
        return ("json" if inner == "json" else f"list<{inner}>"), ""
    of_python = {
        frozenset({bool}): "bool",
        frozenset({int}): "int64",
        frozenset({float}): "float64",
    }
    mixed = "float64" if kinds == {int, float} else "json"
    kind = of_python.get(frozenset(kinds), mixed)
    is_large = kind == "int64" and not all(-(2**63) <= value < 2**63 for value in present)
    return ("decimal(38,0)" if is_large else kind), ""


def _of_texts(present: Sequence[str]) -> tuple[str, str]:
    if all(text.lower() in ("true", "false") for text in present):
        return "bool", ""
    if all(_INT.fullmatch(text) and -(2**63) <= int(text) < 2**63 for text in present):
        return "int64", ""
    if all(map(_FLOAT.fullmatch, present)):
        zeros = any(re.match("[+-]?0[0-9]", text) for text in present)
        if zeros or any(text.isdigit() and len(text) > _EXACT for text in present):
            return "string", "digits with leading zeros or too many for a number stay text"
        return "float64", ""
    return _of_times(present), ""


def _of_times(present: Sequence[str]) -> str:
    if all(map(_DAY.fullmatch, present)) and _all_instants(present):
        return "date"
    return "timestamp" if _all_instants(present) else "string"


def _all_instants(present: Iterable[str]) -> bool:
    try:
        return all(bool(parse_instant(text.removesuffix(" UTC"))) for text in present)
    except Invalid:
        return False


def _unit(name: str, kind: str, present: Sequence[Any]) -> Unit | None:
    if kind in ("timestamp", "date"):
        return "timestamp" if present else None
    if kind not in INTEGERS or not present or not _TIME_NAME.search(name):
        return None
    least, most = min(present), max(present)
    units = _PER_SECOND.items()
    return next((unit for unit, per in units if _FROM * per <= least and most < _TO * per), None)


def _are_days(kind: str, present: Sequence[Any]) -> bool:
    if kind not in INTEGERS or not present:
        return False
    try:
        return all(1900 <= datetime.strptime(f"{v:08d}", "%Y%m%d").year <= 2100 for v in present)  # noqa: DTZ007
    except ValueError:
        return False


def _extent(kind: str, present: Sequence[Any]) -> tuple[Any, Any]:
    ordered = kind.startswith((*NUMBERS, "timestamp", "date"))
    numbers = [_comparable(v) for v in present if not (isinstance(v, float) and math.isnan(v))]
    return (min(numbers), max(numbers)) if ordered and numbers else (None, None)


def _comparable(value: Any) -> Any:
    return parse_instant(value) if isinstance(value, datetime) else value


def _hashable(value: Any) -> Any:
    return json.dumps(value, default=str) if isinstance(value, list | dict) else value


def _instant(value: Any, unit: Unit | None) -> str:
    if isinstance(value, int) and unit and unit != "timestamp":
        value = _EPOCH + timedelta(microseconds=value * 10**6 // _PER_SECOND[unit])
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)


_READ: dict[str, Callable[[str], Any]] = {
    "int64": int,
    "float64": float,
    "date": date.fromisoformat,
    "timestamp": lambda text: parse_instant(text.removesuffix(" UTC")),
}
