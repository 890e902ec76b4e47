"""Taking pushed rows: judged whole, then merged and logged in one step.

Not for reading what was sent (``serving.ingest``) or for the offline store (``runner.draining``).
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import QualityRejected
from materialization.edges.engines import transforms
from materialization.edges.stores import offline_store, push_log
from materialization.ingest.judging import made_rows, note_wrong, stored_rows
from materialization.ingest.refusals import rows_refused
from materialization.queries import table_at
from materialization.sequences import draw_sequences
from materialization.stores.columns import EVENT
from materialization.stores.event_bounds import MOST_BYTES
from materialization.stores.later_rows import later_than
from materialization.stores.layout import header_numbers
from materialization.stores.push_command import PushedRows
from materialization.stores.push_log import TRANSACTION, NoRoomInHop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from materialization.ingest.refusals import Refusals
    from materialization.ingest.targets import Target
    from materialization.stores.events import EventLayout
    from materialization.stores.push_command import MostWaiting, Once, Seen
    from registry.models import FeatureTable


#: Why a row is refused by itself.
NO_ROOM = (
    "its entity has as many events around this time as windows keep of one; send rows that are"
    " summed up already."
)


class TooManyEvents(QualityRejected):
    """``places`` are those of the rows in what was sent for which their ``entity`` has no room."""

    code = "too_many_events"

    def __init__(
        self, message: str, *, event: str, places: frozenset[int], entity: dict[str, str]
    ) -> None:
        super().__init__(message, event_timestamp=event)
        self.places, self.entity = places, entity


Places: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


class Sent(NamedTuple):
    """Rows as one table's version reads them; of a row with a refusal the values say nothing."""

    target: Target
    rows: pa.RecordBatch


class Judged(NamedTuple):
    """The rows that may be taken of each table, and what is wrong with the others.

    ``places`` are those of the rows in what was sent, table by table as ``rows``. ``left_out``: by
    version, how many of those that are taken its conditions leave out. ``waiting``: how many are
    not readable before their time comes.
    """

    rows: list[PushedRows]
    places: list[Places]
    taken: int
    refusals: Refusals
    left_out: dict[str, int]
    waiting: int


class Stored(NamedTuple):
    """Rows as a table stores them, and the place of each in what was sent."""

    target: Target
    rows: pa.RecordBatch
    places: Places


def judge(
    sent: Sequence[Sent],
    refusals: Refusals,
    *,
    partial_ok: bool,
    at: datetime,
) -> Judged:
    """Return what may be taken of rows; those of ``refusals`` cannot be read.

    :raises RowsRefused: some cannot be taken, and the others shall not be without them.
    """
    total = sent[0].rows.num_rows
    stored = make(sent, refusals, partial_ok=partial_ok, at=at)
    taken = total - len(refusals.rows)
    some = [each for each in stored if each.rows.num_rows]
    rows = [
        PushedRows(target.layout, each, target.ttl, partial(draw_block, target.table))
        for target, each, _ in some
    ]
    left_out = {
        version: taken - rows.num_rows
        for target, rows, _ in stored
        if rows.num_rows < taken
        for version in target.versions
    }
    waiting = {
        int(places[place]) for _, rows, places in stored for place, _ in later_than(rows, at)
    }
    return Judged(rows, [each.places for each in some], taken, refusals, left_out, len(waiting))


def make(
    sent: Sequence[Sent], refusals: Refusals, *, partial_ok: bool, at: datetime
) -> list[Stored]:
    """Return what each version makes of rows; those of ``refusals`` cannot be read.

    :raises RowsRefused: as ``judge``.
    """
    unread = frozenset(refusals.rows)
    stored = [_stored(each, refusals, unread, at) for each in sent]
    for target, rows, places in stored:
        note_wrong(
            rows, target.spec, target.source, refusals, places=places, unread=unread, at=at
        )  # fmt: skip
    wrong = refusals.rows
    if wrong and not partial_ok:
        raise rows_refused(refusals, sent[0].rows.num_rows)
    return [_without(each, wrong) for each in stored] if wrong else stored


def _stored(sent: Sent, refusals: Refusals, unread: frozenset[int], at: datetime) -> Stored:
    """Return rows as they are stored; what cannot be made is noted, and is not among them."""
    target, rows = sent
    places = np.arange(rows.num_rows)
    if target.spec.is_pushed and not target.spec.makes_rows:
        return Stored(target, stored_rows(rows, target.spec, target.source, at=at), places)
    if unread:
        places = np.array([place for place in places if place not in unread], np.int64)
        rows = rows.take(pa.array(places))
    made = transforms().rows(target.table.uid, target.spec, rows)
    for each in made.failing:
        shown = partial(str, each.value)
        refusals.add(int(places[each.place]), each.column, shown, each.message)
    places = places[made.places.to_numpy()]
    return Stored(target, made_rows(made.rows, target.spec, target.source, at=at), places)


def _without(stored: Stored, wrong: set[int]) -> Stored:
    good = np.isin(stored.places, list(wrong), invert=True)
    rows = stored.rows.filter(pa.array(good))
    return stored._replace(rows=rows, places=stored.places[good])


def draw_block(table: FeatureTable, count: int) -> range:
    """Return numbers for pushed rows, greater than those of all that are stored.

    The database does not say that of itself: it may have been restored from a copy that is older
    than the table.
    """
    stored = offline_store().committed(table_at(table), [TRANSACTION]).get(TRANSACTION, 0)
    return draw_sequences(table, count, behind=stored)


def take(
    judged: Judged,
    *,
    at: datetime,
    once: Once | None,
    most: MostWaiting,
    seen: Seen | None = None,
) -> bytes | None:
    """Merge and log what was judged; return what the same call was answered before, if it was.

    :raises SeenNoMore: what it was prepared by, ``seen``, has changed; nothing was taken.
    :raises PushLogFull, Unavailable, TooManyEvents: nothing was taken.
    """
    if not judged.rows and once is None and seen is None:
        return None  # else Redis is asked all the same: what it was prepared by may be over
    try:
        return push_log().push(judged.rows, at=at, once=once, most=most, seen=seen).before
    except NoRoomInHop as exc:
        table = judged.rows[exc.full.table]
        raise _too_many(table, judged.places[exc.full.table], exc.full.row) from exc


def _too_many(table: PushedRows, places: Places, row: int) -> TooManyEvents:
    layout = cast("EventLayout", table.layout)
    keys = {name: repr(table.rows.column(name)[row].as_py()) for name in layout.entity.names}
    hop = timedelta(microseconds=layout.hop)
    event = table.rows.column(EVENT)[row].as_py()
    return TooManyEvents(
        f"the entity {', '.join(f'{name} {value}' for name, value in keys.items())[:200]} has"
        f" {MOST_BYTES >> 10} KB of events within the {hop} around {event:%Y-%m-%dT%H:%M:%S.%fZ},"
        " which is all that windows keep of one entity in a hundredth of the longest window."
        " Nothing was taken. Push rows that are summed up already, or leave this entity out; with"
        ' "partial": true those of a few such entities are left out, and the others taken.',
        event=event.isoformat(),
        places=frozenset(places[_as_crowded(table.rows, layout, row)].tolist()),
        entity=keys,
    )


def _as_crowded(rows: pa.RecordBatch, layout: EventLayout, row: int) -> Places:
    """Return the rows, from one on, of its entity and hop."""
    tags = layout.entity.arrow_tags(rows)
    hops = header_numbers(rows, (EVENT,))[0] // layout.hop
    same = pc.equal(tags, tags[row]).to_numpy(zero_copy_only=False) & (hops == hops[row])
    found = np.flatnonzero(same)
    return found[found >= row]
