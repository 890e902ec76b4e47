"""Which tables can be searched, by which file, and whose file is older than what is stored.

Not for building one (``runner.indexing``), nor for what is in it (``vectors``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Exists, F, OuterRef, Q

from materialization.choices import LIVE_STATUSES
from materialization.models import MaterializationRun, VectorIndex
from registry.choices import SERVED_STATES
from registry.models import Feature, FeatureTable, FeatureViewVersion

#: Less than any version of a table that has rows.
NEVER = -2

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet


def index_of(uid: str) -> VectorIndex | None:
    """Return the index of the table with this name, the table with it; None: it has none yet."""
    return VectorIndex.objects.filter(table__uid=uid).select_related("table").first()


def give_up(index: VectorIndex) -> None:
    """Note that an index's file cannot be read: the next turn writes another."""
    rows = VectorIndex.objects.filter(pk=index.pk, file=index.file)
    rows.update(file="", stored_version=NEVER, not_before=None)


def tables_to_index(at: datetime) -> QuerySet[FeatureTable]:
    """Return the loaded tables with vectors whose index is of other rows than are stored now."""
    vectors = Feature.objects.filter(
        version__table=OuterRef("pk"),
        version__state__in=SERVED_STATES,
        type__startswith="vector<",
    )
    return (
        FeatureTable.objects.filter(Exists(vectors), ready_at__isnull=False)
        .exclude(
            vector_index__stored_as=F("stored_as"),
            vector_index__stored_version__gte=F("stored_version"),
        )
        .exclude(vector_index__lease_expires_at__gt=at)
        .exclude(~Q(vector_index__error=""), vector_index__not_before__gt=at)
        .order_by("pk")
    )


def tables_at_rest(at: datetime) -> QuerySet[FeatureTable]:
    """Return those of them that no run is about to store into, which indexes them at its end."""
    live = MaterializationRun.objects.filter(table=OuterRef("pk"), status__in=LIVE_STATUSES)
    waiting = Q(vector_index__not_before__gt=at)
    return tables_to_index(at).exclude(Exists(live)).exclude(waiting)


def being_indexed(at: datetime) -> QuerySet[VectorIndex]:
    """Return the indexes that a worker is at."""
    return VectorIndex.objects.filter(lease_expires_at__gt=at)


def unread_indexes() -> QuerySet[VectorIndex]:
    """Return the indexes of tables that nobody may read any more."""
    served = FeatureViewVersion.objects.filter(table=OuterRef("table"), state__in=SERVED_STATES)
    return VectorIndex.objects.exclude(Exists(served))
