# ruff: noqa: S608 - names go through identifier(), the rest are numbers and names of our own
"""Pushed events, of which a later one of the same keys, time and id corrects the earlier.

Not for events of sources that are read (``as_of_events``): those are a bag, and a correction there
is a row that is gone and another that is new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import identifier, key_list, numbered
from materialization.compute.questions import Timing
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT, EVENT_ID, SEQUENCE
from materialization.transforms.aggregation.events import kept_columns

if TYPE_CHECKING:
    from materialization.compute.questions import JoinQuestion
    from materialization.transforms.aggregation.aggregates import Aggregates


def corrected_sql(question: JoinQuestion, every: Aggregates, within: str, end: int) -> str:
    """Return the events of ``all_keys``: ``kid, e, c, v, until, a0…``; ``end`` is beyond all times.

    Each is there from ``v`` until the next of its keys and time is visible. With event timing only
    the last of them ever was.
    """
    spec, columns = question.spec, kept_columns(every)
    values = numbered("a", every.arguments)
    told = "" if spec.event_id is None else f", {EVENT_ID}"
    selected = [
        *(f"{identifier(key.name)} AS k{i}" for i, key in enumerate(spec.join_keys)),
        f"epoch_us({EVENT}) AS e, epoch_us({CREATED}) AS c, {SEQUENCE} AS s{told}",
        *(f"{each.back} AS a{each.argument}" for each in columns),
    ]
    events = f"SELECT {', '.join(selected)} FROM {stored_rows(question.events or ())}"
    of_keys = f"({events} WHERE {within}) JOIN all_keys USING ({key_list(spec.join_keys)})"
    one = f"PARTITION BY kid, e{told}"
    if question.timing is Timing.EVENT:
        last = f"row_number() OVER ({one} ORDER BY c DESC, s DESC) = 1"
        return f"SELECT kid, e, c, e AS v, {end} AS until{values} FROM {of_keys} QUALIFY {last}"
    until = f"coalesce(lead(greatest(e, c)) OVER ({one} ORDER BY c, s), {end})"
    seen = f"SELECT kid, e, c, greatest(e, c) AS v, {until} AS until{values} FROM {of_keys}"
    return f"SELECT * FROM ({seen}) WHERE v < until"
