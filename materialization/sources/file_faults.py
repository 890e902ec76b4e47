"""What is wrong with a file as a whole: cut off, damaged, or not what its name says it is.

Not for what stands in it: ``csv_faults``, ``json_rows`` and the casts have that.
"""

from __future__ import annotations

import re
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from materialization.errors import SourceUnreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What reading a text file raises that is not compressed as its name says, or not whole.
DAMAGED = (OSError, EOFError, zlib.error, pa.ArrowException)
AGAIN = "Write it again, whole, or take it out of the source's path."
_CUT = "it is cut off: its end is missing."
_IS_DAMAGED = "it is damaged: what it says of itself and what it holds do not fit together."
_PARQUET = b"PAR1"
_CUT_SHORT = re.compile(r"ended before the end-of-stream|Truncated|Unexpected end of GZIP")
_NOT_COMPRESSED = re.compile(r"[Nn]ot a (?:gzipped file|GZIP stream)|Unknown frame descriptor")
_INSIDE = re.compile(r"Failed to read file|TProtocolException|decompression fail|Prefetch")
_MALFORMED = re.compile(r"Malformed JSON .*?at byte ([0-9]+) in \S+ ([0-9]+): (unexpected end)?")


def fault_of(path: str, words: str) -> SourceUnreadable:
    return SourceUnreadable(f"{path}: {words} {AGAIN}")


def parquet_fault(
    error: Exception, paths: Sequence[str], *, was_opened: bool
) -> SourceUnreadable | None:
    """Return which of the files is no whole Parquet file; None: the error is of something else.

    One that ``was_opened`` has told its columns: what fails then is damage only if it says so.
    """
    if not isinstance(error, duckdb.Error) or isinstance(error, duckdb.ConversionException):
        return None
    for path in paths:
        with suppress(OSError):  # that it may not be read, or is gone, is said by others
            if words := _ends_of_parquet(path):
                return fault_of(path, words)
    message = str(error)
    if isinstance(error, duckdb.IOException) or (was_opened and not _INSIDE.search(message)):
        return None
    named = [path for path in paths if path in message] or paths
    return fault_of(named[0] if len(named) == 1 else "one of the files", _IS_DAMAGED)


def _ends_of_parquet(path: str) -> str:
    """Return what the marks at both ends of a file say is wrong; nothing if they are there."""
    with Path(path).open("rb") as stream:
        first = stream.read(len(_PARQUET))
        if first != _PARQUET:
            return "it is no Parquet file, whatever its name says."
        stream.seek(max(stream.seek(0, 2) - len(_PARQUET), len(_PARQUET)))
        return "" if stream.read() == _PARQUET else _CUT


def text_fault(path: str, error: Exception) -> SourceUnreadable | None:
    """Return what is wrong with a file of text as a whole; None: the error is of something else."""
    message = str(error)
    if isinstance(error, EOFError) or _CUT_SHORT.search(message):
        return fault_of(path, _CUT)
    if _NOT_COMPRESSED.search(message):
        kind = "zstd" if path.lower().endswith(".zst") else "gzip"
        return fault_of(path, f"it is not compressed with {kind}, as its name says.")
    if isinstance(error, zlib.error) or "ZSTD decompress failed" in message:
        return fault_of(path, "it is damaged: it cannot be unpacked.")
    if bad := _MALFORMED.search(message):
        where = f"object {int(bad[2]) - 1}, character {bad[1]}"  # the engine's first is number 2
        return fault_of(path, _CUT if bad[3] else f"it is no JSON from {where} on.")
    return None
