# ruff: noqa: S608 - names go through identifier(), the rest are numbers and names of our own
"""Aggregations as of each entity row's own time, made of stored events on a connection.

Not for ticks (``run``), whose stages these are: an event is inside a window from the instant at
which it is visible until ``event + window``. Here the *candidates* are the instants that entity
rows ask about, numbered for each key; what enters and leaves between two of them never shows. So an
event costs the same wherever it lies, late or not, and however many others its key has.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from lib.instants import MICROSECOND, from_us, to_us
from lib.sql_text import identifier, instant, key_list, numbered
from materialization.compute.point_in_time_sql import ENTITY_ROWS, ROW
from materialization.compute.questions import FOUND_EVENT, Timing
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT
from materialization.transforms.aggregation import stages
from materialization.transforms.aggregation.aggregates import Aggregates, read_aggregates
from materialization.transforms.aggregation.deriving import create_computed, derived_types
from materialization.transforms.aggregation.events import (
    COUNT,
    events_sql,
    kept_columns,
    source_types,
)
from materialization.transforms.aggregation.run import (
    aggregates_of,
    create,
    facts_of,
    number_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from materialization.compute.questions import JoinQuestion
    from materialization.transforms.aggregation.function import Call

#: Beyond the numbers of all instants that are asked about; and beyond all instants, in µs.
_NEVER, _END_OF_TIME = 1 << 40, 1 << 62
_TIMES_LARGER = 10


def as_of_sql(
    connection: duckdb.DuckDBPyConnection, question: JoinQuestion, *, slice_rows: int
) -> str:
    """Make the tables that answer a question with ``events``; return the query of its rows.

    It gives what ``point_in_time_sql`` gives. An entity is found where an event of
    it was visible by then, in time for the longest window, and lies no further back than that and
    the TTL; without a TTL however far. Its stamp is the entity row's own time: its values are as of
    that. ``register`` has to have been called.
    """
    every = read_aggregates(question.spec, source_types(question.spec))
    create(connection, "all_keys", _keys_sql(question))
    create(connection, "asked", _asked_sql(question))
    may_leave = _create_raw(connection, question, every)
    asked_for = _of_features(question, every)
    if may_leave:
        asked_for = asked_for._replace(calls=[_anyhow(call) for call in asked_for.calls])
    asked_for = asked_for.with_found(facts_of(connection, asked_for))
    types = derived_types(connection, question.spec.view) if _derives(question) else {}
    rows = number_of(connection, "SELECT count(*) FROM raw") or 0
    # Of most events nothing is left between two instants: slices of them are larger than of ticks.
    slices = 1 + rows * len(every.windows) // (_TIMES_LARGER * slice_rows)
    for number in range(slices):
        create(connection, "keys", f"SELECT * FROM all_keys WHERE kid % {slices} = {number}")
        _compute(connection, question, asked_for, types)
        into = "INSERT INTO answers" if number else "CREATE OR REPLACE TEMP TABLE answers AS"
        connection.execute(f"{into} SELECT * FROM computed SEMI JOIN here USING (kid, i)")
    return _answer_sql(question)


def _derives(question: JoinQuestion) -> bool:
    """Return whether a feature that is asked for is computed out of others."""
    return any(name in question.spec.view.expressions for name in question.features)


def _of_features(question: JoinQuestion, every: Aggregates) -> Aggregates:
    """Return what the question's features ask for, over the arguments and windows of all."""
    asked = every.outputs
    if not _derives(question):
        asked = [output for output in asked if output.feature.name in question.features]
    numbers = sorted({output.call for output in asked})
    places = {number: place for place, number in enumerate(numbers)}
    return every._replace(
        outputs=[output._replace(call=places[output.call]) for output in asked],
        calls=[replace(every.calls[number], number=places[number]) for number in numbers],
    )


def _anyhow(call: Call) -> Call:
    """Return the call where rows may leave before older ones do."""
    return replace(call, function=call.function.anyhow or call.function)


def _keys_sql(question: JoinQuestion) -> str:
    keys = question.spec.join_keys
    named = ", ".join(f"{identifier(key.name)} AS k{i}" for i, key in enumerate(keys))
    known = " AND ".join(f"{identifier(key.name)} IS NOT NULL" for key in keys)
    return (
        f"SELECT row_number() OVER () AS kid, {key_list(keys)} FROM "
        f"(SELECT DISTINCT {named} FROM {ENTITY_ROWS} WHERE {known})"
    )


def _asked_sql(question: JoinQuestion) -> str:
    """Return the instants asked about of each key, in their order: ``kid, t, i``."""
    rows = f"{ENTITY_ROWS} AS q JOIN all_keys ON {_same_keys(question)}"
    return (
        "SELECT kid, t, row_number() OVER (PARTITION BY kid ORDER BY t) - 1 AS i "
        f"FROM (SELECT DISTINCT kid, epoch_us(q.{EVENT}) AS t FROM {rows})"
    )


def _same_keys(question: JoinQuestion) -> str:
    return " AND ".join(
        f"q.{identifier(key.name)} = all_keys.k{i}" for i, key in enumerate(question.spec.join_keys)
    )


def _create_raw(
    connection: duckdb.DuckDBPyConnection, question: JoinQuestion, every: Aggregates
) -> bool:
    """Create ``raw``: each event of the keys, as often as it is there, visible from ``v`` on.

    ``until`` is when it was found to be gone. With event timing that never was, and what is gone by
    now was never there. Returns whether any event was found to be gone.
    """
    spec, values = question.spec, numbered("a", every.arguments)
    keys = key_list(spec.join_keys)
    stored = events_sql(
        spec, kept_columns(every), question.events or (), within=_within(question, every)
    )
    create(connection, "events", f"SELECT * FROM ({stored}) SEMI JOIN all_keys USING ({keys})")
    least = number_of(connection, "SELECT min(n) FROM events")
    is_gone = least is not None and least < 0
    if is_gone:
        counted = _counted_sql(keys, f"{keys}, e{values}", question.timing)
    else:
        visible = "e" if question.timing is Timing.EVENT else "greatest(e, c)"
        counted = f"SELECT *, {visible} AS v, {_END_OF_TIME} AS until FROM events"
    often = "range(n)"  # as often as it is there
    create(connection, "raw", f"SELECT {keys}, e, c, v, until{values} FROM ({counted}), {often}")
    connection.execute("DROP TABLE events")
    return is_gone


def _counted_sql(keys: str, same: str, timing: Timing) -> str:
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
        f"coalesce(lead(v) OVER {changed}, {_END_OF_TIME}) AS until, "
        f"CAST(sum(n) OVER {changed} AS BIGINT) AS n FROM ({moments})"
    )


def _within(question: JoinQuestion, every: Aggregates) -> str:
    """Return the condition for the stored events that can matter to any entity row."""
    earliest, _ = question.time_bounds_us
    if question.spec.view.is_unbounded:
        return _by_then(question)
    ttl = question.spec.ttl
    # In microseconds: of an unbounded window no calendar has the beginning.
    first = earliest - (every.windows[-1] + (ttl or timedelta())) // MICROSECOND
    return f"{_by_then(question)} AND {EVENT} >= make_timestamptz({first})"


def _by_then(question: JoinQuestion) -> str:
    _, latest = question.time_bounds_us
    until = instant(from_us(latest))
    known = f" AND {CREATED} <= {until}" if question.timing is Timing.KNOWN else ""
    return f"{EVENT} <= {until}{known}"


def _compute(
    connection: duckdb.DuckDBPyConnection,
    question: JoinQuestion,
    aggregates: Aggregates,
    types: Mapping[str, str],
) -> None:
    """Create ``computed``, the features at each instant of the keys, and ``here``."""
    create(connection, "asked_now", "SELECT * FROM asked SEMI JOIN keys USING (kid)")
    create(connection, "rows", stages.rows_sql(question.spec, aggregates, also=", until"))
    create(connection, "spans", _spans_sql(aggregates))
    create(connection, "stays", stages.stays_sql(aggregates))
    still = "SELECT kid, -1 AS w, i, 0 AS sign FROM asked_now"
    create(connection, "running", stages.running_sql(aggregates, beyond=_NEVER, still=still))
    values = aggregates_of(connection, aggregates)
    create_computed(connection, question.spec.view, values, types)
    create(connection, "here", _here_sql(question, aggregates))


def _spans_sql(aggregates: Aggregates) -> str:
    """Return an event's stay in each window: the instants ``[enter, leave)``, by their numbers.

    They are found among few columns; the others are fetched by the row's number.
    """
    windows = sorted({call.window for call in aggregates.calls})
    leaves = ", ".join(f"coalesce(w{n}.i, {_NEVER}) AS leave{n}" for n in windows)
    joins = " ".join(
        f"ASOF LEFT JOIN asked_now AS w{n} ON q.kid = w{n}.kid "
        f"AND least(q.e + {aggregates.windows[n] // MICROSECOND}, q.until) <= w{n}.t"
        for n in windows
    )
    ranks = (
        f"SELECT q.number, entering.i AS enter, {leaves} "
        "FROM (SELECT rowid AS number, kid, e, v, until FROM rows) AS q "
        f"ASOF JOIN asked_now AS entering ON q.kid = entering.kid AND q.v <= entering.t {joins}"
    )
    stays = (
        f"SELECT number, enter, unnest([{', '.join(map(str, windows))}]) AS w, "
        f"unnest([{', '.join(f'leave{n}' for n in windows)}]) AS leave FROM ({ranks})"
    )
    return (
        "SELECT rows.* EXCLUDE (v, until), w, enter, leave "
        f"FROM rows JOIN ({stays}) AS stays ON rows.rowid = stays.number WHERE enter < leave"
    )


def _here_sql(question: JoinQuestion, aggregates: Aggregates) -> str:
    """Return the instants at which an entity is found: ``kid, i``.

    Of what lies before the view's start less is stored than windows reach.
    """
    start = question.spec.view.start
    found = _found_sql(question, aggregates)
    return found if start is None else f"{found} AND asked.t >= {to_us(start)}"


def _found_sql(question: JoinQuestion, aggregates: Aggregates) -> str:
    longest = aggregates.windows[-1] // MICROSECOND
    ttl = question.spec.ttl
    if ttl is not None:
        newest = (
            "SELECT kid, v, max(e) OVER (PARTITION BY kid ORDER BY v) AS e FROM rows "
            f"WHERE v < e + {longest}"
        )
        return (
            f"SELECT asked.kid, asked.i FROM asked_now AS asked ASOF JOIN ({newest}) AS newest "
            "ON asked.kid = newest.kid AND newest.v <= asked.t "
            f"WHERE newest.e + {longest + ttl // MICROSECOND} >= asked.t"
        )
    return (
        "SELECT asked.kid, asked.i FROM asked_now AS asked "
        f"JOIN ({_born_sql(question, longest)}) AS born "
        "ON asked.kid = born.kid WHERE born.v <= asked.t"
    )


def _born_sql(question: JoinQuestion, longest: int) -> str:
    """Return when the first event of each key was visible, whatever lies in its windows by now."""
    keys = ", ".join(
        f"{identifier(key.name)} AS k{i}" for i, key in enumerate(question.spec.join_keys)
    )
    visible = EVENT if question.timing is Timing.EVENT else f"greatest({EVENT}, {CREATED})"
    stamps = f"epoch_us({EVENT}) AS e, epoch_us({visible}) AS v, {COUNT} AS n"
    events = (
        f"SELECT {keys}, {stamps} FROM {stored_rows(question.events or ())} "
        f"WHERE {_by_then(question)}"
    )
    if question.timing is Timing.EVENT:  # what is gone was never there
        keyed = key_list(question.spec.join_keys)
        events = f"SELECT {keyed}, e, v FROM ({events}) GROUP BY ALL HAVING sum(n) > 0"
    of_keys = f"({events}) JOIN keys USING ({key_list(question.spec.join_keys)})"
    return f"SELECT kid, min(v) AS v FROM {of_keys} WHERE v < e + {longest} GROUP BY kid"


def _answer_sql(question: JoinQuestion) -> str:
    places = {feature.name: place for place, feature in enumerate(question.spec.features)}
    values = "".join(
        f", answers.f{places[name]} AS {identifier(name)}" for name in question.features
    )
    found = f"CASE WHEN answers.kid IS NOT NULL THEN q.{EVENT} END AS {FOUND_EVENT}"
    return (
        f"SELECT {found}{values} FROM {ENTITY_ROWS} AS q "
        f"LEFT JOIN all_keys ON {_same_keys(question)} "
        f"LEFT JOIN asked ON asked.kid = all_keys.kid AND asked.t = epoch_us(q.{EVENT}) "
        "LEFT JOIN answers ON answers.kid = asked.kid AND answers.i = asked.i"
        f" ORDER BY q.{ROW}"
    )
