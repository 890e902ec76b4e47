"""Which of several media types an ``Accept`` header asks for (RFC 9110, 12.5.1). [pure]

Not for writing them: each door knows what it can.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from lib.errors import SHOWN_LENGTH, Invalid

_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


class _Range(NamedTuple):
    """One range of the header; ``weight`` is None where it says one that is no weight."""

    text: str
    weight: float | None

    def exactness(self, media_type: str) -> int:
        """Return how exactly the range names a type: 3 by its name, 1 as any, 0 not at all."""
        if self.text == media_type:
            return 3
        if self.text == media_type.partition("/")[0] + "/*":
            return 2
        return int(self.text == "*/*")


class NotAcceptable(Invalid):
    code = "not_acceptable"


def acceptable(accept: str, offered: tuple[str, ...]) -> str:
    """Return ``preferred``.

    :raises NotAcceptable: none is; names those that are offered.
    """
    found = preferred(accept, offered)
    if found is None:
        raise NotAcceptable(
            f"Accept {accept[:SHOWN_LENGTH]!r}: an answer can be {', '.join(offered)}.",
            valid=list(offered),
        )
    return found


@lru_cache(maxsize=256)
def preferred(accept: str, offered: tuple[str, ...]) -> str | None:
    """Return the offered type with the greatest ``q``; None where none is acceptable.

    Of equal ones the one that is named more exactly, then the first in the header, then the first
    that is offered. The most exact range counts for a type: ``q=0`` there excludes it. A weight
    that is none (RFC 9110 has 0 to 1 with three digits) asks for nothing.
    """
    ranges = [_range(part) for part in (accept.strip() or "*/*").split(",")]
    found: list[tuple[float, int, int, str]] = []
    for media_type in offered:
        exactness, place = max((each.exactness(media_type), -i) for i, each in enumerate(ranges))
        weight = ranges[-place].weight
        if exactness and weight:
            found.append((weight, exactness, place, media_type))
    return max(found, key=lambda each: each[:3])[3] if found else None


def _range(part: str) -> _Range:
    text, *parameters = (each.strip() for each in part.lower().split(";"))
    named = (each.partition("=") for each in parameters)
    weights = [value.strip() for name, _, value in named if name.strip() == "q"]
    if not weights:
        return _Range(text, 1.0)
    return _Range(text, float(weights[0]) if _WEIGHT.fullmatch(weights[0]) else None)


@lru_cache(maxsize=256)
def takes(header: str, name: str) -> bool:
    """Tell whether a header of codings, as ``Accept-Encoding``, asks for this one."""
    weights = {each.text: each.weight for each in map(_range, header.split(","))}
    return bool(weights.get(name, weights.get("*", 0)))
