"""A table's rows in the online store against the latest stored ones, while runs go on.

The online store must hold, of each entity, at least the greatest row by (event, created, sequence)
that was visible and loaded when its marker was set; a newer one has to be stored by the time it is
seen, because runs store first. So nothing that is being written is called a difference, and no run
waits. Not for stored rows against their source: ``runner.comparing_source`` does that.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from lib.instants import MICROSECOND, to_us
from materialization.quality.consistency.findings import (
    DIFFERENT,
    EXTRA,
    MISSING,
    Example,
    Findings,
)
from materialization.quality.consistency.rows import (
    differing,
    is_newer,
    is_same,
    shown_stamps,
    stamps_of,
)
from materialization.quality.consistency.sample import chosen_of
from materialization.quality.consistency.strangers import hashes, strangers
from materialization.quality.consistency.subject import (
    entities_of,
    not_loaded,
    shown_key,
    values_of,
)
from materialization.stores.columns import CREATED, EVENT, INSTANT, SEQUENCE
from materialization.stores.layout import header_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from materialization.quality.consistency.sample import Sample
    from materialization.quality.consistency.subject import Stores, Subject
    from materialization.stores.offline_values import Snapshot
    from materialization.stores.online_protocol import Marker

#: Rows that need a second look are looked at so many at a time.
DOUBTFUL_AT_ONCE = 50_000
#: How often a comparison that found differences begins again because the table was loaded
#: meanwhile: what Redis lost and got back is no difference.
TRIES = 3
#: What a look at the next part of Redis's keys counts as, in rows.
SEARCH_COST = 100


class Compared(NamedTuple):
    """What was found, as of which instant of which version of the table."""

    findings: Findings
    as_of: datetime
    version: int


def compare_online(
    subject: Subject,
    stores: Stores,
    *,
    sample: int | None,
    repair: bool,
    clock: Callable[[], datetime],
    watch: Callable[[Findings, float], None],
    earlier: Findings | None = None,
) -> Compared:
    """Compare a table's online rows with the stored ones, all or a ``sample`` of entities.

    A sample takes entities of either store, so that it finds what lacks and what is too much. With
    ``repair`` what differs is put right, unless something newer was written meanwhile; what a pass
    that began again put right counts, with its examples, beside the last one's differences; so does
    what ``earlier`` attempts found.
    ``watch`` is told after each piece what was found and what it cost, in rows; what it raises ends
    the work.

    :raises NotLoaded: the table is not loaded, or ceased to be meanwhile: nothing can be said.
    """
    before = marker_of(subject, stores)
    snapshot = stores.offline.snapshot(subject.place)
    chosen = None if sample is None else chosen_of(subject, stores, snapshot, sample)
    found = earlier or Findings()
    for _ in range(TRIES):
        comparison = _Comparison(subject, stores, before, repair, clock, watch, found)
        comparison.run(snapshot, chosen)
        after = marker_of(subject, stores, at_least=before.generation)
        found = comparison.findings
        if found.differences == 0 or after == before:
            break
        before, snapshot = after, stores.offline.snapshot(subject.place)
    return Compared(found, comparison.marker.as_of, snapshot.version)


def marker_of(subject: Subject, stores: Stores, *, at_least: int = 0) -> Marker:
    """:raises NotLoaded: the table is not loaded, or not as the database says."""
    marker = stores.online.marker(subject.layout.uid)
    if marker is None or marker.generation < max(subject.generation, at_least):
        raise not_loaded(subject.layout.uid)
    return marker


class _Comparison:
    """One pass over a table; ``findings`` grow as it goes."""

    def __init__(
        self,
        subject: Subject,
        stores: Stores,
        marker: Marker,
        repair: bool,  # noqa: FBT001 - as its only caller has it
        clock: Callable[[], datetime],
        watch: Callable[[Findings, float], None],
        earlier: Findings,
    ) -> None:
        self.findings, self.marker = earlier.put_right(), marker
        self._subject, self._layout, self._stores = subject, subject.layout, stores
        self._repair, self._clock, self._watch = repair, clock, watch
        #: Rows that are newer than the snapshot has, by key.
        self._newer: dict[bytes, bytes] = {}
        #: Hashes of the keys that are to be there: eight bytes an entity.
        self._known: list[np.ndarray] = []

    def run(self, snapshot: Snapshot, chosen: Sample | None) -> None:
        with self._stores.engine.latest_rows(
            snapshot.files,
            self._subject.spec,
            as_of=self.marker.as_of,
            up_to=self.marker.sequence,
            among=chosen.entities if chosen else None,
        ) as reader:
            for batch in reader:
                self._look_at(batch)
        self._examine_newer()
        self._look_for_extras(
            [chosen.keys] if chosen else self._stores.online.keys_of(self._layout.uid)
        )

    def _look_at(self, batch: pa.RecordBatch) -> None:
        keys = self._layout.arrow_keys(batch).to_pylist()
        rows = self._layout.arrow_rows(batch).to_pylist()
        found = self._stores.online.rows_at(keys)
        self._known.append(hashes(keys))
        self.findings.compared += len(keys)
        unlike = [place for place, row in enumerate(rows) if row != found[place]]
        if unlike:
            self._judge(batch, unlike, keys, rows, found)
        if len(self._newer) >= DOUBTFUL_AT_ONCE:
            self._examine_newer()
        self._watch(self.findings, len(keys))

    def _judge(
        self,
        batch: pa.RecordBatch,
        unlike: list[int],
        keys: list[bytes],
        rows: list[bytes],
        found: list[bytes | None],
    ) -> None:
        """Tell the rows that differ from those that are written otherwise, newer or expired."""
        alive = _still_kept(batch, self.marker, self._clock())
        wrong = []
        for place in unlike:
            key, row, seen = keys[place], rows[place], found[place]
            if seen is None:
                if not alive[place]:
                    self.findings.expired += 1
                    continue
                self._note(MISSING, key, row, None)
            elif is_same(row, seen):
                continue
            elif is_newer(seen, row):
                self._newer[key] = seen
                continue
            else:
                self._note(DIFFERENT, key, row, seen)
            wrong.append(place)
        if wrong and self._repair:
            self._correct(batch.take(pa.array(wrong)), [found[place] for place in wrong])

    def _correct(self, batch: pa.RecordBatch, seen: Sequence[bytes | None]) -> None:
        self.findings.repaired += self._stores.online.correct(
            self._layout, batch, seen, ttl=self.marker.ttl, at=self._clock()
        )

    def _examine_newer(self) -> None:
        """Count as different what is newer than what is loaded and was stored by nobody."""
        if not self._newer:
            return
        wrong, self._newer = self._not_stored(self._newer), {}
        for key, seen in wrong.items():
            self._note(DIFFERENT, key, None, seen)
        if wrong and self._repair:
            self._put_back(wrong)

    def _put_back(self, wrong: Mapping[bytes, bytes]) -> None:
        """Give entities their latest stored row again."""
        snapshot = self._stores.offline.snapshot(self._subject.place)
        entities = entities_of(self._subject, list(wrong))
        spec, as_of = self._subject.spec, self.marker.as_of
        with self._stores.engine.latest_rows(
            snapshot.files, spec, as_of=as_of, among=entities
        ) as reader:
            for batch in reader:
                keys = self._layout.arrow_keys(batch).to_pylist()
                self._correct(batch, [wrong[key] for key in keys])

    def _look_for_extras(self, pieces: Iterable[list[bytes]]) -> None:
        for some in strangers(self._paced(pieces), self._known, at_once=DOUBTFUL_AT_ONCE):
            self._examine_extras(some)

    def _paced(self, pieces: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
        for keys in pieces:
            self._watch(self.findings, SEARCH_COST)
            yield keys

    def _examine_extras(self, keys: list[bytes]) -> None:
        """Count as extra the rows of entities that nobody stored; some may be new."""
        found = zip(keys, self._stores.online.rows_at(keys), strict=True)
        seen = {key: row for key, row in found if row is not None}
        self.findings.compared += len(seen)
        extra = self._not_stored(seen)
        for key, row in extra.items():
            self._note(EXTRA, key, None, row)
        if extra and self._repair:
            removed = self._stores.online.remove(list(extra), list(extra.values()))
            self.findings.repaired += removed

    def _not_stored(self, seen: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return the rows of the online store that were not stored as they are by now."""
        stored = self._stored_alike(seen)
        return {
            key: row
            for key, row in seen.items()
            if not any(is_same(row, each) for each in stored.get(key, ()))
        }

    def _stored_alike(self, seen: Mapping[bytes, bytes]) -> dict[bytes, list[bytes]]:
        """Return the stored rows with the keys and stamps of these, as they would be online."""
        stamped = {
            key: stamps_of(row) for key, row in seen.items() if values_of(self._subject, key)
        }
        readable = {key: stamps for key, stamps in stamped.items() if stamps is not None}
        asked = entities_of(self._subject, list(readable))
        columns = list(zip(*readable.values(), strict=True)) or [(), (), ()]
        for name, kind, numbers in zip(
            (EVENT, CREATED, SEQUENCE), (INSTANT, INSTANT, pa.int64()), columns, strict=True
        ):
            asked = asked.append_column(name, pa.array(numbers, pa.int64()).cast(kind))
        snapshot = self._stores.offline.snapshot(self._subject.place)
        answer = self._stores.engine.same_stamps(snapshot.files, self._subject.spec, asked)
        stored: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for batch in answer.to_batches():
            pairs = zip(self._layout.arrow_keys(batch), self._layout.arrow_rows(batch), strict=True)
            for key, row in pairs:
                stored[key.as_py()].append(row.as_py())
        return stored

    def _note(self, kind: str, key: bytes, row: bytes | None, seen: bytes | None) -> None:
        features = differing(self._layout, row, seen) if row and seen else ()
        stored, online = shown_stamps(row), shown_stamps(seen)
        shown = shown_key(self._subject, key)
        self.findings.note(Example(kind, shown, stored=stored, online=online, features=features))


def _still_kept(batch: pa.RecordBatch, marker: Marker, at: datetime) -> np.ndarray:
    """Return of each row whether a reader may still get it: one past its TTL may be gone."""
    events, _, _ = header_numbers(batch)
    if marker.ttl is None:
        return np.ones(len(events), bool)
    kept: np.ndarray = events + marker.ttl // MICROSECOND >= to_us(at)
    return kept
