# ruff: noqa: S608 - names and texts are quoted by sql_text
"""A source as the sandbox sees it: the sub-select a view reads from, and its columns' types.

Not for choosing files (``sources``) or casting (``casts``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import duckdb

from materialization.casts import family
from materialization.duckdb_session import refuse_other_than_select
from materialization.failures import translate
from materialization.sql import input_sql, reader_sql
from materialization.sql_text import identifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from materialization.sources import SourceFiles
    from registry.spec import VersionSpec


class OpenedSource(NamedTuple):
    """``columns``: what ``relation`` gives, name → DuckDB type; ``found``: what the files hold."""

    relation: str
    columns: dict[str, str]
    found: dict[str, str]


def open_source(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, source: SourceFiles
) -> OpenedSource:
    """Look at the files' columns and return the relation the view reads.

    :raises RowSqlRefused: the view's SQL is not one SELECT.
    """
    if spec.view.sql is not None:
        refuse_other_than_select(spec.view.sql)
    found = describe(connection, reader_sql(source.paths, source.format))
    if _is_empty_json(connection, source, found):
        return _empty(spec)
    all_text = source.format == "csv" and spec.view.sql is None
    types = _types(spec, source, found)
    relation = input_sql(
        spec, reader_sql(source.paths, source.format, all_text=all_text, types=types)
    )
    try:
        columns = describe(connection, relation)
    except duckdb.Error as exc:
        raise translate(exc, known=found) from exc
    return OpenedSource(relation, columns, found)


def describe(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {name: kind for name, kind, *_ in rows}


def _types(spec: VersionSpec, source: SourceFiles, found: Mapping[str, str]) -> dict[str, str]:
    """Return the types to read with instead of those the reader guessed.

    Text must stay as it is written: "00123" is no number and a text of digits and dashes no date.
    """
    texts = {key.name for key in spec.join_keys if key.type == "string"}
    texts |= {feature.source_column for feature in spec.features if feature.type == "string"}
    if source.format == "csv":
        return {name: "VARCHAR" for name in found if name in texts}
    if source.format == "parquet":
        return {}
    row_wise = spec.view.sql is None
    return {
        name: "VARCHAR" if _guessed(kind, name in texts, row_wise=row_wise) else kind
        for name, kind in found.items()
    }


def _guessed(kind: str, is_text: bool, *, row_wise: bool) -> bool:
    """Say whether a JSON column's type was made out of a text, or of nothing at all."""
    from_text = kind in ("DATE", "TIME", "UUID") or family(kind) == "time"
    return family(kind) == "null" or (from_text and (row_wise or is_text))


def _is_empty_json(
    connection: duckdb.DuckDBPyConnection, source: SourceFiles, found: Mapping[str, str]
) -> bool:
    """A JSON file without a row has no columns; DuckDB gives it one of its own."""
    if source.format not in ("json", "jsonl") or dict(found) != {"json": "JSON"}:
        return False
    reader = reader_sql(source.paths, source.format)
    return not connection.execute(f"SELECT 1 FROM {reader} LIMIT 1").fetchall()


def _empty(spec: VersionSpec) -> OpenedSource:
    names = {key.name: None for key in spec.join_keys}
    names[spec.source.event_timestamp.column] = None
    if spec.source.created_timestamp:
        names[spec.source.created_timestamp.column] = None
    if spec.is_aggregated:
        names |= {aggregation.column: None for aggregation in spec.view.aggregations}
    else:
        names |= {feature.source_column: None for feature in spec.features}
    nothing = ", ".join(f"NULL AS {identifier(name)}" for name in names)
    return OpenedSource(f"(SELECT {nothing} WHERE FALSE)", dict.fromkeys(names, "NULL"), {})
