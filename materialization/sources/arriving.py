# ruff: noqa: S608 - names are quoted, types are words of our own
"""A source whose rows arrive, as the sandbox sees it: the columns that it declares, and no rows.

But for a fit, which takes those that a table of ours has of it. Not for the rows that come:
``ingest`` takes them, past every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lib.sql_text import identifier
from materialization.compute.stored_rows_sql import stored_rows
from materialization.sources.inputs import SourceFiles, StoredRows
from materialization.sources.read_rows import ReadRows
from materialization.sources.reading import open_rows
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from materialization.sources.reading import OpenedSource
    from materialization.sources.where import Where
    from registry.spec.sources.arriving import ArrivingSource
    from registry.spec.version_spec import VersionSpec

_NOTE = "rows are {}: there is nothing to look at yet, and no run reads any."


class ArrivingKind:
    """Nothing to find and nothing to read: a run over it stores that there is nothing else."""

    def find(self, source: ArrivingSource, where: Where) -> SourceFiles:
        return SourceFiles((), "parquet")

    def open(
        self,
        connection: duckdb.DuckDBPyConnection,
        spec: VersionSpec,
        found: SourceFiles | StoredRows,
    ) -> OpenedSource:
        source = cast("ArrivingSource", spec.rows_from)
        types = {name: parse_type(kind).duckdb for name, kind in source.schema.items()}
        if isinstance(found, StoredRows):
            rows = _stored(found, types)
        else:
            rows = ReadRows(_nothing(types), types, [_NOTE.format(source.arrives)])
        return open_rows(connection, spec, rows, source.type, {})


def _nothing(types: Mapping[str, str]) -> str:
    columns = ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in types.items())
    return f"(SELECT {columns} WHERE false)"


def _stored(found: StoredRows, types: Mapping[str, str]) -> ReadRows:
    """Return what is stored of the source's columns; of others there is nothing to read."""
    there = {name: types[name] for name in found.columns}
    if not found.paths:
        return ReadRows(_nothing(there), there, [])
    columns = ", ".join(
        f"{identifier(found.columns[name])}::{kind} AS {identifier(name)}"
        for name, kind in there.items()
    )
    return ReadRows(f"(SELECT {columns} FROM {stored_rows(found.paths)})", there, [])
