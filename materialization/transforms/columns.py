# ruff: noqa: S608 - names go through identifier(), the rest are names of our own
"""Views that take the source's rows one by one: its columns, as the definition names them.

Not for windows over several rows: ``aggregation`` has those. Typed rows are those of
``typed_rows``.
"""

from __future__ import annotations

import math
import sys
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from lib.sql_text import key_list
from materialization.compute.jobs import ComputeJob
from materialization.compute.reports import Counters
from materialization.placeholder_dates import count_apart, counts_sql
from materialization.transforms.arrival import (
    later_than,
    roughly_taken,
    taken,
    window_number,
)
from materialization.transforms.base import no_key_sql
from materialization.transforms.fit_rows import LABEL_TYPE, labels_of, rows_in_range
from materialization.transforms.masking import stored_cast
from materialization.transforms.rows import AllSql, Check, Query, Rows, declared, whole
from materialization.transforms.stretches import moments_sql
from materialization.transforms.typed_rows import named_columns, typed_rows
from materialization.transforms.unseen import (
    corrected_sql,
    gone_sql,
    lost_sql,
    marked_sql,
    near_sql,
    newest_sql,
    unseen_sql,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb

    from materialization.compute.jobs import FitJob, Reading, SplitJob
    from materialization.compute.limits import EngineLimits
    from materialization.sources.inputs import SourceInput
    from materialization.sources.reading import OpenedSource
    from materialization.transforms.rows import Opening
    from registry.spec.encodes import FitRange
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec


class ColumnsKind(AllSql):
    """The source's columns as they are, cast to the declared types."""

    def relation(self, spec: VersionSpec, reader: str, beside: Sequence[str] = ()) -> str:
        return whole(reader)

    def checks(self, spec: VersionSpec, columns: Mapping[str, str]) -> Iterator[Check]:
        for index, feature in enumerate(spec.features):
            path = ("features", index, "column" if feature.column else "name")
            yield Check(path, partial(stored_cast, feature, columns))
        for label_path, label in labels_of(spec.features):
            yield Check(label_path, partial(declared, label, LABEL_TYPE, columns))

    def rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        job: ComputeJob,
        open_part: Opening,
        limits: EngineLimits,
    ) -> Rows:
        work = _RowWork(connection, job, open_part, limits.compared_rows)
        return Rows(work.queries(), len(job.all_readings()), work.counted)

    def fit_rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        job: FitJob,
        features: Sequence[FeatureSpec],
        at: FitRange,
        opened: OpenedSource,
        limits: EngineLimits,
    ) -> Iterator[str]:
        yield rows_in_range(job.spec, features, at, opened)


class _RowWork:
    """The readings of one job, one after the other, and what was counted on the way."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        job: ComputeJob,
        open_part: Opening,
        compared_rows: int,
    ) -> None:
        self._connection, self._job, self._compared_rows = connection, job, compared_rows
        self._open, self._spec = open_part, job.spec
        self._read = self._without_time = self._without_key = self._had = self._late = 0
        self._corrected = self._placeholders = 0
        self._lost: int | None = None
        self._has_later: list[str] = []

    def queries(self) -> Iterator[Query]:
        for reading in self._job.all_readings():
            yield self._unseen(reading) if reading.unseen else self._taken(reading)

    def counted(self) -> Counters:
        return Counters(
            rows_read=self._read,
            dropped_null_key=self._without_key,
            dropped_null_time=self._without_time,
            already_stored=self._had,
            late=self._late,
            placeholder_times=self._placeholders,
            corrected=self._corrected,
            gone=self._lost,
            has_later=tuple(self._has_later),
        )

    def _taken(self, reading: Reading) -> Query:
        """Count the rows of the reading's windows; return the query for those that are usable.

        Rows without an event time belong to no window and are counted by each reading.
        """
        spec, opened = self._spec, self._open(reading.source)
        typed = typed_rows(spec, opened.columns, relation=opened.relation)
        wanted, key = taken(spec, reading.windows), no_key_sql(spec)
        usable = f"({wanted}) AND NOT ({key})"
        without_time, read, without_key, beyond, days, moments = self._connection.execute(
            f"SELECT count(*) FILTER (WHERE e IS NULL), count(*) FILTER (WHERE {wanted}),"
            f" count(*) FILTER (WHERE ({wanted}) AND ({key})),"
            f" count(*) FILTER (WHERE {later_than(spec, self._job.window_end)}),"
            f" {counts_sql('epoch_us(e)', usable)}, {moments_sql(usable)} FROM ({typed})"
        ).fetchall()[0]
        self._placeholders += count_apart(days)
        self._read += read + without_time
        self._without_time += without_time
        self._without_key += without_key
        if beyond:
            self._note_beyond(reading.source)
            if len(reading.source.paths) > 1:  # they were opened apart, which may have moved rows
                opened = self._open(reading.source)
        named = named_columns(spec, reading.known_since)
        roughly = roughly_taken(spec, reading.windows, opened.columns)
        near = f"(SELECT * FROM {opened.relation} WHERE {roughly})"
        typed = typed_rows(spec, opened.columns, relation=near)
        sql = f"SELECT {named} FROM ({typed}) WHERE ({wanted}) AND NOT ({key})"
        return Query(sql, read - without_key, moments)

    def _note_beyond(self, source: SourceInput) -> None:
        """Note the parts that a later run has to open again, though they stay as they are.

        All of a few where one has such rows: the next run looks at fewer.
        """
        count = len(source.paths)
        few = math.isqrt(count)
        for first in range(0, count, few):
            some = source.only(source.paths[first : first + few])
            if few == count or self._goes_beyond(self._typed(some)):
                self._has_later += some.paths

    def _goes_beyond(self, typed: str) -> bool:
        later = later_than(self._spec, self._job.window_end)
        # To its end: the next reading cannot begin while this answer is not read out.
        rows = self._connection.execute(f"SELECT 1 FROM ({typed}) WHERE {later} LIMIT 1").fetchall()
        return bool(rows)

    def _unseen(self, reading: Reading) -> Query:
        """Count the rows of the reading's windows; return the query for those not stored yet."""
        spec, key = self._spec, no_key_sql(self._spec)
        wanted = taken(spec, reading.windows)
        self._create("rows_again", f"SELECT * FROM ({self._typed(reading.source)}) WHERE {wanted}")
        read, without_key = self._one(
            f"SELECT count(*), count(*) FILTER (WHERE {key}) FROM rows_again"
        )
        self._read += read
        self._without_key += without_key
        self._connection.execute(f"DELETE FROM rows_again WHERE {key}")
        slices = 1 + (read - without_key) // self._compared_rows
        for number in range(slices):
            some = f"hash({key_list(spec.join_keys)}, e) % {slices:d} = {number:d}"
            self._compare(reading, some if slices > 1 else None, into="unseen", first=number == 0)
        late, moments = self._connection.execute(
            f"SELECT count(*), {moments_sql('true')} FROM unseen"
        ).fetchall()[0]
        self._late += late
        self._had += read - without_key - late
        sql = f"SELECT {named_columns(spec, reading.known_since)} FROM unseen"
        return Query(sql, late, moments)

    def _compare(self, reading: Reading, some: str | None, *, into: str, first: bool) -> None:
        """Put those rows of ``rows_again`` that are not stored yet into a table, and count them.

        With ``some``, a condition on keys and event, only those: nothing is compared beyond these.
        """
        spec = self._spec
        rows = "rows_again" if some is None else f"(SELECT * FROM rows_again WHERE {some})"
        self._create("near", near_sql(spec, rows, self._job.state_files))
        self._create("marked", marked_sql(spec, rows, "near"))
        self._create("newest", newest_sql(spec, "marked", "near"))
        found = unseen_sql(spec, "marked", self._gone(reading))
        if first:
            self._create(into, found)
        else:
            self._connection.execute(f"INSERT INTO {into} {found}")
        # Those of other slices share no entity and time with what is near this one.
        self._corrected += self._one(corrected_sql(spec, into, "near"))[0]
        if reading.others is None or reading.counts_gone:
            self._lost = (self._lost or 0) + self._count_lost(reading, some)

    def _count_lost(self, reading: Reading, some: str | None) -> int:
        """Return how many stored moments of the windows the source has no row of any more."""
        within = taken(self._spec, reading.windows)
        within = within if some is None else f"({within}) AND {some}"
        rows = "marked"
        if reading.others is not None:
            moment = f"{key_list(self._spec.join_keys)}, e"
            others = f"SELECT {moment} FROM ({self._typed(reading.others)})"
            rows = f"(SELECT {moment} FROM marked UNION ALL {others}) AS everywhere"
        return self._one(lost_sql(self._spec, rows, self._job.state_files, within))[0]

    def _gone(self, reading: Reading) -> str:
        """Create the table of stored values that no part of the source has any more; name it."""
        self._create("gone", gone_sql(self._spec, "newest", "marked"))
        if reading.others is None or not self._one("SELECT count(*) FROM gone")[0]:
            return "gone"
        others = f"({self._typed(reading.others)})"
        self._create("gone_everywhere", gone_sql(self._spec, "gone", others))
        return "gone_everywhere"

    def _typed(self, source: SourceInput) -> str:
        opened = self._open(source)
        return typed_rows(self._spec, opened.columns, relation=opened.relation)

    def _create(self, name: str, sql: str) -> None:
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")

    def _one(self, sql: str) -> tuple[int, ...]:
        return self._connection.execute(sql).fetchall()[0]


class WindowRows(NamedTuple):
    """What one of several windows counts, and the ``moments`` of its rows (``Query``)."""

    counters: Counters
    moments: Sequence[int] | None = None


def split_rows(
    connection: duckdb.DuckDBPyConnection, job: SplitJob, open_part: Opening
) -> tuple[str, list[WindowRows]]:
    """Return the query for the usable rows of all the job's windows, and what each window counts.

    Where a window is not the last, each part of the source may have later rows.
    """
    spec, ends = job.spec, job.ends
    whole_job = ComputeJob(spec, job.source, ends[-1], job.window_start)
    work = _RowWork(connection, whole_job, open_part, sys.maxsize)  # nothing is compared
    query = next(work.queries())
    opened = open_part(job.source)
    typed = typed_rows(spec, opened.columns, relation=opened.relation)
    wanted, key = taken(spec, [(job.window_start, ends[-1])]), no_key_sql(spec)
    found = connection.execute(
        f"SELECT {window_number(spec, ends)} AS part, count(*), count(*) FILTER (WHERE {key}),"
        f" {counts_sql('epoch_us(e)', f'NOT ({key})')}, {moments_sql(f'NOT ({key})')}"
        f" FROM ({typed}) WHERE {wanted} GROUP BY part"
    ).fetchall()
    all_of = work.counted()
    without_time, last = all_of.dropped_null_time, len(ends) - 1
    none = Counters(rows_read=without_time, dropped_null_time=without_time)
    windows = [WindowRows(none) for _ in ends]
    for part, read, without_key, days, moments in found:
        counted = replace(
            none,
            rows_read=read + without_time,
            dropped_null_key=without_key,
            placeholder_times=count_apart(days),
            rows=read - without_key,
        )
        windows[part] = WindowRows(counted, moments)
    later = [all_of.has_later if n == last else tuple(job.source.paths) for n in range(last + 1)]
    return query.sql, [
        window._replace(counters=replace(window.counters, has_later=has))
        for window, has in zip(windows, later, strict=True)
    ]
