# ruff: noqa: S608 - types are made of words of our own, names are quoted
"""A Delta table as the sandbox reads it: the files of one snapshot, as its log says they are read.

Not for the log (``finding.delta``): columns, folders' values and deleted rows come from there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from materialization.errors import SourceDrifted, SourceFileUnsupported
from materialization.sources.layouts import parquet_layouts
from materialization.sources.read_rows import ReadRows
from materialization.sources.readers import (
    ROW_NUMBER,
    DescribedFile,
    Unlike,
    store_beside,
    union_sql,
)
from materialization.sources.reading import OpenedSource, open_rows, refuse_other_sql
from materialization.sources.reading_tables import chosen_types
from materialization.sources.row_marks import marked_rows
from materialization.sources.walking import require_readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

    from materialization.sources.inputs import DeltaColumn, DeltaFile, DeltaFiles
    from materialization.sources.layouts import Layout
    from registry.spec.version_spec import VersionSpec

_FORMAT = "delta"


class DeltaTableKind:
    def open(
        self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec, found: DeltaFiles
    ) -> OpenedSource:
        refuse_other_sql(spec)
        require_readable(found.paths)
        rows = read_delta(connection, spec, found)
        return open_rows(connection, spec, rows, _FORMAT, {})


def read_delta(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, source: DeltaFiles
) -> ReadRows:
    """Read the snapshot's rows. A column that a file does not have is null in it.

    :raises SourceFileUnsupported: a column that is read and cannot be.
    :raises SourceDrifted: a column is not what the version, or the log, says.
    """
    refused = {column.name: column.refused for column in source.columns if column.refused}
    known = _types(connection, [each for each in source.columns if not each.refused])
    found = known | dict.fromkeys(refused, "unknown")
    types = chosen_types(spec, found, unusable=refused)
    for name in types.keys() & refused.keys():
        raise SourceFileUnsupported(f"column {name!r} of the table {refused[name]}")
    files = _described(connection, source, known)
    if any(file.deleted is not None for file in files):
        _refuse_row_number(source)
    beside, otherwise = store_beside(connection, files), partial(_grown, known=known)
    reader = union_sql("parquet", files, types, beside, otherwise=otherwise)
    return ReadRows(reader, found, [])


def _types(connection: duckdb.DuckDBPyConnection, columns: Sequence[DeltaColumn]) -> dict[str, str]:
    """Return the columns' types as the engine writes them."""
    said = ", ".join(f"typeof(NULL::{column.type})" for column in columns)
    row = connection.execute(f"SELECT {said}").fetchall()[0] if columns else ()
    return dict(zip((column.name for column in columns), row, strict=True))


def _described(
    connection: duckdb.DuckDBPyConnection, source: DeltaFiles, types: Mapping[str, str]
) -> list[DescribedFile]:
    if not source.files:
        return []
    given = {column.name: types[column.name] for column in _folders(source)}
    layouts = parquet_layouts(connection, source.paths)
    return [
        _file(each, _by_name(layout, source.columns), given)
        for each, layout in zip(source.files, layouts, strict=True)
    ]


def _folders(source: DeltaFiles) -> list[DeltaColumn]:
    return [column for column in source.columns if column.folder and not column.refused]


def _file(each: DeltaFile, layout: Layout, given: Mapping[str, str]) -> DescribedFile:
    folders = {name: each.folders.get(name) for name in given}
    deleted = marked_rows(each.deleted) if each.deleted else None
    return DescribedFile(each.path, layout, folders, given, deleted)


def _by_name(layout: Layout, columns: Sequence[DeltaColumn]) -> Layout:
    """Return a file's columns by the names that the table has for them."""
    own = (column for column in columns if not column.folder and column.stored_as in layout)
    return {column.name: layout[column.stored_as] for column in own}


def _refuse_row_number(source: DeltaFiles) -> None:
    for column in source.columns:
        if column.stored_as.lower() == ROW_NUMBER:
            raise SourceFileUnsupported(
                f"the table has a column {column.name!r} and deletion vectors, which are read by a"
                " number of that name. Rename the column, or purge the deleted rows (REORG TABLE …"
                " APPLY (PURGE))."
            )


def _grown(column: Unlike, *, known: Mapping[str, str]) -> str:
    """Return a column whose structs got fields since the file was written: null there, by name.

    That they have no field less, and none of a wider type, is what the log promises.
    """
    name, have, want = column.name, column.have, column.want
    if "STRUCT(" in have and "STRUCT(" in want and known.get(name) == want:
        return f"CAST({column.stored} AS {want})"
    raise SourceDrifted(
        f"{column.file.path}: column {name!r} is {have} there and {want} in the table, or when the"
        " version was submitted. Write the file again, or submit a new version."
    )
