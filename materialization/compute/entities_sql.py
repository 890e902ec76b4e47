# ruff: noqa: S608 - names are quoted by sql_text, numbers are ours
"""Which entities stored rows tell of, and when, as DuckDB's SQL. [pure]

Not for what is known of them: ``point_in_time_sql`` joins that to the rows found here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import MICROSECOND, to_us
from lib.sql_text import identifier, key_list
from materialization.compute.questions import Timing
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT
from materialization.transforms.aggregation.presence import presence_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.compute.questions import EntitiesQuestion, StoredEntities

#: The relations of the instants asked about and of the row to go on after.
INSTANTS, AFTER = "asked_instants", "after_row"
#: Microseconds since 1970: an instant asked about, and from when until when a row can be taken.
AT, _SINCE, _UNTIL = "__at", "__since", "__until"


def entities_sql(question: EntitiesQuestion) -> str:
    """Return SQL for the rows that ``Engine.entity_rows`` gives, in their order.

    Input:  ``asked_instants`` (``__at``) where the question has instants; ``after_row`` (one row:
            ``__at``, the keys) where it goes on after one. One view has files at least.
    Output: the keys, then ``event_timestamp``.

    Keys are ``k0…`` throughout: what a request calls them may be one name to an engine, which
    folds case, or one of ours.
    """
    keys = key_list(question.keys)
    order = [AT, *key_names(question)]
    found = "\nUNION ALL\n".join(
        _found(view, question, keys) for view in question.views if view.files
    )
    rows = f"SELECT DISTINCT {_of('f', order)} FROM (\n{found}\n) f"
    if question.after is not None:
        rows += f", {AFTER} a WHERE row({_of('f', order)}) > row({_of('a', order)})"
    return (
        f"SELECT {keys}, make_timestamptz({AT}) AS {EVENT}\nFROM ({rows})\n"
        f"ORDER BY {', '.join(order)} LIMIT {question.at_most:d}"
    )


def key_names(question: EntitiesQuestion) -> list[str]:
    """Return what the SQL calls the keys, in the question's order."""
    return [f"k{place}" for place, _ in enumerate(question.keys)]


def _of(alias: str, names: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


def _found(view: StoredEntities, question: EntitiesQuestion, names: str) -> str:
    """Return SQL for the keys and instants that one view has something to say of."""
    spans = _spans(view, question)
    if question.instants is None:
        return f"SELECT {names}, {_SINCE} AS {AT} FROM ({spans})"
    if view.spec.ttl is None:  # from the first row on for ever
        first = f"SELECT {names}, min({_SINCE}) AS {_SINCE} FROM ({spans}) GROUP BY {names}"
        return f"SELECT {names}, {AT} FROM ({first}) JOIN {INSTANTS} ON {AT} >= {_SINCE}"
    return (
        f"SELECT {names}, {AT} FROM ({_islands(spans, names)})"
        f" JOIN {INSTANTS} ON {AT} >= {_SINCE} AND {AT} <= {_UNTIL}"
    )


def _islands(spans: str, names: str) -> str:
    """Return SQL for the spans of each entity, those that touch as one.

    An instant then meets an entity once, however many of its rows count at it.
    """
    ordered = f"OVER (PARTITION BY {names} ORDER BY {_SINCE} ROWS BETWEEN UNBOUNDED PRECEDING"
    # One a beginning, or two windows could put equal ones in different order.
    apart = (
        f"SELECT {names}, {_SINCE}, max({_UNTIL}) AS {_UNTIL} FROM ({spans})"
        f" GROUP BY {names}, {_SINCE}"
    )
    begun = (
        f"SELECT *, coalesce({_SINCE} > max({_UNTIL}) {ordered} AND 1 PRECEDING), true) AS __new"
        f" FROM ({apart})"
    )
    numbered = f"SELECT *, sum(__new::INT) {ordered} AND CURRENT ROW) AS __island FROM ({begun})"
    return (
        f"SELECT {names}, min({_SINCE}) AS {_SINCE}, max({_UNTIL}) AS {_UNTIL}"
        f" FROM ({numbered}) GROUP BY {names}, __island"
    )


def _spans(view: StoredEntities, question: EntitiesQuestion) -> str:
    """Return SQL for the keys of what counts at some time asked about, and its span."""
    columns = {view.key_columns.get(key.name, key.name): key.name for key in view.spec.join_keys}
    keys = ", ".join(
        f"s.{identifier(columns[name])} AS {own}"
        for name, own in zip(question.keys.names, key_names(question), strict=True)
    )
    if not view.spec.keeps_events:
        return _row_spans(view, question, keys)
    first, last = map(to_us, question.bounds)
    names = key_list(question.keys)
    found = presence_sql(
        view.spec,
        view.files,
        keys=keys,
        names=names,
        bounds_us=(first, last),
        timing=question.timing,
        anew=question.instants is None,
    )
    return f"SELECT {names}, since AS {_SINCE}, until AS {_UNTIL} FROM ({found})"


def _row_spans(view: StoredEntities, question: EntitiesQuestion, keys: str) -> str:
    """Return SQL for the spans of the rows of a view that is not made of events.

    Conditions on one time alone stand apart, so that files and row groups of other times are left
    out. What came to count anew with known timing did so by its event or, of one before the first
    instant, by when it was known: two readings, each of which leaves out what is long ago.
    """
    since = f"epoch_us({EVENT})"
    if question.timing is Timing.KNOWN:
        since = f"epoch_us(greatest({EVENT}, {CREATED}))"
    first, last = map(to_us, question.bounds)
    conditions = [f"{EVENT} <= make_timestamptz({last})", f"{since} <= {last}"]
    until = "NULL::BIGINT"
    if view.spec.ttl is not None:
        ttl = view.spec.ttl // MICROSECOND
        until = f"epoch_us({EVENT}) + {ttl}"
        conditions += [f"{EVENT} >= make_timestamptz({first - ttl})", f"{since} <= {until}"]
    anew = [""]
    if question.instants is None:
        at = f"make_timestamptz({first})"
        anew = [f" AND {EVENT} >= {at}"]
        if question.timing is Timing.KNOWN:
            anew.append(f" AND {EVENT} < {at} AND {CREATED} >= {at}")
    return "\nUNION ALL\n".join(
        f"SELECT {keys}, {since} AS {_SINCE}, {until} AS {_UNTIL}"
        f" FROM {stored_rows(view.files)} s WHERE {' AND '.join(conditions)}{these}"
        for these in anew
    )
