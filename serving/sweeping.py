"""Looking through stores for files that nothing needs: how often, and whose each is.

Not for which files those are: datasets and jobs each say that of their own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from serving.models import StoreLook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from materialization.stores.kept_files import FileKeeper
    from serving.models import Dataset, HistoricalJob

    W = TypeVar("W", Dataset, HistoricalJob)

#: A store is listed whole, which in a bucket costs: seldom is enough for what is in nobody's way.
EVERY = timedelta(hours=1)
#: How long a file may be there before the row that names it is.
WRITTEN_WITHIN = timedelta(days=1)
#: Rows that are asked for at a time.
_AT_ONCE = 1_000


def look_through(what: str, look: Callable[[], None], *, at: datetime) -> None:
    """Have a store looked through, unless some process has been through it within ``EVERY``.

    A look that fails is none: the next sweep looks again.
    """
    last = StoreLook.objects.filter(pk=what).values_list("looked_at", flat=True).first()
    if last is not None and timedelta(0) <= at - last < EVERY:
        return
    look()
    StoreLook.objects.update_or_create(pk=what, defaults={"looked_at": at})


def remove_but(
    needed: Callable[[W], frozenset[str]],
    keeper: FileKeeper,
    rows: QuerySet[W],
    *,
    before: datetime,
    unknown: Callable[[Sequence[str]], Iterable[str]],
) -> None:
    """Remove the files that no row needs, of those that nobody has written to since ``before``.

    Of what is under way all stays; else drafts of workers that died go, and what was written by one
    that had lost its work. ``unknown`` chooses among the files of no row that this database has.
    """
    names = keeper.unchanged_since(before)
    known = _known_by_uid(rows, names)
    over = [
        name
        for name in names
        if (row := known.get(uid_of(name))) and not row.is_live and name not in needed(row)
    ]
    if nobodys := [name for name in names if uid_of(name) not in known]:
        over += unknown(nobodys)
    for name in over:
        keeper.remove(name)


def _known_by_uid(rows: QuerySet[W], names: Iterable[str]) -> dict[str, W]:
    """Return whose the files of these names are, as far as this database knows."""
    found: dict[str, W] = {}
    uids = sorted({uid_of(name) for name in names})
    for start in range(0, len(uids), _AT_ONCE):
        some = rows.filter(uid__in=uids[start : start + _AT_ONCE])
        found |= {row.uid: row for row in some}
    return found


def uid_of(name: str) -> str:
    return name.partition("/")[0]
