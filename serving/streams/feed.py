"""One table's reading of its stream: where its parts stand, and what is done where one fails.

Not for which parts are whose (``consumer``) nor for how records become rows (``taking``). What goes
wrong holds up a part and no other, and is told by its row; nothing is left out: a part that could
not take what it was given reads it again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lib.errors import AssayError, Unavailable
from materialization.choices import PartState
from materialization.edges.stores import push_log
from materialization.ingest.taking import NO_ROOM, TooManyEvents
from materialization.models import StreamPart
from materialization.stores.push_log import StreamMoved
from materialization.streams.places import name_of, standing
from materialization.streams.reader import Fault, StreamUnavailable
from serving.streams.reading import (
    AWAY,
    SERVER,
    UNFORESEEN,
    Reading,
    words_of,
)
from serving.streams.taking import Taker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from materialization.ingest.targets import Target
    from materialization.models import DeadLetter
    from materialization.streams.reader import Record, StreamReader
    from serving.streams.forms import Forms
    from serving.streams.reading import StreamLimits
    from serving.streams.records import AnyStream

log = logging.getLogger(__name__)
#: Records that are taken in one step, at most.
BATCH = 1_000
#: Seconds until a part that could not be read or taken is tried again.
REST_SECONDS = 1.0
AWAY_SECONDS, STOPPED_SECONDS = 5.0, 30.0


class Feed:
    """The parts of one table's stream that this consumer reads."""

    def __init__(
        self,
        target: Target,
        source: AnyStream,
        reader: StreamReader,
        forms: Forms,
        *,
        limits: StreamLimits,
    ) -> None:
        self.target, self.source, self.reader = target, source, reader
        self.readings: dict[int, Reading] = {}
        self._taker = Taker(target, source, forms, limits)
        self._identity: str | None = None
        #: By the process's clock: when the stream's partitions are asked for again.
        self.asks_at = 0.0

    def keep(self, parts: Sequence[StreamPart]) -> None:
        """Read these parts from now on, and no others."""
        wanted = {part.partition: part for part in parts}
        before = self._given()
        self.readings = {
            number: reading
            for number, reading in self.readings.items()
            if number in wanted and reading.stream == name_of(wanted[number])
        }
        for number, part in wanted.items():
            if number not in self.readings:
                self.readings[number] = Reading(part, name_of(part))
            self.readings[number].row = part
        if before - self._given():
            self._assign()

    def verify(self, *, now: float) -> None:
        """Read again what Redis has lost since: without a new record nobody would notice."""
        for reading in self.readings.values():
            if reading.is_given:
                stands = push_log().stands(self.target.table.uid, reading.stream)
                if stands != reading.place:
                    self._rest(reading, "Redis has lost how far it came", now)
                    reading.rests_until = now

    def came(self, partition: int) -> dict[str, int | None]:
        """Return how far a part was read: columns of its row."""
        reading = self.readings[partition]
        if not reading.is_known:
            return {"place": None, "end": None, "lag": None, "lag_is_least": False}
        lag, is_least = self.reader.waiting(partition, reading.place) or (None, False)
        end = self.reader.newest(partition) or reading.end
        return {"place": reading.place, "end": end, "lag": lag, "lag_is_least": is_least}

    def turn(self, *, at: datetime, now: float) -> int:
        """Read and take what has come; return how many records that were."""
        self._begin(now)
        if not self._given():
            return 0
        try:
            found = self.reader.read(BATCH)
        except Unavailable as exc:
            self.rest(exc.message, now=now)
            return 0
        by_part: dict[int, list[Record]] = {}
        for each in found:
            if isinstance(each, Fault):
                self._note_fault(each, now)
            else:
                by_part.setdefault(each.partition, []).append(each)
        for number, records in by_part.items():
            reading = self.readings.get(number)
            if reading is not None and reading.is_given:
                self._take(reading, records, at, now)
        return sum(map(len, by_part.values()))

    def _given(self) -> set[int]:
        return {number for number, each in self.readings.items() if each.is_given}

    def _begin(self, now: float) -> None:
        """Find where parts stand that are not read, and have the reader give them all."""
        self._identity = None
        due = [
            each for each in self.readings.values() if not each.is_given and each.rests_until <= now
        ]
        for reading in due:
            if reading.rests_until <= now:
                self._find_place(reading, now)
        if any(each.is_given for each in due):
            self._assign()

    def _find_place(self, reading: Reading, now: float) -> None:
        try:
            if not self._is_the_one(reading, now):
                return
            bounds = self.reader.bounds(reading.row.partition)
            reading.place, reading.end = standing(reading.row, bounds), bounds.end
            reading.is_known = True
        except AWAY as exc:
            # Of the others nobody would hear more, and each question takes its time.
            for each in self.readings.values():
                if not each.is_given:
                    self._rest(each, words_of(exc), now)
                    each.rests_until = now + AWAY_SECONDS
            return
        if bounds.begin <= reading.place <= bounds.end:
            reading.is_given, reading.state, reading.words = True, PartState.READING, ""
            return
        lacking = (
            f"the stream begins at {bounds.begin}: {bounds.begin - reading.place} records are gone"
            if reading.place < bounds.begin
            else f"the stream ends at {bounds.end}: it is not the one that was read"
        )
        self._stop(reading, f"the next record is {reading.place}, and {lacking}.", now)

    def _is_the_one(self, reading: Reading, now: float) -> bool:
        """Return whether the stream is the one that the part began with; else stop the part."""
        if self._identity is None:
            self._identity = self.reader.identity()
        row = reading.row
        if not row.identity and self._identity:
            StreamPart.objects.filter(pk=row.pk).update(identity=self._identity)
            row.identity = self._identity
        if row.identity == self._identity:
            return True
        self._stop(
            reading, "a stream of this name is there, and it is not the one that was read.", now
        )
        return False

    def look_again(self, *, now: float) -> None:
        """Stop what is read of another stream by now: one of the same name was made anew."""
        identity = self.reader.identity()
        for reading in self.readings.values():
            if reading.is_given and reading.row.identity not in ("", identity):
                self._rest(reading, "the stream is looked at anew", now)
                reading.rests_until = now

    def _assign(self) -> None:
        given = {number: self.readings[number].place for number in self._given()}
        self.reader.assign(given)

    def _rest(self, reading: Reading, words: str, now: float) -> None:
        if reading.words != words:
            log.warning("%s of %s waits: %s", reading.row, self.target.table, words)
        reading.is_given, reading.state = False, PartState.WAITING
        reading.words, reading.rests_until = words, now + REST_SECONDS

    def _stop(self, reading: Reading, words: str, now: float) -> None:
        if reading.words != words:
            log.error("%s of %s is stopped: %s", reading.row, self.target.table, words)
        reading.is_given, reading.state = False, PartState.STOPPED
        reading.words, reading.rests_until = words, now + STOPPED_SECONDS

    def _note_fault(self, fault: Fault, now: float) -> None:
        concerned = [self.readings[fault.partition]] if fault.partition in self.readings else []
        if fault.partition < 0:
            for each in self.readings.values():
                each.words = fault.words  # it goes on by itself; what was given stays so
            return
        for reading in concerned:
            # Looked at anew: bounds say what is the matter.
            self._rest(reading, fault.words, now)

    def _take(self, reading: Reading, records: Sequence[Record], at: datetime, now: float) -> None:
        new = [each for each in records if each.place >= reading.place]
        if not new:
            return
        try:
            if left := self._taker.take(reading, new, at=at):
                self._rest(reading, left, now)
        except StreamMoved as exc:
            self._rest(reading, exc.message, now)
            reading.rests_until = now
        except StreamUnavailable as exc:
            # What records are read by is away: asking takes its time, and others wait meanwhile.
            self._rest(reading, exc.message, now)
            reading.rests_until = now + AWAY_SECONDS
        except AWAY as exc:
            self._rest(reading, words_of(exc), now)
        except TooManyEvents:
            self._take_each(reading, new, NO_ROOM, at, now)
        except (AssayError, OSError, MemoryError) as exc:
            # Of a record's own faults rows are told: this is the version's, or the server's.
            log.warning("%s of %s waits", reading.row, self.target.table, exc_info=True)
            words = exc.message if isinstance(exc, AssayError) else SERVER
            self._rest(reading, words, now)
        except Exception:  # whatever it is
            log.exception("records from %s on of %s are not taken", new[0].place, reading.row)
            if self._taker.takes_none(at=at):
                self._take_each(reading, new, UNFORESEEN, at, now)
            else:
                self._rest(reading, UNFORESEEN, now)

    def _take_each(
        self, reading: Reading, records: Sequence[Record], words: str, at: datetime, now: float
    ) -> None:
        """Take records one by one, and leave out the one that cannot be."""
        if len(records) == 1:
            try:
                # It must not hold up those behind it.
                self._taker.leave_out(reading, records[0], words, at=at)
            except (StreamMoved, *AWAY) as exc:
                self._rest(reading, words_of(exc), now)
            return
        half = len(records) // 2
        for some in (records[:half], records[half:]):
            if reading.is_given:
                self._take(reading, some, at, now)

    def read_again(self, letter: DeadLetter, *, at: datetime) -> None:
        """Take the record of a dead letter, or note anew why not; raises as ``Taker``'s."""
        self._taker.read_again(letter, self.reader, at=at)

    def rest(self, words: str, *, now: float) -> None:
        """Read nothing for a while, and then everything from where it stands."""
        for each in self.readings.values():
            self._rest(each, words, now)

    def close(self) -> None:
        self.reader.close()
