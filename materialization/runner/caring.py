"""Seeing to the tables that are due, one after the other, and to rows online that are over.

Not for which are due (``queries``), nor for what is done to a table's files (``stores``).
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import F

from lib.connections import RedisUnavailable, get_redis, translated
from lib.errors import AssayError
from materialization.edges.engines import engine
from materialization.edges.stores import offline_store, online_store
from materialization.errors import EngineLimitExceeded
from materialization.models import TableCare, TableSize
from materialization.queries import held_files, names_given_up, table_at, tables_to_care_for
from materialization.runner.recording import note_commit
from materialization.sizes import note_online, sizes_to_count
from materialization.stores.delta_care import MANY
from materialization.stores.inspecting import Taken, taken_by_tables
from registry.models import FeatureTable
from registry.queries import tables_named

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from materialization.stores.offline_values import Cared

log = logging.getLogger(__name__)
#: What is said of a table that stays in many files.
TIED = (
    "not compacted: rows of one run share keys and times, and their place in the files decides"
    " which of them counts. Give the source a created_timestamp that tells them apart."
)
#: For how long one table may take; then another worker may try it.
LEASE = timedelta(minutes=30)
#: For how long one message goes on; the sweep sends another while there is more to do.
TURN = timedelta(minutes=2)


def care_for_tables(*, clock: Callable[[], datetime]) -> int:
    """See to the tables that are due, as many as fit in a turn; return how many those were."""
    began, count = clock(), 0
    while (at := clock()) - began < TURN and (table := _claimed(at)) is not None:
        _care_for(table, at, clock)
        count += 1
    TableCare.objects.exclude(enqueued_at=None).update(enqueued_at=None)
    _note_online(clock())
    return count


def _claimed(at: datetime) -> FeatureTable | None:
    """Take the first table that is due; None where there is none, or another took it."""
    table = tables_to_care_for(at).select_related("feature_view__project").first()
    if table is None:
        return None
    TableCare.objects.get_or_create(table=table)
    free = TableCare.objects.filter(table=table).exclude(lease_expires_at__gt=at)
    return table if free.update(lease_expires_at=at + LEASE) else None


def _care_for(table: FeatureTable, at: datetime, clock: Callable[[], datetime]) -> None:
    """See to one table, and note what came of it whatever it was: the others have their turn."""
    try:
        said = _seen_to(table, at)
    except AssayError as exc:
        said = exc.message
        log.warning("care of %s: %s", table, said)
    except Exception as exc:
        said = f"unexpected {type(exc).__name__}; the worker's log has the traceback."
        log.exception("care of %s", table)
    row = TableCare.objects.filter(table=table)
    row.update(error=said, cared_at=clock(), lease_expires_at=None)


def _seen_to(table: FeatureTable, at: datetime) -> str:
    """Return what could not be done, and why; empty where nothing is to be said."""
    store, place = offline_store(), table_at(table)
    said, only = _may_compact(table)
    kept = timedelta(hours=settings.FILES_KEPT_HOURS)
    cared = store.care(place, keep=kept, compact=only, held=held_files(table))
    if cared is not None:
        _note(table, cared, at)
    return said


def _may_compact(table: FeatureTable) -> tuple[str, int | None]:
    """Return which version of the table may be compacted, if any, or why it may not.

    A compaction gives rows other places, which must decide nothing; later rows were not looked at.
    """
    snapshot = offline_store().snapshot(table_at(table))
    version = table.versions.order_by("pk").first()
    if snapshot.small < MANY or version is None:
        return "", None
    try:
        if engine().has_ties(snapshot.files, version.spec):
            return TIED, None
    except EngineLimitExceeded as exc:
        return f"not compacted, as it could not be looked at: {exc.message}", None
    return "", snapshot.version


def _note(table: FeatureTable, cared: Cared, at: datetime) -> None:
    TableCare.objects.filter(table=table).update(
        stored_version=cared.version,
        files=cared.files,
        compacted=F("compacted") + cared.compacted,
        removed=F("removed") + cared.removed,
        freed=F("freed") + cared.freed,
    )
    note_commit(table, cared)
    TableSize.objects.update_or_create(
        table=table, day=at.date(), defaults={"offline_bytes": cared.size}
    )
    if cared.compacted or cared.removed:
        log.info(
            "care of %s: %d small files compacted, %d files of %d bytes removed; %d files now",
            table, cared.compacted, cared.removed, cared.freed, cared.files,
        )  # fmt: skip


def _note_online(at: datetime) -> None:
    """Note what tables take in the online store, where it is to be counted; one walk over all."""
    if not sizes_to_count(at):
        return
    try:
        with translated():
            taken = taken_by_tables(get_redis(), pace=settings.COMPARE_ROWS_PER_SECOND)
    except RedisUnavailable as exc:
        log.warning("what tables take in the online store is not known: %s", exc)
        return
    for size in sizes_to_count(at):
        found = taken.get(size.table.uid, Taken(0, 0))
        note_online(size.table, keys=found.keys, size=found.size, at=at)


def expire_rows(*, at: datetime) -> None:
    """Walk through the online store once: rows are given their expiry, or removed as nobody's."""
    given_up = names_given_up()

    def known(uids: set[str]) -> dict[str, bool]:
        return dict.fromkeys(uids & given_up, False) | tables_named(uids)

    pace = settings.COMPARE_ROWS_PER_SECOND
    walked = online_store().expire(known=known, at=at, pace=pace)
    if walked.removed:
        log.warning("removed %d rows online that no version in use has", walked.removed)
    if walked.unknown:
        log.warning(
            "left rows online of tables that this database does not have: %s; another deployment"
            " uses this Redis, or they are left over",
            ", ".join(sorted(walked.unknown)),
        )
