"""The sources that a view joins, as a run reads them: whole, at rest, and unchanged meanwhile.

Not for a view's own source: which parts of that a run reads is ``looking``'s. What came late into a
joined source is no reason to run: rows that are stored stay as they were computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from materialization.readings import settled
from materialization.sources.inputs import beside_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from materialization.sources.inputs import SourceInput

#: By the place of a joined source and the name of a part of it: the identity of the part.
Identities: TypeAlias = "Mapping[tuple[int, str], str]"


def wait_for_beside(
    source: SourceInput, *, now: float, age: timedelta, still_written: Callable[[str], Exception]
) -> None:
    """Return if no part of a joined source may still be written.

    Of the view's own source the next run reads what waits; of a joined one no run ever would.
    :raises Exception: what ``still_written`` makes of such a part.
    """
    for each in beside_of(source):
        parts = each.parts()
        rested = {part.name for part in settled(parts, now=now, age=age)}
        if waiting := sorted({part.name for part in parts} - rested):
            raise still_written(waiting[0])


def identities(source: SourceInput) -> Identities:
    """Return which state the parts of all joined sources are in now.

    :raises OSError: one is gone, or cannot be looked at.
    """
    return {
        (place, part.name): part.identity
        for place, each in enumerate(beside_of(source))
        for part in each.parts()
    }
