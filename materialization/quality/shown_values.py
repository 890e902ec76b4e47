"""Values of a profile as people and databases can have them. [pure]

Not for numbers, which stay numbers (``profiles.shown_number``).
"""

from __future__ import annotations

from hashlib import blake2s
from typing import Any

#: Texts are shown up to here; NUL, which not every database keeps, as its picture.
SHOWN = 200
NUL_AS_PICTURE = str.maketrans({"\x00": "\u2400"})


def named(value: Any) -> str:
    """Show a value so that two that differ are two: a long one ends with what tells it apart."""
    shown = shown_value(value)
    if len(str(value)) <= SHOWN:
        return shown
    return f"{shown[:-10]}…#{blake2s(str(value).encode(), digest_size=4).hexdigest()}"


def shown_value(value: Any) -> str:
    """Return a value as people and databases can have it: cut where it is long, without NUL."""
    shown = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return shown[:SHOWN].translate(NUL_AS_PICTURE)
