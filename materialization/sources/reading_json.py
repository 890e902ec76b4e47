"""A source of JSON objects: each row has columns of its own.

Not for how values are written down (``json_rows``, ``shapes``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.errors import SourceDrifted, SourceUnreadable
from materialization.sources.json_rows import json_relation, store_json
from materialization.sources.read_rows import (
    ReadRows,
    folders_of,
    gone_said,
    nameless_notes,
    refuse_alike,
)
from materialization.sources.shapes import shapes
from registry.spec.sql_times import days_moved

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import duckdb

    from materialization.sources.inputs import SourceFiles
    from registry.spec.version_spec import VersionSpec


def read_json(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, source: SourceFiles
) -> ReadRows:
    """Read files whose every row has columns of its own.

    A column that the version took is there in each reading, null where no row has it: else the
    parts that are read together would decide what a name means.
    """
    taken = _taken(spec)
    by_sql = spec.view.sql is not None and bool(taken)
    columns = shapes(spec)
    if columns is None:
        there = {} if by_sql else store_json(connection, source, {}).all_names(source)
        columns = shapes(spec, all_of={*there, *taken})
    if columns is not None and by_sql:  # what came since may have a name that the SQL gives itself
        columns = {name: shape for name, shape in columns.items() if name in taken}
    refuse_alike(columns or {})
    rows = store_json(connection, source, columns or {})
    names = rows.all_names(source)
    _refuse_lacking(spec, rows.names)
    known = {n: s for n, s in (columns or {}).items() if n in names or n in taken or not names}
    _refuse_gone(spec, known, names)
    others = names - known.keys()
    unread = _apart(others & taken.keys() if by_sql else others, known)
    notes = [*_absent_notes(rows.names, known), *_json_double_notes(source, rows.names)]
    notes += nameless_notes(rows.names)
    relation = json_relation(rows, known, unread, whole=spec.transform.makes_ticks)
    found = names | (known.keys() & taken.keys())
    return ReadRows(relation, dict.fromkeys(found, "JSON"), notes)


def _taken(spec: VersionSpec) -> Mapping[str, str]:
    """Return the columns that a version took; of a joined source, which is read whole, none."""
    if spec.schema is None or not spec.view.entities:
        return {}
    return spec.schema.types


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


def _refuse_gone(spec: VersionSpec, known: Iterable[str], names: set[str]) -> None:
    """Without its key or its time no row is one; and what is written otherwise is not absent."""
    if not names:
        return
    needed = {*(key.name for key in spec.join_keys), spec.rows_from.event_timestamp.column}
    folded = {name.lower() for name in names - _taken(spec).keys()}
    for name in sorted(set(known) - names):
        if name.lower() in folded or (name in needed and _is_passed(spec, name)):
            raise SourceDrifted(gone_said(name, "JSON", names))


def _is_passed(spec: VersionSpec, name: str) -> bool:
    """Return whether the view has a column as the source has it: its SQL may fill it."""
    return spec.view.sql is None or days_moved(spec.view.sql, name) == 0


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
        for path, said in zip(source.paths, folders_of(source), strict=True)
        for key, _ in said
        if key in names[path]
    }
    return [
        f"{key!r} is a key of the rows and a folder's name; where a row has it, its own is read."
        for key in sorted(both)
    ]
