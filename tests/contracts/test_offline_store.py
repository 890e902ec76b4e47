"""What every offline store promises: once however often, all or nothing, snapshots that stay."""

from __future__ import annotations

import threading

import duckdb
import pytest

from lib.errors import Invalid
from materialization.edges import OFFLINE
from materialization.stores.protocols import TableOutsideStore
from tests.materialization.store_cases import batch, commit, row


@pytest.fixture(params=OFFLINE)
def store(request, settings, tmp_path):
    settings.OFFLINE_STORE = tmp_path
    return OFFLINE[request.param]()


@pytest.fixture
def uri(tmp_path):
    return str(tmp_path / "rides" / "driver_stats" / "abc")


def read(files):
    return duckdb.sql("SELECT * FROM read_parquet(?)", params=[list(files)]).fetchall()


def test_a_table_is_not_there_until_it_is_written(store, uri):
    assert not store.exists(uri)
    assert store.snapshot(uri).is_empty

    commit(store, uri, [batch(row())])

    assert store.exists(uri)
    assert store.snapshot(uri).rows == 1


def test_a_commit_repeated_appears_once_and_is_not_read_again(store, uri):
    first = commit(store, uri, [batch(row(), row(x=2.0))])

    def unread():
        raise AssertionError("a known commit is not read")
        yield

    again = commit(store, uri, unread())

    assert (first.already, again.already) == (False, True)
    assert (first.rows, again.rows) == (2, 2)
    assert first.files == again.files
    assert store.snapshot(uri).rows == 2


def test_every_row_carries_the_sequence_of_its_commit(store, uri):
    commit(store, uri, [batch(row(x=1.0)), batch(row(x=2.0))], sequence=7)

    assert {tuple(r[4:]) for r in read(store.snapshot(uri).files)} == {(7, 1.0), (7, 2.0)}


def test_sequences_may_commit_in_any_order_and_several_times(store, uri):
    commit(store, uri, [batch(row())], sequence=5, transaction="five")
    commit(store, uri, [batch(row(), row())], sequence=3, transaction="three-a")
    second = commit(store, uri, [batch(row())], sequence=3, transaction="three-b")

    assert second.rows == 1
    assert store.snapshot(uri, sequence=3).rows == 3
    assert set(store.snapshot(uri, sequence=3).files) < set(store.snapshot(uri).files)


def test_a_snapshot_stays_what_it_was(store, uri):
    commit(store, uri, [batch(row(x=1.0))])
    before = store.snapshot(uri)

    commit(store, uri, [batch(row(x=2.0))], sequence=2, transaction="run-2")

    assert [r[-1] for r in read(before.files)] == [1.0]
    assert store.snapshot(uri).version > before.version


def test_the_same_commit_from_many_threads_appears_once(store, uri):
    together, results = threading.Barrier(4), []

    def attempt():
        together.wait()
        results.append(commit(store, uri, [batch(row())]))

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(result.already for result in results) == [False, True, True, True]
    assert store.snapshot(uri).rows == 1


def test_rows_that_end_in_an_error_leave_nothing_and_the_error_as_it_was(store, uri):
    commit(store, uri, [batch(row())])

    def broken():
        yield batch(row())
        raise Invalid("the source is wrong", column="x")

    with pytest.raises(Invalid, match="the source is wrong") as caught:
        commit(store, uri, broken(), sequence=2, transaction="run-2")

    assert caught.value.data == {"column": "x"}
    assert store.snapshot(uri).rows == 1
    assert commit(store, uri, [batch(row())], sequence=2, transaction="run-2").already is False


def test_a_commit_without_rows_is_remembered(store, uri):
    assert commit(store, uri, []).rows == 0
    assert commit(store, uri, []).already is True
    assert store.snapshot(uri).is_empty


def test_a_table_tells_which_commits_it_has(store, uri):
    assert store.committed(uri, ["one", "two"]) == set()

    commit(store, uri, [batch(row())], transaction="one")

    assert store.committed(uri, ["one", "two"]) == {"one"}


def test_a_deleted_table_is_gone_and_deleting_it_again_is_fine(store, uri):
    files = commit(store, uri, [batch(row())]).files
    assert len(read(files)) == 1

    store.delete_table(uri)
    store.delete_table(uri)

    assert not store.exists(uri)


@pytest.mark.parametrize("place", ["..", ".", "../elsewhere"])
def test_nothing_outside_the_store_is_touched(store, tmp_path, place):
    with pytest.raises(TableOutsideStore):
        store.delete_table(str(tmp_path / place))
