# ruff: noqa: S608 - names are quoted, types are words of our own
"""A source whose rows arrive, as the sandbox sees it: the columns that it declares, and no rows.

Not for the rows that do: ``ingest`` takes them, past every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lib.sql_text import identifier
from materialization.sources.inputs import SourceFiles
from materialization.sources.read_rows import ReadRows
from materialization.sources.reading import open_rows
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    import duckdb

    from materialization.sources.reading import OpenedSource
    from materialization.sources.where import Where
    from registry.spec.sources.arriving import ArrivingSource
    from registry.spec.version_spec import VersionSpec

_NOTE = "rows are {}: nothing is read of the source, and no run of it has any."


class ArrivingKind:
    """Nothing to find and nothing to read: a run over it stores that there is nothing else."""

    def find(self, source: ArrivingSource, where: Where) -> SourceFiles:
        return SourceFiles((), "parquet")

    def open(
        self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec, found: SourceFiles
    ) -> OpenedSource:
        source = cast("ArrivingSource", spec.rows_from)
        types = {name: parse_type(kind).duckdb for name, kind in source.schema.items()}
        columns = ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in types.items())
        nothing = f"(SELECT {columns} WHERE false)"
        note = _NOTE.format(source.arrives)
        return open_rows(connection, spec, ReadRows(nothing, types, [note]), source.type, {})
