"""A table's stored rows against the rows its source has: what lacks, and what is late.

The source is read as a run would that looks at everything again, into a folder of its own, and
nothing is stored. Not for aggregations: ticks that are stored stay as they were served, whatever
arrived since.
"""

from __future__ import annotations

import tempfile
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from django.conf import settings

from lib.errors import Conflict
from lib.instants import timestamp
from materialization.compute.jobs import ComputeJob, Reading
from materialization.compute.scratch import own_folder
from materialization.edges import engine, offline_store, whereabouts
from materialization.errors import TEMP_PREFIX
from materialization.quality.consistency.findings import MISSING, MOST_EXAMPLES, Example, Findings
from materialization.quality.consistency.online import Compared
from materialization.queries import coverage, table_at
from materialization.readings import settled
from materialization.runner.looking import Work, refuse_changed, seen_parts
from materialization.sources.kinds import find_source
from materialization.stores.columns import CREATED, EVENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from materialization.compute.jobs import Computed
    from materialization.models import Certificate
    from materialization.sources.inputs import Part, SourceInput
    from materialization.stores.protocols import Snapshot
    from materialization.windows import Window
    from registry.spec.model import VersionSpec


class TicksAreKept(Conflict):
    code = "ticks_are_kept"


def compare_source(claimed: Certificate, *, watch: Callable[[float], None]) -> Compared:
    """Count the source's rows of covered windows that the table has, and those that it lacks.

    Of files that are as the last run saw them a row that lacks is a gap, ``missing``; of new and
    changed ones it is ``late``: the next run takes it. Rows that the source no longer has stay
    stored, and are not looked at.

    :raises TicksAreKept: the view aggregates.
    :raises SourceChangedWhileRead: what was read may be half the old and half the new.
    """
    table, spec = claimed.table, claimed.version.spec
    if spec.transform.makes_ticks:
        raise TicksAreKept(
            f"{claimed.version} aggregates: ticks that are stored stay as they were served,"
            " whatever arrived since, so there are no source rows to compare them with."
        )
    where = whereabouts(spec, table.feature_view.project)
    with where.telling():
        source = find_source(spec.rows_from, where)
        rest = timedelta(seconds=settings.SOURCE_SETTLE_SECONDS)
        parts = settled(source.parts(), now=time.time(), age=rest)
        # In this order: what is remembered or covered is stored by then.
        seen, covered = seen_parts(table), coverage(table)
        snapshot = offline_store().snapshot(table_at(table))
        same = {p.name for p in parts if p.name in seen and seen[p.name].identity == p.identity}
        found = Findings()
        for names in (same, {part.name for part in parts} - same):
            if names and covered:
                look = _Look(spec, source, parts, covered, snapshot, watch)
                look.count(found, names, is_late=names is not same)
    return Compared(found, covered[-1].end, snapshot.version)


class _Look:
    """One reading of some of a source's parts, compared with what is stored."""

    def __init__(
        self,
        spec: VersionSpec,
        source: SourceInput,
        parts: Sequence[Part],
        covered: Sequence[Window],
        snapshot: Snapshot,
        watch: Callable[[float], None],
    ) -> None:
        self._spec, self._source, self._parts = spec, source, parts
        self._covered, self._snapshot, self._watch = covered, snapshot, watch

    def count(self, found: Findings, names: set[str], *, is_late: bool) -> None:
        with tempfile.TemporaryDirectory(prefix=TEMP_PREFIX, dir=own_folder()) as staging:
            work = self._work(names, staging)
            assert work.job is not None  # noqa: S101 - made a line ago
            computed = engine().compute(work.job, watch=self._watch)
            refuse_changed(work)
            counted = computed.counters
            found.compared += counted.rows_read - counted.dropped_null_key
            if is_late:
                found.late += counted.late
            else:
                found.missing += counted.late
                found.examples += self._examples(computed)

    def _work(self, names: set[str], staging: str) -> Work:
        everything = frozenset(part.name for part in self._parts)
        others = everything - names
        reading = Reading(
            source=self._source.only(names),
            windows=tuple((window.start, window.end) for window in self._covered),
            unseen=True,
            others=self._source.only(others) if others else None,
        )
        job = ComputeJob(
            spec=self._spec,
            source=self._source.only(everything),
            window_end=self._covered[-1].end,
            state_files=self._snapshot.files,
            readings=(reading,),
            staging=staging,
        )
        return Work([], self._covered[-1].end, self._parts, reads=everything, job=job)

    def _examples(self, computed: Computed) -> list[Example]:
        """Name the first of the rows that lack."""
        keys = [key.name for key in self._spec.join_keys]
        examples: list[Example] = []
        for file in computed.files:
            first = pq.ParquetFile(file).iter_batches(
                MOST_EXAMPLES, columns=[*keys, EVENT, CREATED]
            )
            for row in next(first).to_pylist():
                key = ", ".join(f"{name}={str(row[name])[:200]}" for name in keys)
                stamps = {name: timestamp(row[name]) for name in (EVENT, CREATED)}
                examples.append(Example(MISSING, key, source=stamps))
            if len(examples) >= MOST_EXAMPLES:
                break
        return examples[:MOST_EXAMPLES]
