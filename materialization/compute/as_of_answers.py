# ruff: noqa: S608 - names are quoted by sql_text
"""An aggregation's windows as of each entity row's own time, asked of a session.

Not for how they are made (``aggregation.as_of``), nor for stored rows (``duckdb_engine``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lib.sql_text import identifier
from materialization.compute.point_in_time_sql import ENTITY_ROWS, ROW
from materialization.compute.questions import JoinAnswer
from materialization.transforms.aggregation.as_of import as_of_sql

if TYPE_CHECKING:
    import duckdb

    from materialization.compute.questions import JoinQuestion
    from materialization.compute.spooled import Spool


def as_of_answer(
    session: duckdb.DuckDBPyConnection, question: JoinQuestion, *, slice_rows: int, spool: Spool
) -> JoinAnswer:
    """Answer a question with ``events``; ``spool`` brings found rows out of the session.

    ``differing`` counts rows whose values differ.
    """
    rows, schema = question.entity_rows, question.answer_schema
    if not question.events or not rows.num_rows:
        return question.nothing()
    numbers = pa.arange(0, rows.num_rows)
    session.register(ENTITY_ROWS, rows.append_column(ROW, numbers))
    found = spool(session.sql(as_of_sql(session, question, slice_rows=slice_rows)), schema)
    if not question.explain:
        return JoinAnswer(found)
    session.register("one", found)
    other = question._replace(timing=question.timing.other)
    sql = as_of_sql(session, other, slice_rows=slice_rows)
    session.register("other", spool(session.sql(sql), schema))
    return JoinAnswer(found, _differing(session, found.column_names))


def _differing(session: duckdb.DuckDBPyConnection, names: list[str]) -> int:
    """Return how many rows of the tables ``one`` and ``other`` differ, place by place."""
    differ = " OR ".join(
        f"one.{identifier(name)} IS DISTINCT FROM other.{identifier(name)}" for name in names
    )
    sql = f"SELECT count(*) FROM one POSITIONAL JOIN other WHERE {differ}"
    count: int = session.execute(sql).fetchall()[0][0]
    return count
