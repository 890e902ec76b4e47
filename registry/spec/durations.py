"""Durations as definitions write them (``90s``, ``15m``, ``1h``, ``30d``, ``2w``). [pure]

Not for instants: those are datetimes in UTC.
"""

from __future__ import annotations

import re
from datetime import timedelta

from lib.errors import Invalid

_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_TEXT = re.compile(r"([0-9]{1,9})([wdhms])")
LONGEST = timedelta(days=36_525)


class BadDuration(Invalid):
    code = "bad_duration"


def parse_duration(text: str) -> timedelta:
    """Return the duration ``text`` names.

    :raises BadDuration: unless it is a whole number of w, d, h, m or s, above zero, to 100 years.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise BadDuration(
            f"duration {text!r}: write a whole number and a unit, as in 30d, 1h, 15m or 90s."
        )
    days = int(match[1]) * (_UNITS[match[2]] / timedelta(days=1))
    if not 0 < days <= LONGEST.days:
        raise BadDuration(f"duration {text!r}: it must be above zero and at most 100 years.")
    return int(match[1]) * _UNITS[match[2]]


def duration_text(duration: timedelta) -> str:
    """Return a duration above zero by its units, as ``30d`` and ``7h 12m``."""
    left, parts = duration, []
    for unit in ("d", "h", "m"):
        count, left = divmod(left, _UNITS[unit])
        parts += [f"{count}{unit}"] if count else []
    parts += [f"{left.total_seconds():g}s"] if left else []
    return " ".join(parts)
