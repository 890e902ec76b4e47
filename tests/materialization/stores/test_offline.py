"""Delta tables read back: every type as it was, and the latest row of each key.

What any offline store promises is in ``contracts``.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from materialization.stores.columns import stored_schema
from materialization.stores.latest import latest_rows
from materialization.stores.offline import DeltaOfflineStore
from tests.materialization.engine_cases import make_spec
from tests.materialization.store_cases import SPEC, US, T, batch, commit, row


@pytest.fixture
def store(tmp_path):
    return DeltaOfflineStore(tmp_path)


@pytest.fixture
def uri(tmp_path):
    return str(tmp_path / "rides" / "driver_stats" / "abc")


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


def test_the_latest_row_is_the_greatest_by_event_created_and_sequence(store, uri):
    late = T + timedelta(hours=1)
    other = ("12", "3")
    first = batch(row(x=1.0), row(created=late, x=2.0), row(other, x=3.0), row(other, late, x=4.0))
    commit(store, uri, [first])
    commit(store, uri, [batch(row(created=late, x=5.0))], sequence=2, transaction="run-2")
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
