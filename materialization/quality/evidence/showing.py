"""Values as evidence shows them: JSON of bounded size that every database keeps. [pure]"""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from materialization.quality.shown_values import NUL_AS_PICTURE, SHOWN

if TYPE_CHECKING:
    import pyarrow as pa


def shown_at(column: pa.ChunkedArray, place: int) -> Any:
    """Return the value at a place of a column, as ``shown`` does.

    An instant that Python has no date for is its microseconds since 1970.
    """
    value = column[place]
    try:
        return shown(value.as_py())
    except (ValueError, OverflowError):
        return str(value.value)


def shown(value: Any) -> Any:
    """Return a value for people: numbers that JSON has as they are, all else as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (date, datetime)):
        value = value.isoformat()
    text = str(value).translate(NUL_AS_PICTURE)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
