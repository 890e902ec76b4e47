"""Uploads of a few kilobytes that decode to gigabytes: refused by name, and harming nobody."""

from __future__ import annotations

import io
import resource

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from lib.media_types import ARROW, CSV, PARQUET
from serving.historical.typed_columns import BadEntityFrame
from serving.historical.uploads import FrameTooLarge, decode_upload
from serving.limits import ReadLimits, TooManyColumns

MB = 1 << 20
LIMITS = ReadLimits("HISTORICAL", 1_000_000, 100, 100, 10**9, 64 * MB)
LONG = "x" * MB


def stream(table: pa.Table, **options) -> bytes:
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def zeros() -> pa.Table:
    return pa.table({f"c{n}": np.zeros(1_000_000, "int64") for n in range(20)})


def repeated() -> pa.Table:
    """A thousand references to one text of a megabyte."""
    indices = pa.array(np.zeros(1000, "int32"))
    return pa.table({"a": pa.DictionaryArray.from_arrays(indices, pa.array([LONG]))})


def runs() -> pa.Table:
    return pa.table({"a": pa.RunEndEncodedArray.from_arrays(pa.array([1000]), pa.array([LONG]))})


def views() -> pa.Table:
    text = pa.array([LONG], pa.string_view())
    buffers = text.buffers()
    many = pa.py_buffer(buffers[1].to_pybytes()[:16] * 1000)
    return pa.table({"a": pa.Array.from_buffers(text.type, 1000, [None, many, *buffers[2:]])})


def inside_lists() -> pa.Table:
    column = repeated()["a"].chunk(0)
    offsets = pa.array(range(1001), pa.int32())
    return pa.table({"a": pa.ListArray.from_arrays(offsets, column)})


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (lambda: stream(zeros(), compression="zstd"), ARROW),
        (lambda: stream(repeated()), ARROW),
        (lambda: stream(runs()), ARROW),
        (lambda: stream(views()), ARROW),
        (lambda: stream(inside_lists()), ARROW),
        (lambda: parquet(zeros()), PARQUET),
        (lambda: parquet(pa.table({"a": [LONG] * 1000})), PARQUET),
        (lambda: parquet(repeated()), PARQUET),
    ],
    ids=[
        "compressed buffers",
        "dictionary",
        "runs",
        "views",
        "dictionary in lists",
        "parquet zeros",
        "parquet text",
        "parquet dictionary",
    ],
)
def test_what_decodes_to_too_much_is_refused(body, media_type):
    sent = body()
    assert len(sent) < 4 * MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(FrameTooLarge, match="HISTORICAL_MAX_DECODED_BYTES"):
        decode_upload(sent, media_type, LIMITS)

    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 64 * MB


def test_one_batch_far_beyond_memory_ends_the_child_alone():
    """The size of a compressed buffer is known only once it is decompressed."""
    table = pa.table({f"c{n}": np.zeros(1_000_000, "int64") for n in range(99)})
    sent = stream(table, compression="zstd")

    with pytest.raises(FrameTooLarge):
        decode_upload(sent, ARROW, LIMITS._replace(decoded_bytes=MB))


def nested(depth: int) -> pa.DataType:
    kind = pa.int64()
    for _ in range(depth):
        kind = pa.list_(kind)
    return kind


@pytest.mark.parametrize("write", [stream, parquet])
def test_wide_and_deep_schemas_are_refused(write):
    media_type = ARROW if write is stream else PARQUET
    wide = pa.table({f"c{n}": [1] for n in range(101)})
    inside = pa.table({"a": [{f"c{n}": 1 for n in range(101)}]})
    deep = pa.table({"a": pa.array([None], nested(40))})

    for table in (wide, inside):
        with pytest.raises(TooManyColumns, match="at most 100"):
            decode_upload(write(table), media_type, LIMITS)
    with pytest.raises(BadEntityFrame, match="nested deeper"):
        decode_upload(write(deep), media_type, LIMITS)


def test_a_csv_of_many_columns_is_refused():
    with pytest.raises(TooManyColumns):
        decode_upload(b",".join(b"c%d" % n for n in range(101)) + b"\n", CSV, LIMITS)


@pytest.mark.parametrize("write", [stream, parquet])
def test_what_is_within_the_limits_arrives_with_its_types(write):
    table = pa.table(
        {
            "id": pa.array([2**63 - 1, None]),
            "kind": pa.array(["a", None]).dictionary_encode(),
            "tags": [["x"], None],
            "at": pa.array([0, None], pa.timestamp("ns", "Europe/Paris")),
        }
    )

    found = decode_upload(write(table), ARROW if write is stream else PARQUET, LIMITS)

    assert found.schema == table.schema
    assert found.to_pylist() == table.to_pylist()
