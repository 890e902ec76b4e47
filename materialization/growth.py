"""How fast what is stored grows, and when a store would be full if it went on like that.

Not for measuring: ``runner.caring`` notes what each table takes, a day at a time.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from materialization.models import TableSize

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from materialization.edges import Fullness

#: Days that growth is taken over: shorter, one backfill would pass for the way it always is.
OVER = timedelta(days=30)


class Growth(NamedTuple):
    """Bytes a day; None: known of one day only."""

    offline: float | None
    online: float | None


class Standing(NamedTuple):
    """What a table took when it was last measured, and how fast that grew."""

    last: TableSize
    growth: Growth


def standing_of(tables: Collection[int] | None, *, at: datetime) -> dict[int, Standing]:
    """Return those of the tables (None: all) that were measured; one question for all."""
    found: dict[int, list[TableSize]] = defaultdict(list)
    recent = TableSize.objects.filter(day__gte=(at - OVER).date())
    recent = recent if tables is None else recent.filter(table__in=tables)
    for size in recent.order_by("day"):
        found[size.table_id].append(size)
    return {table: Standing(sizes[-1], growth_of(sizes)) for table, sizes in found.items()}


def growth_of(sizes: Sequence[TableSize]) -> Growth:
    """Return the growth between the first and the last of a table's days."""
    return Growth(
        _slope([(size, size.offline_bytes) for size in sizes]),
        _slope([(s, s.online_bytes) for s in sizes if s.online_bytes is not None]),
    )


def _slope(points: Sequence[tuple[TableSize, int]]) -> float | None:
    if len(points) < 2:
        return None
    (first, less), (last, more) = points[0], points[-1]
    return (more - less) / (last.day - first.day).days


def days_until_full(
    stores: Mapping[str, Fullness], standings: Collection[Standing]
) -> dict[str, int]:
    """Return of each store that grows in how many days it would be full."""
    growths = {
        "offline store": sum(each.growth.offline or 0 for each in standings),
        "online store": sum(each.growth.online or 0 for each in standings),
    }
    return {
        name: int((stores[name].limit - stores[name].used) / growth)
        for name, growth in growths.items()
        if growth > 0 and name in stores
    }
