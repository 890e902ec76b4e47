"""What is done for pushed rows at each sweep: storing, those of the future, what a Redis lost.

Not for storing them: ``runner.draining`` does, in a worker.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from materialization import tasks
from materialization.choices import AlertKind, RunKind
from materialization.edges.stores import later_rows, push_log
from materialization.quality.alerts.opening import About, Trouble, settle
from materialization.queries import standings
from materialization.requests.due import Asked, ask_for, is_resting, table_of
from registry.models import FeatureTable
from registry.queries import may_arrive, served_versions, tables_named

if TYPE_CHECKING:
    from datetime import datetime

#: Within what time a push is promised to be in the offline store.
DRAINED_WITHIN = timedelta(minutes=1)


def drain_due(*, at: datetime) -> None:  # noqa: ARG001 - duties are all told the time
    if push_log().logged():
        tasks.drain_logs.delay()


def bring_due(*, at: datetime) -> None:
    """Have pushed rows readable online whose time has come since the last sweep."""
    later = later_rows()
    uids = later.tables()
    is_read = tables_named(uids)
    for uid in uids:
        if is_read.get(uid):
            later.bring(uid, at=at)
        else:
            later.forget(uid)


def watch_logs(*, at: datetime) -> None:
    """Tell of tables whose pushed rows are not in the offline store within the minute promised."""
    pushed = push_log()
    late = {}
    for uid in pushed.logged():
        stands = pushed.standing(uid)
        if stands.since is not None and at - stands.since > DRAINED_WITHIN:
            late[uid] = stands.entries, stands.since
    troubles = {}
    tables = FeatureTable.objects.filter(uid__in=late).select_related("feature_view__project")
    for table in tables:
        entries, since = late[table.uid]
        words = (
            f"{entries:,} pushes, the first of {since:%Y-%m-%d %H:%M:%S} UTC, are online and not in"
            " the offline store: see that workers take from the queue alerts, and their log. They"
            f" are lost with Redis until then, and {table.feature_view} takes no more once"
            " PUSH_MAX_WAITING wait."
        )
        about = About(f"{table.feature_view} ({table.uid})", table.feature_view.project)
        troubles[about] = Trouble(words, "undrained")
    settle(AlertKind.UNDRAINED, troubles, at=at)


def reload_restarted(*, at: datetime) -> None:
    """Load pushed tables again into a Redis that started since: its state may be an older one.

    Runs do not write them, so that no marker tells. Asked for until a load notes its server.
    """
    found = served_versions().filter(may_arrive(), table__ready_at__isnull=False)
    tables = {table_of(version).uid: version for version in found.defer("packet")}
    if not tables:
        return
    store = push_log()
    server = store.server()
    lacking = [each for uid, each in tables.items() if store.loaded_into(uid) != server]
    standing = standings({table_of(version).pk for version in lacking})
    asked = [
        Asked(at, table.pk, version.pk, min(standing[table.pk].covered[-1].end, at))
        for version in lacking
        if (table := table_of(version)).pk in standing
        and standing[table.pk].covered
        and not is_resting(standing[table.pk].last, at)
    ]
    ask_for(asked, at, RunKind.RELOAD)
