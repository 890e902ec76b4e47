# ruff: noqa: S608 - names are quoted by sql_text, conditions are written anew
"""A page of the rows that fail checks, out of files in quarantine.

Not for counting them (``quality.checking``) or for who may see them.
"""

from __future__ import annotations

import base64
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lib.instants import from_us
from lib.json_floats import json_float
from lib.sql_text import identifier, text
from materialization.compute.reports import ListedRow
from materialization.compute.stored_rows_sql import numbered_rows
from materialization.quality.holders import find_clashes
from materialization.quality.row_checks import row_checks
from materialization.stores.columns import CREATED, EVENT, stored_schema
from registry.spec.row_sql import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

    from materialization.compute.jobs import ListJob
    from materialization.quality.row_checks import RowCheck

#: Characters of a text, and items of a list, that are shown.
_LONGEST, _MOST = 200, 20
#: Columns of ours beside a view's, whose names never have "__": where a row stands, whether it
#: fails the check of a number, and who else holds its value.
_PLACE, _FAILS, _OTHER = "__place", "__fails", "__other"


def list_rows(connection: duckdb.DuckDBPyConnection, job: ListJob) -> list[ListedRow]:
    """Return the next ``limit`` failing rows after a place, in the order of files and rows."""
    checks = row_checks(job.spec)
    asked = [checks[number] for number in job.checks]
    found: list[ListedRow] = []
    for number, check in enumerate(asked):
        if check.held:
            find_clashes(
                connection,
                job.spec,
                check.held,
                job.files,
                stored=job.stored_files,
                up_to=job.up_to,
                name=f"clashes{number}",
            )
    first, row = job.after
    for number, file in enumerate(job.files[first:], first):
        if asked and len(found) < job.limit:
            after = row if number == first else -1
            query = _query(job, asked, file, after, job.limit - len(found))
            found += _rows(connection, query, job, asked, number)
    return found


def _query(job: ListJob, asked: list[RowCheck], file: str, after: int, limit: int) -> str:
    """Return SQL for a page of a file's rows: which checks they fail, and who holds their value."""
    failing, others, joins = [], [], ""
    for number, check in enumerate(asked):
        other = "NULL"
        fails = f"coalesce({check.failing}, false)"
        if check.held:
            # Under names of ours: a feature may be called as a column of that table is.
            row, who = f"__row{number}", f"__who{number}"
            clashes = f"SELECT row AS {row}, other AS {who} FROM clashes{number}"
            joins += f" LEFT JOIN ({clashes} WHERE file = {text(file)}) ON {row} = {_PLACE}"
            fails, other = f"{row} IS NOT NULL", who
        failing.append(fails)
        others.append(f"{other} AS {_OTHER}{number}")
    marks = ", ".join(f"{sql} AS {_FAILS}{number}" for number, sql in enumerate(failing))
    columns = ", ".join(map(identifier, _columns(job, asked)))
    rows = f"(SELECT *, file_row_number AS {_PLACE} FROM {numbered_rows([file])})"
    return (
        f"SELECT {_PLACE}, {marks}, {', '.join(others)}, {columns} FROM {rows}{joins}"
        f" WHERE {_PLACE} > {after:d} AND ({' OR '.join(failing)})"
        f" ORDER BY {_PLACE} LIMIT {limit:d}"
    )


def _columns(job: ListJob, asked: list[RowCheck]) -> list[str]:
    """Return keys, times and the features that the checks are about."""
    named = {check.feature.lower() for check in asked}
    named |= {name.lower() for each in asked if not each.feature for name in columns_of(each.asked)}
    features = [each.name for each in job.spec.features if each.name.lower() in named]
    return [*(key.name for key in job.spec.join_keys), EVENT, CREATED, *features]


def _rows(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    job: ListJob,
    asked: list[RowCheck],
    number: int,
) -> Iterator[ListedRow]:
    schema = stored_schema(job.spec)
    table: Any = connection.execute(query).to_arrow_table()
    keys = {key.name for key in job.spec.join_keys}
    columns = {
        name: table[name].cast(schema.field(name).type).to_pylist() for name in _columns(job, asked)
    }
    places = table[_PLACE].to_pylist()
    marks = [table[f"{_FAILS}{each}"].to_pylist() for each in range(len(asked))]
    others = [table[f"{_OTHER}{each}"].to_pylist() for each in range(len(asked))]
    for at, place in enumerate(places):
        values = {name: _plain(column[at]) for name, column in columns.items()}
        yield ListedRow(
            place=(number, place),
            failed=[check.name for check, mark in zip(asked, marks, strict=True) if mark[at]],
            keys={name: values[name] for name in values if name in keys},
            event_timestamp=values[EVENT],
            created_timestamp=values[CREATED],
            values={n: v for n, v in values.items() if n not in (*keys, EVENT, CREATED)},
            held_by={
                check.name: _holder(job, other[at])
                for check, other in zip(asked, others, strict=True)
                if other[at] is not None
            },
        )


def _holder(job: ListJob, other: dict[str, Any]) -> dict[str, Any]:
    keys = {key.name: _plain(other[f"k{n}"]) for n, key in enumerate(job.spec.join_keys)}
    return {"keys": keys, "event_timestamp": _plain(from_us(other["since"]))}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; what is long is cut, and ends in an ellipsis."""
    if isinstance(value, float):
        return json_float(value)
    if isinstance(value, date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        value = base64.b64encode(value[:_LONGEST]).decode()
    if isinstance(value, list):
        return [*map(_plain, value[:_MOST]), *(["…"] if len(value) > _MOST else [])]
    return f"{value[:_LONGEST]}…" if isinstance(value, str) and len(value) > _LONGEST else value
