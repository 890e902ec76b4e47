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
from materialization.stores.columns import CREATED, EVENT, PLACE, SEQUENCE, stored_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from materialization.compute.questions import JoinQuestion

#: What the engine calls the question's entity rows, and the column that numbers them.
ENTITY_ROWS, ROW = "entity_rows", "__row"
#: Keys and times of stored rows, of the keys that the question asks about at least.
NARROW_ROWS = "narrow_rows"
#: What settles which of several rows with one stamp is taken, the first before the second: columns
#: of ``found_rows_sql``, and what they are of a stored row.
SETTLING = ("__created", "__run", "__file", "__place")
_SETTLED_BY = (CREATED, SEQUENCE, "file_index", "file_row_number")
#: An entity row's time, and the event time found for it.
_TIME, _FOUND = "__time", "__found"


def point_in_time_sql(question: JoinQuestion) -> str:
    """Join each entity row to the latest feature row known at its time.

    Input:  ``entity_rows`` (n rows, at least one: ``__row`` int64, unique; join keys;
            ``event_timestamp`` UTC) and the question's files (join keys, ``event_timestamp``,
            ``created_timestamp``, ``__sequence``, features; any order, duplicates allowed, stamps
            never null), both typed alike; of them ``stamps`` by ``stamps_sql``.
    Output: n rows in the order of ``__row``: ``__event`` (the stamp of the row taken), one column
            per feature; NULL where nothing qualifies.
    A row qualifies if ``entity - ttl <= event_timestamp <= entity`` (both inclusive; no ttl: no
    lower bound) and, with known timing, ``created_timestamp <= entity``. Of several the greatest by
    (``event_timestamp``, ``created_timestamp``, ``__sequence``) is taken, then by its place in the
    files, exactly once.

    Two passes: the first finds the stamp, reading keys and times only; the second fetches the rows
    with that stamp, of which few have the same. One pass over all columns would have to sort every
    row to settle ties (benchmarks/point_in_time.py).
    """
    return f"SELECT {_answer(question)}\n{_taken_rows(question)}\nORDER BY h.{ROW}"


def found_rows_sql(question: JoinQuestion) -> str:
    """Return SQL for what ``point_in_time_sql`` gives, and before it ``__row`` and ``SETTLING``.

    Of several rows that have the stamp all are given, one after the other: ``taken_rows`` takes the
    one, which costs less than having every row sorted by what settles ties. Only where
    ``can_settle``.
    """
    settling = ", ".join(
        f"f.{column} AS {name}" for name, column in zip(SETTLING, _SETTLED_BY, strict=True)
    )
    return (
        f"SELECT h.{ROW} AS {ROW}, {settling}, {_answer(question)}\n"
        f"{_found_rows(question)}\nORDER BY h.{ROW}"
    )


def can_settle(question: JoinQuestion) -> bool:
    """Return whether no stored column has a name of DuckDB's for where a row lies."""
    stored = {name.lower() for name in stored_schema(question.spec).names}
    return stored.isdisjoint(_SETTLED_BY[2:])


def _answer(question: JoinQuestion) -> str:
    names = (f", f.{identifier(name)} AS {identifier(name)}" for name in question.features)
    return f"f.event_timestamp AS {FOUND_EVENT}{''.join(names)}"


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
    order = ", ".join(f"f.{n} DESC" for n in ("created_timestamp", "__sequence", *PLACE))
    return (
        f"{_found_rows(question)}\n"
        f"QUALIFY row_number() OVER (PARTITION BY h.{ROW} ORDER BY {order}) = 1"
    )


def _found_rows(question: JoinQuestion) -> str:
    """Return the FROM clause that has each entity row ``h`` beside the rows ``f`` of its stamp.

    Files are in the order of their names, so that their numbers say what ``PLACE`` says.
    """
    found = (
        f"FROM {stamps(question.timing)} h\n"
        f"LEFT JOIN {stored_rows(sorted(question.files))} f"
        f" ON {_same_keys('f', 'h', question)} AND f.event_timestamp = h.{_FOUND}"
    )
    if question.timing is Timing.EVENT:
        return found
    # A row with the right event time may still have been corrected after the entity row's time.
    # One that was not is there for each stamp, so none is lost; as a condition of the join it would
    # take half as long again.
    return f"{found}\nWHERE f.{CREATED} IS NULL OR f.{CREATED} <= h.{_TIME}"


def earlier_rows(timing: Timing) -> str:
    """Return the relation of what counted at the first instant already (``earlier_rows``)."""
    return f"earlier_{timing}"


def stamps(timing: Timing) -> str:
    """Return the relation of ``stamps_sql``, with what lies earlier where some rows take that."""
    return f"stamps_{timing}"


def stamps_sql(question: JoinQuestion) -> str:
    """Return SQL for the first pass: each entity row, and the event time of the row it takes.

    Of the rows that come to count after the first instant alone. It is put into a table: of a
    query's part the engine cannot tell how many rows it will have, and joins as if they were many,
    which took a fifth of all its time.
    """
    find = _known_stamps if question.timing is Timing.KNOWN else _event_stamps
    return find(question)


def with_earlier_sql(question: JoinQuestion) -> str:
    """Return SQL for ``stamps`` with what counted at the first instant, where nothing later is."""
    found = f"greatest(e.{_FOUND}, o.{EVENT})"
    return (
        f"{_select_stamp(found, question, time=_TIME)}\n"
        f"FROM {stamps(question.timing)} e\n"
        f"LEFT JOIN {earlier_rows(question.timing)} o ON {_same_keys('e', 'o', question)}"
    )


def unfound_sql(question: JoinQuestion) -> str:
    """Return SQL for the keys of entity rows that may take what counted at the first instant.

    Those are the rows in ``stamps`` that take none of a later event, and do not lie so much later
    that all before is past the TTL.
    """
    first, _ = question.time_bounds_us
    conditions = [f"{identifier(key)} IS NOT NULL" for key in question.join_keys]
    conditions.append(f"({_FOUND} IS NULL OR {_FOUND} <= make_timestamptz({first}))")
    if question.spec.ttl is not None:
        conditions.append(f"epoch_us({_TIME}) <= {first + question.spec.ttl // MICROSECOND}")
    keys = _columns(question.join_keys)
    return f"SELECT DISTINCT {keys} FROM {stamps(question.timing)} WHERE {' AND '.join(conditions)}"


def _event_stamps(question: JoinQuestion) -> str:
    """Return SQL for each entity row's latest event time at or before its own."""
    return (
        f"{_select_stamp('o.event_timestamp', question)}\n"
        f"FROM {ENTITY_ROWS} e\n"
        f"ASOF LEFT JOIN ({_later(question, EVENT)}) o\n"
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
    on_time = _later(question, EVENT, f"{CREATED} <= {EVENT}")
    late = _later(question, CREATED, f"{CREATED} > {EVENT}")
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


def _select_stamp(stamp: str, question: JoinQuestion, *, time: str = EVENT) -> str:
    """Return the SELECT of one entity row: number, keys, time and the stamp, NULL past its ttl."""
    if question.spec.ttl is not None:
        # In whole microseconds: exact at the edge, and no calendar arithmetic.
        ttl = question.spec.ttl // MICROSECOND
        fresh = f"epoch_us({stamp}) >= epoch_us(e.{time}) - {ttl}"
        stamp = f"CASE WHEN {fresh} THEN {stamp} END"
    keys = ", ".join(f"e.{identifier(key)}" for key in question.join_keys)
    return f"SELECT e.{ROW}, {keys}, e.{time} AS {_TIME}, {stamp} AS {_FOUND}"


def _later(question: JoinQuestion, since: str, condition: str = "") -> str:
    """Return SQL for keys and event times of the rows that come to count after the first instant.

    ``since`` is the column from which on a row counts; it stands in the answer.
    """
    columns = list(dict.fromkeys((EVENT, since)))
    first = f"make_timestamptz({question.time_bounds_us[0]})"
    conditions = [*_bounds(question), *([condition] if condition else []), f"{since} > {first}"]
    return (
        f"SELECT {_columns(question.join_keys)}, {_columns(columns)}"
        f" FROM {NARROW_ROWS} WHERE {' AND '.join(conditions)}"
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
