"""One table's reading of its stream: records in, rows taken, and the place moved in one step.

Not for which parts are whose (``consumer``). What goes wrong holds up a part and no other, and is
told by its row; nothing is left out: a part that could not take what it was given reads it again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import AssayError, Unavailable
from materialization.choices import PartState
from materialization.edges.stores import push_log
from materialization.ingest.taking import Sent, TooManyEvents, judge, take
from materialization.models import StreamPart
from materialization.stores.push_command import Once
from materialization.stores.push_log import StreamMoved, remembered_key
from materialization.stores.stretches import Stretch
from materialization.streams.letters import keep_letters, note_again, note_taken
from materialization.streams.places import name_of, standing
from materialization.streams.reader import Fault
from serving.streams.reading import (
    AHEAD,
    AWAY,
    NO_ROOM,
    NOT_YET,
    SERVER,
    UNFORESEEN,
    NotYet,
    Reading,
    words_of,
)
from serving.streams.records import Reason, read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from materialization.ingest.targets import Target
    from materialization.models import DeadLetter
    from materialization.streams.reader import Record, StreamReader
    from registry.spec.sources.streams import KafkaSource, RedisStreamSource
    from serving.streams.reading import StreamLimits

log = logging.getLogger(__name__)
#: Records that are taken in one step, at most.
BATCH = 1_000
#: Seconds until a part that could not be read or taken is tried again.
REST_SECONDS = 1.0
AWAY_SECONDS, STOPPED_SECONDS = 5.0, 30.0


class Feed:
    """The parts of one table's stream that this consumer reads."""

    def __init__(self, target: Target, reader: StreamReader, *, limits: StreamLimits) -> None:
        self.target, self.reader = target, reader
        self.source = cast("KafkaSource | RedisStreamSource", target.source)
        self.readings: dict[int, Reading] = {}
        self._limits = limits
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
        """Return how far a part was read, as far as it was heard of."""
        reading = self.readings[partition]
        if not reading.is_known:
            return {"place": None, "end": None, "lag": None}
        end = self.reader.newest(partition) or reading.end
        lag = self.reader.waiting(partition, reading.place)
        return {"place": reading.place, "end": end, "lag": lag}

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
            self._take_some(reading, new, at)
            if reading.place <= new[-1].place:  # those behind wait for their time
                self._rest(reading, NOT_YET, now)
        except StreamMoved as exc:
            self._rest(reading, exc.message, now)
            reading.rests_until = now
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
            if self._takes_none(at):
                self._take_each(reading, new, UNFORESEEN, at, now)
            else:
                self._rest(reading, UNFORESEEN, now)

    def _takes_none(self, at: datetime) -> bool:
        """Return whether no record at all can be taken: then what fails is of some record."""
        try:
            rows, reasons = read_rows([], self.source, self.target.spec.columns_read)
            judge([Sent(self.target, rows)], reasons, partial_ok=True, at=at)
        except Exception:  # noqa: BLE001 - whatever it is, no record made it fail
            return False
        return True

    def _take_each(
        self, reading: Reading, records: Sequence[Record], words: str, at: datetime, now: float
    ) -> None:
        """Take records one by one, and leave out the one that cannot be."""
        if len(records) == 1:
            self._put_aside(reading, records[0], words, at, now)
            return
        half = len(records) // 2
        for some in (records[:half], records[half:]):
            if reading.is_given:
                self._take(reading, some, at, now)

    def read_again(self, letter: DeadLetter, *, at: datetime) -> None:
        """Take the record of a dead letter, or note anew why not.

        :raises Unavailable: it could not be had, or taken, now.
        """
        if letter.generation != letter.part.generation:
            note_again(letter, "", "the stream was read on elsewhere since.")
            return
        record = self.reader.fetch(letter.part.partition, letter.place)
        if record is None:
            note_again(letter, "", "the stream does not have it any more.")
            return
        rows, reasons = read_rows([record], self.source, self.target.spec.columns_read)
        judged = judge([Sent(self.target, rows)], reasons, partial_ok=True, at=at)
        if 0 in reasons.by_row:
            note_again(letter, *reasons.by_row[0])
            return
        # Who dies before it is noted takes it a second time, which counts once.
        once = Once(remembered_key("letter", str(letter.pk)), b"taken")
        try:
            take(judged, at=at, once=once, most=self._limits.waiting)
        except TooManyEvents:
            note_again(letter, "", NO_ROOM)
            return
        note_taken(letter)

    def _put_aside(
        self, reading: Reading, record: Record, words: str, at: datetime, now: float
    ) -> None:
        """Leave a record out that cannot be taken: it must not hold up those behind it."""
        try:
            self._keep_letters(reading, [record], {0: Reason("", words)}, at)
            self._move(reading, record.place + 1)
        except (StreamMoved, *AWAY) as exc:
            self._rest(reading, words_of(exc), now)

    def _take_some(self, reading: Reading, records: Sequence[Record], at: datetime) -> None:
        """Take rows of records, all in one step with the place behind them.

        What is refused is noted before: once the place is moved nobody reads it again.
        """
        target = self.target
        rows, reasons = read_rows(records, self.source, target.spec.columns_read)
        if (count := self._count_due(rows, at)) < len(records):
            if count == 0:
                raise NotYet(NOT_YET)
            rows, reasons = read_rows(records[:count], self.source, target.spec.columns_read)
        records, end = records[:count], records[count - 1].place + 1
        judged = judge([Sent(target, rows)], reasons, partial_ok=True, at=at)
        self._keep_letters(reading, records, reasons.by_row, at)
        if not judged.rows:
            self._move(reading, end)
            return
        (pushed,), (kept,) = judged.rows, judged.places
        places = [records[row].place for row in kept]
        stretch = Stretch(reading.stream, reading.place, end, places)
        judged = judged._replace(rows=[pushed._replace(stretch=stretch)])
        take(judged, at=at, once=None, most=self._limits.waiting)
        reading.place = end

    def _count_due(self, rows: pa.RecordBatch, at: datetime) -> int:
        """Return how many rows come before the first that windows cannot count yet.

        A clock that is a little ahead is waited for; what lies further is refused as it comes.
        """
        count: int = rows.num_rows
        if not self.target.spec.has_exact_windows:
            return count
        soon = at + AHEAD
        for time in (self.source.event_timestamp, self.source.created_timestamp):
            if time is None:
                continue
            column = rows.column(time.column)
            early = pc.and_(pc.greater(column, at), pc.less_equal(column, soon))
            first: int = pc.index(early, pa.scalar(True)).as_py()  # noqa: FBT003
            count = min(count, first) if first >= 0 else count
        return count

    def _move(self, reading: Reading, end: int) -> None:
        uid = self.target.table.uid
        if not push_log().move(uid, reading.stream, begin=reading.place, end=end):
            raise StreamMoved("others have read on since")
        reading.place = end

    def _keep_letters(
        self,
        reading: Reading,
        records: Sequence[Record],
        reasons: Mapping[int, Reason],
        at: datetime,
    ) -> None:
        found = [(records[row].place, *reason) for row, reason in sorted(reasons.items())]
        keep_letters(reading.row, found, most=self._limits.letters, at=at)

    def rest(self, words: str, *, now: float) -> None:
        """Read nothing for a while, and then everything from where it stands."""
        for each in self.readings.values():
            self._rest(each, words, now)

    def close(self) -> None:
        self.reader.close()
