"""A point-in-time join of stored rows, asked of a session.

Not for the SQL (``point_in_time_sql``), nor for windows made of events (``as_of_answers``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from materialization.compute.earlier_rows import find_earlier, prepare
from materialization.compute.point_in_time_sql import (
    ENTITY_ROWS,
    ROW,
    can_settle,
    difference_sql,
    found_rows_sql,
    point_in_time_sql,
    stamps,
    stamps_sql,
    with_earlier_sql,
)
from materialization.compute.questions import JoinAnswer
from materialization.compute.taken_rows import taken_rows

if TYPE_CHECKING:
    import duckdb

    from materialization.compute.questions import JoinQuestion
    from materialization.compute.spooled import Spool


def join_answer(
    session: duckdb.DuckDBPyConnection,
    question: JoinQuestion,
    *,
    spool: Spool,
) -> JoinAnswer:
    """Answer a question without ``events``; ``spool`` brings found rows out of the session."""
    rows, schema = question.entity_rows, question.answer_schema
    if not question.files or not rows.num_rows:
        return question.nothing()
    numbers = pa.arange(0, rows.num_rows)
    session.register(ENTITY_ROWS, rows.append_column(ROW, numbers))
    oldest = prepare(session, question)
    _find_stamps(session, question, oldest)
    if can_settle(question):
        found = session.sql(found_rows_sql(question))
        joined = spool(found, schema, through=taken_rows)
    else:
        joined = spool(session.sql(point_in_time_sql(question)), schema)
    if not question.explain:
        return JoinAnswer(joined)
    _find_stamps(session, question._replace(timing=question.timing.other), oldest)
    differing = session.sql(difference_sql(question)).fetchall()[0][0]
    return JoinAnswer(joined, differing)


def _find_stamps(
    session: duckdb.DuckDBPyConnection, question: JoinQuestion, oldest: int | None
) -> None:
    into = f"CREATE OR REPLACE TEMP TABLE {stamps(question.timing)} AS"
    session.execute(f"{into} {stamps_sql(question)}")
    if find_earlier(session, question, oldest):
        session.execute(f"{into} {with_earlier_sql(question)}")
