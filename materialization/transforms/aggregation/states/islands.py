# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""Distinct values: overlapping stays of one value become one, an island, and islands are counted.

Not for counting rows (``totals``). [pure]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from materialization.transforms.aggregation.function import State
from materialization.transforms.aggregation.states.totals import moved

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call, Column


@dataclass(frozen=True)
class Islands(State):
    """How many distinct values are inside; the column is the call's name."""

    def stays(self, call: Call) -> str:
        # Rows of one stay are one: without DISTINCT the two windows could order them differently,
        # and an island would begin twice.
        stays = (
            f"SELECT DISTINCT kid, {call.value} AS x, enter, leave FROM spans "
            f"WHERE {call.is_inside}"
        )
        before = (
            "max(leave) OVER (PARTITION BY kid, x ORDER BY enter, leave "
            "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        )
        numbered = (
            "SELECT *, sum(CAST(before IS NULL OR enter > before AS INTEGER)) "
            "OVER (PARTITION BY kid, x ORDER BY enter, leave ROWS UNBOUNDED PRECEDING) AS island "
            f"FROM (SELECT *, {before} AS before FROM ({stays}))"
        )
        return (
            f"SELECT kid, {call.lane} AS w, min(enter) AS enter, max(leave) AS leave "
            f"FROM ({numbered}) GROUP BY kid, x, island"
        )

    def running(self, call: Call) -> dict[str, Column]:
        return {call.name: moved(call.lane, "1")}

    def holds(self, call: Call) -> str:
        return f"{call.name} > 0"
