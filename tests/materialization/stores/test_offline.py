"""Delta tables: once however often, all or nothing, and the latest row of each key."""

from __future__ import annotations

import threading
from datetime import date, datetime, timedelta
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from lib.errors import Invalid
from materialization.stores.columns import computed_schema, stored_schema
from materialization.stores.latest import latest_rows
from materialization.stores.offline import OfflineStore, TableOutsideStore
from tests.materialization.engine_cases import at, make_spec

T = at("1969-12-31T12:00")
US = timedelta(microseconds=1)
SPEC = make_spec(keys=[("a", "string"), ("b", "string")], features=[("x", "float64")])


@pytest.fixture
def store(tmp_path):
    return OfflineStore(tmp_path)


@pytest.fixture
def uri(tmp_path):
    return str(tmp_path / "rides" / "driver_stats" / "abc")


def batch(*rows, spec=SPEC):
    names = computed_schema(spec).names
    return pa.RecordBatch.from_pylist(
        [dict(zip(names, row, strict=True)) for row in rows], schema=computed_schema(spec)
    )


def row(key=("1", "23"), event=T, created=None, x=1.0):
    return (*key, event, created or event, x)


def commit(store, uri, batches, *, run=1, transaction="run-1", spec=SPEC):
    return store.commit(uri, batches, schema=stored_schema(spec), run=run, transaction=transaction)


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


def test_runs_may_commit_in_any_order_and_several_times(store, uri):
    commit(store, uri, [batch(row())], run=5, transaction="five")
    commit(store, uri, [batch(row(), row())], run=3, transaction="three-a")
    second = commit(store, uri, [batch(row())], run=3, transaction="three-b")

    assert second.rows == 1
    assert store.snapshot(uri, run=3).rows == 3
    assert set(store.snapshot(uri, run=3).files) < set(store.snapshot(uri).files)


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
        commit(store, uri, broken(), run=2, transaction="run-2")

    assert caught.value.data == {"column": "x"}
    assert store.snapshot(uri).rows == 1
    assert commit(store, uri, [batch(row())], run=2, transaction="run-2").already is False


def test_a_commit_without_rows_is_remembered(store, uri):
    assert commit(store, uri, []).rows == 0
    assert commit(store, uri, []).already is True
    assert store.snapshot(uri).is_empty


def test_every_type_comes_back_as_it_was(store, uri):
    values = {
        "bool": True,
        "int32": -1,
        "int64": 2**62,
        "float32": 0.5,
        "float64": float("nan"),
        "string": "é",
        "bytes": b"\x00\xff",
        "timestamp": T + US,
        "date": date(1960, 2, 29),
        "decimal(10,2)": Decimal("-1.25"),
        "list<string>": ["a", None],
        "vector<2>": [1.0, 2.0],
        "json": "{}",
    }
    features = [(f"f{n:02}", kind) for n, kind in enumerate(values)]
    spec = make_spec(features=features)
    nulls = (2, T, T, *(None for _ in values))

    commit(store, uri, [batch((1, T, T, *values.values()), nulls, spec=spec)], spec=spec)

    with latest_rows(store.snapshot(uri).files, spec) as reader:
        table = reader.read_all()
    assert table.schema == stored_schema(spec)
    found = sorted(table.to_pylist(), key=lambda r: r["k"])
    assert str([found[0][name] for name, _ in features]) == str(
        [
            v.replace(tzinfo=found[0]["event_timestamp"].tzinfo) if type(v) is datetime else v
            for v in values.values()
        ]
    )
    assert [found[1][name] for name, _ in features] == [None] * len(values)


def test_the_latest_row_is_the_greatest_by_event_created_and_run(store, uri):
    late = T + timedelta(hours=1)
    other = ("12", "3")
    first = batch(row(x=1.0), row(created=late, x=2.0), row(other, x=3.0), row(other, late, x=4.0))
    commit(store, uri, [first])
    commit(store, uri, [batch(row(created=late, x=5.0))], run=2, transaction="run-2")
    files = store.snapshot(uri).files

    def latest(**kwargs):
        with latest_rows(files, SPEC, **kwargs) as reader:
            return {
                (r["a"], r["b"]): (r["x"], r["__sequence"]) for r in reader.read_all().to_pylist()
            }

    assert latest() == {("1", "23"): (5.0, 2), ("12", "3"): (4.0, 1)}
    assert latest(run=1) == {("1", "23"): (2.0, 1), ("12", "3"): (4.0, 1)}
    assert latest(as_of=late - US) == {("1", "23"): (1.0, 1), ("12", "3"): (3.0, 1)}


def test_the_latest_of_nothing_is_nothing():
    with latest_rows((), SPEC) as reader:
        assert reader.read_all().num_rows == 0


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
