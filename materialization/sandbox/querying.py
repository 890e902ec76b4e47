# ruff: noqa: S608 - the relation is our own writing
"""The rows that a SELECT over a source gives, as they are, in one file.

Not for what is stored: rows of views are computed, checked and staged (``staging``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc

if TYPE_CHECKING:
    import duckdb

    from materialization.compute.jobs import QueryJob
    from materialization.sources.reading import OpenedSource

#: Rows that are written at a time.
_AT_ONCE = 50_000


def query(connection: duckdb.DuckDBPyConnection, job: QueryJob, opened: OpenedSource) -> str:
    """Write the rows and return the file; it ends early once it is larger than it may be.

    An Arrow stream is as large as what is read of it: nothing is packed in it.
    """
    file = Path(job.staging) / "rows.arrow"
    rows = connection.execute(f"SELECT * FROM {opened.relation} LIMIT {job.most_rows:d}")
    batches: pa.RecordBatchReader = rows.to_arrow_reader(_AT_ONCE)
    with file.open("wb") as sink, pa.ipc.new_stream(sink, batches.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
            if sink.tell() > job.most_bytes:
                break
    return str(file)
