"""Rows of an answer as a table that lies in a file: what is not looked at takes no memory.

Not for rows that are kept (``stores``): such a file has no name any more once it is read.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc

from materialization.errors import EngineLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Iterable


def spooled(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, directory: str, most_mb: int
) -> pa.Table:
    """Write the batches, cast to ``schema``, into a file in ``directory``; return what maps it.

    The file is removed at once: the system frees its place with the last column of the table.

    :raises EngineLimitExceeded: it would take more than ``most_mb`` of the disk.
    """
    with tempfile.NamedTemporaryFile(dir=directory, suffix=".arrow") as file:
        with pa.OSFile(file.name, "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch.cast(schema))
                if sink.tell() > most_mb << 20:
                    raise EngineLimitExceeded(
                        f"the answer takes more than {most_mb} MB of the server's disk; ask for"
                        " fewer rows or features.",
                        limit="disk",
                    )
        return pa.ipc.open_file(pa.memory_map(file.name)).read_all()
