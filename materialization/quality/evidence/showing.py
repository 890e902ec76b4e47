"""Values as evidence shows them: JSON of bounded size that every database keeps. [pure]"""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

#: Characters of a value that are shown.
LONGEST = 200
#: NUL, which not every database keeps, as its picture.
_NUL = str.maketrans({"\x00": "\u2400"})


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
    text = str(value).translate(_NUL)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
