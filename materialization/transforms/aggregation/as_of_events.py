# ruff: noqa: S608 - names go through identifier(), the rest are numbers and names of our own
"""The stored events that a question is answered from, and which entities they say are there.

Not for what is made of them (``as_of``), nor for storing them (``events``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from lib.instants import MICROSECOND, from_us, to_us
from lib.sql_text import identifier, instant, key_list, numbered
from materialization.compute.questions import Timing
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT
from materialization.transforms.aggregation.computing import create
from materialization.transforms.aggregation.corrected_events import corrected_sql
from materialization.transforms.aggregation.events import COUNT, events_sql, kept_columns

if TYPE_CHECKING:
    import duckdb

    from materialization.compute.questions import JoinQuestion
    from materialization.transforms.aggregation.aggregates import Aggregates

#: Beyond all instants, in µs.
END_OF_TIME = 1 << 62


def create_raw(
    connection: duckdb.DuckDBPyConnection, question: JoinQuestion, every: Aggregates
) -> bool:
    """Create ``raw``: each event of ``all_keys``, as often as it is there, visible from ``v`` on.

    ``until`` is when it was found to be gone. With event timing that never was, and what is gone by
    now was never there. Returns whether any event was found to be gone.
    """
    spec, values = question.spec, numbered("a", every.arguments)
    if spec.stores_events_only:
        within = _within(question, every)
        create(connection, "corrected", corrected_sql(question, every, within, END_OF_TIME))
        connection.execute("CREATE OR REPLACE TEMP VIEW raw AS SELECT * FROM corrected")
        ((least,),) = connection.execute("SELECT min(until) FROM corrected").fetchall()
        return least is not None and least < END_OF_TIME
    stored = events_sql(
        spec, kept_columns(every), question.events or (), within=_within(question, every)
    )
    of_keys = f"({stored}) JOIN all_keys USING ({key_list(spec.join_keys)})"
    create(connection, "events", f"SELECT kid, e, c, n{values} FROM {of_keys}")
    counts = connection.execute("SELECT min(n), max(n) FROM events").fetchall()
    ((least, most),) = counts
    is_gone = least is not None and least < 0
    visible = "e" if question.timing is Timing.EVENT else "greatest(e, c)"
    there = f"SELECT *, {visible} AS v, {END_OF_TIME} AS until FROM events"
    if is_gone or (most or 1) > 1:
        counted = _counted_sql(f"kid, e{values}", question.timing) if is_gone else there
        often = f"SELECT kid, e, c, v, until{values} FROM ({counted}), range(n)"
        create(connection, "repeated", often)
        connection.execute("DROP TABLE events")
        there = "SELECT * FROM repeated"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW raw AS {there}")
    return is_gone


def _counted_sql(same: str, timing: Timing) -> str:
    """Return how often each event was there from when until when; of ``events`` some are gone.

    Which of several that are the same is gone does not matter but for since when they were known,
    which ranks those of one time: they count as known as the last of them was. One that was gone
    and came back keeps its rank: only what makes them more than they ever were is new.
    """
    moment = "e" if timing is Timing.EVENT else "greatest(e, c)"
    known = f"OVER (PARTITION BY {same} ORDER BY c"
    before = f"{known} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    at_once = f"SELECT {same}, c, sum(n) AS n FROM events GROUP BY ALL"
    there = f"SELECT *, sum(n) {known}) AS there FROM ({at_once})"
    most = f"SELECT *, there > coalesce(max(there) {before}, 0) AS is_new FROM ({there})"
    moments = (
        f"SELECT {same}, {moment} AS v, max(c) FILTER (is_new) AS c, sum(n) AS n FROM ({most}) "
        "GROUP BY ALL"
    )
    changed = f"(PARTITION BY {same} ORDER BY v)"
    return (
        f"SELECT {same}, v, max(c) OVER {changed} AS c, "
        f"coalesce(lead(v) OVER {changed}, {END_OF_TIME}) AS until, "
        f"CAST(sum(n) OVER {changed} AS BIGINT) AS n FROM ({moments})"
    )


def _within(question: JoinQuestion, every: Aggregates) -> str:
    """Return the condition for the stored events that can matter to any entity row."""
    first = _first(question, every)
    since = "" if first is None else f" AND {EVENT} >= make_timestamptz({first})"
    return f"{_by_then(question)}{since}"


def _first(question: JoinQuestion, every: Aggregates) -> int | None:
    """Return how far back (µs) the windows of all entity rows reach; None: without a bound.

    In microseconds: of an unbounded window no calendar has the beginning.
    """
    if question.spec.view.is_unbounded:
        return None
    earliest, _ = question.time_bounds_us
    return earliest - (every.windows[-1] + (question.spec.ttl or timedelta())) // MICROSECOND


def _by_then(question: JoinQuestion) -> str:
    _, latest = question.time_bounds_us
    until = instant(from_us(latest))
    known = f" AND {CREATED} <= {until}" if question.timing is Timing.KNOWN else ""
    return f"{EVENT} <= {until}{known}"


def found_sql(question: JoinQuestion, every: Aggregates) -> str:
    """Return the instants of ``asked`` at which an entity is found: ``kid, t, i``.

    Of what lies before the view's start less is stored than windows reach.
    """
    start = question.spec.view.start
    also = "" if start is None else f" AND asked.t >= {to_us(start)}"
    return f"SELECT asked.kid, asked.t, asked.i FROM asked {_there_sql(question, every)}{also}"


def _there_sql(question: JoinQuestion, every: Aggregates) -> str:
    """Return what to join the instants with, and the condition for one to be found."""
    longest = every.windows[-1] // MICROSECOND
    ttl = question.spec.ttl
    if ttl is not None:
        newest = (
            "SELECT kid, v, max(e) OVER (PARTITION BY kid ORDER BY v) AS e FROM raw "
            f"WHERE v < e + {longest}"
        )
        return (
            f"ASOF JOIN ({newest}) AS newest ON asked.kid = newest.kid AND newest.v <= asked.t "
            f"WHERE newest.e + {longest + ttl // MICROSECOND} >= asked.t"
        )
    born = (
        "SELECT kid, min(v) AS v FROM "
        f"(SELECT kid, e, v FROM raw UNION ALL {_older_sql(question, every)}) "
        f"WHERE v < e + {longest} GROUP BY kid"
    )
    return f"JOIN ({born}) AS born USING (kid) WHERE born.v <= asked.t"


def _older_sql(question: JoinQuestion, every: Aggregates) -> str:
    """Return the events that lie further back than ``raw``: an entity is there since its first."""
    first = _first(question, every)
    if first is None:
        return "SELECT kid, e, v FROM raw WHERE FALSE"
    spec = question.spec
    named = ", ".join(f"{identifier(key.name)} AS k{i}" for i, key in enumerate(spec.join_keys))
    visible = EVENT if question.timing is Timing.EVENT else f"greatest({EVENT}, {CREATED})"
    stamps = f"epoch_us({EVENT}) AS e, epoch_us({visible}) AS v, {COUNT} AS n"
    keys = key_list(spec.join_keys)
    events = (
        f"SELECT {named}, {stamps} FROM {stored_rows(question.events or ())} "
        f"WHERE {_by_then(question)} AND {EVENT} < make_timestamptz({first})"
    )
    if question.timing is Timing.EVENT:  # what is gone was never there
        events = f"SELECT {keys}, e, v FROM ({events}) GROUP BY ALL HAVING sum(n) > 0"
    return f"SELECT kid, e, v FROM ({events}) JOIN all_keys USING ({keys})"
