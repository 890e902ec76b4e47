"""A source of files that say themselves which columns they have: Parquet and CSV.

Not for what each says (``layouts``) nor for the SQL that reads them (``readers``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NoReturn

from materialization.errors import SourceDrifted, SourceFileUnsupported, SourceUnreadable
from materialization.sources.arrow_types import refusal
from materialization.sources.common_types import common_type
from materialization.sources.csv_faults import refuse_endless
from materialization.sources.layouts import csv_layouts, parquet_layouts
from materialization.sources.read_rows import (
    ReadRows,
    folders_of,
    gone_said,
    nameless_notes,
    refuse_alike,
)
from materialization.sources.readers import DescribedFile, Unlike, store_beside, union_sql

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    import duckdb

    from materialization.sources.inputs import SourceFiles
    from registry.spec.version_spec import VersionSpec


def read_tables(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, source: SourceFiles
) -> ReadRows:
    """Read files that say themselves which columns they have."""
    if source.format == "csv":
        for path in source.paths:
            refuse_endless(path)
        layouts = csv_layouts(source.paths, _needed(spec))
    else:
        layouts = parquet_layouts(connection, source.paths)
    files = [
        DescribedFile(path, layout, dict(said))
        for path, layout, said in zip(source.paths, layouts, folders_of(source), strict=True)
    ]
    found = _Found(files)
    types = chosen_types(spec, found.types, unusable=found.unlike)
    _refuse_files(spec, files, found)
    beside = store_beside(connection, files)
    otherwise = partial(_refuse_type, holders=found.holders, agreed=spec.schema is not None)
    reader = union_sql(source.format, files, types, beside, otherwise=otherwise)
    notes = [*_double_notes(files), *nameless_notes({file.path: file.layout for file in files})]
    return ReadRows(reader, found.types, notes)


def _needed(spec: VersionSpec) -> set[str]:
    times = (spec.rows_from.event_timestamp, spec.rows_from.created_timestamp)
    return {*(key.name for key in spec.join_keys), *(time.column for time in times if time)}


class _Found:
    """Every column of the files: the type they have in common, and a file that has it so."""

    def __init__(self, files: Sequence[DescribedFile]) -> None:
        self.types: dict[str, str] = {}
        #: The first file that has a column, for messages.
        self.holders: dict[str, DescribedFile] = {}
        #: Columns whose files do not agree: name → the first file that says something else.
        self.unlike: dict[str, DescribedFile] = {}
        for file in files:
            for name in filter(None, file.names):
                self._add(name, file)

    def _add(self, name: str, file: DescribedFile) -> None:
        have = file.type_of(name)
        if name not in self.types:
            self.types[name], self.holders[name] = have, file
        elif (both := common_type(self.types[name], have)) is not None:
            self.types[name] = both
        else:
            self.unlike.setdefault(name, file)


def chosen_types(
    spec: VersionSpec, found: Mapping[str, str], *, unusable: Container[str]
) -> dict[str, str]:
    """Return the columns the relation has: all that are read, and of the others what can be.

    Names an engine cannot tell apart, and ``unusable`` columns, only matter when read. Columns that
    came since the version took its schema are left out of SQL, which may give such a name itself.

    :raises SourceUnreadable, SourceDrifted: two names that are read differ in case alone; a column
        that the version took is gone.
    """
    read = spec.columns_read
    taken = spec.schema.types if spec.schema is not None else {}
    wanted = [name for name in (taken or found) if read is None or name in read]
    if gone := [name for name in wanted if name not in found]:
        raise SourceDrifted(gone_said(gone[0], taken[gone[0]], found))
    refuse_alike(wanted)
    folded = {name.lower() for name in wanted}
    types = {name: taken.get(name, found[name]) for name in wanted}
    for name, kind in found.items():
        if spec.view.sql is not None and taken and name not in taken:
            continue
        if name.lower() not in folded and name not in unusable and refusal(kind) is None:
            folded.add(name.lower())
            types[name] = kind
    return types


def _refuse_files(spec: VersionSpec, files: Sequence[DescribedFile], found: _Found) -> None:
    """Refuse by name what a file lacks, has twice, or has in a way that cannot be read."""
    read = [n for n in found.types if spec.columns_read is None or n in spec.columns_read]
    for name in read:
        for file in files:
            if name not in file.names:
                holder = found.holders[name].path
                raise SourceUnreadable(
                    f"{file.path} has no column {name!r}, which the view reads and {holder} has. "
                    "Write the file again with the column, empty where there is no value."
                )
            if name in file.layout and file.layout[name].twice:
                raise SourceUnreadable(
                    f"{file.path} has two columns called {name!r}; write it again with one."
                )
            if (why := refusal(file.type_of(name))) is not None:
                raise SourceFileUnsupported(
                    f"{file.path}: column {name!r} is {file.type_of(name)}; {why}"
                )
        if name in found.unlike and spec.schema is None:
            raise SourceUnreadable(_unlike(name, found))


def _unlike(name: str, found: _Found) -> str:
    one, other = found.holders[name], found.unlike[name]
    return (
        f"column {name!r} is {other.type_of(name)} in {other.path} and {found.types[name]} in "
        f"{one.path}; write it with one type in every file."
    )


def _refuse_type(column: Unlike, *, holders: Mapping[str, DescribedFile], agreed: bool) -> NoReturn:
    path, name, have, want = column.file.path, column.name, column.have, column.want
    if agreed:
        raise SourceDrifted(
            f"{path}: column {name!r} is {have}; it was {want} when the version was submitted."
            " Give it that type again, or submit a new version."
        )
    raise SourceUnreadable(
        f"{path}: column {name!r} is {have}, in {holders[name].path} it is {want}; write it"
        " with one type in every file."
    )


def _double_notes(files: Sequence[DescribedFile]) -> list[str]:
    both = {key for file in files for key in file.folders if key in file.layout}
    return [
        f"{key!r} is a column of the files and a folder's name; the files' own values are read."
        for key in sorted(both)
    ]
