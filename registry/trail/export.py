"""The trail as lines to keep or to open in a spreadsheet, written as they are read.

Not for who may have it, nor for the entry that says somebody did: the API does both.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import msgspec

from lib.batches import in_key_order
from lib.media_types import NDJSON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from registry.models import AuditEntry
    from registry.models.audit import Entries

    Output = Callable[[AuditEntry], Mapping[str, Any]]

#: Entries that are held at a time.
AT_ONCE = 500
#: What a spreadsheet takes for the beginning of a formula, wide forms too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - wide
JSON_LINES, CSV = "jsonl", "csv"
MEDIA_TYPES = {JSON_LINES: NDJSON, CSV: "text/csv; charset=utf-8"}


def lines(entries: Entries, output: Output, kind: str) -> Iterator[bytes]:
    """Yield the entries from the oldest on, as JSON lines or as CSV with a header."""
    write = _csv if kind == CSV else _json_lines
    return write(map(output, _each(entries)))


def _each(entries: Entries) -> Iterator[AuditEntry]:
    for batch in in_key_order(entries, AT_ONCE):
        yield from batch


def _json_lines(rows: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield msgspec.json.encode(row) + b"\n"


def _csv(rows: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row)
        writer.writerow(cell(value) for value in row.values())
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def cell(value: Any) -> str:
    """Return a value as text that no spreadsheet computes."""
    if value is None:
        return ""
    is_plain = isinstance(value, (str, int)) and not isinstance(value, bool)
    text = str(value) if is_plain else msgspec.json.encode(value).decode()
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text
