# ruff: noqa: S608 - names and texts are quoted by sql_text
"""The point-in-time join as DuckDB's SQL. [pure]

Not for running it (``duckdb_engine``) and not for latest values (``stored_rows_sql``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import MICROSECOND
from lib.sql_text import identifier
from materialization.compute.questions import FOUND_EVENT, Timing
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT, PLACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from materialization.compute.questions import JoinQuestion

#: What the engine calls the question's entity rows, and the column that numbers them.
ENTITY_ROWS, ROW = "entity_rows", "__row"
#: An entity row's time, and the event time found for it.
_TIME, _FOUND = "__time", "__found"


def point_in_time_sql(question: JoinQuestion) -> str:
    """Join each entity row to the latest feature row known at its time.

    Input:  ``entity_rows`` (n rows, at least one: ``__row`` int64, unique; join keys;
            ``event_timestamp`` UTC) and the question's files (join keys, ``event_timestamp``,
            ``created_timestamp``, ``__sequence``, features; any order, duplicates allowed, stamps
            never null), both typed alike.
    Output: n rows in the order of ``__row``: ``__event`` (the stamp of the row taken), one column
            per feature; NULL where nothing qualifies.
    A row qualifies if ``entity - ttl <= event_timestamp <= entity`` (both inclusive; no ttl: no
    lower bound) and, with known timing, ``created_timestamp <= entity``. Of several the greatest by
    (``event_timestamp``, ``created_timestamp``, ``__sequence``) is taken, then by its place in the
    files, exactly once.

    Two passes: the first finds the stamp, reading keys and times only; the second fetches the row
    with that stamp and settles ties among the few rows found. One pass over all columns would have
    to sort every row to settle ties (benchmarks/point_in_time.py).
    """
    names = ", ".join(f"f.{identifier(name)} AS {identifier(name)}" for name in question.features)
    return (
        f"SELECT f.event_timestamp AS {FOUND_EVENT}{', ' if names else ''}{names}"
        f"\n{_taken_rows(question)}\nORDER BY h.{ROW}"
    )


def difference_sql(question: JoinQuestion) -> str:
    """Return SQL that counts the entity rows for which the two timings take different rows."""
    stamps = (
        f"h.{ROW}, f.event_timestamp AS event, f.created_timestamp AS created,"
        " f.__sequence AS sequence"
    )
    known, event = (
        f"SELECT {stamps}\n{_taken_rows(question._replace(timing=timing))}"
        for timing in (Timing.KNOWN, Timing.EVENT)
    )
    return (
        f"SELECT count(*) FROM ({known}) a JOIN ({event}) b USING ({ROW})\n"
        "WHERE (a.event, a.created, a.sequence) IS DISTINCT FROM (b.event, b.created, b.sequence)"
    )


def _taken_rows(question: JoinQuestion) -> str:
    """Return the FROM clause that has each entity row ``h`` once, beside the row ``f`` it takes."""
    find = _known_stamps if question.timing is Timing.KNOWN else _event_stamps
    # A row with the right event time may still have been corrected after the entity row's time.
    known = f" AND f.created_timestamp <= h.{_TIME}" if question.timing is Timing.KNOWN else ""
    order = ", ".join(f"f.{n} DESC" for n in ("created_timestamp", "__sequence", *PLACE))
    return (
        f"FROM (\n{find(question)}\n) h\n"
        f"LEFT JOIN {stored_rows(question.files)} f"
        f" ON {_same_keys('f', 'h', question)} AND f.event_timestamp = h.{_FOUND}{known}\n"
        f"QUALIFY row_number() OVER (PARTITION BY h.{ROW} ORDER BY {order}) = 1"
    )


def _event_stamps(question: JoinQuestion) -> str:
    """Return SQL for each entity row's latest event time at or before its own."""
    return (
        f"{_select_stamp('o.event_timestamp', question)}\n"
        f"FROM {ENTITY_ROWS} e\n"
        f"ASOF LEFT JOIN ({_narrow(question, EVENT)}) o\n"
        f"  ON {_same_keys('e', 'o', question)} AND o.event_timestamp <= e.event_timestamp"
    )


def _known_stamps(question: JoinQuestion) -> str:
    """Return SQL for each entity row's latest event time among the rows known by then.

    ``ASOF JOIN`` takes one inequality, so rows are told apart. A row that was on time
    (``created <= event``) is known from its event time on: as for event timing. A late row is known
    from its created time on; there the greatest event time of all late rows known so far is what
    matters, a running maximum. The later of the two answers wins. Only late rows are sorted.
    """
    keys = _columns(question.join_keys)
    on_time = _narrow(question, EVENT, f"{CREATED} <= {EVENT}")
    late = _narrow(question, CREATED, f"{CREATED} > {EVENT}")
    running = (
        f"SELECT {keys}, created_timestamp, max(event_timestamp)"
        f" OVER (PARTITION BY {keys} ORDER BY created_timestamp) AS event_timestamp FROM ({late})"
    )
    return (
        f"{_select_stamp('greatest(o.event_timestamp, l.event_timestamp)', question)}\n"
        f"FROM {ENTITY_ROWS} e\n"
        f"ASOF LEFT JOIN ({on_time}) o\n"
        f"  ON {_same_keys('e', 'o', question)} AND o.event_timestamp <= e.event_timestamp\n"
        f"ASOF LEFT JOIN ({running}) l\n"
        f"  ON {_same_keys('e', 'l', question)} AND l.created_timestamp <= e.event_timestamp"
    )


def _select_stamp(stamp: str, question: JoinQuestion) -> str:
    """Return the SELECT of one entity row: number, keys, time and the stamp, NULL past its ttl."""
    if question.spec.ttl is not None:
        # In whole microseconds: exact at the edge, and no calendar arithmetic.
        ttl = question.spec.ttl // MICROSECOND
        fresh = f"epoch_us({stamp}) >= epoch_us(e.event_timestamp) - {ttl}"
        stamp = f"CASE WHEN {fresh} THEN {stamp} END"
    keys = ", ".join(f"e.{identifier(key)}" for key in question.join_keys)
    return f"SELECT e.{ROW}, {keys}, e.event_timestamp AS {_TIME}, {stamp} AS {_FOUND}"


def _narrow(question: JoinQuestion, since: str, condition: str = "") -> str:
    """Return SQL for keys and event times of the rows some entity row could take.

    ``since`` is the column from which on a row counts; it stands in the answer. Of rows that count
    already at the first instant asked about only the latest event of each key can be taken: found
    by grouping, they are never sorted, so that a late range of a long history costs little more
    than its own rows.
    """
    first = f"make_timestamptz({question.time_bounds_us[0]})"
    columns = list(dict.fromkeys((EVENT, since)))
    keys, rows = _columns(question.join_keys), stored_rows(question.files)
    conditions = " AND ".join([*_bounds(question), *([condition] if condition else [])])
    latest = ", ".join(f"max({column}) AS {column}" for column in columns)
    return (
        f"SELECT {keys}, {_columns(columns)} FROM {rows} WHERE {conditions} AND {since} > {first}"
        f" UNION ALL SELECT {keys}, {latest} FROM {rows}"
        f" WHERE {conditions} AND {since} <= {first} GROUP BY {keys}"
    )


def _bounds(question: JoinQuestion) -> Iterable[str]:
    earliest, latest = question.time_bounds_us
    yield f"event_timestamp <= make_timestamptz({latest})"
    if question.spec.ttl is not None:
        least = earliest - question.spec.ttl // MICROSECOND
        yield f"event_timestamp >= make_timestamptz({least})"


def _same_keys(left: str, right: str, question: JoinQuestion) -> str:
    names = map(identifier, question.join_keys)
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in names)


def _columns(names: Sequence[str]) -> str:
    return ", ".join(map(identifier, names))
