"""Which entities stored rows tell of, asked of a session, a few instants at a time.

Not for the SQL (``entities_sql``), nor for what is known of the entities (``join_answers``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lib.instants import from_us, to_us
from materialization.compute.entities_sql import AFTER, AT, INSTANTS, entities_sql, key_names
from materialization.stores.columns import EVENT

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb

    from materialization.compute.questions import EntitiesQuestion
    from materialization.compute.spooled import Spool

#: Instants looked at before anybody knows how many entities there are at one.
_FIRST = 16


def entity_rows(
    session: duckdb.DuckDBPyConnection,
    question: EntitiesQuestion,
    *,
    spool: Spool,
) -> pa.Table:
    """Answer a question of which one view has files; ``spool`` brings found rows out.

    Rows come in the order of their instants, so those before the row to go on after are left out,
    and none is looked at once there are as many rows as asked for: a page costs what it has.
    """
    schema, names = question.answer_schema, [*key_names(question), EVENT]
    own = pa.schema([field.with_name(n) for field, n in zip(schema, names, strict=True)])
    if question.after is not None:
        at = question.after[EVENT].cast(pa.int64())
        session.register(AFTER, question.after.rename_columns(names).append_column(AT, at))
        question = _from(question, from_us(at[0].as_py()))

    def found(some: EntitiesQuestion) -> pa.Table:
        return spool(session.sql(entities_sql(some)), own).rename_columns(schema.names)

    if question.instants is None:
        return found(question)
    parts, rows, place, many = [schema.empty_table()], 0, 0, _FIRST
    while rows < question.at_most and (some := question.instants[place : place + many]):
        numbers = pa.array([to_us(instant) for instant in some], pa.int64())
        session.register(INSTANTS, pa.table({AT: numbers}))
        left = question.at_most - rows
        parts.append(
            found(question._replace(instants=some, bounds=(some[0], some[-1]), at_most=left))
        )
        rows, place = rows + parts[-1].num_rows, place + many
        # As many as the rows that are left may need, going by those so far; or twice as many.
        many = min(2 * place, 1 + (question.at_most - rows) * place // max(rows, 1))
    return pa.concat_tables(parts)


def _from(question: EntitiesQuestion, at: datetime) -> EntitiesQuestion:
    """Return the question about what is at an instant or later."""
    first, last = question.bounds
    if question.instants is None:
        return question._replace(bounds=(max(first, at), last))
    return question._replace(instants=tuple(each for each in question.instants if each >= at))
