"""What is materialized: coverage of tables, freshness, runs."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.db.models import Exists, F, Max, Min, OuterRef, Q, Subquery

from lib.instants import MICROSECOND
from materialization.choices import (
    FIRST_KINDS,
    LIVE_STATUSES,
    UNFINISHED_STATUSES,
    RunKind,
    RunQueue,
    RunStatus,
)
from materialization.chunks import read_chunks
from materialization.models import FileHold, MaterializationRun, StoredWindow
from materialization.stores.offline_values import TableAt
from materialization.windows import Window, merge, missing
from registry.models import AuditEntry, FeatureTable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from registry.models import FeatureViewVersion
#: For how long a history gives way to increments, and how many of those are looked at.
LONGEST_WAIT, LOOKED_AT = timedelta(minutes=10), 20
#: What the trail calls it when stored data was given up; the table has another name from then on.
LOSS_ACCEPTED = "feature_table.loss_accepted"
#: How often a table that changes is seen to, and after how many commits it does not wait for that.
CARE_EVERY, MANY_COMMITS = timedelta(days=1), 100


def table_at(table: FeatureTable) -> TableAt:
    """Return the directory of a table's Delta log and files, and what was stored there last."""
    view = table.feature_view
    uri = Path(settings.OFFLINE_STORE) / view.project.name / view.name / table.uid
    return TableAt(str(uri), table.stored_as, table.stored_version)


def idle_tables() -> QuerySet[FeatureTable]:
    """Return the tables of which no run is live: nobody writes into them."""
    live = MaterializationRun.objects.filter(table=OuterRef("pk"), status__in=LIVE_STATUSES)
    return FeatureTable.objects.exclude(Exists(live)).select_related("feature_view__project")


def runs_in_chunks() -> int:
    """Return how many runs are at work that store their window in chunks."""
    running = MaterializationRun.objects.filter(status=RunStatus.RUNNING)
    return sum(len(chunks) > 1 for chunks in running.values_list("chunks", flat=True))


def source_counts(run: MaterializationRun) -> dict[str, Any]:
    """Return what of the source a run read and what became of it, as of what it stored by now.

    Rows are counted once they are computed: a run that ended before it stored them, for checks
    refused them or otherwise, says how many under ``not_stored``.
    """
    counts: dict[str, Any] = dict(run.source_counts)
    lacking = (counts.get("rows_stored") or 0) - run.rows_offline
    if run.status in (RunStatus.FAILED, RunStatus.ERRORED, RunStatus.CANCELLED) and lacking > 0:
        counts |= {"rows_stored": run.rows_offline, "not_stored": lacking}
    return counts


def recorded_tables() -> QuerySet[FeatureTable]:
    """Return the tables that the offline store should have, those loaded last first."""
    recorded = FeatureTable.objects.exclude(stored_as="").order_by("-generation", "-pk")
    return recorded.select_related("feature_view__project")


def tables_to_care_for(at: datetime) -> QuerySet[FeatureTable]:
    """Return the stored tables whose files are to be seen to, longest waited first.

    Those with commits that nobody has seen to: of the last day, or very many; and each once in a
    while, when what was replaced then may go. None that a run is about to add to.
    """
    since = F("stored_version") - F("care__stored_version")
    is_new = Q(care__cared_at=None)
    is_daily = Q(care__cared_at__lte=at - CARE_EVERY) & Q(since__gt=0)
    is_fast = Q(care__cared_at__lte=at - CARE_EVERY / 24) & Q(since__gte=MANY_COMMITS)
    is_late = Q(care__cared_at__lte=at - 7 * CARE_EVERY)
    is_ahead = Q(care__cared_at__gt=at + CARE_EVERY)  # the clock was set back since
    busy = MaterializationRun.objects.filter(table=OuterRef("pk"), status__in=UNFINISHED_STATUSES)
    return (
        FeatureTable.objects.filter(stored_version__gte=0)
        .alias(since=since)
        .filter(is_new | is_daily | is_fast | is_late | is_ahead)
        .exclude(care__lease_expires_at__gt=at)
        .exclude(Exists(busy))
        .order_by(F("care__cared_at").asc(nulls_first=True), "pk")
    )


def first_event(table: FeatureTable) -> datetime | None:
    """Return the earliest event that runs of the table aggregated; None: nobody noted it."""
    found: datetime | None = table.stored_windows.aggregate(first=Min("first_event"))["first"]
    return found


def held_files(table: FeatureTable) -> set[str]:
    """Return the names of the table's files that somebody above still needs."""
    return {name for hold in FileHold.objects.filter(table=table) for name in hold.names}


def names_given_up() -> set[str]:
    """Return the names that tables had online before their stored data was given up."""
    entries = AuditEntry.objects.filter(verb=LOSS_ACCEPTED)
    return set(entries.values_list("before__uid", flat=True))


def coverage(table: FeatureTable) -> list[Window]:
    """Return the windows whose rows are in the offline store, merged and in order."""
    stored = table.stored_windows.values_list("window_start", "window_end")
    return merge(Window(start, end) for start, end in stored)


def covered_until(table: FeatureTable) -> datetime | None:
    """Return the end of the newest covered window."""
    return end_of(coverage(table))


def end_of(covered: Sequence[Window]) -> datetime | None:
    """Return the end of the newest of the covered windows."""
    return covered[-1].end if covered else None


def uncovered(
    version: FeatureViewVersion, covered: Sequence[Window], wanted: Window
) -> list[Window]:
    """Return the parts of ``wanted`` that are to be computed, oldest first.

    An aggregation continues from its newest tick: a row is stored only when it differs from the
    one before, so its windows follow each other without a gap.
    """
    if version.spec.transform.makes_ticks:
        wanted = Window(end_of(covered), wanted.end)
        return [] if wanted.is_empty else [wanted]
    return missing(wanted, covered)


def gaps(version: FeatureViewVersion, covered: Sequence[Window]) -> list[Window]:
    """Return what lacks between the version's start, or its first row, and the newest coverage."""
    end = end_of(covered)
    if end is None:
        return []
    start = version.spec.view.start
    # Windows exclude their start, and a row may lie on the view's.
    begin = start - MICROSECOND if start is not None else None
    return missing(Window(begin, end), covered)


def stored_since(
    table: FeatureTable, sequence: int, *, but: int | None = None
) -> QuerySet[StoredWindow]:
    """Return the windows with rows of a later sequence; those of ``but`` do not count."""
    later = Q(run__sequence__gt=sequence)
    if but is not None:
        later &= ~Q(run__sequence=but)
    return table.stored_windows.filter(later | Q(earlier_sequence__gt=sequence))


def newest_sequence(table: FeatureTable) -> int:
    """Return the latest sequence under which rows of a window are known; 0 before the first."""
    newest = {"of_rows": Max("run__sequence"), "noted": Max("earlier_sequence")}
    return max(each or 0 for each in table.stored_windows.aggregate(**newest).values())


def live_run(table: FeatureTable) -> MaterializationRun | None:
    # There is one at most; asked for in an order, the database would walk through the history.
    live = table.runs.filter(status__in=LIVE_STATUSES).order_by()
    return next(iter(live.select_related("version__feature_view")), None)


def run_waits(run: MaterializationRun, *, at: datetime) -> bool:
    """Return whether another run waits for a worker of the queue that ``run`` has one of.

    One of those that go first waits for no other kind.
    """
    waiting = _waiting(run.queue, at=at).exclude(pk=run.pk)
    if run.kind in FIRST_KINDS:
        waiting = waiting.filter(kind__in=FIRST_KINDS)
    return waiting.exists()


def runs_before(run_id: int, *, at: datetime) -> list[int]:
    """Return the waiting runs that a worker should take before the queued one, in their order.

    A history that has not got on for ``LONGEST_WAIT`` gives way no more, until it has.
    """
    run = MaterializationRun.objects.filter(pk=run_id, status=RunStatus.QUEUED).first()
    if run is None or run.queue != RunQueue.RUNS or run.kind in FIRST_KINDS:
        return []
    stored = [each.stored_at for each in read_chunks(run.chunks) if each.stored_at is not None]
    if at - max([run.resumed_at or run.requested_at, *stored]) > LONGEST_WAIT:
        return []
    first = _waiting(RunQueue.RUNS, at=at).filter(kind__in=FIRST_KINDS)
    return list(first.order_by("enqueued_at", "id").values_list("pk", flat=True)[:LOOKED_AT])


def _waiting(queue: str, *, at: datetime) -> QuerySet[MaterializationRun]:
    waiting = MaterializationRun.objects.filter(queue=queue, status=RunStatus.QUEUED)
    return waiting.filter(Q(retry_at=None) | Q(retry_at__lte=at))


def paused_tables() -> set[int]:
    """Return the tables a run of which is paused: nobody stores into them meanwhile."""
    paused = MaterializationRun.objects.filter(status=RunStatus.PAUSED)
    return set(paused.values_list("table", flat=True))


def busy_tables() -> set[int]:
    """Return the tables that have a live run.

    Who decides by the state of tables asks this first: a run that ends in between is then seen to
    be live, or all that it left is seen.
    """
    live = MaterializationRun.objects.filter(status__in=LIVE_STATUSES)
    return set(live.values_list("table", flat=True))


class Standing(NamedTuple):
    """What is stored of a table, the run of it that ended last, and the last that was no reload."""

    covered: list[Window]
    newest_sequence: int
    last: MaterializationRun | None
    last_storing: MaterializationRun | None


#: How a table stands of which nothing was stored and no run has ended.
UNTOUCHED = Standing([], 0, None, None)


def standings(tables: Collection[int]) -> dict[int, Standing]:
    """Return how each of the tables stands: two questions for all, whatever their history."""
    stored = StoredWindow.objects.filter(table__in=tables)
    windows: defaultdict[int, list[Window]] = defaultdict(list)
    newest: defaultdict[int, int] = defaultdict(int)
    columns = "table", "window_start", "window_end", "run__sequence", "earlier_sequence"
    for table, start, end, sequence, earlier in stored.values_list(*columns):
        windows[table].append(Window(start, end))
        newest[table] = max(newest[table], sequence or 0, earlier)
    ended = list(_ended_last(tables))
    last = {run.table_id: run for run in ended}
    storing = {run.table_id: run for run in ended if run.kind != RunKind.RELOAD}
    return {
        table: Standing(merge(windows[table]), newest[table], last.get(table), storing.get(table))
        for table in windows.keys() | last.keys()
    }


def _ended_last(tables: Collection[int]) -> QuerySet[MaterializationRun]:
    """Return the last ended run of each table and the last that was no reload, in their order."""
    ended = MaterializationRun.objects.exclude(status__in=UNFINISHED_STATUSES)
    newest = ended.filter(table=OuterRef("pk")).order_by("-id").values("pk")
    each = FeatureTable.objects.filter(pk__in=tables).annotate(
        last=Subquery(newest[:1]), storing=Subquery(newest.exclude(kind=RunKind.RELOAD)[:1])
    )
    is_last = Q(pk__in=each.values("last")) | Q(pk__in=each.values("storing"))
    said = "table", "kind", "status", "step", "finished_at", "retry_at", "failures", "error_code"
    return MaterializationRun.objects.filter(is_last).order_by("id").only(*said)


def warned(version: FeatureViewVersion) -> tuple[MaterializationRun | None, list[dict[str, Any]]]:
    """Return the run that stored rows of the version's table last, and the checks that warned.

    Neither of a version that asks for no check: no run of it has a result, and to find that out
    all its history would be read.
    """
    table, spec = version.table, version.spec
    of_features = (any(feature.checks.in_words()) for feature in spec.features)
    if table is None or not (any(spec.view.checks.in_words()) or any(of_features)):
        return None, []
    stored = table.runs.filter(status=RunStatus.SUCCEEDED).exclude(checks=[])
    run = stored.select_related("version__feature_view").order_by("-id").first()
    checks = run.checks if run is not None else []
    return run, [each for each in checks if not each["passed"] and not each.get("blocks", True)]
