# ruff: noqa: S608 - names are quoted, types are words of our own
"""Rows of an HTTP server as the sandbox reads them: JSON in a file, cast to the declared types.

Not for fetching them (``finding.http``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lib.errors import did_you_mean
from lib.sql_text import identifier
from materialization.errors import SourceDrifted, SourceUnreadable
from materialization.sources.json_rows import ROW, Shape, json_relation, shape_of, store_json
from materialization.sources.read_rows import ReadRows, gone_said
from materialization.sources.reading import open_rows, refuse_other_sql
from materialization.sources.walking import require_readable
from materialization.transforms.casts import cast as cast_value
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import duckdb

    from materialization.sources.inputs import SourceFiles
    from materialization.sources.reading import OpenedSource
    from registry.spec.sources.http import HttpSource
    from registry.spec.value_types import ValueType
    from registry.spec.version_spec import VersionSpec

#: What a version's schema says of the format; the files are only how the rows travel.
FORMAT = "http"


class HttpKind:
    """Objects of JSON, one a line, with the columns and types that the definition declares."""

    def open(
        self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec, found: SourceFiles
    ) -> OpenedSource:
        refuse_other_sql(spec)
        require_readable(found.paths)
        source = cast("HttpSource", spec.rows_from)
        declared = {name: parse_type(kind) for name, kind in source.schema.items()}
        read = {n: t for n, t in declared.items() if n in (spec.columns_read or declared)}
        shapes = {name: shape_of(kind) for name, kind in read.items()}
        stored = store_json(connection, found, shapes)
        names = stored.all_names(found)
        if names:
            _refuse_lacking(spec, source, read, names)
        rows = json_relation(stored, shapes, (), whole=True)
        relation = _typed(rows, read, shapes, whole=spec.transform.makes_ticks)
        types = {name: kind.duckdb for name, kind in declared.items()}
        notes = list(_notes(spec, source, names))
        return open_rows(connection, spec, ReadRows(relation, types, notes), FORMAT, {})


def _typed(
    rows: str, types: Mapping[str, ValueType], shapes: Mapping[str, Shape], *, whole: bool
) -> str:
    """Return the sub-select of rows that differ: pages overlap where rows come in between."""
    values = [f"{_value(name, kind, shapes[name])} AS {identifier(name)}"
              for name, kind in types.items()]  # fmt: skip
    values += [ROW] if whole or not values else []
    return f"(SELECT {', '.join(values)} FROM (SELECT DISTINCT * FROM {rows}))"


def _value(name: str, kind: ValueType, shape: Shape) -> str:
    have = "VARCHAR" + "[]" * shape.depth
    return cast_value(identifier(name), have=have, want=kind, column=name).strict


def _refuse_lacking(
    spec: VersionSpec, source: HttpSource, read: Iterable[str], names: set[str]
) -> None:
    """A column that no row has, and may not be without, is another one now."""
    for name in read:
        if name in names or name in source.optional:
            continue
        if spec.schema is not None:
            raise SourceDrifted(gone_said(name, source.schema[name], names))
        raise SourceUnreadable(
            f"no row has {name!r}, which the schema declares.{did_you_mean(name, sorted(names))}"
            " Where rows leave it out, name it as `optional`."
        )


def _notes(spec: VersionSpec, source: HttpSource, names: set[str]) -> Iterator[str]:
    """Say what nothing of the rows tells, and what is done about it."""
    if others := sorted(names - source.schema.keys()):
        more = f" and {len(others) - 10} more" if len(others) > 10 else ""
        yield f"not in the schema, and not read: {', '.join(others[:10])}{more}."
    if source.paging is not None:
        yield (
            "pages are read one after the other: a row that moves from one to the other meanwhile"
            " may be missed until it is read again, and rows that are written alike count once."
        )
    if source.asks_by == "created_timestamp":
        yield (
            "a run asks for rows by when they became known: one that was known before its event"
            " time is not asked for again when that time comes."
        )
