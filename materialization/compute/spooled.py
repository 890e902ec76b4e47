"""Rows of an answer as a table that lies in a file: what is not looked at takes no memory.

Not for rows that are kept (``stores``): such a file has no name any more once it is read.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import pyarrow as pa
import pyarrow.ipc

from materialization.errors import EngineLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import duckdb

    from materialization.compute.limits import EngineLimits

    Through = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]

    class Spool(Protocol):
        """Lay the rows that are found, as ``through`` makes them, into a table of the schema."""

        def __call__(
            self, found: duckdb.DuckDBPyRelation, schema: pa.Schema, through: Through = iter
        ) -> pa.Table: ...


class DiskBudget:
    """What one question may take of the disk: its answers, and what is spilled beside them.

    What an answer took stays taken, as its rows are there for as long as somebody looks at them.
    """

    def __init__(self, limits: EngineLimits) -> None:
        self._limits, self._answers = limits, 0

    def left(self) -> EngineLimits:
        """Return the limits of a session that spills no more than there is left."""
        left = (self._limits.temp_limit_mb << 20) - self._answers
        return msgspec.structs.replace(self._limits, temp_limit_mb=max(1, left >> 20))

    def of(self, session: duckdb.DuckDBPyConnection) -> Spool:
        """Return what brings rows that are found out of a session."""
        spill: str = session.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]

        def spool(
            found: duckdb.DuckDBPyRelation, schema: pa.Schema, through: Through = iter
        ) -> pa.Table:
            batches = through(found.to_arrow_reader(self._limits.batch_rows))
            return self.spooled(batches, schema, spill=spill)

        return spool

    def spooled(
        self, batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, spill: str
    ) -> pa.Table:
        """Write the batches, cast to ``schema``, into a file; return what maps it.

        ``spill`` is where the session that gives them spills. The file is removed at once: the
        system frees its place with the last column of the table.

        :raises EngineLimitExceeded: there is no more room.
        """
        directory = self._limits.temp_root or tempfile.gettempdir()
        with tempfile.NamedTemporaryFile(dir=directory, suffix=".arrow") as file:
            with pa.OSFile(file.name, "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch.select(schema.names).cast(schema))
                    self._check(sink.tell() + _size(spill))
            self._answers += Path(file.name).stat().st_size
            return pa.ipc.open_file(pa.memory_map(file.name)).read_all()

    def _check(self, beside: int) -> None:
        most_mb = self._limits.temp_limit_mb
        if self._answers + beside > most_mb << 20:
            raise EngineLimitExceeded(
                f"the answer takes more than {most_mb} MB of the server's disk; ask for fewer rows"
                " or features.",
                limit="disk",
            )


def _size(folder: str) -> int:
    """Return the bytes of a folder's files, of which some may go meanwhile."""
    size = 0
    with contextlib.suppress(FileNotFoundError):
        for file in Path(folder).iterdir():
            with contextlib.suppress(FileNotFoundError):
                size += file.stat().st_size
    return size
