# ruff: noqa: S608 - names are quoted by sql_text
"""What a question's first pass looks at: whose rows, and what counted at its first instant already.

Not for the passes themselves (``point_in_time_sql``).

Without a TTL the latter may lie anywhere in the history, though mostly near: it is looked for from
that instant back, for those keys only that found nothing later, and in steps as long as those
before let expect that the others need. So a late part of a long history costs little more than its
own rows.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from lib.instants import MICROSECOND
from lib.sql_text import identifier, text, text_list
from materialization.compute.point_in_time_sql import (
    ENTITY_ROWS,
    NARROW_ROWS,
    earlier_rows,
    unfound_sql,
)
from materialization.compute.questions import Timing
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from materialization.compute.questions import JoinQuestion

#: How far the first step back goes at least, and which part of the question's range it is else.
_LEAST, _PART = timedelta(hours=6) // MICROSECOND, 8
#: How many times further than the one before each next one goes: at least and at most, and where
#: the one before found nothing.
_FURTHER, _AFTER_NOTHING = (2, 16), 4
#: The relation of the keys asked about, and how many times more stored rows than entity rows there
#: are where only rows of those keys are looked at.
_ASKED, _TIMES_FEWER = "asked_keys", 20


def prepare(session: duckdb.DuckDBPyConnection, question: JoinQuestion) -> int | None:
    """Create ``narrow_rows`` of a question; return when the first stored event was, if any was."""
    keys, rows = _keys(question), stored_rows(question.files)
    stored, oldest = _in_footers(session, question.files)
    among = ""
    # Many keys would be asked of each row for few that are left out.
    if question.entity_rows.num_rows * _TIMES_FEWER <= stored:
        none_null = " AND ".join(f"{identifier(key)} IS NOT NULL" for key in question.join_keys)
        session.execute(
            f"CREATE OR REPLACE TEMP TABLE {_ASKED} AS"
            f" SELECT DISTINCT {keys} FROM {ENTITY_ROWS} WHERE {none_null}"
        )
        among = f" SEMI JOIN {_ASKED} USING ({keys})"
    session.execute(
        f"CREATE OR REPLACE TEMP VIEW {NARROW_ROWS} AS"
        f" SELECT {keys}, {EVENT}, {CREATED} FROM {rows}{among}"
    )
    return oldest


def _in_footers(session: duckdb.DuckDBPyConnection, files: Sequence[str]) -> tuple[int, int | None]:
    """Return how many rows files have, and the first event; of those that say both none is read.

    DuckDB finds the number in their footers, and would read all rows for the event.
    """
    rows = stored_rows(files)
    ((stored,),) = session.execute(f"SELECT count(*) FROM {rows}").fetchall()
    said = "TRY_CAST(stats_min_value AS TIMESTAMPTZ)"
    ((is_whole, oldest),) = session.execute(
        f"SELECT count(*) = count({said}), epoch_us(min({said}))"
        f" FROM parquet_metadata({text_list(files)})"
        f" WHERE path_in_schema = {text(EVENT)} AND row_group_num_rows > 0"
    ).fetchall()
    if not is_whole:
        sql = f"SELECT epoch_us(min({EVENT})) FROM {rows}"
        ((oldest,),) = session.execute(sql).fetchall()
    return int(stored), None if oldest is None else int(oldest)


def find_earlier(
    session: duckdb.DuckDBPyConnection, question: JoinQuestion, oldest: int | None
) -> bool:
    """Create ``earlier_rows``: keys and, of each, the latest event that counted at the first
    instant. Return whether there are any.

    Only keys are in it of which ``stamps`` has rows that may take it. With known timing an event
    counts if it was known too. What is past its TTL is not looked for, nor is anything before
    ``oldest``, the first stored event.
    """
    keys, into = _keys(question), earlier_rows(question.timing)
    first, last = question.time_bounds_us
    least = first if oldest is None else oldest - 1
    if question.spec.ttl is not None:
        least = max(least, first - question.spec.ttl // MICROSECOND - 1)
    session.execute(f"CREATE OR REPLACE TEMP TABLE unfound AS {unfound_sql(question)}")
    session.execute(
        f"CREATE OR REPLACE TEMP TABLE {into} AS"
        f" SELECT {keys}, {EVENT} FROM {stored_rows(question.files)} LIMIT 0"
    )
    asked = left = _count(session, "unfound")
    until, step = first, max((last - first) // _PART, _LEAST)
    while left and until > least:
        after = max(until - step, least)
        _look(session, question, after, until)
        before, left = left, _count(session, "unfound")
        until, step = after, step * _times_further(before, left)
    return left < asked


def _look(
    session: duckdb.DuckDBPyConnection, question: JoinQuestion, after: int, until: int
) -> None:
    """Look for the ``unfound`` keys' latest events in ``(after, until]``."""
    keys, into = _keys(question), earlier_rows(question.timing)
    conditions = [f"{EVENT} > make_timestamptz({after})", f"{EVENT} <= make_timestamptz({until})"]
    if question.timing is Timing.KNOWN:
        first, _ = question.time_bounds_us
        conditions.append(f"{CREATED} <= make_timestamptz({first})")
    session.execute(
        f"INSERT INTO {into} SELECT {keys}, max({EVENT}) FROM {stored_rows(question.files)}"
        f" SEMI JOIN unfound USING ({keys}) WHERE {' AND '.join(conditions)} GROUP BY {keys}"
    )
    session.execute(
        "CREATE OR REPLACE TEMP TABLE unfound AS"
        f" SELECT * FROM unfound ANTI JOIN {into} USING ({keys})"
    )


def _times_further(before: int, left: int) -> int:
    """Return how many times as far the next step goes, by how many keys the last one left.

    If each step as long leaves the same share of the keys, one so long leaves less than half a key.
    """
    least, most = _FURTHER
    if not 0 < left < before:
        return _AFTER_NOTHING
    return min(max(math.ceil(math.log(2 * left) / math.log(before / left)), least), most)


def _count(session: duckdb.DuckDBPyConnection, relation: str) -> int:
    return int(session.execute(f"SELECT count(*) FROM {relation}").fetchall()[0][0])


def _keys(question: JoinQuestion) -> str:
    return ", ".join(map(identifier, question.join_keys))
