"""What the online store lacks, and what it has for nobody: seen to by the sweep.

Not for new rows (``due``). One question to the database and one to the store for all tables.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from lib.connections import RedisUnreachable
from materialization.choices import RunKind, RunQueue, RunStatus, RunStep
from materialization.edges.stores import online_store
from materialization.models import MaterializationRun
from materialization.queries import busy_tables, standings
from materialization.requests.due import Asked, ask_for, is_resting, table_of
from materialization.requests.runs import enqueue
from materialization.runner.loading import StoreEmptied, longest_of, speaks_for
from materialization.sizes import note_online
from registry import audit
from registry.models import FeatureTable
from registry.queries import abandoned_tables, served_versions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from materialization.queries import Standing
    from materialization.stores.online_protocol import Marker
    from registry.models import FeatureViewVersion

log = logging.getLogger(__name__)
#: What a load failed for that is over when the store answers.
BACK_AGAIN = {RedisUnreachable.code, StoreEmptied.code}


def unmark_evicted(*, at: datetime) -> None:
    """Take no table for loaded of which Redis may have dropped rows for want of memory."""
    ready = FeatureTable.objects.filter(ready_at__isnull=False)
    if lost := online_store().unmark_evicted(list(ready.values_list("uid", flat=True))):
        log.warning("Redis evicted keys since these tables were loaded: %s", ", ".join(lost))


def reload_missing(*, at: datetime) -> None:
    """Fill the online store again where values are missing.

    They are after a flush, for a longer TTL, or when a run ended between storing and loading.
    """
    busy = busy_tables()
    ready = _ready_versions()
    markers = online_store().markers([table.uid for table in ready])
    found = standings({table.pk for table in ready})
    _hasten([t.pk for t, marker in zip(ready, markers, strict=True) if _is_out(t, marker)])
    lacking = [
        Asked(table.ready_at or at, table.pk, version.pk, min(standing.covered[-1].end, at))
        for table, version, standing in _lacking(ready, markers, found)
        if table.pk not in busy and not _loading_rests(standing.last, at)
    ]
    ask_for(lacking, at, RunKind.RELOAD)


def lacking_tables(*, at: datetime) -> list[tuple[FeatureViewVersion, datetime]]:
    """Return a version of each table that is not loaded completely, and until when it is stored."""
    ready = _ready_versions()
    markers = online_store().markers([table.uid for table in ready])
    found = standings({table.pk for table in ready})
    lacking = _lacking(ready, markers, found)
    return [(version, min(standing.covered[-1].end, at)) for _, version, standing in lacking]


def _lacking(
    ready: Mapping[FeatureTable, Sequence[FeatureViewVersion]],
    markers: Sequence[Marker | None],
    found: Mapping[int, Standing],
) -> Iterator[tuple[FeatureTable, FeatureViewVersion, Standing]]:
    """Give the tables of which something is stored and not all is loaded."""
    for (table, versions), marker in zip(ready.items(), markers, strict=True):
        standing = found.get(table.pk)
        if standing is None or not standing.covered:
            continue
        if not _holds_all(table, versions, marker, standing):
            yield table, next(each for each in versions if each.spec.view.online), standing


def _is_out(table: FeatureTable, marker: Marker | None) -> bool:
    """Return whether readers are told that the table is not loaded."""
    return marker is None or marker.generation < table.generation


def _hasten(tables: Sequence[int]) -> None:
    """Let runs that wait go to the workers that load: whatever they do, they end with loading.

    A table has one live run; a reload would wait behind it, and it behind whatever computes.
    """
    if not tables:
        return
    waiting = MaterializationRun.objects.filter(
        table__in=tables, status=RunStatus.QUEUED, queue=RunQueue.RUNS
    )
    for run in waiting:
        if waiting.filter(pk=run.pk).update(queue=RunQueue.RELOADS):
            run.queue = RunQueue.RELOADS
            enqueue(run)


def _ready_versions() -> dict[FeatureTable, list[FeatureViewVersion]]:
    """Return the served versions of each table that was loaded once, if one of them is online."""
    found: defaultdict[FeatureTable, list[FeatureViewVersion]] = defaultdict(list)
    for version in served_versions().filter(table__ready_at__isnull=False).defer("packet"):
        found[table_of(version)].append(version)
    return {
        table: versions
        for table, versions in found.items()
        if any(version.spec.view.online for version in versions)
    }


def _holds_all(
    table: FeatureTable,
    versions: Sequence[FeatureViewVersion],
    marker: Marker | None,
    standing: Standing,
) -> bool:
    """Return what ``loading.holds_all`` does, of what is known already."""
    if marker is None or not speaks_for(marker, table, longest_of(versions)):
        return False
    return marker.sequence >= standing.newest_sequence


def _loading_rests(last: MaterializationRun | None, at: datetime) -> bool:
    """Say whether loading failed a moment ago; a failed check must not hold up a reload.

    Nor does an online store that was away: the markers that were read say that it is back.
    """
    if last is None or last.error_code in BACK_AGAIN:
        return False
    is_loading = last.kind == RunKind.RELOAD or last.step == RunStep.ONLINE
    return is_loading and is_resting(last, at)


def drop_abandoned(*, at: datetime) -> None:
    """Free the online values of tables whose versions are all retired, loaded or in part."""
    for table in abandoned_tables():
        online_store().drop(table.uid)
        with transaction.atomic():
            unchanged = FeatureTable.objects.filter(
                pk=table.pk, ready_at=table.ready_at, loading_since=table.loading_since
            )
            if unchanged.update(ready_at=None, loading_since=None, kept_for=timedelta(0)):
                note_online(table, keys=0, size=0, at=at)
                audit.record(actor=None, verb="feature_table.dropped_online", subject=table, at=at)
