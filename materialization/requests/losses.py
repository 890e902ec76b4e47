"""Giving up what the offline store has lost, so that it is computed again.

Not for restoring: whoever has the store's backup restores that instead, and loses nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from lib.commits import once_committed
from lib.errors import Conflict, Invalid
from materialization.choices import UNFINISHED_STATUSES
from materialization.edges.stores import offline_store, online_store
from materialization.queries import LOSS_ACCEPTED, coverage, table_at
from materialization.requests.quarantine import discard_lost, remove_files_at
from materialization.sizes import note_gone
from materialization.stores.offline_protocol import OfflineStoreBehind
from registry import access, audit, epoch, locks
from registry.choices import Right
from registry.models import FeatureTable
from registry.models.feature_view import new_uid

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User


class NothingLost(Conflict):
    code = "nothing_lost"


class TableBusy(Conflict):
    code = "table_busy"


class LossNeedsReason(Invalid):
    code = "reason_needed"


def accept_loss(*, table: FeatureTable, actor: User, reason: str, at: datetime) -> FeatureTable:
    """Forget what was stored of a table that the store has not, or not as new, as the database.

    Its versions are not ready until it is backfilled from what its source has today. It gets
    another name in both stores: what may still lie under the old one is neither read nor touched,
    but for the rows that checks refused: those are discarded, and removed where the store has them.

    :raises ActionNotPermitted: the actor may not materialize the view.
    :raises NothingLost: the store has all that was stored.
    :raises TableBusy: a run of the table is under way or paused, and named, or ended while we
        looked: it goes by what it stored.
    :raises LossNeedsReason: without a reason.
    """
    access.require(actor, Right.MATERIALIZE_FEATUREVIEW, table.feature_view)
    if not reason.strip():
        raise LossNeedsReason("giving up stored data needs a reason, which the trail keeps.")
    table.refresh_from_db()
    known = table_at(table)
    wrong = _what_is_wrong(table)  # a store that is away may be slow: nobody waits for the look
    with epoch.change_view(table.feature_view):
        (held,) = locks.hold(FeatureTable.objects.filter(pk=table.pk))
        if (run := held.runs.filter(status__in=UNFINISHED_STATUSES).first()) is not None:
            raise TableBusy(f"{run} is {run.status}; cancel it, or wait until it has ended.")
        if table_at(held) != known:
            raise TableBusy(f"rows of {table} were stored or given up meanwhile; ask again.")
        _forget(held, actor, reason, wrong, at)
    table.refresh_from_db()
    return table


def _what_is_wrong(table: FeatureTable) -> str:
    try:
        offline_store().snapshot(table_at(table))
    except OfflineStoreBehind as exc:
        return exc.message
    raise NothingLost(f"the offline store has all that was stored of {table}; nothing was changed.")


def _forget(table: FeatureTable, actor: User, reason: str, wrong: str, at: datetime) -> None:
    known, windows = table_at(table), [str(window) for window in coverage(table)]
    table.stored_windows.all().delete()
    table.source_parts.all().delete()  # every file is to be read again
    uid = table.uid
    FeatureTable.objects.filter(pk=table.pk).update(
        uid=new_uid(), stored_as="", stored_version=-1, generation=0,
        ready_at=None, loading_since=None, kept_for=timedelta(0),
    )  # fmt: skip
    table.refresh_from_db()
    note_gone(table, at=at)
    discard_lost(table, actor, reason, at)
    audit.record(
        actor=actor,
        verb=LOSS_ACCEPTED,
        subject=table,
        before={"uid": uid, "stored_as": known.identity, "stored_version": known.version},
        after={"uid": table.uid},
        data={"reason": reason, "windows": windows, "found": wrong},
        at=at,
    )
    once_committed(f"removing rows online of {uid}", online_store().drop, uid=uid)
    once_committed(f"removing files of {uid}", remove_files_at, place=known, table=table)
