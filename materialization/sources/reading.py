# ruff: noqa: S608 - names and texts are quoted by sql_text
"""A source as the sandbox sees it: the sub-select a view reads from, and its columns' types.

Not for choosing files (``files``) or casting (``casts``). Columns are matched by their exact names
and read with the types that the version took at submit, or would take now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import duckdb

from lib.errors import did_you_mean
from materialization.errors import (
    RowSqlFailed,
    RowSqlRefused,
    SourceDrifted,
    SourceFileUnsupported,
    SourceUnreadable,
    UnknownColumn,
)
from materialization.failures import translate
from materialization.sources.arrow_types import refusal
from materialization.sources.common_types import common_type
from materialization.sources.csv_faults import refuse_endless
from materialization.sources.json_rows import ROW, json_relation, store_json
from materialization.sources.layouts import csv_layouts, parquet_layouts
from materialization.sources.readers import OPTIONS, DescribedFile, store_partitions, union_sql
from materialization.sources.shapes import shapes
from materialization.sources.walking import require_readable
from materialization.transforms.kinds import kind_of
from registry.spec.row_sql import BadSql, names_given
from registry.spec.sources import SourceColumn, SourceSchema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from lib.errors import AssayError
    from materialization.sources.inputs import SourceFiles
    from registry.spec.model import VersionSpec


#: What reading a file raises.
_OF_FILES = (duckdb.IOException, duckdb.HTTPException)


class OpenedSource(NamedTuple):
    """``columns``: what ``relation`` gives, name → DuckDB type; ``found``: what the files hold.

    ``schema`` is what a version would take of it now, ``notes`` what its owner should know.
    """

    relation: str
    columns: dict[str, str]
    found: dict[str, str]
    schema: SourceSchema | None = None
    notes: tuple[str, ...] = ()


class _Read(NamedTuple):
    """``reader``: the sub-select of the source's rows; ``found``: all names, with their types."""

    reader: str
    found: dict[str, str]
    notes: list[str]


def open_files(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, source: SourceFiles
) -> OpenedSource:
    """Look at the files' columns and return the relation the view reads.

    :raises RowSqlRefused: the view's SQL is not one SELECT.
    :raises SourceFileUnreadable: a file that this process may not read; names it.
    :raises UnknownColumn: its SQL names a column otherwise than the source does.
    :raises SourceUnreadable: a file that is not what its name says, or that lacks a column which
        the view reads and other files have; names it.
    :raises SourceDrifted: the files are not what the version took at submit.
    """
    _refuse_other_sql(spec)
    require_readable(source.paths)
    if spec.schema is not None and spec.schema.format != source.format:
        raise SourceDrifted(
            f"the source was {spec.schema.format} when the version was submitted and is "
            f"{source.format} now; submit a new version, or put the files back."
        )
    read = _read_json if source.format in ("json", "jsonl") else _read_tables
    rows = read(connection, spec, source)
    _refuse_other_case(spec, rows.found)
    relation = kind_of(spec).relation(spec, rows.reader)
    try:
        columns = describe(connection, relation)
    except duckdb.Error as exc:
        raise _unbound(exc, rows.found) from exc
    taken = tuple(SourceColumn(name=name, type=kind) for name, kind in sorted(rows.found.items()))
    schema = SourceSchema(format=source.format, options=OPTIONS[source.format], columns=taken)
    return OpenedSource(relation, columns, rows.found, schema, (*rows.notes, *_left_out(source)))


def _refuse_other_sql(spec: VersionSpec) -> None:
    """What reached us was checked; here it may still be anything."""
    try:
        _ = spec.columns_read
    except BadSql as exc:
        raise RowSqlRefused(f"sql: {exc.message}") from exc


def _unbound(error: duckdb.Error, found: Mapping[str, str]) -> AssayError:
    """Return why SQL cannot be bound; its constants were tried by then, and no row was read."""
    told = translate(error, known=found)
    if isinstance(told, (RowSqlFailed, SourceUnreadable)) and not isinstance(error, _OF_FILES):
        return RowSqlRefused(f"sql cannot be run on the source: {str(error).splitlines()[0][:300]}")
    return told


def describe(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {name: kind for name, kind, *_ in rows if name != ROW}


def _left_out(source: SourceFiles) -> list[str]:
    if not (count := len(source.left_out)):
        return []
    names = ", ".join(source.left_out[:3])
    return [f"{count} hidden or temporary names match the path and are left out: {names}."]


def _read_tables(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, source: SourceFiles
) -> _Read:
    """Read files that say themselves which columns they have."""
    if source.format == "csv":
        for path in source.paths:
            refuse_endless(path)
        layouts = csv_layouts(source.paths, _needed(spec))
    else:
        layouts = parquet_layouts(connection, source.paths)
    files = [
        DescribedFile(path, layout, dict(said))
        for path, layout, said in zip(source.paths, layouts, _folders(source), strict=True)
    ]
    found = _Found(files)
    types = _types(spec, found)
    _refuse_files(spec, files, found)
    partitions = sorted({key for file in files for key in file.folders if key not in file.layout})
    store_partitions(connection, files, partitions)
    reader = union_sql(source.format, files, types, found.holders, agreed=spec.schema is not None)
    notes = [*_double_notes(files), *_nameless_notes({file.path: file.layout for file in files})]
    return _Read(reader, found.types, notes)


def _folders(source: SourceFiles) -> Sequence[tuple[tuple[str, str | None], ...]]:
    return source.partitions or ((),) * len(source.paths)


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


def _types(spec: VersionSpec, found: _Found) -> dict[str, str]:
    """Return the columns the relation has: all that are read, and of the others what can be.

    Names an engine cannot tell apart, and types that files do not share, only matter when read.

    :raises SourceUnreadable, SourceDrifted: two names that are read differ in case alone; a column
        that the version took is gone.
    """
    read = spec.columns_read
    taken = spec.schema.types if spec.schema is not None else {}
    wanted = [name for name in (taken or found.types) if read is None or name in read]
    if gone := [name for name in wanted if name not in found.types]:
        raise SourceDrifted(_gone(gone[0], taken[gone[0]], found.types))
    if not taken:
        wanted = [name for name in found.types if read is None or name in read]
    _refuse_alike(wanted)
    folded = {name.lower() for name in wanted}
    types = {name: taken.get(name, found.types[name]) for name in wanted}
    for name, kind in found.types.items():
        if name.lower() not in folded and name not in found.unlike and refusal(kind) is None:
            folded.add(name.lower())
            types[name] = kind
    return types


def _gone(name: str, was: str, known: Iterable[str]) -> str:
    return (
        f"the source has no column {name!r} any more, which was {was} when the version was "
        f"submitted.{did_you_mean(name, sorted(known))} Write it again, or submit a version without"
        " it."
    )


def _refuse_alike(names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise SourceUnreadable(
                f"columns {other!r} and {name!r} differ in case alone, and the view reads both: an "
                "engine cannot tell them apart. Write the source with another name for one."
            )


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
                raise SourceUnreadable(f"{file.path} has two columns called {name!r}.")
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


def _double_notes(files: Sequence[DescribedFile]) -> list[str]:
    both = {key for file in files for key in file.folders if key in file.layout}
    return [
        f"{key!r} is a column of the files and a folder's name; the files' own values are read."
        for key in sorted(both)
    ]


def _nameless_notes(names: Mapping[str, Collection[str]]) -> list[str]:
    """Tell of what no view can ask for: an index that was written too, commas at the end."""
    paths = [path for path, has in names.items() if "" in has]
    if not paths:
        return []
    return [
        f"a column without a name is left out in {len(paths)} of {len(names)} files, as {paths[0]}."
    ]


def _refuse_other_case(spec: VersionSpec, found: Mapping[str, str]) -> None:
    """Names mean what is written: to an engine "A" would be a."""
    if spec.view.sql is None:
        return
    given, known = names_given(spec.view.sql), {name.lower(): name for name in found}
    for name in spec.columns_read or ():
        if name not in found and name not in given and name.lower() in known:
            raise UnknownColumn(name, found)


def _read_json(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, source: SourceFiles
) -> _Read:
    """Read files whose every row has columns of its own."""
    columns = shapes(spec)
    if columns is None:
        columns = shapes(spec, all_of=store_json(connection, source, {}).all_names(source))
    _refuse_alike(columns or {})
    rows = store_json(connection, source, columns or {})
    names = rows.all_names(source)
    _refuse_lacking(spec, rows.names)
    known = {n: shape for n, shape in (columns or {}).items() if n in names or not names}
    unread = _apart(names - known.keys(), known)
    notes = [*_absent_notes(rows.names, known), *_json_double_notes(source, rows.names)]
    notes += _nameless_notes(rows.names)
    relation = json_relation(rows, known, unread, whole=spec.transform.makes_ticks)
    return _Read(relation, dict.fromkeys(names, "JSON"), notes)


def _apart(names: Iterable[str], beside: Iterable[str]) -> list[str]:
    folded = {name.lower() for name in beside}
    apart = []
    for name in sorted(names):
        if name.lower() not in folded:
            folded.add(name.lower())
            apart.append(name)
    return apart


def _refuse_lacking(spec: VersionSpec, names: Mapping[str, set[str]]) -> None:
    """A key that no row of a file has would leave out the file's every row."""
    if not spec.transform.reads_keys:
        return
    needed = [*(key.name for key in spec.join_keys), spec.rows_from.event_timestamp.column]
    anywhere = set().union(*names.values()) if names else set()
    for name in needed:
        for path, has in names.items():
            if has and name in anywhere and name not in has:
                raise SourceUnreadable(f"{path}: no row has {name!r}, which rows of others have.")
    taken = spec.schema.types if spec.schema is not None else {}
    for name in needed:
        if anywhere and name in taken and name not in anywhere:
            raise SourceDrifted(_gone(name, "JSON", anywhere))


def _absent_notes(names: Mapping[str, set[str]], known: Iterable[str]) -> list[str]:
    """To JSON what is not there is null: say where a column is so in a whole file."""
    notes = []
    for name in known:
        lacking = [path for path, has in names.items() if has and name not in has]
        if lacking:
            notes.append(
                f"no row has {name!r} in {len(lacking)} of {len(names)} files, as {lacking[0]}: "
                "it is null there."
            )
    return notes


def _json_double_notes(source: SourceFiles, names: Mapping[str, set[str]]) -> list[str]:
    both = {
        key
        for path, said in zip(source.paths, _folders(source), strict=True)
        for key, _ in said
        if key in names[path]
    }
    return [
        f"{key!r} is a key of the rows and a folder's name; where a row has it, its own is read."
        for key in sorted(both)
    ]
