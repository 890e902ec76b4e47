"""How things stand now, for a monitor: ages, alerts, runs under way, stores and tables.

Each figure is asked when it is wanted, with a question for all of a kind. What takes a look a table
is kept until the table has another version. Not for counters: ``materialization.metrics``.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Count, OuterRef, Q, Subquery, Sum

from lib.batches import in_batches
from lib.errors import AssayError
from materialization.budgets import budgeted_views, uses
from materialization.choices import (
    KEPT_STATES,
    LIVE_STATUSES,
    OPEN_LETTERS,
    CertificateKind,
    CertificateStatus,
    RunStatus,
)
from materialization.clocks import last_heard
from materialization.edges.stores import fullness, later_rows, offline_store, push_log
from materialization.models import (
    Alert,
    Certificate,
    MaterializationRun,
    Quarantine,
    StoredWindow,
    StreamPart,
    VectorIndex,
)
from materialization.quality.freshness import MAY_PROMISE, ends_of
from materialization.queries import recorded_tables, table_at
from materialization.stalls import takers
from registry.models import FeatureTable, FeatureView
from registry.newest import newest_by_table
from registry.queries import served_versions
from registry.spec.sources.kinds import MAY_ARRIVE
from registry.spec.version_spec import load_version_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


#: Definitions that are read together: there may be very many, and each may be long.
ROWS_AT_ONCE = 1000


class Figure(NamedTuple):
    """One number, with what it is of."""

    name: str
    labels: dict[str, str]
    value: float


#: What each figure means, and thereby which there are.
MEANS = {
    "assay_freshness_age_seconds": "How old what a served version has is.",
    "assay_freshness_promise_seconds": "How old it promises to be at most.",
    "assay_drift": "How far the latest run's values lay from the baseline or the run before.",
    "assay_alerts_open": "Open alerts.",
    "assay_certificate_age_seconds": "Since when the last comparison that said something ended.",
    "assay_certificate_rows": "What the last comparison found, by kind; compared is all of it.",
    "assay_view_budget": "What a view may take on disk, in keys and in memory.",
    "assay_view_used": "What it takes of that, as it was measured last.",
    "assay_quarantine_bytes": "Bytes of rows that checks refused and nobody has decided on.",
    "assay_quarantine_rows": "How many rows those are.",
    "assay_runs_live": "Runs that wait or are under way.",
    "assay_process_silence_seconds": "How long no process of a kind has been heard of.",
    "assay_queue_takers": "Processes that were heard of within a minute and take from a queue.",
    "assay_search_recall": "The least share of the nearest that searches of a feature find.",
    "assay_stream_lag": "Records of a stream that a table has not read yet; of Redis up to 10,000.",
    "assay_stream_dead_letters": "Records of a stream that could not be taken and wait.",
    "assay_store_used_bytes": "What a store has taken of what it may take.",
    "assay_store_limit_bytes": "What a store may take: Redis's memory, the disk's size.",
    "assay_push_log_entries": "Pushes to a table that are not in the offline store yet.",
    "assay_push_log_age_seconds": "Since when the first of them waits.",
    "assay_push_later_rows": "Pushed rows of the future, which wait for their time.",
    "assay_table_bytes": "Bytes of a table's current files in the offline store.",
    "assay_table_rows": "Rows of a table in the offline store.",
    "assay_table_newest_event_seconds": "Event time of a table's newest row, since 1970.",
}
#: Most tables looked at anew by one scrape; the rest follow at the next ones.
LOOKS_A_SCRAPE = 50


def figures(*, at: datetime) -> Iterator[Figure]:
    yield from _ages(at)
    yield from _drift()
    yield from _alerts()
    yield from _quarantine()
    yield from _certificates(at)
    yield from _budgets()
    yield from _runs()
    yield from _processes(at)
    yield from _searches()
    yield from _streams()
    yield from _stores()
    yield from _pushes(at)
    yield from TABLES.figures()


def _ages(at: datetime) -> Iterator[Figure]:
    """Say how old each served version is: as rows, since there may be very many."""
    ends = ends_of(StoredWindow.objects.all())
    columns = "table", "spec_json", "feature_view__project__name", *_NAMED
    served = served_versions().order_by("pk").values_list(*columns)
    for table, spec, project, *named in in_batches(served, ROWS_AT_ONCE):
        labels = {"project": project, "feature_view": _name(*named)}
        if (end := ends.get(table)) is not None:
            arrives = any(word in spec for word in MAY_ARRIVE)  # then it has all that came
            age = 0.0 if arrives else max((at - end).total_seconds(), 0.0)
            yield Figure("assay_freshness_age_seconds", labels, age)
        promise = load_version_spec(spec).view.promised_age if MAY_PROMISE in spec else None
        if promise is not None:
            yield Figure("assay_freshness_promise_seconds", labels, promise.total_seconds())


#: What ``_name`` takes, which says the same as a version's ``str``.
_NAMED = ("feature_view__name", "major", "minor", "patch")


def _name(view: str, *number: int) -> str:
    return f"{view}@{'.'.join(map(str, number))}"


def _pushes(at: datetime) -> Iterator[Figure]:
    """Say what waits of pushed rows; nothing where Redis does not answer."""
    with suppress(AssayError):
        pushed = push_log()
        later = later_rows()
        waiting = sum(later.waiting(uid) for uid in later.tables())
        yield Figure("assay_push_later_rows", {}, waiting)
        tables = FeatureTable.objects.filter(uid__in=pushed.logged())
        for table in tables.select_related("feature_view__project"):
            stands = pushed.standing(table.uid)
            labels = {
                "project": table.feature_view.project.name,
                "feature_view": table.feature_view.name,
                "table": table.uid,
            }
            yield Figure("assay_push_log_entries", labels, stands.entries)
            age = (at - stands.since).total_seconds() if stands.since is not None else 0.0
            yield Figure("assay_push_log_age_seconds", labels, max(age, 0.0))


def _drift() -> Iterator[Figure]:
    """Say how far the latest run that was compared lay, of what a definition has a limit for."""
    compared = MaterializationRun.objects.filter(version=OuterRef("pk"), drift__isnull=False)
    newest = compared.filter(status=RunStatus.SUCCEEDED).order_by("-id").values("pk")[:1]
    latest = served_versions().annotate(compared=Subquery(newest)).values("compared")
    runs = MaterializationRun.objects.filter(pk__in=latest).defer("profile", "traceback", "checks")
    for run in runs.select_related("version__feature_view__project"):
        asked = {each.name: each.checks.drift for each in run.version.spec.features}
        of_version = {
            "project": run.version.feature_view.project.name, "feature_view": str(run.version),
        }  # fmt: skip
        for side, features in (run.drift or {}).items():
            for name, found in features.items():
                limits = drift.thresholds if (drift := asked.get(name)) else {}
                for measure in found.keys() & limits.keys():
                    labels = {"feature": name, "against": side, "measure": measure}
                    yield Figure("assay_drift", of_version | labels, float(found[measure]))


def _alerts() -> Iterator[Figure]:
    rows = Alert.objects.open().values_list("project__name", "kind", "severity").order_by()
    for project, kind, severity, count in rows.annotate(Count("pk")):
        labels = {"project": project or "", "kind": kind, "severity": severity}
        yield Figure("assay_alerts_open", labels, count)


def _quarantine() -> Iterator[Figure]:
    kept = Quarantine.objects.filter(state__in=KEPT_STATES).order_by()
    columns = "table__feature_view__project__name", "table__feature_view__name"
    sums = kept.values_list(*columns).annotate(Sum("size_bytes"), Sum("rows"))
    for project, view, size, rows in sums:
        labels = {"project": project, "feature_view": view}
        yield Figure("assay_quarantine_bytes", labels, size)
        yield Figure("assay_quarantine_rows", labels, rows)


def _certificates(at: datetime) -> Iterator[Figure]:
    """Say what the last comparison of each kind found that found anything at all.

    A comparison is of a table: it is said of the newest version that serves it.
    """
    said = Certificate.objects.filter(
        status__in=(CertificateStatus.EQUAL, CertificateStatus.DIFFERENT)
    )
    versions = newest_by_table(served_versions()).order_by()
    names = {
        table: {"project": project, "feature_view": _name(*named)}
        for table, project, *named in versions.values_list(
            "table", "feature_view__project__name", *_NAMED
        )
    }
    for kind in CertificateKind:
        of_table = said.filter(kind=kind, table=OuterRef("pk")).order_by("-id").values("pk")[:1]
        newest = FeatureTable.objects.annotate(newest=Subquery(of_table)).values("newest")
        for found in said.filter(pk__in=newest):
            if (labels := names.get(found.table_id)) is not None:
                yield from _certificate_figures(found, labels | {"kind": kind.value}, at)


def _certificate_figures(
    found: Certificate, labels: dict[str, str], at: datetime
) -> Iterator[Figure]:
    if found.finished_at is not None:
        age = max((at - found.finished_at).total_seconds(), 0.0)
        yield Figure("assay_certificate_age_seconds", labels, age)
    for name in ("compared", "equal", "missing", "extra", "different", "late", "gone", "repaired"):
        yield Figure("assay_certificate_rows", labels | {"found": name}, getattr(found, name))


def _budgets() -> Iterator[Figure]:
    """Say what views with a budget take of it."""
    budgeted = budgeted_views()
    found = uses(budgeted) if budgeted is None or budgeted else {}
    for view in FeatureView.objects.filter(pk__in=found).select_related("project"):
        for use in found[view.pk]:
            labels = {"project": view.project.name, "feature_view": view.name, "of": use.of.value}
            if use.budget and use.used is not None:
                yield Figure("assay_view_budget", labels, use.budget)
                yield Figure("assay_view_used", labels, use.used)


def _runs() -> Iterator[Figure]:
    live = MaterializationRun.objects.filter(status__in=LIVE_STATUSES)
    for kind, status, count in live.values_list("kind", "status").order_by().annotate(Count("pk")):
        yield Figure("assay_runs_live", {"kind": kind, "status": status}, count)


def _processes(at: datetime) -> Iterator[Figure]:
    for kind, heard in last_heard().items():
        silence = max((at - heard).total_seconds(), 0.0)
        yield Figure("assay_process_silence_seconds", {"kind": kind}, silence)
    for queue, count in takers(at=at).items():
        yield Figure("assay_queue_takers", {"queue": queue}, count)


def _searches() -> Iterator[Figure]:
    """Say the recall of each feature that is searched; 1 where all of its vectors are looked at."""
    columns = "table__feature_view__project__name", "table__feature_view__name", "table__uid"
    indexed = VectorIndex.objects.exclude(file="").order_by("pk")
    rows = indexed.values_list(*columns, "vectors", "cells")
    for project, view, table, vectors, cells in in_batches(rows, ROWS_AT_ONCE):
        for feature in vectors:
            reaches = cells[feature]["reaches"].values() if feature in cells else ()
            recall = min((each["recall"] for found in reaches for each in found), default=1.0)
            of_table = {"project": project, "feature_view": view, "table": table}
            yield Figure("assay_search_recall", of_table | {"feature": feature}, recall)


def _streams() -> Iterator[Figure]:
    waiting = Count("letters", filter=Q(letters__state__in=OPEN_LETTERS))
    parts = StreamPart.objects.select_related("table__feature_view__project")
    for part in parts.annotate(waiting=waiting):
        view = part.table.feature_view
        labels = {
            "project": view.project.name,
            "feature_view": view.name,
            "table": part.table.uid,
            "stream": part.stream,
            "partition": str(part.partition),
        }
        yield Figure("assay_stream_dead_letters", labels, part.waiting)
        if part.lag is not None:
            yield Figure("assay_stream_lag", labels, part.lag)


def _stores() -> Iterator[Figure]:
    for store, full in fullness().items():
        yield Figure("assay_store_used_bytes", {"store": store}, full.used)
        yield Figure("assay_store_limit_bytes", {"store": store}, full.limit)


class Size(NamedTuple):
    """What one version of a table holds."""

    version: int
    size: int
    rows: int
    newest: datetime | None


class Tables:
    """The sizes of tables that this process knows; one that grew is looked at again."""

    def __init__(self) -> None:
        self._known: dict[str, Size] = {}
        self._looking = Lock()

    def figures(self) -> Iterator[Figure]:
        with self._looking:
            tables = list(recorded_tables())
            uids = {table.uid for table in tables}
            known = {uid: size for uid, size in self._known.items() if uid in uids}
            changed = [table for table in tables if self._is_old(table)]
            for table in changed[:LOOKS_A_SCRAPE]:
                with suppress(AssayError, OSError):
                    known[table.uid] = _look(table)
            self._known = known
        for table in tables:
            if (size := known.get(table.uid)) is not None:
                yield from _size_figures(table, size)

    def _is_old(self, table: FeatureTable) -> bool:
        known = self._known.get(table.uid)
        return known is None or known.version < table.stored_version


def _look(table: FeatureTable) -> Size:
    found = offline_store().list_files(table_at(table))
    newest = max((file.last_event for file in found.files if file.last_event), default=None)
    size = sum(file.size for file in found.files)
    return Size(table.stored_version, size, sum(file.rows for file in found.files), newest)


def _size_figures(table: FeatureTable, size: Size) -> Iterator[Figure]:
    view = table.feature_view
    labels = {"project": view.project.name, "feature_view": view.name, "table": table.uid}
    yield Figure("assay_table_bytes", labels, size.size)
    yield Figure("assay_table_rows", labels, size.rows)
    if size.newest is not None:
        yield Figure("assay_table_newest_event_seconds", labels, size.newest.timestamp())


#: The process's own.
TABLES = Tables()
