"""Views that aggregate: the kind of transform whose rows are ticks.

Not for the stages of the computation (``run``) or for what a function does (``aggregates``).
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from lib.instants import from_us, to_us
from materialization.compute.reports import Counters
from materialization.ticks import first_tick
from materialization.transforms.aggregation import correcting
from materialization.transforms.aggregation.aggregates import argument_cast
from materialization.transforms.aggregation.conditions import truth_cast, with_truths
from materialization.transforms.aggregation.deriving import check_derived
from materialization.transforms.aggregation.fit_rows import fit_rows
from materialization.transforms.aggregation.run import aggregate, schedule_of
from materialization.transforms.aggregation.trimming import trimmed
from materialization.transforms.base import base_casts
from materialization.transforms.fit_rows import LABEL_TYPE, labels_of
from materialization.transforms.rows import Check, Query, Rows
from registry.spec.model import FeatureSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb

    from materialization.compute.jobs import ComputeJob, FitJob
    from materialization.compute.limits import EngineLimits
    from materialization.sources.reading import OpenedSource
    from materialization.transforms.aggregation.run import Aggregated
    from materialization.transforms.rows import Opening, Rehearsal
    from registry.spec.aggregations import AggregateOutput
    from registry.spec.encodes import FitRange
    from registry.spec.version_spec import VersionSpec


class AggregationsKind:
    @contextmanager
    def entering(
        self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec, limits: EngineLimits
    ) -> Iterator[Rehearsal]:
        def rehearse(opened: OpenedSource, *, sees_rows: bool) -> dict[str, Any]:
            check_derived(connection, spec.view)
            return {}

        yield rehearse

    def relation(self, spec: VersionSpec, reader: str, beside: Sequence[str] = ()) -> str:
        return with_truths(spec.view, reader)

    def checks(self, spec: VersionSpec, columns: Mapping[str, str]) -> Iterator[Check]:
        places: dict[str, tuple[int, AggregateOutput]] = {}
        for index, aggregation in enumerate(spec.view.aggregations):
            if aggregation.where is not None:
                path = ("aggregations", index, "where")
                yield Check(path, partial(truth_cast, spec.view, aggregation.where))
            places |= {name: (index, output) for name, output in aggregation.outputs().items()}
        for feature in [each for each in spec.features if each.sql is None]:
            index, output = places[feature.source_column]
            make = partial(argument_cast, output, feature.unencoded, spec, columns)
            yield Check(("aggregations", index, "column"), make)
        for label_path, name in labels_of(spec.features):
            label = FeatureSpec(name=name, type=str(LABEL_TYPE))
            make = partial(argument_cast, places[name][1], label, spec, columns)
            yield Check(label_path, make)

    def rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        job: ComputeJob,
        open_part: Opening,
        limits: EngineLimits,
    ) -> Rows:
        source = open_part(job.source)
        done = aggregate(
            connection,
            job,
            columns=source.columns,
            relation=source.relation,
            slice_rows=limits.slice_rows,
        )
        if job.corrects_at is not None:
            corrected = _Corrections(connection, job, done, source)
            return Rows(corrected.queries(), 1, corrected.counted, done.events)
        return Rows(map(Query, done.queries), done.slices, lambda: done.counters, done.events)

    def fit_rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        job: FitJob,
        features: Sequence[FeatureSpec],
        at: FitRange,
        opened: OpenedSource,
        limits: EngineLimits,
    ) -> Iterator[str]:
        return fit_rows(connection, job, features, at, opened, slice_rows=limits.slice_rows)


class _Corrections:
    """Ticks computed again: one query, of those that are stored otherwise, once all are there."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        job: ComputeJob,
        done: Aggregated,
        source: OpenedSource,
    ) -> None:
        self._connection, self._job, self._done = connection, job, done
        self._source = source
        self._counts = (0, 0, 0, 0)
        self._whole: correcting.Whole | None = None

    def queries(self) -> Iterator[Query]:
        job, spec = self._job, self._job.spec
        if job.corrects_at is None or not job.state_files:
            return
        fresh = False
        for query in self._done.queries:
            into = "INSERT INTO fresh" if fresh else "CREATE TEMP TABLE fresh AS"
            self._connection.execute(f"{into} {correcting.fresh_sql(spec, query)}")
            fresh = True
        if not fresh:  # not a single row is left to aggregate
            return
        end = job.window_end
        self._create("stored", correcting.stored_sql(spec, job.state_files, job.window_start, end))
        self._whole = self._found_whole()
        compared = correcting.compared_sql(spec, self._whole, carries=job.only_compares)
        self._create("compared", compared)
        self._counts = self._connection.execute(correcting.COUNTS).fetchall()[0]
        new, corrected, *_ = self._counts
        yield Query(correcting.corrections_sql(spec, job.corrects_at), new + corrected)

    def _found_whole(self) -> correcting.Whole | None:
        """Return since when the source has all of every window; None: nothing was trimmed.

        It was where a tick is stored before its first row, or its first row was an earlier one.
        """
        spec, known = self._job.spec, self._job.first_event
        event = base_casts(spec, self._source.columns).event.strict
        earliest = self._one(f"SELECT epoch_us(min({event})) FROM {self._source.relation}")  # noqa: S608
        first = self._one(correcting.first_sql(self._job.state_files))
        if earliest is None or first is None:
            return None
        if min(first, first if known is None else to_us(known)) >= earliest:
            return None
        if spec.view.is_unbounded:
            raise trimmed(from_us(earliest), known or from_us(first))
        since = from_us(earliest) + spec.view.longest_window
        tick = first_tick(schedule_of(spec), since)
        start, end = self._job.window_start, self._job.window_end
        is_inside = tick <= end and (start is None or tick > start)
        return correcting.Whole(since, tick if is_inside else None)

    def _one(self, sql: str) -> int | None:
        found: int | None = self._connection.execute(sql).fetchall()[0][0]
        return found

    def counted(self) -> Counters:
        new, corrected, equal, gone = self._counts
        return msgspec.structs.replace(
            self._done.counters,
            late=new + corrected,
            corrected=corrected,
            already_stored=equal,
            gone=gone,
            whole_from=None if self._whole is None else self._whole.since,
        )

    def _create(self, name: str, sql: str) -> None:
        self._connection.execute(f"CREATE TEMP TABLE {name} AS {sql}")
