"""What tables take in the stores, as it was measured last: noting it, and what is to be counted.

Not for measuring (``runner.caring``), nor for what views may take (``budgets``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef, Q, Subquery

from materialization.choices import RunKind
from materialization.models import MaterializationRun, TableSize
from registry.models import FeatureTable

if TYPE_CHECKING:
    from datetime import datetime

#: A count walks over all keys of the online store: sooner after another none begins for a load.
COUNT_AGAIN_AFTER = timedelta(minutes=5)


def sizes_to_count(at: datetime) -> list[TableSize]:
    """Return the last sizes of tables whose keys are to be counted: of today, or loaded since.

    A run that only goes on counts where it had more entities than were counted; others always,
    for it may have filled what was empty when the count came by.
    """
    newest = TableSize.objects.filter(table=OuterRef("pk")).order_by("-day").values("pk")[:1]
    of_tables = FeatureTable.objects.order_by().values_list(Subquery(newest))
    last = TableSize.objects.filter(pk__in=of_tables).select_related("table")
    wanted = Q(day=at.date(), online_keys=None)
    counted = TableSize.objects.filter(counted_at__gt=at - COUNT_AGAIN_AFTER, counted_at__lte=at)
    if not counted.exists():
        loads = MaterializationRun.objects.filter(
            ~Q(kind=RunKind.INCREMENTAL) | Q(rows_online__gt=OuterRef("online_keys")),
            table=OuterRef("table"),
            rows_online__gt=0,
            finished_at__gt=OuterRef("counted_at"),
        )
        wanted |= Q(Exists(loads))
    return list(last.filter(wanted).order_by("pk"))


def note_online(table: FeatureTable, *, keys: int, size: int, at: datetime) -> None:
    """Note what the table takes online from ``at`` on; nothing where it was never measured.

    A table without a load has no rows there, whatever a count that began before it lost them says.
    """
    last = TableSize.objects.filter(table=table).order_by("day").last()
    if last is None:
        return
    table.refresh_from_db(fields=["ready_at", "loading_since"])
    if table.ready_at is None and table.loading_since is None:
        keys = size = 0
    counted = {"online_keys": keys, "online_bytes": size, "counted_at": at}
    TableSize.objects.update_or_create(
        table=table,
        day=max(last.day, at.date()),
        defaults=counted,
        create_defaults={"offline_bytes": last.offline_bytes, **counted},
    )


def note_gone(table: FeatureTable, *, at: datetime) -> None:
    """Note that nothing is left of the table in either store."""
    note_online(table, keys=0, size=0, at=at)
    TableSize.objects.filter(table=table, day__gte=at.date()).update(offline_bytes=0)
