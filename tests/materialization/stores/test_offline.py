"""Delta tables read back: every type as it was.

What any offline store promises is in ``contracts``.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits
from materialization.stores.columns import computed_schema, stored_schema
from materialization.stores.offline import DeltaOfflineStore
from materialization.stores.offline_protocol import OfflineStoreUnavailable
from materialization.stores.offline_values import TableAt
from tests.materialization.engine_cases import make_spec
from tests.materialization.store_cases import SPEC, US, T, batch, commit, row


@pytest.fixture
def store(tmp_path):
    return DeltaOfflineStore(tmp_path)


@pytest.fixture
def place(tmp_path):
    return TableAt(str(tmp_path / "rides" / "driver_stats" / "abc"))


def test_every_type_comes_back_as_it_was(store, place):
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

    commit(store, place, [batch((1, T, T, *values.values()), nulls, spec=spec)], spec=spec)

    engine = ENGINES["duckdb"](EngineLimits(memory_limit_mb=256, threads=1))
    with engine.latest_rows(store.snapshot(place).files, spec) as reader:
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


def test_a_place_that_can_be_no_table_is_an_error_and_not_an_absence(store, place):
    Path(place.uri).parent.mkdir(parents=True)
    Path(place.uri).write_text("no table")

    for ask in (store.snapshot, store.list_files):
        with pytest.raises(OfflineStoreUnavailable):
            ask(place)


@pytest.mark.parametrize("name", ["a b", "é", "50%", "a#b", "a?b", "a*b", "x=1", "q'o", "日"])
def test_a_store_may_lie_under_any_folder_that_can_be_named(tmp_path, name):
    root = tmp_path / name
    store, place = DeltaOfflineStore(root), TableAt(str(root / "rides" / "driver_stats" / "abc"))

    for number in (1, 2):
        commit(store, place, [batch(row((str(number), "23")))], transaction=str(number))

    engine = ENGINES["duckdb"](EngineLimits(memory_limit_mb=256, threads=1))
    files = store.snapshot(place).files
    assert all(Path(file).is_file() for file in files)
    assert [file.uri for file in store.list_files(place).files] == sorted(files)
    with engine.latest_rows(files, SPEC) as reader:
        assert reader.read_all().num_rows == 2


@pytest.mark.parametrize("name", ["a[1]", "a^b", "a|b", "a%20b", "a\\b", "a\tb"])
def test_a_store_that_would_lose_its_files_or_end_the_process_is_refused(tmp_path, name):
    with pytest.raises(OfflineStoreUnavailable, match="set OFFLINE_STORE to one without it"):
        DeltaOfflineStore(tmp_path / name)


def test_compacting_keeps_together_what_is_of_one_time(store, place):
    """Runs may write files of some time each, in whatever order; later runs are of later times."""
    spec, of_file, end = make_spec(features=[("x", "float64")]), 20_000, 0
    for sequence in (1, 2):
        firsts = [end + n * of_file for n in (5, 2, 7, 0, 9, 4, 1, 8, 6, 3)]
        commit(
            store,
            place,
            [seconds(first, first + of_file, spec) for first in firsts],
            sequence=sequence,
            transaction=f"run-{sequence}",
            spec=spec,
        )
        end += 10 * of_file

    assert store.care(place, keep=timedelta(days=1), compact=store.snapshot(place).version)

    (file,) = store.snapshot(place).files
    found = pq.read_metadata(file)
    column = found.schema.to_arrow_schema().names.index("event_timestamp")
    times = [found.row_group(n).column(column).statistics for n in range(found.num_row_groups)]
    spans = [(each.max - each.min) / US / 1_000_000 for each in times]
    assert found.num_rows == end
    assert len(spans) >= 4
    assert max(spans) < 0.6 * end


def seconds(first, after, spec):
    """Make one row a second from one second on until another."""
    events = pa.array(range(first * 1_000_000, after * 1_000_000, 1_000_000), pa.int64())
    count, schema = after - first, computed_schema(spec)
    columns = [pa.array([1] * count), events, events, pa.array([1.0] * count)]
    cast = [each.cast(field.type) for each, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(cast, schema=schema)
