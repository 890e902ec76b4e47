# ruff: noqa: S608 - names are quoted, instants are written by us
"""Finding a PostgreSQL source, and writing the rows that a job reads into one Parquet file.

Not for the transaction they are read in (``session``) or for how types travel (``columns``).
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

import adbc_driver_manager
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lib.errors import did_you_mean
from materialization.errors import (
    SourceDrifted,
    SourceFileUnsupported,
    SourceRefused,
    SourceTooLarge,
)
from materialization.finding.fetching import Fetched
from materialization.finding.postgres.columns import quoted
from materialization.finding.postgres.facts import columns_of, from_sql, identity_of, size_of
from materialization.finding.postgres.session import session, told
from materialization.finding.postgres.when import wanted_sql
from materialization.sources.inputs import LinkedRows, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adbc_driver_postgresql import dbapi

    from materialization.finding.fetching import Wanted
    from materialization.finding.links import Link
    from materialization.finding.postgres.columns import Carried, Carrying
    from materialization.finding.postgres.session import Session
    from registry.spec.sources.postgres import PostgresSource

#: How often somebody may stop a reading, in seconds.
_LOOKED_AT_EVERY_S = 0.5
#: What the driver makes of ``infinity``, either of them: beyond every day the server has.
_LAST_US, _FIRST_US = 9_220_000_000_000_000_000, -220_000_000_000_000_000
_LAST_DAY, _FIRST_DAY = 2_146_000_000, -3_000_000


class PostgresFinder:
    """One table, view or query; it is one part, which changes and does not tell."""

    def try_link(self, link: Link) -> None:
        with session(link):
            pass

    def find(self, source: PostgresSource, where: Link) -> LinkedRows:
        with session(where) as opened:
            columns_of(opened, source)  # refuses what is no source at all
            identity, size = identity_of(opened, source), size_of(opened, source)
        part = Part(where.words(source), identity, 0.0, size, grows=True)
        return LinkedRows(source, where.project, where.connection.identity, (part,))

    def fetch(
        self, rows: LinkedRows, wanted: Wanted, folder: str, watch: Callable[[], None], link: Link
    ) -> Fetched:
        """Write the rows into a file of the folder; see ``fetching.Fetch``.

        :raises SourceUnavailable, SourceRefused, SourceTooLarge, SourceFileUnsupported: as named.
        """
        source, path = cast("PostgresSource", rows.source), str(Path(folder, "rows.parquet"))
        (part,) = rows.parts()
        with session(link) as opened:
            carrying = columns_of(opened, source)
            columns = _chosen(carrying, wanted, link.words(source))
            sql = _select(source, carrying, columns, wanted)
            count = _Reading(opened, link, source, columns, path).run(sql, watch)
        is_part = wanted.most_rows is not None and count > wanted.most_rows
        refused = [f"{why[:-1]}: it is left out." for why in carrying.refused.values()]
        return Fetched({part.name: path}, notes=(*carrying.notes, *refused), is_part=is_part)


def _chosen(carrying: Carrying, wanted: Wanted, words: str) -> list[Carried]:
    """Return the columns that are read.

    :raises SourceFileUnsupported: one that has to be there is of a type that nothing keeps.
    :raises SourceDrifted: a run reads one that is not there any more; no row was read for it.
    """
    for name in sorted(wanted.columns or ()):
        if name in carrying.refused:
            raise SourceFileUnsupported(f"{words}: {carrying.refused[name]}")
    if not wanted.only_those or wanted.columns is None:
        return list(carrying.columns)
    if gone := sorted(wanted.columns - wanted.own - carrying.kinds.keys()):
        raise SourceDrifted(
            f"{words}: the source has no column {gone[0]!r} any more, which the version"
            f" reads.{did_you_mean(gone[0], sorted(carrying.kinds))} Bring it back, or submit a"
            " version without it."
        )
    return [each for each in carrying.columns if each.name in wanted.columns]


def _select(
    source: PostgresSource, carrying: Carrying, columns: Sequence[Carried], wanted: Wanted
) -> str:
    named = ", ".join(f"{each.sql} AS {quoted(each.name)}" for each in columns)
    condition = wanted_sql(source, carrying.kinds, wanted)
    # One more than is wanted tells that there are more.
    limit = "" if wanted.most_rows is None else f" LIMIT {wanted.most_rows + 1:d}"
    return f"SELECT {named} FROM {from_sql(source)} WHERE {condition}{limit}"


class _Reading:
    """The rows on their way into a file, in a thread of their own: anybody may stop them."""

    def __init__(
        self,
        opened: Session,
        link: Link,
        source: PostgresSource,
        columns: Sequence[Carried],
        path: str,
    ) -> None:
        self._opened, self._link, self._source = opened, link, source
        self._columns, self._path = columns, path
        self._cursor: dbapi.Cursor | None = None
        self._failed: BaseException | None = None
        self._rows = 0

    def run(self, sql: str, watch: Callable[[], None]) -> int:
        """Read to the end; return how many rows there were. What ``watch`` raises ends it."""
        until = time.monotonic() + self._link.timeout_s
        thread = threading.Thread(target=self._write_all, args=(sql,), daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_LOOKED_AT_EVERY_S)
                watch()
                if time.monotonic() > until:
                    raise self._link.took_too_long(self._words)
        finally:
            while thread.is_alive():
                self._stop()
                thread.join(_LOOKED_AT_EVERY_S)
        if self._failed is not None:
            raise self._failed
        return self._rows

    @property
    def _words(self) -> str:
        return self._link.words(self._source)

    def _stop(self) -> None:
        if self._cursor is not None:
            with suppress(adbc_driver_manager.Error):  # it has just ended
                self._cursor.adbc_cancel()

    def _write_all(self, sql: str) -> None:
        try:
            with told(self._link), self._opened.cursor() as cursor:
                self._cursor = cursor
                cursor.execute(sql)
                self._write(cursor.fetch_record_batch())
        except BaseException as exc:  # noqa: BLE001 - whoever waits for the rows raises it
            self._failed = exc

    def _write(self, batches: pa.RecordBatchReader) -> None:
        writer = None
        try:
            for batch in batches:
                made = self._made(batch)
                if writer is None:
                    writer = pq.ParquetWriter(self._path, made.schema, compression="zstd")
                writer.write_batch(made)
                self._rows += batch.num_rows
                if Path(self._path).stat().st_size > self._link.most_bytes:
                    raise SourceTooLarge(
                        f"{self._words} has more than {self._link.most_bytes >> 20:,} MB to read at"
                        " once; read less of it, or raise SOURCE_STAGING_MB."
                    )
            if writer is None:  # no batch at all: the file says which columns there are
                nothing = self._made(pa.RecordBatch.from_pylist([], schema=batches.schema))
                writer = pq.ParquetWriter(self._path, nothing.schema)
        finally:
            if writer is not None:
                writer.close()

    def _made(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch with every column in the form it is kept in."""
        made = [self._column(batch.column(place), each) for place, each in enumerate(self._columns)]
        return pa.RecordBatch.from_arrays(made, names=[each.name for each in self._columns])

    def _column(self, values: pa.Array, carried: Carried) -> pa.Array:
        if isinstance(values, pa.ExtensionArray):
            values = values.storage
        if carried.arrow is not None:
            return self._decimals(values, carried)
        each = pc.list_flatten(values) if pa.types.is_list(values.type) else values
        if pa.types.is_timestamp(each.type):
            self._refuse_endless(pc.cast(each, pa.int64()), carried, _FIRST_US, _LAST_US)
        elif pa.types.is_date32(each.type):
            self._refuse_endless(pc.cast(each, pa.int32()), carried, _FIRST_DAY, _LAST_DAY)
        return values

    def _decimals(self, values: pa.Array, carried: Carried) -> pa.Array:
        try:
            return pc.cast(values, carried.arrow)
        except pa.ArrowInvalid:
            raise SourceRefused(
                f"{self._words}: column {carried.name!r} holds NaN or infinity, which no decimal"
                " is; leave those rows out in a `query`, or cast the column to float8 there."
            ) from None

    def _refuse_endless(self, numbers: pa.Array, carried: Carried, first: int, last: int) -> None:
        ends = pc.min_max(numbers).as_py()
        if ends["min"] is not None and not first <= ends["min"] <= ends["max"] <= last:
            raise SourceRefused(
                f"{self._words}: column {carried.name!r} holds infinity, which is no instant;"
                " make it null, or leave those rows out, in a `query`."
            )
