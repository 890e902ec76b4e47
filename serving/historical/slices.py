"""Tables piece by piece, so that what is made of one is never there as a whole. [pure]

Not for what is made: ``answers`` and ``answer_json`` do that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

#: Rows of a piece: enough that each costs little, so few that all its values as Python's do too.
MOST_ROWS = 65_536
#: Bytes of a piece in Arrow: rows of wide columns make smaller ones.
_MOST_BYTES = 32 << 20


def slices(table: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows in order, some at a time; of a table without rows itself."""
    size = rows_at_a_time(table)
    for start in range(0, max(table.num_rows, 1), size):
        yield table.slice(start, size)


def rows_at_a_time(table: pa.Table) -> int:
    wide = int(table.get_total_buffer_size()) // max(table.num_rows, 1) + 1
    fitting: int = min(MOST_ROWS, _MOST_BYTES // wide)
    return max(1, fitting)
