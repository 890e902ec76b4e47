"""Rows by cells: the same rows, and as many of the nearest as the file says."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from materialization.stores.layout import TableLayout
from materialization.vectors.grouping import group_by_cells
from materialization.vectors.index_file import IndexFile
from materialization.vectors.metrics import METRICS, distances
from materialization.vectors.scan import scans
from materialization.vectors.writing import IndexTooLarge, write_index
from registry.spec.value_types import parse_type
from tests.materialization.vectors.test_scan import batch_of, layout_of

ROWS, LENGTH = 6000, 12


def clustered(random: np.random.Generator, count: int) -> np.ndarray:
    """Around the same centres whenever it is called, of other lengths each."""
    centres = 3 * np.random.default_rng(1).standard_normal((60, LENGTH))
    found = centres[random.integers(0, 60, count)] + random.standard_normal((count, LENGTH)) / 2
    return (found * random.uniform(0.98, 1.02, (count, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def vectors():
    found = clustered(np.random.default_rng(7), ROWS)
    found[::500] = np.nan
    found[1::1000] = 0
    found[2::1000] = found[3]
    return found


def file_of(folder, vectors, *, from_rows=1000):
    path = folder / "vectors.arrow"
    batches = [batch_of(vectors[at : at + 700], first=at) for at in range(0, len(vectors), 700)]
    write_index(str(path), layout_of(vectors.shape[1]), batches, most_bytes=1 << 30)
    told = group_by_cells(str(path), ["e"], from_rows=from_rows, most_bytes=1 << 30)
    with path.open("rb") as opened:
        return IndexFile(opened), told


@pytest.fixture(scope="module")
def written(vectors, tmp_path_factory):
    return file_of(tmp_path_factory.mktemp("cells"), vectors)


def numbers(index, rows):
    return np.array([int(tag.strip(b"{}")) for tag in index.tags(rows)])


def rows_by_cell(index, feature):
    cells = index.cells[feature]
    return np.concatenate([cells.rows_of(cell) for cell in range(len(cells.centres))])


def test_a_file_by_cells_has_the_same_rows_and_tells_its_cells(vectors, written):
    index, told = written
    every = np.arange(index.rows)
    original = numbers(index, every)

    assert sorted(original) == list(range(ROWS))
    assert np.array_equal(index.vectors("e", every), vectors[original], equal_nan=True)
    assert index.cells["e"].told() == told["e"]
    assert told["e"]["cells"] == 2 * int((ROWS - 12) ** 0.5)
    assert rows_by_cell(index, "e").tolist() == list(range(ROWS - 12))  # those of each together


@pytest.mark.parametrize("metric", METRICS)
def test_cells_find_as_many_of_the_nearest_as_they_say(vectors, written, metric):
    index, _ = written
    random = np.random.default_rng(8)
    found = met = looked = 0
    for query in clustered(random, 60):
        k = int(random.choice([1, 10, 100]))
        kept = random.random(index.rows) < random.choice([0.3, 1.0])
        eligible = None if kept.all() else kept
        (scan, recall), (whole, none) = scans(
            index, feature="e", metric=metric, query=query, eligible=eligible, k=k, exact=False
        )
        first, right = scan.first(k), whole.first(k)
        assert (none, recall >= 0.9, len(first.rows)) == (None, True, k)
        assert kept[first.rows].all()
        far = distances(metric, vectors[numbers(index, first.rows)], query)
        assert first.distances.tolist() == pytest.approx(far.tolist())
        found += len({*first.rows} & {*right.rows})
        met += k
        looked += len(scan._rows)
        exact = np.sort(distances(metric, vectors[numbers(index, np.flatnonzero(kept))], query))
        assert right.distances.tolist() == pytest.approx(exact[np.isfinite(exact)][:k].tolist())

    assert found / met > 0.9
    assert looked / 60 < ROWS / 4


def test_where_few_are_left_all_of_them_are_looked_at(vectors, written):
    index, _ = written
    few = np.zeros(index.rows, bool)
    few[::300] = True

    looks = list(
        scans(index, feature="e", metric="l2", query=vectors[5], eligible=few, k=10, exact=False)
    )

    assert [recall for _, recall in looks] == [None]


def test_vectors_without_neighbourhoods_have_no_cells(tmp_path):
    vectors = np.random.default_rng(7).standard_normal((2000, 64)).astype(np.float32)
    for told in (vectors, vectors * np.float32(1e20), np.zeros_like(vectors), vectors[:999]):
        index, cells = file_of(tmp_path, told)
        assert (cells, index.cells) == ({}, {})
        assert len(numbers(index, np.arange(index.rows))) == len(told)


@pytest.mark.parametrize("room", [0, 1000, 20_000])
def test_a_file_that_has_no_room_for_cells_is_searched_without(vectors, tmp_path, caplog, room):
    path = tmp_path / "vectors.arrow"
    write_index(str(path), layout_of(LENGTH), [batch_of(vectors)], most_bytes=1 << 30)
    plain = path.read_bytes()

    told = group_by_cells(str(path), ["e"], from_rows=1000, most_bytes=len(plain) + room)

    assert (told, path.read_bytes()) == ({}, plain)
    assert "without cells" in caplog.text
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_with_cells_is_no_larger_than_it_may_be(vectors, tmp_path):
    path = tmp_path / "vectors.arrow"
    write_index(str(path), layout_of(LENGTH), [batch_of(vectors)], most_bytes=1 << 30)
    plain = path.read_bytes()
    assert group_by_cells(str(path), ["e"], from_rows=1000, most_bytes=1 << 30)
    least = path.stat().st_size

    for most, has_cells in ((least - 1, False), (least, True)):
        path.write_bytes(plain)
        assert bool(group_by_cells(str(path), ["e"], from_rows=1000, most_bytes=most)) is has_cells
    with pytest.raises(IndexTooLarge, match="SEARCH_INDEX_MAX_MB"):
        write_index(str(path), layout_of(LENGTH), [batch_of(vectors)], most_bytes=len(plain) - 1)


def test_vectors_of_no_length_do_not_spoil_the_reach_of_others(tmp_path):
    """A tenth are empty texts, say: nobody can ask by the angle to them."""
    found = clustered(np.random.default_rng(7), ROWS)
    found[::10] = 0

    index, told = file_of(tmp_path, found)

    assert {*told["e"]["reaches"]} == {*METRICS}
    assert all(told["e"]["reaches"].values())
    assert len(rows_by_cell(index, "e")) == ROWS


def test_cells_that_are_damaged_are_no_file(vectors, tmp_path):
    file_of(tmp_path, vectors)
    whole = (tmp_path / "vectors.arrow").read_bytes()
    for damage in (b"PK\x01\x02", b"PK\x05\x06", b"reach dot.npy", b"cells of e"):
        path = tmp_path / "damaged.arrow"
        path.write_bytes(whole.replace(damage, damage[::-1]))
        with path.open("rb") as opened, pytest.raises(ValueError, match="no cells|not how cells"):
            IndexFile(opened)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A path, and the file there, of the features e and f with neighbourhoods of their own."""
    path, random = tmp_path_factory.mktemp("two") / "two.arrow", np.random.default_rng(7)
    e, f = clustered(random, 20_000), clustered(random, 20_000)
    f[::7] = np.nan
    kind = parse_type(f"vector<{LENGTH}>")
    layout = TableLayout("abcdefgh", layout_of(LENGTH).entity, ("e", "f"), (kind, kind))
    batch = batch_of(e).append_column("f", batch_of(f).column("e"))
    write_index(str(path), layout, [batch], most_bytes=1 << 30)
    assert group_by_cells(str(path), ["e", "f"], from_rows=1000, most_bytes=1 << 30)
    with path.open("rb") as opened:
        return path, IndexFile(opened)


def test_each_feature_has_cells_of_its_own_over_the_same_rows(two):
    _, index = two
    for feature, many in (("e", 20_000), ("f", 17_142)):
        cells = index.cells[feature]
        rows = rows_by_cell(index, feature)
        own = np.repeat(np.arange(len(cells.centres)), np.diff(cells.starts))
        found = np.sort(rows)
        vectors = index.vectors(feature, found)
        assert (len(rows), len(np.unique(rows))) == (many, many)
        assert np.isfinite(vectors).all()
        far = (cells.centres**2).sum(axis=1) - 2 * vectors @ cells.centres.T
        its = own[np.argsort(rows)]
        assert far[np.arange(many), its] == pytest.approx(far.min(axis=1), rel=1e-4, abs=1e-3)

        eligible = np.random.default_rng(8).random(index.rows) < 0.4
        right = np.bincount(own, eligible[rows], minlength=len(cells.centres))
        assert cells._eligible_in(eligible).tolist() == right.tolist()
        near = cells.near("l2", vectors[0], k=10, eligible=eligible)
        assert near.rows.tolist() == sorted({*near.rows} & {*found})
        assert eligible[near.rows].all()
        assert 20 <= len(near.rows) < many / 4


def test_an_order_of_rows_that_there_are_not_is_no_file(two, tmp_path):
    path = tmp_path / "damaged.arrow"
    original, _ = two
    for wrong in (-2, 20_000):
        with original.open("rb") as opened:
            reader = pa.ipc.open_file(opened)
            batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        changed = batches[0].to_pydict()["order f"]
        changed[5] = wrong
        column = batches[0].schema.get_field_index("order f")
        batches[0] = batches[0].set_column(column, "order f", pa.array(changed))
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, reader.schema) as writer:
            for each in batches:
                writer.write_batch(each)
        with path.open("rb") as opened, pytest.raises(ValueError, match="rows that there are not"):
            IndexFile(opened)


def test_equal_vectors_are_one_neighbourhood(tmp_path):
    """Ties: any of them is as near, and none is found twice."""
    index, _ = file_of(tmp_path, np.ones((2000, 4), np.float32))

    *_, (scan, _recall) = scans(
        index, feature="e", metric="l2", query=np.ones(4, np.float32), eligible=None, k=10,
        exact=False,
    )  # fmt: skip

    assert len({*scan.first(10).rows}) == 10
    assert isinstance(index.schema, pa.Schema)
