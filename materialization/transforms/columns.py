# ruff: noqa: S608 - names go through identifier(), the rest are names of our own
"""Views that take the source's rows one by one: its columns, as the definition names them.

Not for windows over several rows: ``aggregation`` has those.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from lib.sql_text import identifier
from materialization.compute.jobs import Counters
from materialization.stores.columns import CREATED, EVENT
from materialization.transforms.arrival import arrived_in
from materialization.transforms.base import base_casts, no_key_sql
from materialization.transforms.rows import Check, Rows, declared, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    import duckdb
    import pyarrow as pa

    from materialization.compute.jobs import ComputeJob
    from materialization.compute.limits import EngineLimits
    from materialization.sources.reading import OpenedSource
    from registry.spec.model import VersionSpec

#: Columns of the answer that say why a row is dropped; the reader takes them off.
NO_KEY, NO_TIME = "__no_key", "__no_time"


class ColumnsKind:
    """The source's columns as they are, cast to the declared types."""

    def relation(self, spec: VersionSpec, reader: str) -> str:
        return whole(reader)

    def checks(self, spec: VersionSpec, columns: Mapping[str, str]) -> Iterator[Check]:
        for index, feature in enumerate(spec.features):
            path = ("features", index, "column" if feature.column else "name")
            yield Check(path, partial(declared, feature.source_column, feature.value_type, columns))

    def rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        job: ComputeJob,
        source: OpenedSource,
        limits: EngineLimits,
    ) -> Rows:
        query = row_query(
            job.spec,
            source.columns,
            relation=source.relation,
            window_start=job.window_start,
            window_end=job.window_end,
        )
        usable = UsableRows(connection.sql(query).to_arrow_reader(limits.batch_rows))
        return Rows(usable.batches(), usable.counted)


class UsableRows:
    """Batches without the rows that have no key or no time, and how many of each there were."""

    def __init__(self, marked: Iterable[pa.RecordBatch]) -> None:
        self._marked = marked
        self._read = self._without_time = self._without_key = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self._marked:
            no_time, no_key = batch.column(NO_TIME), batch.column(NO_KEY)
            unusable = pc.or_(no_time, no_key)
            without_time = pc.sum(no_time).as_py() or 0
            self._read += batch.num_rows
            self._without_time += without_time
            self._without_key += (pc.sum(unusable).as_py() or 0) - without_time
            yield batch.drop_columns([NO_TIME, NO_KEY]).filter(pc.invert(unusable))

    def counted(self) -> Counters:
        return Counters(
            rows_read=self._read,
            dropped_null_key=self._without_key,
            dropped_null_time=self._without_time,
        )


def row_query(
    spec: VersionSpec,
    columns: Mapping[str, str],
    *,
    relation: str,
    window_start: datetime | None,
    window_end: datetime,
) -> str:
    """Return the rows that became visible in ``(window_start, window_end]``.

    Input:  ``relation``, a sub-select with ``columns``.
    Output: join keys, event_timestamp, created_timestamp, features, ``__no_key``, ``__no_time``.
    A row is visible from ``greatest(event, created)`` on. Rows before ``view.start`` (by event) are
    left out. Rows without an event time belong to no window and come in each, to be counted.

    :raises UnknownColumn: a column the source does not have.
    :raises SourceValueInvalid: a column whose type cannot become the declared one.
    """
    base = base_casts(spec, columns)
    features = [declared(each.source_column, each.value_type, columns) for each in spec.features]
    inner = ", ".join(
        [
            *(f"{key.strict} AS k{i}" for i, key in enumerate(base.keys)),
            f"{base.event.strict} AS e",
            f"{base.created_sql} AS c",
            *(f"{feature.strict} AS f{i}" for i, feature in enumerate(features)),
        ]
    )
    outer = ", ".join(
        [
            *(f"k{i} AS {identifier(key.name)}" for i, key in enumerate(spec.join_keys)),
            f"e AS {EVENT}, c AS {CREATED}",
            *(f"f{i} AS {identifier(feature.name)}" for i, feature in enumerate(spec.features)),
            f"({no_key_sql(spec)}) AS {NO_KEY}, (e IS NULL) AS {NO_TIME}",
        ]
    )
    wanted = arrived_in(spec, window_start, window_end)
    return f"SELECT {outer} FROM (SELECT {inner} FROM {relation}) WHERE e IS NULL OR ({wanted})"
