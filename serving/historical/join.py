"""The point-in-time join as DuckDB SQL. [pure]

Not for running it (``read``) and not for latest values (the online store has those).
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from lib.instants import MICROSECOND
from lib.sql_text import identifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Join keys and features may have any name of the registry's, which never has "__": every column of
# ours that stands beside theirs begins with it.
#: What the answer calls the stamp of the row it took; NULL where nothing qualified.
FOUND_EVENT = "__event"
#: An entity row's number and time, and the event time found for it.
ROW, _TIME, _FOUND = "__row", "__time", "__found"


class Timing(StrEnum):
    """Whether a row must have been known at the entity row's time, or only be true by then."""

    KNOWN = "known"
    EVENT = "event"

    @property
    def other(self) -> Timing:
        return Timing.EVENT if self is Timing.KNOWN else Timing.KNOWN


class JoinQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What one join asks of one table.

    ``earliest_us`` and ``latest_us`` (microseconds since 1970) are the bounds of the entity rows'
    times: rows that no entity row can take are then not looked at. The relations are names or
    subqueries, already safe as SQL.
    """

    join_keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: timedelta | None = None
    timing: Timing = Timing.KNOWN
    earliest_us: int | None = None
    latest_us: int | None = None
    entity_rows: str = "entity_rows"
    feature_rows: str = "feature_rows"
    #: Columns of ``feature_rows`` that settle what the three stamps leave open.
    place: tuple[str, ...] = ()


def point_in_time_sql(question: JoinQuestion) -> str:
    """Join each entity row to the latest feature row known at its time.

    Input:  ``entity_rows`` (n rows: ``__row`` int64, unique; join keys; ``event_timestamp`` UTC)
            and ``feature_rows`` (join keys, ``event_timestamp``, ``created_timestamp``,
            ``__sequence``, features; any order, duplicates allowed, stamps never null), both typed
            alike.
    Output: n rows in the order of ``__row``: ``__event`` (the stamp of the row taken), one column
            per feature; NULL where nothing qualifies.
    A row qualifies if ``entity - ttl <= event_timestamp <= entity`` (both inclusive; no ttl: no
    lower bound) and, with known timing, ``created_timestamp <= entity``. Of several the greatest by
    (``event_timestamp``, ``created_timestamp``, ``__sequence``, ``place``) is taken, exactly once.

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
        f"SELECT {stamps}\n{_taken_rows(msgspec.structs.replace(question, timing=timing))}"
        for timing in (Timing.KNOWN, Timing.EVENT)
    )
    return (
        f"SELECT count(*) FROM ({known}) a JOIN ({event}) b USING ({ROW})\n"  # noqa: S608
        "WHERE (a.event, a.created, a.sequence) IS DISTINCT FROM (b.event, b.created, b.sequence)"
    )


def _taken_rows(question: JoinQuestion) -> str:
    """Return the FROM clause that has each entity row ``h`` once, beside the row ``f`` it takes."""
    find = _known_stamps if question.timing is Timing.KNOWN else _event_stamps
    # A row with the right event time may still have been corrected after the entity row's time.
    known = f" AND f.created_timestamp <= h.{_TIME}" if question.timing is Timing.KNOWN else ""
    order = ", ".join(f"f.{n} DESC" for n in ("created_timestamp", "__sequence", *question.place))
    return (
        f"FROM (\n{find(question)}\n) h\n"
        f"LEFT JOIN {question.feature_rows} f"
        f" ON {_same_keys('f', 'h', question)} AND f.event_timestamp = h.{_FOUND}{known}\n"
        f"QUALIFY row_number() OVER (PARTITION BY h.{ROW} ORDER BY {order}) = 1"
    )


def _event_stamps(question: JoinQuestion) -> str:
    """Return SQL for each entity row's latest event time at or before its own."""
    return (
        f"{_select_stamp('o.event_timestamp', question)}\n"
        f"FROM {question.entity_rows} e\n"
        f"ASOF LEFT JOIN ({_narrow(question)}) o\n"
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
    on_time = _narrow(question, "created_timestamp <= event_timestamp")
    late = _narrow(question, "created_timestamp > event_timestamp", "created_timestamp")
    running = (
        f"SELECT {keys}, created_timestamp, max(event_timestamp)"  # noqa: S608
        f" OVER (PARTITION BY {keys} ORDER BY created_timestamp) AS event_timestamp FROM ({late})"
    )
    return (
        f"{_select_stamp('greatest(o.event_timestamp, l.event_timestamp)', question)}\n"
        f"FROM {question.entity_rows} e\n"
        f"ASOF LEFT JOIN ({on_time}) o\n"
        f"  ON {_same_keys('e', 'o', question)} AND o.event_timestamp <= e.event_timestamp\n"
        f"ASOF LEFT JOIN ({running}) l\n"
        f"  ON {_same_keys('e', 'l', question)} AND l.created_timestamp <= e.event_timestamp"
    )


def _select_stamp(stamp: str, question: JoinQuestion) -> str:
    """Return the SELECT of one entity row: number, keys, time and the stamp, NULL past its ttl."""
    if question.ttl is not None:
        # In whole microseconds: exact at the edge, and no calendar arithmetic.
        ttl = question.ttl // MICROSECOND
        fresh = f"epoch_us({stamp}) >= epoch_us(e.event_timestamp) - {ttl}"
        stamp = f"CASE WHEN {fresh} THEN {stamp} END"
    keys = ", ".join(f"e.{identifier(key)}" for key in question.join_keys)
    return f"SELECT e.{ROW}, {keys}, e.event_timestamp AS {_TIME}, {stamp} AS {_FOUND}"


def _narrow(question: JoinQuestion, condition: str = "", *more: str) -> str:
    """Return SQL for keys and event times (and ``more``) of the rows some entity row could take."""
    columns = _columns((*question.join_keys, "event_timestamp", *more))
    conditions = [*_bounds(question), *([condition] if condition else [])]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {columns} FROM {question.feature_rows}{where}"  # noqa: S608


def _bounds(question: JoinQuestion) -> Iterable[str]:
    if question.latest_us is not None:
        yield f"event_timestamp <= make_timestamptz({question.latest_us})"
    if question.earliest_us is not None and question.ttl is not None:
        least = question.earliest_us - question.ttl // MICROSECOND
        yield f"event_timestamp >= make_timestamptz({least})"


def _same_keys(left: str, right: str, question: JoinQuestion) -> str:
    names = map(identifier, question.join_keys)
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in names)


def _columns(names: Sequence[str]) -> str:
    return ", ".join(map(identifier, names))
