"""Windows that online reads make of events against those of training sets, entity by entity.

Both are as of one instant, so what there is to compare is what readers get. An entity that
differs is looked at again with what is stored by then. ``late``, and no difference, is one of which
only one store has something yet: runs store first and load after, rows that arrive are online first
and stored after. Not for rows that are stored as they are read (``online``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import TooLarge
from lib.instants import MICROSECOND, to_us
from materialization.compute.questions import FOUND_EVENT, JoinQuestion
from materialization.ingest.events import event_layout
from materialization.quality.consistency.findings import (
    DIFFERENT,
    EXTRA,
    MISSING,
    Example,
    Findings,
)
from materialization.quality.consistency.online import (
    DOUBTFUL_AT_ONCE,
    SEARCH_COST,
    TRIES,
    Compared,
    marker_of,
)
from materialization.quality.consistency.putting_right import put_right
from materialization.quality.consistency.rows import differing, is_same, shown_stamps
from materialization.quality.consistency.strangers import hashes, strangers
from materialization.quality.consistency.subject import entities_of, not_loaded, shown_key
from materialization.stores.columns import CREATED, EVENT, INSTANT, SEQUENCE
from materialization.stores.layout import header_numbers
from materialization.transforms.windows.arguments import window_arguments
from materialization.transforms.windows.encoding import window_encodings
from materialization.transforms.windows.entity_rows import entity_windows, is_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from materialization.quality.consistency.subject import Stores, Subject
    from materialization.stores.events import EntityEvents

#: Entities that one question about training sets is asked of, and one read of the online store.
AT_ONCE, READ_AT_ONCE = 5_000, 200
#: A row that none is, for what cannot be read.
UNREADABLE = b"\xc1"
#: The last instant that a training set can be as of.
LAST = to_us(datetime.max.replace(tzinfo=UTC))


def compare_windows(
    subject: Subject,
    stores: Stores,
    *,
    sample: int | None,
    clock: Callable[[], datetime],
    watch: Callable[[Findings, float], None],
    arriving: Callable[[], Iterable[pa.Table]] | None = None,
    repair: bool = False,
    earlier: Findings | None = None,
) -> Compared:
    """Compare all entities of a table, or a ``sample`` of each store's; as ``compare_online``.

    ``arriving``, of tables whose rows arrive: stores what did, and gives what waits even so. With
    ``repair`` the events of entities that differ are exchanged for those that are stored.

    :raises NotLoaded: the table is not loaded, or ceased to be meanwhile: nothing can be said.
    """
    began = clock()
    comparison = _Comparison(subject, stores, clock, watch, arriving, repair)
    comparison.findings = (earlier or Findings()).put_right()
    for entities in comparison.entities(sample):
        comparison.look_at(entities)
        watch(comparison.findings, len(entities))
    comparison.look_at_doubtful()
    return Compared(comparison.findings, began, comparison.version)


def _pieces(tags: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (tags[first : first + size] for first in range(0, len(tags), size))


class _Differs(NamedTuple):
    """An entity's row in either store, of which one is None where it has none."""

    tag: bytes
    stored: bytes | None
    online: bytes | None


class _Comparison:
    def __init__(
        self,
        subject: Subject,
        stores: Stores,
        clock: Callable[[], datetime],
        watch: Callable[[Findings, float], None],
        arriving: Callable[[], Iterable[pa.Table]] | None,
        repair: bool,  # noqa: FBT001 - as its only caller has it
    ) -> None:
        self.findings = Findings()
        self._subject, self._stores, self._clock = subject, stores, clock
        self._watch, self._arriving, self._repair = watch, arriving, repair
        #: Entities that differed, and are to be looked at again.
        self._doubtful: list[bytes] = []
        self._layout = event_layout(subject.spec, uid=subject.layout.uid)
        self._made_of = window_arguments(subject.spec)
        self._encodings = window_encodings(subject.spec)
        self._look_again()

    def _look_again(self) -> None:
        """Take what is loaded by now, then what is stored."""
        self._marker = marker_of(self._subject, self._stores)
        snapshot = self._stores.offline.snapshot(self._subject.place)
        self._files, self.version = snapshot.read_by(self._subject.spec), snapshot.version

    def entities(self, sample: int | None) -> Iterator[Sequence[bytes]]:
        """Yield the tags of entities of the offline store, then of those that only the other has.

        What in the online store is no entity's is extra.
        """
        some = self._stores.engine.some_entities(self._files, self._subject.spec, sample)
        known: list[np.ndarray] = []
        for batch in some.to_batches(AT_ONCE):
            tags = self._layout.entity.arrow_tags(batch).to_pylist()
            known.append(hashes(tags))
            yield tags
        for tags in strangers(self._online_tags(sample), known, at_once=DOUBTFUL_AT_ONCE):
            readable = [tag for tag in tags if self._layout.entity.values(tag) is not None]
            self._note_nobodys(list(set(tags).difference(readable)))
            yield from _pieces(readable, AT_ONCE)

    def _online_tags(self, sample: int | None) -> Iterator[list[bytes]]:
        online, uid = self._stores.online, self._layout.uid
        pieces = online.keys_of(uid) if sample is None else [online.some_keys_of(uid, sample)]
        for keys in pieces:
            self._watch(self.findings, SEARCH_COST)
            yield list(map(self._layout.tag_of, keys))

    def _note_nobodys(self, tags: Sequence[bytes]) -> None:
        """Count what lies under the name of no entity."""
        self.findings.compared += len(tags)
        for tag in tags:
            self.findings.note(Example(EXTRA, shown_key(self._subject, self._key(tag))))
        self._put_right(tags)

    def look_at(self, tags: Sequence[bytes]) -> None:
        self.findings.compared += len(tags)
        now = to_us(self._clock())
        online = self._online(tags, now)
        self._doubtful += dict.fromkeys(
            [
                *(each.tag for each in self._differing(tags, online)),
                *(self._ahead(tags, online, now) if self._arriving is not None else ()),
            ]
        )
        if len(self._doubtful) >= AT_ONCE:
            self.look_at_doubtful()

    def look_at_doubtful(self) -> None:
        """Count what differs even with what is stored by now."""
        tags, self._doubtful = self._doubtful, []
        again = self._again if self._arriving is None else self._again_arriving
        differ: list[_Differs] = []
        late: set[bytes] = set()
        for _ in range(TRIES - 1):
            if not tags:
                return
            differ, late = again(tags)
            tags = [each.tag for each in differ]
        wrong = [each for each in differ if each.tag not in late]
        self.findings.late += len(differ) - len(wrong)
        for each in wrong:
            self._note(each)
        self._put_right([each.tag for each in wrong])

    def _put_right(self, tags: Sequence[bytes]) -> None:
        if not self._repair:
            return
        for done in put_right(
            tags,
            subject=self._subject,
            stores=self._stores,
            waiting=self._waiting,
            clock=self._clock,
        ):
            self.findings.repaired += done
            self._watch(self.findings, done)

    def _again(self, tags: Sequence[bytes]) -> tuple[list[_Differs], set[bytes]]:
        """Return what differs of what runs load, and which of these is not all loaded yet."""
        self._look_again()
        differ = self._differing(tags, self._online(tags, to_us(self._clock())))
        return differ, self._being_loaded([each.tag for each in differ])

    def _waiting(self) -> set[bytes]:
        """Store what arrived; return the entities of which something waits even so."""
        late: set[bytes] = set()
        for rows in self._arriving() if self._arriving is not None else ():
            for batch in rows.to_batches():
                late.update(self._layout.entity.arrow_tags(batch).to_pylist())
        return late

    def _again_arriving(self, tags: Sequence[bytes]) -> tuple[list[_Differs], set[bytes]]:
        """Return what differs of what arrives, and of which of these something is on its way.

        What is online now waits by then or is in the snapshot that is taken after, with what came
        meanwhile: that is online when it is read once more.
        """
        now = to_us(self._clock())
        online = self._online(tags, now)
        late = self._waiting()
        self._look_again()
        differ = self._differing(tags, online)
        early = self._ahead(tags, online, now) - {each.tag for each in differ}
        differ += [_Differs(tag, None, UNREADABLE) for tag in early]
        before, suspects = dict(zip(tags, online, strict=True)), [each.tag for each in differ]
        after = zip(suspects, self._online(suspects, now), strict=True)
        return differ, late | {tag for tag, seen in after if seen != before[tag]}

    def _differing(
        self, tags: Sequence[bytes], online: Sequence[tuple[int, bytes | None]]
    ) -> list[_Differs]:
        if not tags:
            return []
        stored = self._stored(tags, [at for at, _ in online])
        return [
            _Differs(tag, row, seen)
            for tag, row, (_, seen) in zip(tags, stored, online, strict=True)
            if not (row == seen or (row and seen and is_same(row, seen)))
        ]

    def _ahead(
        self, tags: Sequence[bytes], online: Sequence[tuple[int, bytes | None]], now: int
    ) -> set[bytes]:
        """Return the entities that are read as of later than ``now``, and no event says why."""
        ahead = {tag: at for tag, (at, _) in zip(tags, online, strict=True) if at > now}
        if not ahead:
            return set()
        with self._stores.engine.kept_events(
            self._files, self._subject.spec, as_of=self._clock(), among=self._entities(list(ahead))
        ) as reader:
            for batch in reader:
                known = np.maximum(*header_numbers(batch, (EVENT, CREATED)))
                stored = self._layout.entity.arrow_tags(batch).to_pylist()
                for tag, at in zip(stored, known.tolist(), strict=True):
                    if ahead.get(tag) == at:
                        del ahead[tag]
        return set(ahead)

    def _online(self, tags: Sequence[bytes], now: int) -> list[tuple[int, bytes | None]]:
        """Return the instant that a read at ``now`` is as of, and what it gives, of each entity."""
        return [row for some in _pieces(tags, READ_AT_ONCE) for row in self._read(some, now)]

    def _read(self, tags: Sequence[bytes], now: int) -> list[tuple[int, bytes | None]]:
        try:
            rows = self._stores.online.read(0, (), [(self._layout, tags)], now=now).tables[0]
        except TooLarge:
            if len(tags) == 1:
                raise
            return self._by_halves(tags, now)
        if rows is None or rows.generation < self._subject.generation:
            raise not_loaded(self._layout.uid)
        if not rows.is_readable:
            return self._by_halves(tags, now) if len(tags) > 1 else [(now, UNREADABLE)]
        return [self._row(each, now) for each in rows.rows]

    def _by_halves(self, tags: Sequence[bytes], now: int) -> list[tuple[int, bytes | None]]:
        half = len(tags) // 2
        return self._read(tags[:half], now) + self._read(tags[half:], now)

    def _row(self, entity: EntityEvents | None, now: int) -> tuple[int, bytes | None]:
        if entity is None:
            return now, None
        ttl, at = self._subject.spec.ttl, max(now, entity.seen)
        if at > LAST:
            return now, UNREADABLE
        if is_over(entity, self._layout, at, None if ttl is None else ttl // MICROSECOND):
            return at, None
        try:
            made = entity_windows(self._made_of, entity, at)
        except msgspec.DecodeError:  # of what is known of a hop
            return at, UNREADABLE
        features = made.features(
            hop=self._layout.hop,
            where=self._subject.spec.view.name,
            encodings=self._encodings,
        )
        return at, msgspec.msgpack.encode([at, 0, 0, *features])

    def _stored(self, tags: Sequence[bytes], instants: Sequence[int]) -> list[bytes | None]:
        """Return what a training set has of each entity at its instant."""
        layout, spec = self._subject.layout, self._subject.spec
        times = pa.array(instants, pa.int64()).cast(INSTANT)
        asked = self._entities(tags).append_column(EVENT, times)
        question = JoinQuestion(spec, (), layout.features, asked, events=tuple(self._files))
        (answer,) = self._stores.engine.point_in_time_joins([question])
        nothing = pa.array(np.zeros(len(tags), np.int64))
        values = answer.rows.select(layout.features)
        for name, column in ((EVENT, times), (CREATED, times), (SEQUENCE, nothing)):
            values = values.append_column(name, column)
        (batch,) = values.combine_chunks().to_batches()
        rows = pc.if_else(
            answer.rows[FOUND_EVENT].combine_chunks().is_valid(),
            layout.arrow_rows(batch),
            None,
        )
        return cast("list[bytes | None]", rows.to_pylist())

    def _being_loaded(self, tags: Sequence[bytes]) -> set[bytes]:
        """Return the entities of which something is stored that no load has ended with yet."""
        if not tags:
            return set()
        found: set[bytes] = set()
        with self._stores.engine.kept_events(
            self._files, self._subject.spec, as_of=self._clock(), among=self._entities(tags)
        ) as reader:
            for batch in reader:
                new = batch.filter(pc.greater(batch.column(SEQUENCE), self._marker.sequence))
                found |= set(self._layout.entity.arrow_tags(new).to_pylist())
        return found

    def _entities(self, tags: Sequence[bytes]) -> pa.Table:
        return entities_of(self._subject, [self._key(tag) for tag in tags])

    def _key(self, tag: bytes) -> bytes:
        return self._subject.layout.key_prefix + tag

    def _note(self, differs: _Differs) -> None:
        row, seen = differs.stored, differs.online
        kind = MISSING if seen is None else EXTRA if row is None else DIFFERENT
        features = differing(self._subject.layout, row, seen) if row and seen else ()
        shown = shown_key(self._subject, self._key(differs.tag))
        stored, online = shown_stamps(row), shown_stamps(seen)
        self.findings.note(Example(kind, shown, stored=stored, online=online, features=features))
