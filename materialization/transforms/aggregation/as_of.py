# ruff: noqa: S608 - names go through identifier(), the rest are numbers and names of our own
"""Aggregations as of each entity row's own time, made of stored events on a connection.

Not for ticks (``run``), whose stages these are: an event is inside a window from the instant at
which it is visible until ``event + window``. Here the *candidates* are the instants that entity
rows ask about, numbered for each key; what enters and leaves between two of them never shows. So an
event costs the same wherever it lies, late or not, and however many others its key has.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lib.instants import MICROSECOND
from lib.sql_text import identifier, key_list
from materialization.compute.point_in_time_sql import ENTITY_ROWS, ROW
from materialization.compute.questions import FOUND_EVENT
from materialization.stores.columns import EVENT
from materialization.transforms.aggregation import edges, stages
from materialization.transforms.aggregation.aggregates import Aggregates, read_aggregates
from materialization.transforms.aggregation.as_of_events import (
    END_OF_TIME,
    create_raw,
    found_sql,
)
from materialization.transforms.aggregation.computing import (
    aggregates_of,
    by_parts,
    by_slice,
    create,
    facts_of,
    number_of,
)
from materialization.transforms.aggregation.deriving import create_computed, derived_types
from materialization.transforms.aggregation.encoding import at_instants_sql
from materialization.transforms.aggregation.events import source_types
from materialization.transforms.aggregation.function import INSTANT, Column

if TYPE_CHECKING:
    import duckdb

    from materialization.compute.questions import JoinQuestion
    from materialization.transforms.aggregation.function import Call

#: Beyond the numbers of all instants that are asked about.
_NEVER = 1 << 40
_TIMES_LARGER = 10
_THREADS = "SELECT current_setting('threads')"
#: A stream a thread, but no more than these, of more events than that: each looks at all of them.
_STREAMS, _FEW = 8, 100_000
#: Whether entity rows share an instant of a key, whose number then stands for several.
_SHARED = "SELECT coalesce(max(n), 1) > 1 FROM asked"
#: The instants of each key numbered in their order, which stays are counted in.
_IN_ORDER = "SELECT kid, t, row_number() OVER (PARTITION BY kid ORDER BY t) - 1 AS i FROM asked"
#: What 38 digits hold, with room for how a double rounds.
_MOST_DIGITS = 9e37


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
    is_by_row = not number_of(connection, _SHARED)
    may_leave = create_raw(connection, question, every)
    create(connection, "asked", found_sql(question, every))
    asked_for = _of_features(question, every)
    if may_leave:
        asked_for = asked_for._replace(calls=[_anyhow(call) for call in asked_for.calls])
    asked_for = asked_for.nested().with_found(facts_of(connection, asked_for))
    types = derived_types(connection, question.spec.view) if _derives(question) else {}
    rows = number_of(connection, "SELECT count(*) FROM raw") or 0
    of_totals, others = edges.parted(asked_for, partial(_fits, connection, every, rows))
    if others.calls:
        create(connection, "asked", _IN_ORDER)
        is_by_row = False
    if of_totals.calls:
        values = _totals(connection, question, of_totals, rows)
        if not others.calls and not types and not question.spec.has_encodings:
            return _answer_sql(question, f"({values})", is_by_row=is_by_row)
        if not others.calls:
            create_computed(connection, question.spec.view, values, types)
            return _answer_sql(question, f"({_computed_sql(question)})", is_by_row=is_by_row)
        create(connection, "totals", values)
    # Of most events nothing is left between two instants: slices of them are larger than of ticks.
    slices = 1 + rows * len(every.windows) // (_TIMES_LARGER * slice_rows)
    for number, of_slice in enumerate(by_slice(connection, "raw", slices)):
        create(connection, "asked_now", f"SELECT * FROM asked WHERE kid % {slices} = {number}")
        some = stages.rows_sql(others, of_slice, also=", until")
        create(connection, "rows", some)
        values = _stay_values(connection, others)
        if of_totals.calls:
            values = f"SELECT * FROM ({values}) JOIN totals USING (kid, i)"
        create_computed(connection, question.spec.view, values, types)
        into = "INSERT INTO answers" if number else "CREATE OR REPLACE TEMP TABLE answers AS"
        connection.execute(f"{into} {_computed_sql(question)}")
    return _answer_sql(question, "answers", is_by_row=is_by_row)


def _derives(question: JoinQuestion) -> bool:
    """Return whether a feature that is asked for is computed out of others."""
    return any(name in question.spec.view.expressions for name in question.features)


def _computed_sql(question: JoinQuestion) -> str:
    """Return what is ``computed``, encoded where features are."""
    spec = question.spec
    there = set(question.features)
    if _derives(question):
        there = {feature.name for feature in spec.features}
    return at_instants_sql(spec, there) if spec.has_encodings else "SELECT * FROM computed"


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
    """Return the instants asked about of each key: ``kid, t, i, n``.

    The number ``i`` is that of an entity row, of ``n`` rows that ask the same.
    """
    return (
        f"SELECT kid, epoch_us(q.{EVENT}) AS t, min(q.{ROW}) AS i, count(*) AS n "
        f"FROM {ENTITY_ROWS} AS q JOIN all_keys ON {_same_keys(question)} GROUP BY kid, t"
    )


def _same_keys(question: JoinQuestion) -> str:
    return " AND ".join(
        f"q.{identifier(key.name)} = all_keys.k{i}" for i, key in enumerate(question.spec.join_keys)
    )


def _fits(
    connection: duckdb.DuckDBPyConnection, every: Aggregates, rows: int, argument: int
) -> bool:
    """Return whether the total of an argument over all keys is one that its type has."""
    kind = every.arguments[argument].type
    if not kind.startswith("DECIMAL"):
        return True
    sql = f"SELECT CAST(coalesce(max(abs(a{argument})), 0) AS DOUBLE) FROM raw"
    ((greatest,),) = connection.execute(sql).fetchall()
    scale = int(kind.rstrip(")").partition(",")[2])
    return bool(greatest * rows * 10.0**scale < _MOST_DIGITS)


def _totals(
    connection: duckdb.DuckDBPyConnection,
    question: JoinQuestion,
    aggregates: Aggregates,
    rows: int,
) -> str:
    """Return the query of what totals give, at each instant of all keys."""
    found = connection.execute(edges.strays_sql(aggregates, END_OF_TIME)).fetchall()
    _, latest = question.time_bounds_us
    strays = edges.Strays(*found[0])
    threads = number_of(connection, _THREADS) or 1
    streams = 1 << min(threads, _STREAMS).bit_length() - 1 if rows > _FEW else 1
    running = partial(edges.running_sql, strays=strays, latest=latest, rows=rows, streams=streams)

    def values(part: Aggregates) -> str:
        sql = of_part(part)
        ((_, plan),) = connection.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()
        return sql if edges.is_streamed(plan) else of_part(part, in_order=True)

    def of_part(part: Aggregates, *, in_order: bool = False) -> str:
        return stages.values_sql(
            part, [], running=f"({running(part, in_order=in_order)}) AS running"
        )

    return by_parts(connection, aggregates, values)


def _stay_values(connection: duckdb.DuckDBPyConnection, aggregates: Aggregates) -> str:
    """Return the query of what stays of ``rows`` give, at each instant of their keys."""
    create(connection, "spans", _spans_sql(aggregates))
    create(connection, "stays", stages.stays_sql(aggregates))
    still = f"SELECT kid, -1 AS w, i, 0 AS sign, t AS {INSTANT} FROM asked_now"
    instant = {INSTANT: Column(f"max({INSTANT})", "max({})")}
    running = partial(stages.running_sql, beyond=_NEVER, still=still, also=instant)
    return aggregates_of(connection, aggregates, running)


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


def _answer_sql(question: JoinQuestion, answers: str, *, is_by_row: bool) -> str:
    """Return the rows of the answer; ``is_by_row``: the numbers of instants are those of rows."""
    places = {feature.name: place for place, feature in enumerate(question.spec.features)}
    values = "".join(
        f", answers.f{places[name]} AS {identifier(name)}" for name in question.features
    )
    found = f"CASE WHEN answers.kid IS NOT NULL THEN q.{EVENT} END AS {FOUND_EVENT}"
    joined = f"LEFT JOIN {answers} AS answers ON answers.i = q.{ROW}"
    if not is_by_row:
        joined = (
            f"LEFT JOIN all_keys ON {_same_keys(question)} "
            f"LEFT JOIN asked ON asked.kid = all_keys.kid AND asked.t = epoch_us(q.{EVENT}) "
            f"LEFT JOIN {answers} AS answers ON answers.kid = asked.kid AND answers.i = asked.i"
        )
    return f"SELECT {found}{values} FROM {ENTITY_ROWS} AS q {joined} ORDER BY q.{ROW}"
