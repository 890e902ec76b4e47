"""A table's stored rows against those its source has: what lacks, what is late, what is gone.

The source is read as a run would that looks at everything again, into a folder of its own, and
nothing is stored. Ticks are computed again, from the stored state before them on.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pyarrow.parquet as pq
from django.conf import settings

from lib.instants import timestamp
from materialization.compute.jobs import ComputeJob, Keeping, Reading
from materialization.compute.scratch import own_folder
from materialization.edges.engines import storing_engine
from materialization.edges.sources import whereabouts
from materialization.edges.stores import offline_store
from materialization.errors import TEMP_PREFIX
from materialization.finding.kinds import find_rows
from materialization.quality.consistency.findings import (
    DIFFERENT,
    MISSING,
    MOST_EXAMPLES,
    Example,
    Findings,
)
from materialization.quality.consistency.online import Compared
from materialization.queries import coverage, first_event, table_at
from materialization.readings import settled
from materialization.runner.beside import identities, wait_for_beside
from materialization.runner.looking import still_written
from materialization.runner.parts import refuse_changed, seen_parts
from materialization.runner.work import Work
from materialization.stores.columns import CREATED, EVENT
from materialization.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from materialization.compute.reports import Computed, Events
    from materialization.models import Certificate
    from materialization.sources.inputs import Part, SourceInput
    from materialization.stores.offline_values import Snapshot
    from registry.spec.version_spec import VersionSpec


def compare_source(claimed: Certificate, *, watch: Callable[[float], None]) -> Compared:
    """Count the source's rows of covered windows that the table has, and those that it lacks.

    Of files that are as the last run saw them a row that lacks is a gap, ``missing``; of new and
    changed ones it is ``late``: the next run takes it. Stored rows that the source no longer has
    are ``gone``. Only from ``claimed.since`` on, where that is set.

    :raises SourceChangedWhileRead: what was read may be half the old and half the new.
    :raises SourceStillWritten: a joined source may be in the middle of it.
    """
    table, spec = claimed.table, claimed.version.spec
    where = whereabouts(spec, table.feature_view.project)
    with where.telling():
        source = find_rows(spec, where)
        rest = timedelta(seconds=settings.SOURCE_SETTLE_SECONDS)
        now = time.time()
        parts = settled(source.parts(), now=now, age=rest)
        wait_for_beside(source, now=now, age=rest, still_written=still_written)
        # In this order: what is remembered or covered is stored by then.
        seen, covered = seen_parts(table), _since(coverage(table), claimed.since)
        snapshot = offline_store().snapshot(table_at(table))
        if not covered:
            return Compared(Findings(), claimed.requested_at, snapshot.version)
        look = _Look(spec, source, parts, covered, snapshot, first_event(table), watch)
        if spec.transform.makes_ticks:
            found = look.count_ticks()
        else:
            same = {p.name for p in parts if p.name in seen and seen[p.name].identity == p.identity}
            # What stands beside rows may have come late where they are as they were.
            found = look.count_rows(set() if spec.has_beside else same)
    return Compared(found, covered[-1].end, snapshot.version)


def _since(covered: Sequence[Window], since: datetime | None) -> list[Window]:
    """Return the part of the windows from an instant on."""
    if since is None:
        return list(covered)
    starts = [since if each.start is None else max(each.start, since) for each in covered]
    pairs = zip(starts, covered, strict=True)
    return [Window(start, each.end) for start, each in pairs if start < each.end]


class _Look:
    """One reading of some of a source's parts, compared with what is stored."""

    def __init__(
        self,
        spec: VersionSpec,
        source: SourceInput,
        parts: Sequence[Part],
        covered: Sequence[Window],
        snapshot: Snapshot,
        first_event: datetime | None,
        watch: Callable[[float], None],
    ) -> None:
        self._spec, self._source, self._parts = spec, source, parts
        self._covered, self._snapshot = covered, snapshot
        self._first_event, self._watch = first_event, watch

    def count_rows(self, same: set[str]) -> Findings:
        """Compare the rows of the parts that are the ``same``, and of the others."""
        found, everything = Findings(), {part.name for part in self._parts}
        for names in (same, everything - same):
            if names:
                with self._computed(self._rows_job(names, counts_gone=not found.compared)) as made:
                    self._add(found, made, is_late=names is not same)
        return found

    def _add(self, found: Findings, computed: Computed, *, is_late: bool) -> None:
        counted = computed.counters
        found.compared += counted.rows_read - counted.dropped_null_key
        found.gone = max(found.gone, counted.gone or 0)
        if is_late:
            found.late += counted.late
        else:
            found.missing += counted.late
            found.examples += self._examples(computed, MISSING)

    def count_ticks(self) -> Findings:
        """Compute the ticks again and compare them with what a reader finds at each.

        Rows that do not say when they were known count from when they arrived: ticks they would
        change are as they were served. Where they say it, a tick that comes out otherwise differs.
        """
        with self._computed(self._ticks_job()) as computed:
            counted = computed.counters
            compared = counted.already_stored + counted.late
            found = Findings(compared=compared, gone=counted.gone or 0)
            if self._spec.rows_from.created_timestamp is None:
                found.late = counted.late
            else:
                found.different, found.missing = counted.corrected, counted.late - counted.corrected
                kind = DIFFERENT if counted.corrected else MISSING
                found.examples += self._examples(computed, kind)
            self._add_events(found, computed)
        return found

    def _add_events(self, found: Findings, computed: Computed) -> None:
        """Count what is stored beside the ticks and not as the source has it now."""
        events = computed.events
        found.compared += events.rows
        if self._spec.rows_from.created_timestamp is None:
            found.late += events.rows
        else:
            found.missing += events.rows
            found.examples += self._examples(events, MISSING)

    @contextmanager
    def _computed(self, job: ComputeJob) -> Iterator[Computed]:
        """Have a job performed in a folder that is gone at the end of the block."""
        beside = identities(self._source)
        with tempfile.TemporaryDirectory(prefix=TEMP_PREFIX, dir=own_folder()) as staging:
            computed = storing_engine().compute(
                msgspec.structs.replace(job, staging=staging), watch=self._watch
            )
            reads = frozenset(part.name for part in self._parts)
            work = Work([], job.window_end, self._parts, reads=reads, job=job, beside=beside)
            refuse_changed(work)
            yield computed

    def _rows_job(self, names: set[str], *, counts_gone: bool) -> ComputeJob:
        everything = frozenset(part.name for part in self._parts)
        others = everything - names
        reading = Reading(
            source=self._source.only(names),
            windows=tuple((window.start, window.end) for window in self._covered),
            unseen=True,
            others=self._source.only(others) if others else None,
            counts_gone=counts_gone,
        )
        return ComputeJob(
            spec=self._spec,
            source=self._source.only(everything),
            window_end=self._covered[-1].end,
            state_files=self._snapshot.files,
            readings=(reading,),
        )

    def _ticks_job(self) -> ComputeJob:
        end = self._covered[-1].end
        return ComputeJob(
            spec=self._spec,
            source=self._source.only({part.name for part in self._parts}),
            window_start=self._covered[0].start,
            window_end=end,
            state_files=self._snapshot.files,
            corrects_at=end,
            first_event=self._first_event,
            only_compares=True,
            keeping=self._keeping(end),
        )

    def _keeping(self, end: datetime) -> Keeping | None:
        if not self._spec.keeps_events:
            return None
        return Keeping(self._snapshot.events, arrived=end)

    def _examples(self, computed: Computed | Events, kind: str) -> list[Example]:
        """Name the first of the rows that lack, or ticks that differ."""
        keys = [key.name for key in self._spec.join_keys]
        examples: list[Example] = []
        for file in computed.files:
            first = pq.ParquetFile(file).iter_batches(
                MOST_EXAMPLES, columns=[*keys, EVENT, CREATED]
            )
            for row in next(first).to_pylist():
                key = ", ".join(f"{name}={str(row[name])[:200]}" for name in keys)
                stamps = {name: timestamp(row[name]) for name in (EVENT, CREATED)}
                examples.append(Example(kind, key, source=stamps))
            if len(examples) >= MOST_EXAMPLES:
                break
        return examples[:MOST_EXAMPLES]
