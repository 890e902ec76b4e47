"""Rows of a PostgreSQL database as the sandbox reads them: from files that the parent wrote.

Not for fetching them (``finding.postgres``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from materialization.sources.reading import open_files
from registry.spec.sources.base import SourceSchema

if TYPE_CHECKING:
    import duckdb

    from materialization.sources.inputs import SourceFiles
    from materialization.sources.reading import OpenedSource
    from registry.spec.version_spec import VersionSpec

#: What a version's schema says of the format; the files are only how the rows travel.
FORMAT = "postgres"


class PostgresKind:
    """One table, view or query of a database, in one Parquet file."""

    def open(
        self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec, found: SourceFiles
    ) -> OpenedSource:
        if (taken := spec.schema) is not None:
            travels = SourceSchema(format=found.format, columns=taken.columns)
            spec = msgspec.structs.replace(spec, schema=travels)
        opened = open_files(connection, spec, found)
        if opened.schema is None:
            return opened
        return opened._replace(
            schema=SourceSchema(format=FORMAT, columns=opened.schema.columns),
            notes=(*opened.notes, *_notes(spec)),
        )


def _notes(spec: VersionSpec) -> list[str]:
    """Say what nothing of a table tells, and what is done about it."""
    source = spec.rows_from
    if spec.transform.makes_ticks:
        return []
    back = source.lookback or source.default_lookback
    by = "that became known" if source.created_timestamp else "with an event time"
    return [
        f"nothing tells which rows of {source.where()} change: each run looks again at those {by}"
        f" in the last {back} (`lookback`); a run that compares finds what is older."
    ]
