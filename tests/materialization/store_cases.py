"""Small tables for both stores, and the few lines that write and read them.

Not for one store's own ways: ``contracts`` runs these on every kind, ``stores`` looks inside.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from materialization.stores.columns import SEQUENCE, computed_schema, stored_schema
from materialization.stores.layout import EntityKey, TableLayout
from registry.spec.value_types import parse_type
from tests.materialization.engine_cases import at, make_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.stores.offline_protocol import OfflineStore
    from materialization.stores.offline_values import CommitResult, TableAt
    from materialization.stores.online_protocol import OnlineStore
    from registry.spec.version_spec import VersionSpec

# --- Online -------------------------------------------------------------------------------------

INSTANT = pa.timestamp("us", tz="UTC")
INT, TEXT = parse_type("int64"), parse_type("string")
PROJECT = 1
DRIVER = EntityKey(("driver_id",), (INT,))
TRIPS = TableLayout("aaaaaaa2", DRIVER, ("trips",), (INT,))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def trips(*rows: tuple[int, int, int, int, int]) -> pa.RecordBatch:
    """Make (driver, event µs, created µs, sequence, trips) rows a batch for ``TRIPS``."""
    columns = list(zip(*rows, strict=True)) or [()] * 5
    kinds = [pa.int64(), INSTANT, INSTANT, pa.int64(), pa.int64()]
    arrays = [
        pa.array(column, pa.int64()).cast(kind) for column, kind in zip(columns, kinds, strict=True)
    ]
    names = ["driver_id", "event_timestamp", "created_timestamp", "__sequence", "trips"]
    return pa.RecordBatch.from_arrays(arrays, names)


def load(
    store: OnlineStore, layout: TableLayout = TRIPS, *, sequence: int = 1, generation: int = 1
) -> None:
    """Mark what was written as all there is."""
    ticket = store.begin_load(layout.uid)
    assert store.finish_load(
        layout.uid, ticket, generation=generation, as_of=NOON, sequence=sequence, ttl=None
    )


def read_online(
    store: OnlineStore, columns: list[Any], layout: TableLayout = TRIPS
) -> list[list[Any]]:
    """Return the rows of a loaded table for columns of keys, one for each of the entity's names."""
    (found,) = store.read(PROJECT, (), [(layout, layout.entity.tags(columns))]).tables
    assert found is not None
    return found.rows


# --- Offline ------------------------------------------------------------------------------------

T = at("1969-12-31T12:00")
US = timedelta(microseconds=1)
SPEC = make_spec(keys=[("a", "string"), ("b", "string")], features=[("x", "float64")])


def batch(*rows: tuple[Any, ...], spec: VersionSpec = SPEC) -> pa.RecordBatch:
    schema = computed_schema(spec)
    return pa.RecordBatch.from_pylist(
        [dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema
    )


def row(
    key: tuple[str, str] = ("1", "23"),
    event: datetime = T,
    created: datetime | None = None,
    x: float = 1.0,
) -> tuple[Any, ...]:
    return (*key, event, created or event, x)


def commit(
    store: OfflineStore,
    place: TableAt,
    batches: Sequence[pa.RecordBatch],
    *,
    sequence: int = 1,
    transaction: str = "run-1",
    spec: VersionSpec = SPEC,
) -> CommitResult:
    schema = stored_schema(spec)
    with store.staging(place, uuid.uuid4().hex) as folder:
        files = [
            write_staged(Path(folder) / f"{number}.parquet", each, schema, sequence)
            for number, each in enumerate(batches)
        ]
        return store.commit(
            place,
            files,
            schema=schema,
            sequence=sequence,
            transaction=transaction,
            rows=sum(each.num_rows for each in batches),
        )


def write_staged(path: Path, rows: pa.RecordBatch, schema: pa.Schema, sequence: int) -> str:
    """Write computed rows as the sandbox leaves them: with their sequence, in the table's order."""
    stamped = pa.Table.from_batches([rows]).append_column(
        SEQUENCE, pa.array([sequence] * rows.num_rows, pa.int64())
    )
    pq.write_table(stamped.select(schema.names).cast(schema), path)
    return str(path)
