# ruff: noqa: S608 - names and texts are quoted by sql_text
"""The latest stored row of each key: what goes online.

Not for users' files: these are our own tables, read in process, without limits on access.
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from lib.sql_text import identifier, instant, text_list
from materialization.stores.columns import CREATED, EVENT, PLACE, SEQUENCE, stored_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from registry.spec.model import VersionSpec


_BATCH_ROWS = 65_536


@contextlib.contextmanager
def latest_rows(
    files: Sequence[str],
    spec: VersionSpec,
    *,
    as_of: datetime | None = None,
    run: int | None = None,
    memory_limit_mb: int = 1024,
    threads: int | None = None,
) -> Iterator[pa.RecordBatchReader]:
    """Give the greatest row of each key by (event, created, run).

    Input:  Parquet files of one snapshot. With ``as_of`` only rows visible then count, with ``run``
            only that run's.
    Output: batches of ``columns.stored_schema``, in no order; memory bounded, spilled beyond.
    """
    schema = stored_schema(spec)
    if not files:
        yield pa.RecordBatchReader.from_batches(schema, [])
        return
    with (
        tempfile.TemporaryDirectory(prefix="assay-latest-") as directory,
        _connect(directory, memory_limit_mb, threads) as connection,
    ):
        query = latest_sql(files, spec, as_of=as_of, run=run)
        reader = connection.sql(query).to_arrow_reader(_BATCH_ROWS)
        yield pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in reader))


def latest_sql(
    files: Sequence[str], spec: VersionSpec, *, as_of: datetime | None, run: int | None
) -> str:
    columns = ", ".join(identifier(name) for name in stored_schema(spec).names)
    keys = ", ".join(identifier(key.name) for key in spec.join_keys)
    order = ", ".join(f"{column} DESC" for column in (EVENT, CREATED, SEQUENCE, *PLACE))
    conditions = [f"{SEQUENCE} = {run:d}"] if run is not None else []
    if as_of is not None:
        conditions.append(f"greatest({EVENT}, {CREATED}) <= {instant(as_of)}")
    wanted = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return (
        f"SELECT {columns} FROM read_parquet({text_list(files)}, hive_partitioning = false) "
        f"{wanted}QUALIFY row_number() OVER "
        f"(PARTITION BY {keys} ORDER BY {order}) = 1"
    )


def _connect(
    directory: str, memory_limit_mb: int, threads: int | None
) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config={"python_enable_replacements": False})
    settings = {
        "temp_directory": directory,
        "memory_limit": f"{memory_limit_mb}MB",
        "preserve_insertion_order": False,
        "TimeZone": "UTC",
    }
    for name, value in (settings | ({"threads": threads} if threads else {})).items():
        connection.execute(f"SET {name} = ?", [value])
    return connection
