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

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import duckdb

    from materialization.sources.inputs import SourceFiles
    from registry.spec.model import VersionSpec


def read_json(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, source: SourceFiles
) -> ReadRows:
    """Read files whose every row has columns of its own."""
    columns = shapes(spec)
    if columns is None:
        columns = shapes(spec, all_of=store_json(connection, source, {}).all_names(source))
    refuse_alike(columns or {})
    rows = store_json(connection, source, columns or {})
    names = rows.all_names(source)
    _refuse_lacking(spec, rows.names)
    known = {n: shape for n, shape in (columns or {}).items() if n in names or not names}
    unread = _apart(names - known.keys(), known)
    notes = [*_absent_notes(rows.names, known), *_json_double_notes(source, rows.names)]
    notes += nameless_notes(rows.names)
    relation = json_relation(rows, known, unread, whole=spec.transform.makes_ticks)
    return ReadRows(relation, dict.fromkeys(names, "JSON"), notes)


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
            raise SourceDrifted(gone_said(name, "JSON", anywhere))


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
