"""A point-in-time join of stored rows, asked of a session.

Not for the SQL (``point_in_time_sql``), nor for windows made of events (``as_of_answers``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from materialization.compute.point_in_time_sql import (
    ENTITY_ROWS,
    ROW,
    difference_sql,
    point_in_time_sql,
)
from materialization.compute.questions import JoinAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

    from materialization.compute.questions import JoinQuestion


def join_answer(
    session: duckdb.DuckDBPyConnection,
    question: JoinQuestion,
    *,
    spool: Callable[[duckdb.DuckDBPyRelation, pa.Schema], pa.Table],
) -> JoinAnswer:
    """Answer a question without ``events``; ``spool`` brings found rows out of the session."""
    rows, schema = question.entity_rows, question.answer_schema
    if not question.files or not rows.num_rows:
        return question.nothing()
    numbers = pa.array(np.arange(rows.num_rows, dtype=np.int64))
    session.register(ENTITY_ROWS, rows.append_column(ROW, numbers))
    joined = spool(session.sql(point_in_time_sql(question)), schema)
    if not question.explain:
        return JoinAnswer(joined)
    differing = session.sql(difference_sql(question)).fetchall()[0][0]
    return JoinAnswer(joined, differing)
