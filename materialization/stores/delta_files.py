"""Parquet files of a Delta table: what a footer says, the action that adds one, whose rows it has.

Not for committing them (``offline``) or for writing them: the sandbox does.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from lib.instants import from_us
from materialization.stores.columns import CREATED, EVENT, PART, SEQUENCE
from materialization.stores.offline_protocol import BadStagedFile, OfflineStoreUnavailable
from materialization.stores.offline_values import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Delta cuts the microseconds off an instant of its statistics: the greatest was up to this later.
_CUT_OFF = timedelta(microseconds=999)
_LATEST = datetime.max.replace(tzinfo=UTC)
#: What the part of a table's rows is called, where it has others.
ROWS = "rows"


#: What delta-rs reads otherwise than the file system does, or ends the process on.
_UNUSABLE = re.compile(r"[\[\]^|\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


def unusable_in(path: str) -> str | None:
    """Return what of a table's path its library cannot read; None: nothing."""
    found = _UNUSABLE.search(path)
    return found[0] if found else None


class StagedFile(NamedTuple):
    """A file and what its footer says; ``path`` is absolute until the file has its place."""

    path: str
    size: int
    rows: int
    modified_ms: int
    #: Least and greatest of the numbers that readers look for files by; empty without a row.
    extents: dict[str, tuple[int, int]]
    #: Of which part of the table; None: it has no parts.
    part: str | None = None


def table_schema(rows: pa.Schema, events: pa.Schema) -> pa.Schema:
    """Return the columns of a table of two parts: those of both, and the one that tells them apart.

    A file has the columns of its part.
    """
    others = [field for field in events if field.name not in rows.names]
    return pa.schema([*rows, *others, pa.field(PART, pa.string())])


def part_of(file: dict[str, Any]) -> str | None:
    """Return of which part of its table a file is, by its action; None: it has no parts."""
    part: str | None = file.get(f"partition.{PART}")
    return part


def read_all_staged(
    paths: Sequence[str], schema: pa.Schema, numbers: range, *, rows: int, part: str | None
) -> list[StagedFile]:
    """Return what the files' footers say, the files of the latest events first.

    Care makes one file of some that follow each other in the log, which is read backwards.
    :raises BadStagedFile: as ``read_staged``; or they have not so many ``rows``.
    """
    staged = [read_staged(path, schema, numbers)._replace(part=part) for path in paths]
    if (found := sum(each.rows for each in staged)) != rows:
        raise BadStagedFile(f"the files of {_said_numbers(numbers)} have {found} rows, not {rows}.")
    return sorted(staged, key=lambda each: each.extents[EVENT], reverse=True)


def read_staged(path: str, schema: pa.Schema, numbers: range) -> StagedFile:
    """Return what a file's footer says; its rows are not read.

    :raises BadStagedFile: it has other columns than ``schema``, or rows of other sequences.
    """
    try:
        footer = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as exc:
        raise BadStagedFile(f"{path} is no whole Parquet file: {exc}") from exc
    found = footer.schema.to_arrow_schema()
    if (found.names, found.types) != (schema.names, schema.types):
        raise BadStagedFile(f"{path} has the columns {_words(found)}; wanted: {_words(schema)}.")
    extents = {
        name: _extent(footer, found.names.index(name)) for name in (EVENT, CREATED, SEQUENCE)
    }
    if not all(each in numbers for each in extents[SEQUENCE]):
        found_numbers = extents[SEQUENCE]
        raise BadStagedFile(
            f"{path} has rows of the sequences {found_numbers}, not of {_said_numbers(numbers)}."
        )
    status = Path(path).stat()
    return StagedFile(path, status.st_size, footer.num_rows, status.st_mtime_ns // 10**6, extents)


def _said_numbers(numbers: range) -> str:
    first, last = numbers[0], numbers[-1]
    return f"sequence {last}" if first == last else f"the sequences {first} to {last}"


def count_rows(path: str, sequence: int) -> int:
    """Return how many of a file's rows are of one sequence."""
    batches = pq.ParquetFile(path).iter_batches(columns=[SEQUENCE])
    return sum(int((batch.column(0).to_numpy() == sequence).sum()) for batch in batches)


def _words(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _extent(footer: Any, number: int) -> tuple[int, int]:
    """Return the least and greatest of a column without nulls, as the numbers it is stored as."""
    groups = (footer.row_group(each).column(number) for each in range(footer.num_row_groups))
    found = [group.statistics for group in groups]
    return min(each.min_raw for each in found), max(each.max_raw for each in found)


def add_action(file: StagedFile) -> AddAction:
    """Return the action that makes the file part of its table."""
    stats = {
        "numRecords": file.rows,
        "minValues": {name: _said(name, low) for name, (low, _) in file.extents.items()},
        "maxValues": {name: _said(name, high) for name, (_, high) in file.extents.items()},
        "nullCount": dict.fromkeys(file.extents, 0),
    }
    parts = {} if file.part is None else {PART: file.part}
    return AddAction(file.path, file.size, parts, file.modified_ms, True, json.dumps(stats))  # noqa: FBT003


def _said(name: str, value: int) -> int | str:
    """Return a number, or an instant cut to the milliseconds that Delta's statistics have."""
    return value if name == SEQUENCE else _instant(from_us(value))


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stored_file(action: dict[str, Any]) -> StoredFile:
    first, last = action.get(f"min.{EVENT}"), action.get(f"max.{EVENT}")
    return StoredFile(
        uri=action["uri"],
        rows=action["num_records"],
        size=action["size_bytes"],
        first_event=first and first.astimezone(UTC),
        last_event=last and last.astimezone(UTC) + _CUT_OFF,
    )


def by_first_event(file: StoredFile) -> tuple[datetime, str]:
    return file.first_event or _LATEST, file.uri


def of_sequence(files: Iterable[dict[str, Any]], sequence: int) -> list[dict[str, Any]]:
    low, high = f"min.{SEQUENCE}", f"max.{SEQUENCE}"
    return [file for file in files if file[low] <= sequence <= file[high]]


def is_looked_into(file: dict[str, Any], sequence: int | None) -> bool:
    """Return whether only a file's rows tell how many are of one sequence."""
    return sequence is not None and file[f"min.{SEQUENCE}"] != file[f"max.{SEQUENCE}"]


def rows_of(file: dict[str, Any], sequence: int | None) -> int:
    """Return how many rows a file has, of one sequence or of all; a compacted one is looked into.

    :raises OfflineStoreUnavailable: it cannot be read.
    """
    if sequence is None or not is_looked_into(file, sequence):
        return int(file["num_records"])
    try:
        return count_rows(file["uri"], sequence)
    except (pa.ArrowException, OSError) as exc:
        raise OfflineStoreUnavailable(f"{file['uri']} cannot be read: {exc}") from exc
