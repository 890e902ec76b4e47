# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""Rows by their age, and the newest so far. [pure]

Not for the oldest inside, which leaves first (``extremes``), nor for several (``best_rows``). Rows
of a key are ordered once, by event, created time and value, so that what is kept from tick to tick
is a number; its row is looked up in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from materialization.transforms.aggregation.function import Column, State

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


def value_of(call: Call) -> str:
    """Return the value of the row that was chosen."""
    return f"{call.name}_x"


def age(call: Call) -> str:
    """Return the column of a row that has its rank, the oldest first; NULL without a value."""
    return f"{call.value}_age"


def ranked(call: Call) -> dict[str, str]:
    """Return the column as it is prepared."""
    rank = f"row_number() OVER (PARTITION BY kid ORDER BY e, c, {call.value})"
    return {age(call): f"CASE WHEN {call.value} IS NOT NULL THEN {rank} END"}


def looked_up(call: Call) -> str:
    """Return the join that finds the row of the rank under the call's name."""
    return _row_of(call, call.name, value_of(call))


def _row_of(call: Call, rank: str, value: str, *, also: str = "") -> str:
    rows = f"SELECT kid, {age(call)} AS {rank}, {call.value} AS {value}{also} FROM rows"
    return f"LEFT JOIN ({rows} WHERE {age(call)} IS NOT NULL) USING (kid, {rank})"


def newest_of(call: Call) -> str:
    """Return the value of the newest row of a window that holds one."""
    return f"{_newest(call)}_x"


def _newest(call: Call) -> str:
    return f"{call.value}_newest"


@dataclass(frozen=True)
class Newest(State):
    """The newest row so far: rows leave in the order of their events, so only it is kept.

    It is the same for all windows. A row that a window does not hold, having left it or come too
    late for it, is older than those that it holds: when the newest is gone, so are the others.
    """

    @property
    def is_nested(self) -> bool:
        return True

    def prepared(self, call: Call) -> dict[str, str]:
        return ranked(call)

    def running(self, call: Call) -> dict[str, Column]:
        entering = f"max({age(call)}) FILTER (WHERE sign = 1)"
        return {_newest(call): Column(entering, "max({})")}

    def lookup(self, call: Call) -> str:
        event = f", e AS {_newest(call)}_e"
        return _row_of(call, _newest(call), newest_of(call), also=event)

    def holds(self, call: Call) -> str:
        return call.holds_at(f"{_newest(call)}_e")
