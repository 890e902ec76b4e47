"""What is kept of another view while a source is opened part by part.

Not for which row is found (``test_joined_sources``, ``tests/materialization/test_read_views.py``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.compute.session import open_session
from materialization.sandbox.opening import Opening
from materialization.sources.inputs import SourceFiles
from materialization.stores.columns import INSTANT
from registry.spec.view_reads import ReadKey, ReadVersion
from tests.materialization.engine_cases import LIMITS, make_spec

T = datetime(2026, 1, 1, tzinfo=UTC)
OWN = pa.schema([("k", pa.int64()), ("event", INSTANT), ("p", pa.int64())])
STORED = pa.schema(
    [("p", pa.int64()), ("event_timestamp", INSTANT), ("created_timestamp", INSTANT),
     ("__sequence", pa.int64()), ("price", pa.float64())]
)  # fmt: skip
READ = ReadVersion(
    name="profile",
    project="rides",
    view="profile",
    version="1.0.0",
    data="0",
    keys=(ReadKey(name="p", type="int64", column="p"),),
    features={"price": "float64"},
)


@pytest.fixture
def opened(tmp_path):
    """A connection, and what opens parts of a source of four files that read one of six rows."""
    parts = [str(tmp_path / f"{n}.parquet") for n in range(4)]
    for n, path in enumerate(parts):
        row = {"k": n, "event": T + timedelta(hours=n), "p": n}
        pq.write_table(pa.Table.from_pylist([row], schema=OWN), path)
    stored = str(tmp_path / "stored.parquet")
    rows = [(n, T, T, 1, float(n)) for n in range(6)]
    named = [dict(zip(STORED.names, row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(named, schema=STORED), stored)
    sql = "SELECT k, event, profile.price AS price FROM rows"
    spec = make_spec(features=[("price", "float64")], sql=sql)
    spec = msgspec.structs.replace(spec, reads=(READ,), read_files={"profile": (stored,)})
    source = SourceFiles(tuple(parts), "parquet")
    with open_session(LIMITS, directory=str(tmp_path), only=[*parts, stored]) as connection:
        yield connection, Opening(connection, spec, source), source


def prices(connection, relation):
    found = connection.execute(f"SELECT price FROM {relation}").fetchall()
    return sorted(price for (price,) in found)


def kept(connection):
    """Return, of each table of what is read, which it is and how many rows it has."""
    return connection.execute(
        "SELECT table_oid, estimated_size FROM duckdb_tables() WHERE table_name LIKE 'read_%'"
        " AND table_name NOT LIKE '%_known'"
    ).fetchall()


def test_of_other_views_is_kept_what_the_opened_part_asks_for(opened):
    connection, opening, source = opened
    for n, path in enumerate(source.paths):
        part = opening(source.only([path]))

        assert prices(connection, part.relation) == [float(n)]
        assert [size for _, size in kept(connection)] == [1]


def test_parts_of_what_was_opened_find_all_in_what_is_kept(opened):
    connection, opening, source = opened
    opening(source.only(source.paths[:3]))
    once = kept(connection)
    for some in (source.paths[1:2], source.paths[:2], source.paths[:3]):
        part = opening(source.only(some))

        wanted = [float(source.paths.index(path)) for path in some]
        assert prices(connection, part.relation) == wanted
        assert kept(connection) == once
    assert [size for _, size in once] == [3]

    last = opening(source.only(source.paths[3:]))
    assert prices(connection, last.relation) == [3.0]


def test_what_is_wrong_in_a_part_that_is_not_opened_is_no_error(opened):
    connection, opening, source = opened
    texts = pa.table({"k": [0], "event": pa.array([T], INSTANT), "p": ["none"]})
    pq.write_table(texts, source.paths[0])
    Path(source.paths[1]).write_bytes(b"damaged")

    part = opening(source.only(source.paths[3:]))

    assert prices(connection, part.relation) == [3.0]
