# ruff: noqa: S608 - names go through identifier(), the rest are numbers
"""How many rows a schedule and a TTL will make of a source, before anything is computed. [pure]

Not for the rows themselves (``sparse_ticks``). Upper bounds, from counts that sketches give: a
reviewer needs the order of magnitude.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lib.instants import MICROSECOND, from_us, to_us
from materialization.transforms.aggregation.tick_grid import make_grid
from materialization.transforms.base import base_casts
from registry.spec.aggregations import ALL_HISTORY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from registry.spec.version_spec import VersionSpec

#: From so many rows on, and so many times the source's, they are much more than the source.
_MANY, _TIMES = 1_000_000, 10


class Estimate(NamedTuple):
    """``rows`` at most, of so many source rows and entities at so many ticks."""

    rows: int
    source_rows: int
    entities: int
    ticks: int

    def said(self) -> str:
        return (
            f"its schedule makes at most about {self.rows:,} rows: {self.entities:,} entities with"
            f" {self.source_rows:,} rows of the source, {self.ticks:,} ticks."
        )

    @property
    def is_much(self) -> bool:
        return self.rows >= max(_MANY, _TIMES * self.source_rows)


def estimate(
    spec: VersionSpec,
    columns: Mapping[str, str],
    *,
    relation: str,
    ask: Callable[[str], tuple[int | None, ...]],
) -> Estimate | None:
    """Return what the source's rows will make; None where none of them counts.

    :raises TooManyTicks: more than one run may have, from the first event or the view's start.
    """
    lengths = {each.window for each in spec.view.aggregate_outputs().values()}
    longest = spec.view.longest_window // MICROSECOND
    base = base_casts(spec, columns)
    keys = ", ".join(f"{key.strict} AS k{i}" for i, key in enumerate(base.keys))
    start = spec.view.start
    since = "" if start is None else f" AND e > {to_us(start) - longest}"
    rows = f"(SELECT {keys}, epoch_us({base.event.strict}) AS e FROM {relation})"
    counted = f"FROM {rows} WHERE e IS NOT NULL{since}"
    first, last = ask(f"SELECT min(e), max(e) {counted}")
    if first is None or last is None:
        return None
    begin = first if start is None else max(first, to_us(start))
    # What never leaves a window changes nothing after the last row.
    until = last + (0 if spec.view.is_unbounded else longest)
    grid = spec.view.schedule and make_grid(
        spec.view.schedule, begin=from_us(begin), end=from_us(until)
    )
    if not grid:
        return None
    period = grid.period or max(1, (until - begin) // grid.count)
    entity = f"({', '.join(f'k{i}' for i, _ in enumerate(base.keys))})"
    number, entities, busy, busy_long = (
        count or 0
        for count in ask(
            f"SELECT count(*), approx_count_distinct({entity}), "
            f"approx_count_distinct(({entity}, e // {period})), "
            f"approx_count_distinct(({entity}, e // {longest})) {counted}"
        )
    )
    # A row changes values where it enters and where it leaves each window; between two rows of an
    # entity that lie in one window's length it never empties.
    made = busy * (1 + len(lengths - {ALL_HISTORY}))
    if spec.ttl is not None:
        alive = min(min(number, 2 * busy_long) * longest, entities * grid.count * period)
        made += alive // _hop(spec.ttl, period)
    return Estimate(min(made, entities * grid.count), number, entities, grid.count)


def _hop(ttl: timedelta, period: int) -> int:
    """Return the time (µs) from a stored tick to the next that the TTL asks for."""
    return max(1, (ttl // MICROSECOND + 1) // period) * period
