# ruff: noqa: S608 - the query is our own writing, the rest are numbers
"""Which of very many rows may be equal: the hashes that more than one of them has.

Not for telling whether they are: that takes their values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb
    from numpy.typing import NDArray

#: Of so many rows the hashes are looked at together; each takes 8 bytes.
_AT_ONCE = 16_000_000
_BATCH = 1_000_000


def alike(connection: duckdb.DuckDBPyConnection, query: str, rows: int) -> pa.Table:
    """Return the hashes ``h`` that more than one row has; ``query`` gives that of each.

    Sorting numbers takes a tenth of the time in which an engine groups by them. ``rows`` is how
    many there are at most.
    """
    parts = 1 + rows // _AT_ONCE
    found: list[NDArray[np.uint64]] = []
    for part in range(parts):
        some = f" WHERE h % {parts:d} = {part:d}" if parts > 1 else ""
        seen, count = np.empty(min(rows, 2 * _AT_ONCE + _BATCH), np.uint64), 0
        for hashes in _read(connection, f"SELECT h FROM ({query}){some}"):
            if count + len(hashes) > len(seen):  # one is there very often
                count = _note(found, seen[:count])
            seen[count : count + len(hashes)] = hashes
            count += len(hashes)
        _note(found, seen[:count])
    return pa.table({"h": np.unique(np.concatenate(found))})


def _note(found: list[NDArray[np.uint64]], seen: NDArray[np.uint64]) -> int:
    """Note which of ``seen`` are there again; leave one of each in front, and return how many."""
    seen.sort()
    again = seen[1:] == seen[:-1]
    found.append(np.unique(seen[1:][again]))
    once = seen[np.concatenate(([True], ~again))] if found[-1].size else seen
    seen[: len(once)] = once
    return len(once)


def _read(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[NDArray[np.uint64]]:
    for batch in connection.sql(query).to_arrow_reader(_BATCH):
        yield batch.column(0).to_numpy()
