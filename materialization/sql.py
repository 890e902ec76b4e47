# ruff: noqa: S608 - names go through identifier(), texts through text(), users' SQL through row_sql
"""(Spec, columns found, window) → the DuckDB query of a view without aggregations. [pure]

Not for running it (``sandbox_run``), nor for ticks (``aggregation_sql``). Columns of the source are
given as DESCRIBE tells them: name → DuckDB type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lib.sql_text import identifier, instant, text, text_list, text_struct
from materialization.casts import Cast, cast, cast_instant
from materialization.columns import CREATED, EVENT
from materialization.errors import UnknownColumn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from materialization.sources import Format
    from registry.spec.model import VersionSpec
    from registry.spec.sources import TimeColumn

#: Columns of the answer that say why a row is dropped; the reader takes them off.
NO_KEY, NO_TIME = "__no_key", "__no_time"

#: What a CSV file is. All of it is said, because what is not is guessed from the first rows, and
#: differently once they change: quotes would stay in the text, rows behind a # would be no rows.
_CSV = (
    "header = true",
    "skip = 0",
    "delim = ','",
    "quote = '\"'",
    "escape = '\"'",
    "comment = ''",
    "decimal_separator = '.'",
    # Nothing at all is NULL, "" is the empty text.
    "nullstr = ''",
    "allow_quoted_nulls = false",
    # A line that is longer or shorter than the header is an error, never a shifted or dropped row.
    "strict_mode = true",
    "null_padding = false",
    "ignore_errors = false",
)


class Base(NamedTuple):
    """The casts every view begins with."""

    keys: list[Cast]
    event: Cast
    created: Cast | None

    @property
    def created_sql(self) -> str:
        """When the row was known; absent or null counts as the event time."""
        if self.created is None:
            return self.event.strict
        return f"coalesce({self.created.strict}, {self.event.strict})"


def reader_sql(
    paths: Sequence[str],
    format: Format,  # noqa: A002 - the word the definitions use
    *,
    all_text: bool = False,
    types: Mapping[str, str] | None = None,
) -> str:
    """Return the table function that reads the files, columns matched by name.

    CSV is read as text when ``all_text`` (leading zeros stay, casts are ours); ``types`` overrides
    what the reader guesses: single columns for CSV, all of them for JSON.
    """
    options = ["union_by_name = true"]
    if format == "csv":
        options += _CSV
        options.append("all_varchar = true" if all_text else "sample_size = -1")
        if types and not all_text:
            options.append(f"types = {text_struct(types)}")
    elif format in ("json", "jsonl"):
        options.append("format = 'newline_delimited'" if format == "jsonl" else "format = 'auto'")
        options.append(f"columns = {text_struct(types)}" if types else "sample_size = -1")
    name = {"jsonl": "read_json"}.get(format, f"read_{format}")
    return f"{name}({text_list(paths)}, {', '.join(options)})"


def csv_lines_sql(path: str) -> str:
    """Return the table function that reads a text's lines as they are, the first one too."""
    options = "auto_detect = false, header = false, delim = '\\x01', quote = '', escape = ''"
    return f"read_csv({text(path)}, {options}, columns = {text_struct({'line': 'VARCHAR'})})"


def csv_columns_sql(path: str, count: int) -> str:
    """Return the table function that reads a CSV of ``count`` columns as text, guessing nothing."""
    columns = text_struct({f"c{number}": "VARCHAR" for number in range(count)})
    options = ", ".join(("auto_detect = false", *_CSV, f"columns = {columns}"))
    return f"read_csv({text(path)}, {options})"


def input_sql(spec: VersionSpec, reader: str) -> str:
    """Return the sub-select that feeds the view: the source's rows, or the view's own SELECT."""
    if spec.view.sql is None:
        return f"(SELECT * FROM {reader})"
    name = identifier(spec.source.name)
    return f"(WITH {name} AS (SELECT * FROM {reader})\n{spec.view.sql}\n)"


def require(column: str, columns: Mapping[str, str]) -> str:
    """Return the type of ``column``.

    :raises UnknownColumn: naming it and the nearest that is there.
    """
    if column not in columns:
        raise UnknownColumn(column, columns)
    return columns[column]


def key_casts(spec: VersionSpec, columns: Mapping[str, str]) -> list[Cast]:
    return [
        cast(
            identifier(key.name),
            have=require(key.name, columns),
            want=key.value_type,
            column=key.name,
        )
        for key in spec.join_keys
    ]


def time_cast(time: TimeColumn, columns: Mapping[str, str]) -> Cast:
    have = require(time.column, columns)
    return cast_instant(identifier(time.column), have=have, unit=time.unit, column=time.column)


def feature_casts(spec: VersionSpec, columns: Mapping[str, str]) -> list[Cast]:
    """Return the casts of a view without aggregations, one a feature."""
    return [
        cast(
            identifier(feature.source_column),
            have=require(feature.source_column, columns),
            want=feature.value_type,
            column=feature.source_column,
        )
        for feature in spec.features
    ]


def base_casts(spec: VersionSpec, columns: Mapping[str, str]) -> Base:
    created = spec.source.created_timestamp
    return Base(
        keys=key_casts(spec, columns),
        event=time_cast(spec.source.event_timestamp, columns),
        created=time_cast(created, columns) if created else None,
    )


def row_query(
    spec: VersionSpec,
    columns: Mapping[str, str],
    *,
    relation: str,
    window_start: datetime | None,
    window_end: datetime,
) -> str:
    """Return the rows that became visible in ``(window_start, window_end]``.

    Input:  ``relation``, a sub-select with ``columns``.
    Output: join keys, event_timestamp, created_timestamp, features, ``__no_key``, ``__no_time``.
    A row is visible from ``greatest(event, created)`` on. Rows before ``view.start`` (by event) are
    left out. Rows without an event time belong to no window and come in each, to be counted.

    :raises UnknownColumn: a column the source does not have.
    :raises SourceValueInvalid: a column whose type cannot become the declared one.
    """
    base = base_casts(spec, columns)
    features = feature_casts(spec, columns)
    inner = ", ".join(
        [
            *(f"{key.strict} AS k{i}" for i, key in enumerate(base.keys)),
            f"{base.event.strict} AS e",
            f"{base.created_sql} AS c",
            *(f"{feature.strict} AS f{i}" for i, feature in enumerate(features)),
        ]
    )
    outer = ", ".join(
        [
            *(f"k{i} AS {identifier(key.name)}" for i, key in enumerate(spec.join_keys)),
            f"e AS {EVENT}, c AS {CREATED}",
            *(f"f{i} AS {identifier(feature.name)}" for i, feature in enumerate(spec.features)),
            f"({no_key_sql(spec)}) AS {NO_KEY}, (e IS NULL) AS {NO_TIME}",
        ]
    )
    wanted = " AND ".join(_window_conditions(spec, window_start, window_end))
    return f"SELECT {outer} FROM (SELECT {inner} FROM {relation}) WHERE e IS NULL OR ({wanted})"


def no_key_sql(spec: VersionSpec) -> str:
    return " OR ".join(f"k{i} IS NULL" for i, _ in enumerate(spec.join_keys))


def _window_conditions(
    spec: VersionSpec, window_start: datetime | None, window_end: datetime
) -> list[str]:
    conditions = [f"greatest(e, c) <= {instant(window_end)}"]
    if window_start is not None:
        conditions.append(f"greatest(e, c) > {instant(window_start)}")
    if spec.view.start is not None:
        conditions.append(f"e >= {instant(spec.view.start)}")
    return conditions
