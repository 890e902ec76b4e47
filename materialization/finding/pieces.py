"""The beginning of an object that is too large to be copied whole for somebody who plans.

Of Parquet the first row groups, of text whole lines; as a file that reads as the object would. Not
for objects that are copied whole (``bucket``), nor for opening them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from materialization.errors import SourceUnreadable
from materialization.finding.parquet_head import BadFooter, with_first_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK, _MAGIC = 4 << 20, b"PAR1"
#: A footer above is taken for none.
_MOST_FOOTER = 256 << 20


def head_of_text(
    read: Callable[[int], bytes], path: str, name: str, *, most_bytes: int, quotes: bool
) -> None:
    """Write the first lines of a text, about ``most_bytes``; all of it where it has no more.

    With ``quotes`` a line ends where no quote is open, as in CSV.

    :raises SourceUnreadable: no line ends where it is to be cut.
    """
    size = opened = 0
    with Path(path).open("wb") as file:
        while size < most_bytes and (chunk := read(_CHUNK)):
            is_open, opened = opened, (opened + chunk.count(b'"') if quotes else 0) % 2
            file.write(chunk)
            begin, size = size, size + len(chunk)
        if size < most_bytes:
            return
        end = _last_end(chunk, is_open=bool(is_open), quotes=quotes)
        if end is None:
            raise SourceUnreadable(
                f"{name}: no line ends within {_CHUNK >> 20} MB; write one row a line."
            )
        file.truncate(begin + end)


def _last_end(chunk: bytes, *, is_open: bool, quotes: bool) -> int | None:
    """Return where the last whole line of a piece is over."""
    at = chunk.rfind(b"\n")
    while at >= 0:
        if not quotes or (is_open + chunk.count(b'"', 0, at)) % 2 == 0:
            return at + 1
        at = chunk.rfind(b"\n", 0, at)
    return None


def head_of_parquet(
    read_at: Callable[[int, int], bytes], size: int, path: str, name: str, *, most_bytes: int
) -> None:
    """Write the first row groups of a file, about ``most_bytes``, and at least one.

    :raises SourceUnreadable: it is no Parquet file.
    """
    try:
        footer = _footer(read_at, size)
        found = pq.read_metadata(pa.BufferReader(_as_file(footer)))
        count, end, rows = _first_groups(found, most_bytes)
        fewer = with_first_groups(footer, count=count, rows=rows)
    except (BadFooter, pa.ArrowException, OSError) as exc:
        raise SourceUnreadable(
            f"{name} is no Parquet file that can be looked at: {exc}; write it again."
        ) from exc
    with Path(path).open("wb") as file:
        for chunk in _pieces(read_at, end):
            file.write(chunk)
        file.write(_end(fewer))


def _footer(read_at: Callable[[int, int], bytes], size: int) -> bytes:
    tail = read_at(max(size - 8, 0), min(size, 8))
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or not 0 < length <= min(size - 12, _MOST_FOOTER):
        raise BadFooter("it does not end as one")
    return read_at(size - 8 - length, length)


def _as_file(footer: bytes) -> bytes:
    return _MAGIC + _end(footer)


def _end(footer: bytes) -> bytes:
    return footer + len(footer).to_bytes(4, "little") + _MAGIC


def _first_groups(found: pq.FileMetaData, most_bytes: int) -> tuple[int, int, int]:
    """Return how many row groups are taken, where they end and how many rows they have."""
    count, end, rows = 0, len(_MAGIC), 0
    for number in range(found.num_row_groups):
        group = found.row_group(number)
        last = max((_end_of(group.column(each)) for each in range(group.num_columns)), default=end)
        if count and max(end, last) > most_bytes:
            break
        count, end, rows = count + 1, max(end, last), rows + group.num_rows
    return count, end, rows


def _end_of(column: pq.ColumnChunkMetaData) -> int:
    first = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset is not None:
        first = min(first, column.dictionary_page_offset)
    return int(first + column.total_compressed_size)


def _pieces(read_at: Callable[[int, int], bytes], end: int) -> Iterator[bytes]:
    for begin in range(0, end, _CHUNK):
        yield read_at(begin, min(_CHUNK, end - begin))
