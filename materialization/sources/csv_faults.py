"""Where a CSV file is at fault, found by reading it again: most of it once a reader has given up.

Not for reading rows (``readers``). The reader's parser names its states and options, counts records
for lines, and says nothing of line ends.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from materialization.errors import SourceUnreadable
from materialization.sources.file_faults import DAMAGED
from materialization.sources.layouts import open_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The reader's own bound of a record.
MAX_RECORD_BYTES = 2_000_000
#: What it reads at a time: sixteen of the longest records.
_BUFFER_BYTES = 16 * MAX_RECORD_BYTES
_CHUNK_BYTES = 1_048_576
_MARK = re.compile(rb'"|\r\n|\r|\n')
_ENDS = {b"\n": "LF", b"\r\n": "CRLF", b"\r": "CR"}
_ON_LINE = re.compile(r"CSV Error on Line: ([0-9]+)")


class _Record(NamedTuple):
    """``line`` is where it begins, from 1; ``end`` how it ends, empty for the file's end."""

    line: int
    length: int
    end: bytes


def csv_fault(error: Exception, paths: Sequence[str]) -> SourceUnreadable | None:
    """Return what an error of the reader was about, where its own words do not say it."""
    message = str(error)
    path = next((path for path in paths if f"  file = {path}\n" in f"{message}\n"), None)
    if path is None or not ("state machine" in message or "Maximum line size" in message):
        return None
    ended = b""
    for record in _records(path):
        if record.length > MAX_RECORD_BYTES:
            return _too_long(path, record.line, f"has {record.length:,} bytes")
        ended = ended or record.end
        if record.end and record.end != ended:
            return SourceUnreadable(
                f"{path}, line {record.line}: it ends in {_ENDS[record.end]}, the lines before it "
                f"in {_ENDS[ended]}. Write the file with one kind of line end, and what holds "
                'others in "…".'
            )
    return None


def refuse_endless(path: str) -> None:
    """Return if each line ends before the reader's buffer does.

    The last record of a file is left out in silence where it is longer than that buffer.

    :raises SourceUnreadable: one does not; names the file and the line.
    """
    with suppress(*DAMAGED):  # the reader says so
        about = Path(path).stat()
        if not path.endswith(".csv") or about.st_size >= _BUFFER_BYTES:
            _look_for_ends(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=10_000)
def _look_for_ends(path: str, _size: int, _modified: int) -> None:
    """Do so once for a file as it is: a job opens it for each of its readings and views."""
    lines, length = 1, 0
    for _, chunk in _chunks(path):
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        lines += chunk.count(b"\n")
        length = len(chunk) - end if end else length + len(chunk)
        if length > _BUFFER_BYTES // 2:
            raise _too_long(path, lines, f"has more than {length:,} bytes")


def _too_long(path: str, line: int, fact: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{path}, line {line}: the record {fact}, at most {MAX_RECORD_BYTES:,} bytes can be read."
        " Is a quote not closed?"
    )


def true_line(error: Exception, paths: Sequence[str]) -> str:
    """Return the error's message with the line that it counts as a record."""
    message = str(error)
    path = next((path for path in paths if f"  file = {path}\n" in f"{message}\n"), None)
    found = _ON_LINE.search(message)
    if path is None or found is None:
        return message
    for number, record in enumerate(_records(path), start=1):
        if number == int(found[1]):
            return message.replace(found[0], f"CSV Error on Line: {record.line}", 1)
    return message


def _records(path: str) -> Iterator[_Record]:
    """Yield each record, blank lines too; a quote opens or closes wherever it stands."""
    line, begins, at, quoted, begun_at = 1, 1, 0, False, 0
    for start, chunk in _chunks(path):
        for mark in _MARK.finditer(chunk):
            at = start + mark.end()
            if mark[0] == b'"':
                quoted = not quoted
                continue
            line += 1
            if not quoted:
                yield _Record(begins, start + mark.start() - begun_at, mark[0])
                begins, begun_at = line, at
        at = start + len(chunk)
    if at > begun_at:
        yield _Record(begins, at - begun_at, b"")


def _chunks(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield position and bytes; a CRLF is never cut in two."""
    position = 0
    with open_text(path) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            while chunk.endswith(b"\r") and (more := stream.read(1)):
                chunk += more
            yield position, chunk
            position += len(chunk)
