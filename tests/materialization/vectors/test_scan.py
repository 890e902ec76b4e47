"""Who is nearest by the index is who is nearest, whatever 32 bits make of it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from materialization.stores.layout import EntityKey, TableLayout
from materialization.vectors.index_file import IndexFile
from materialization.vectors.metrics import METRICS, distances
from materialization.vectors.scan import Scan
from materialization.vectors.writing import IndexTooLarge, write_index
from registry.spec.value_types import parse_type

INSTANT = pa.timestamp("us", tz="UTC")


def layout_of(length: int) -> TableLayout:
    entity = EntityKey(("id",), (parse_type("int64"),))
    return TableLayout("abcdefgh", entity, ("e",), (parse_type(f"vector<{length}>"),))


def batch_of(vectors: np.ndarray, *, first: int = 0) -> pa.RecordBatch:
    count, length = vectors.shape
    offsets = pa.array(np.arange(0, (count + 1) * length, length, dtype=np.int32))
    columns = {
        "id": pa.array(np.arange(first, first + count)),
        "e": pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1))),
        "event_timestamp": pa.array(np.zeros(count, np.int64)).cast(INSTANT),
    }
    return pa.RecordBatch.from_pydict(columns)


@pytest.fixture
def written(tmp_path):
    """A function that writes vectors and maps what was written."""

    def write(*batches: pa.RecordBatch, length: int) -> IndexFile:
        path = tmp_path / "vectors.arrow"
        write_index(str(path), layout_of(length), batches, most_bytes=1 << 30)
        with path.open("rb") as opened:
            return IndexFile(opened)

    return write


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e10, 1e25, 3e37])
@pytest.mark.parametrize("away", [0, 10])
def test_the_nearest_are_those_that_64_bits_say(written, scale, away):
    random = np.random.default_rng(8)
    for length in (1, 3, 64, 384):
        count = int(random.integers(1, 300))
        vectors = ((random.standard_normal((count, length)) / 5 + away / 5) * scale).astype("f4")
        vectors = vectors[random.integers(0, max(1, count // 2), count)]  # some are there twice
        index = written(batch_of(vectors), length=length)
        query = ((random.standard_normal(length) / 5 + away / 5) * scale).astype(np.float32)
        for metric in METRICS:
            right = distances(metric, vectors, query)
            scan = Scan(index, feature="e", metric=metric, query=query, rows=None)
            for k in (1, 7, count):
                found = scan.first(k)
                expected = np.sort(right[np.isfinite(right)])[:k]
                assert found.distances.tolist() == pytest.approx(expected.tolist(), rel=1e-12)
                assert right[found.rows].tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_rows_of_many_batches_and_some_of_them(written):
    random = np.random.default_rng(8)
    vectors = random.standard_normal((1000, 8)).astype(np.float32)
    batches = [batch_of(vectors[at : at + 70], first=at) for at in range(0, 1000, 70)]
    index = written(*batches, length=8)
    some = np.flatnonzero(random.random(1000) < 0.1)

    found = Scan(index, feature="e", metric="l2", query=vectors[0], rows=some).first(5)

    expected = some[np.argsort(distances("l2", vectors[some], vectors[0]))[:5]]
    assert found.rows.tolist() == expected.tolist()
    assert index.tags(found.rows) == [b"{%d}" % row for row in expected]


def test_nothing_is_nowhere(written):
    index = written(length=3)

    scan = Scan(index, feature="e", metric="dot", query=np.ones(3, np.float32), rows=None)

    assert (index.rows, len(scan.first(10).rows)) == (0, 0)


def test_a_file_that_would_be_too_large_is_not_written(tmp_path):
    vectors = np.zeros((1000, 64), np.float32)
    with pytest.raises(IndexTooLarge, match="SEARCH_INDEX_MAX_MB"):
        write_index(
            str(tmp_path / "x"), layout_of(64), [batch_of(vectors)], most_bytes=1000 * 64 * 4
        )
