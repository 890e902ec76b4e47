"""How fast what is stored grows, and when something would be full if it went on like that.

Not for measuring: ``runner.caring`` notes what each table takes, a day at a time.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import OuterRef, Subquery

from materialization.models import TableSize

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

#: Days that growth is taken over: shorter, one backfill would pass for the way it always is.
OVER = timedelta(days=30)


class Growth(NamedTuple):
    """Bytes, keys and bytes a day; None: known of one day only. Named as ``choices.Budgeted``."""

    disk: float | None = None
    keys: float | None = None
    memory: float | None = None


def growth_by_view(views: Collection[int] | None = None, *, at: datetime) -> dict[int, Growth]:
    """Return how fast each of the views (None: all) grows that was measured; one question."""
    found: dict[tuple[int, int], list[TableSize]] = defaultdict(list)
    sizes = TableSize.objects.filter(day__gte=(at - OVER).date()).order_by("day")
    if views is not None:
        sizes = sizes.filter(table__feature_view__in=views)
    for size in sizes.select_related("table"):
        found[size.table.feature_view_id, size.table_id].append(size)
    of_views: dict[int, list[Growth]] = defaultdict(list)
    for (view, _), of_table in found.items():
        of_views[view].append(growth_of(of_table))
    return {view: together(growths) for view, growths in of_views.items()}


def growth_of(sizes: Sequence[TableSize]) -> Growth:
    """Return the growth between the first and the last of a table's days."""
    return Growth(
        _slope([(size, size.offline_bytes) for size in sizes]),
        _slope([(s, s.online_keys) for s in sizes if s.online_keys is not None]),
        _slope([(s, s.online_bytes) for s in sizes if s.online_bytes is not None]),
    )


def _slope(points: Sequence[tuple[TableSize, int]]) -> float | None:
    if len(points) < 2:
        return None
    (first, less), (last, more) = points[0], points[-1]
    if not more:  # it was given up: that says nothing of how the others grow
        return 0.0
    return (more - less) / (last.day - first.day).days


def together(growths: Iterable[Growth]) -> Growth:
    """Return how fast all of it grows; what is known of one day only adds nothing."""
    columns = zip(*growths, strict=True)
    known = ([each for each in column if each is not None] for column in columns)
    return Growth(*(sum(column) if column else None for column in known))


def larger_than(size: int) -> list[TableSize]:
    """Return what was measured last of the tables that took more bytes than that, largest first."""
    newest = TableSize.objects.filter(table=OuterRef("table")).order_by("-day").values("pk")
    found = TableSize.objects.filter(pk=Subquery(newest[:1]), offline_bytes__gt=size)
    return list(found.select_related("table__feature_view").order_by("-offline_bytes", "table"))


def days_until(limit: int, used: int, growth: float | None) -> int | None:
    """Return in how many days ``limit`` would be met; None: never, as far as is known."""
    if growth is None or growth <= 0:
        return None
    return max(int((limit - used) / growth), 0)
