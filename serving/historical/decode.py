"""The child process that decodes an uploaded frame; started by path, never imported.

Not for what a frame must be: this only makes plain Arrow of it, within the limits in its arguments.
A few kilobytes can decode to gigabytes, so it happens where running out of memory hurts nobody.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.ipc

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.csv
    import pyarrow.parquet

_PR_SET_PDEATHSIG = 1
#: Memory beside the frame's own: what decoders, and a slice that is measured, need.
_ROOM = 512 * 1024 * 1024
#: Rows that are decoded at a time to know their size.
_SLICE = 4096
MAX_DEPTH = 32
_EXTENSION = b"ARROW:extension:name"


class Limits(NamedTuple):
    rows: int
    columns: int
    decoded_bytes: int


class Refused(Exception):
    """Over a limit: which one, and the number found where it is known."""

    def __init__(self, limit: str, found: int | None = None) -> None:
        super().__init__(limit)
        self.limit, self.found = limit, found


class Unknown(Exception):
    """A column of an Arrow extension type that this process does not know: ``column``, ``type``."""


def main(media_type: str, limits: Limits) -> dict[str, Any]:
    """Decode standard input to an Arrow stream on standard output; return what to report."""
    try:
        table = _bounded(media_type, limits)
        with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as stream:
            stream.write_table(table.unify_dictionaries())
        sys.stdout.buffer.flush()
    except Refused as exc:
        return {"limit": exc.limit, "found": exc.found}
    except Unknown as exc:
        column, kind = exc.args
        return {"column": column, "unknown": kind}
    except MemoryError:
        return {"limit": "decoded_bytes"}
    except (pa.ArrowException, OSError, EOFError, ValueError) as exc:
        return {"unreadable": str(exc)}
    return {"rows": table.num_rows}


def _bounded(media_type: str, limits: Limits) -> pa.Table:
    schema, batches = _OPENERS[media_type](limits)
    _check_schema(schema, limits)
    for field in schema:
        if name := _unknown(field):
            raise Unknown(field.name, name)
    kept, rows, size = [], 0, 0
    for batch in batches:
        rows += batch.num_rows
        if rows > limits.rows:
            raise Refused("rows", rows)
        batch.validate(full=True)  # bytes from outside: offsets may point anywhere
        for start in range(0, batch.num_rows, _SLICE):
            size += sum(map(_size, batch.slice(start, _SLICE).columns))
            if size > limits.decoded_bytes:
                raise Refused("decoded_bytes")
        kept.append(batch)
    return pa.Table.from_batches(kept, schema)


def _open_parquet(limits: Limits) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    file = pa.parquet.ParquetFile(sys.stdin.buffer)
    about = file.metadata
    if about.num_rows > limits.rows:
        raise Refused("rows", about.num_rows)
    groups = [about.row_group(place) for place in range(about.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > limits.decoded_bytes:
        raise Refused("decoded_bytes")
    return file.schema_arrow, file.iter_batches(batch_size=16 * _SLICE, use_threads=False)


def _open_arrow(limits: Limits) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    stream = pa.ipc.open_stream(sys.stdin.buffer)
    return stream.schema, iter(stream)


def _open_csv(limits: Limits) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Read all cells as text. An empty cell is null, ``""`` is the empty string."""
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    body = pa.py_buffer(sys.stdin.buffer.read())
    names = pa.csv.open_csv(pa.BufferReader(body), parse_options=parse).schema.names
    if len(names) > limits.columns:
        raise Refused("columns", len(names))
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    reading = pa.csv.ReadOptions(use_threads=False)
    texts = pa.csv.read_csv(
        pa.BufferReader(body), read_options=reading, parse_options=parse, convert_options=convert
    )
    return texts.schema, iter(texts.to_batches())


#: What a media type needs beside Arrow itself; to import all for each takes as long again.
_NEEDS = {
    "application/vnd.apache.parquet": "pyarrow.parquet",
    "application/vnd.apache.arrow.stream": "pyarrow.ipc",
    "text/csv": "pyarrow.csv",
}
_OPENERS = {
    "application/vnd.apache.parquet": _open_parquet,
    "application/vnd.apache.arrow.stream": _open_arrow,
    "text/csv": _open_csv,
}


def _check_schema(schema: pa.Schema, limits: Limits) -> None:
    """Count the fields there are, also inside each other, level by level."""
    level, found, depth = list(schema.types), 0, 0
    while level:
        found, depth = found + len(level), depth + 1
        if found > limits.columns:
            raise Refused("columns", found)
        if depth > MAX_DEPTH:
            raise Refused("depth", depth)
        level = [inner for kind in level for inner in _inside(kind)]


def _inside(kind: pa.DataType) -> list[pa.DataType]:
    inner = [kind.field(place).type for place in range(kind.num_fields)]
    return inner or [
        getattr(kind, of) for of in ("value_type", "storage_type") if hasattr(kind, of)
    ]


def _unknown(field: pa.Field) -> str | None:
    """Return the extension type of a column, or of one inside it, that is not Arrow's own.

    Another process may know it, and would read what its writer says of it: some fail over that.
    """
    if name := (field.metadata or {}).get(_EXTENSION):
        return str(name.decode(errors="replace"))
    kind = field.type
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    inner = (_unknown(kind.field(place)) for place in range(kind.num_fields))
    return next(filter(None, inner), None)


def _size(column: pa.Array) -> int:
    """Return the bytes of a column's values written out, without dictionaries, runs and views."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _size(column.storage)
    if pa.types.is_dictionary(kind):
        values = column.dictionary
        if pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type):
            values = values.cast(pa.large_binary())  # nothing can be taken from a view
        return _size(values.take(column.indices.fill_null(0))) if len(values) else 0
    if pa.types.is_run_end_encoded(kind):
        return _size(importlib.import_module("pyarrow.compute").run_end_decode(column))
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return int(column.cast(pa.large_binary()).nbytes)
    if pa.types.is_struct(kind):
        return sum(_size(column.field(place)) for place in range(kind.num_fields))
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return _size(column.flatten()) + 8 * len(column)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _size(column.flatten()) + 8 * len(column)
    return int(column.nbytes)


def prepare(media_type: str, limits: Limits) -> None:
    """Import what is needed, then give up the rest: memory, disk, core dumps, outliving the parent.

    The limit counts the memory from after the import on.
    """
    importlib.import_module(_NEEDS[media_type])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        with open("/proc/self/statm") as statm:  # noqa: PTH123 - the only word for it
            now = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        most = now + 3 * limits.decoded_bytes + _ROOM
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    written = 2 * limits.decoded_bytes + _ROOM
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))


if __name__ == "__main__":
    # Other pools reserve more address space than they use, and the limit counts that.
    pa.set_memory_pool(pa.system_memory_pool())
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    given = Limits(*map(int, sys.argv[2:5]))
    prepare(sys.argv[1], given)
    sys.stderr.write(json.dumps(main(sys.argv[1], given)))
    sys.stderr.flush()
    # Now and then a thread of Arrow's is still there, and an orderly end aborts because of it.
    os._exit(0)
