"""The newest row so far: rows leave in the order of their events, so only it is kept. [pure]

Not for the oldest row inside: that one leaves, and the next is looked up (``extremes``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from materialization.transforms.aggregation.function import Column, State

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


@dataclass(frozen=True)
class Newest(State):
    """The newest row by event, created and value, as a struct: its value is ``x``."""

    def running(self, call: Call) -> dict[str, Column]:
        row = f"{{'e': e, 'c': c, 'x': {call.value}, 'leave': leave}}"
        entering = f"max({row}) FILTER (WHERE sign = 1 AND {call.is_inside})"
        return {call.name: Column(entering, "max({})")}

    def holds(self, call: Call) -> str:
        # When the newest is gone, so are the others.
        return f"{call.name}.leave > i"
