"""What a version reads of other views: their tables, and up to when these are stored.

A run computes with all that those views have up to its end, or not at all: so a backfill and a run
an hour give equal rows. Not for joining (``sources.joining``), nor for asking for runs, nor for how
a reader stands to what it reads (``readers``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lib.errors import Conflict, Unavailable
from lib.instants import to_us
from materialization.choices import UNFINISHED_STATUSES, RunKind
from materialization.queries import UNTOUCHED, end_of, gaps, standings
from materialization.ticks import last_tick
from registry.choices import SERVED_STATES
from registry.models import FeatureTable, FeatureViewVersion

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from registry.spec.version_spec import VersionSpec
    from registry.spec.view_reads import ReadVersion


class UpstreamBehind(Conflict):
    code = "upstream_behind"


class UpstreamGone(Conflict):
    code = "upstream_gone"


class UpstreamUnderWay(Unavailable):
    """A run of what is read has to end first; it is waited for, however long it takes."""

    code = "upstream_under_way"


class Stored(NamedTuple):
    """Up to when one thing that is read is stored without a gap; None: not at all. In words, why.

    ``until`` is not after the end that was asked about.
    """

    read: ReadVersion
    until: datetime | None
    said: str = ""


class Upstreams:
    """The tables that some versions read, and how far each is: a few questions for all of them."""

    def __init__(self, specs: Iterable[VersionSpec]) -> None:
        reads = [read for spec in specs for read in spec.reads]
        self._tables = {_named(table): table for table in _tables(reads)}
        pks = {table.pk for table in self._tables.values()}
        self._standings = standings(pks) if pks else {}
        served = FeatureViewVersion.objects.filter(table__in=pks, state__in=SERVED_STATES)
        related = served.select_related("feature_view").defer("packet").order_by("-pk")
        #: Of each table a version for which it is kept up to date.
        self._keepers = {version.table_id: version for version in related} if pks else {}

    def table(self, read: ReadVersion) -> FeatureTable | None:
        """Return the table that has the rows of what is read; None: there is none."""
        return self._tables.get((read.project, read.view, read.data))

    def keeper(self, read: ReadVersion) -> FeatureViewVersion | None:
        """Return a version for which what is read is kept up to date; None: nobody keeps it."""
        table = self.table(read)
        return None if table is None else self._keepers.get(table.pk)

    def stored_of(self, spec: VersionSpec, end: datetime) -> list[Stored]:
        """Return up to when, and no later than ``end``, each thing a version reads is stored."""
        return [self._stored(read, end) for read in spec.reads]

    def readable_until(self, spec: VersionSpec, end: datetime) -> datetime | None:
        """Return up to when, no later than ``end``, all of that is stored; None: some is not."""
        behind = least(self.stored_of(spec, end))
        return end if behind is None else behind.until

    def _stored(self, read: ReadVersion, end: datetime) -> Stored:
        table, keeper = self.table(read), self.keeper(read)
        if table is None or keeper is None:
            return Stored(read, None, "is retired, so nothing more of it is stored")
        covered = self._standings.get(table.pk, UNTOUCHED).covered
        lacking = gaps(keeper, covered)
        until = lacking[0].start if lacking else end_of(covered)
        if until is None or table.ready_at is None:
            return Stored(read, None, "is not stored yet")
        said = f"is stored up to {until.isoformat()}"
        schedule = keeper.spec.view.schedule
        is_whole = keeper.spec.transform.makes_ticks and not lacking
        if is_whole and schedule is not None and last_tick(schedule, end) <= until:
            until = end  # no row can come between its newest tick and the next one
        return Stored(read, min(until, end), said)


def table_read(read: ReadVersion) -> FeatureTable | None:
    """Return the table that has the rows of what is read; None: there is none."""
    found = {_named(table): table for table in _tables([read])}
    return found.get((read.project, read.view, read.data))


def is_stored(read: ReadVersion) -> bool:
    """Return whether all of what is read was stored once."""
    table = table_read(read)
    return table is not None and table.ready_at is not None


def readable_until(version: FeatureViewVersion, end: datetime) -> datetime | None:
    """Return as ``Upstreams.readable_until``, of one version."""
    return Upstreams([version.spec]).readable_until(version.spec, end)


def require_stored(version: FeatureViewVersion, end: datetime) -> bool:
    """Return whether all that a version reads is stored up to ``end``; else runs have to end first.

    :raises UpstreamBehind: something is not, and no run that waits or is at work stores it; names
        it, and what to do.
    """
    spec = version.spec
    if not spec.reads:
        return True
    # In this order: a run that ends in between was seen, or what it stored is.
    coming = {read.name for read in spec.reads if _is_coming(read, end)}
    found = Upstreams([spec]).stored_of(spec, end)
    lacking = [each for each in found if each.until is None or each.until < end]
    behind = least(each for each in lacking if each.read.name not in coming)
    if behind is None:
        return not lacking
    raise UpstreamBehind(
        f"{version} reads {behind.read}, which {behind.said}; this run computes up to"
        f" {end.isoformat()}. Materialize {behind.read} through that first, or ask for less.",
        reads=str(behind.read),
        stored_until=behind.until.isoformat() if behind.until else None,
    )


def least(stored: Iterable[Stored]) -> Stored | None:
    """Return what is furthest behind; None: nothing is read."""

    def reach(each: Stored) -> int:
        return -(2**63) if each.until is None else to_us(each.until)

    return min(stored, key=reach, default=None)


def _is_coming(read: ReadVersion, end: datetime) -> bool:
    """Return whether a run that is not over, paused or not, stores what is read up to ``end``."""
    table = table_read(read)
    if table is None:
        return False
    storing = table.runs.filter(status__in=UNFINISHED_STATUSES, window_end__gte=end)
    return storing.exclude(kind=RunKind.RELOAD).exists()


def _named(table: FeatureTable) -> tuple[str, str, str]:
    view = table.feature_view
    return view.project.name, view.name, table.fingerprint


def _tables(reads: Iterable[ReadVersion]) -> Iterable[FeatureTable]:
    """Return the tables of what is read, and perhaps others: one question for all."""
    wanted = list(reads)
    if not wanted:
        return ()
    return FeatureTable.objects.filter(
        feature_view__project__name__in={read.project for read in wanted},
        feature_view__name__in={read.view for read in wanted},
        fingerprint__in={read.data for read in wanted},
    ).select_related("feature_view__project")
