"""Records of a part as rows of its table: judged, taken, and the place moved, in one step.

Not for when a part is read, or what is done where that fails (``feed``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from materialization.edges.stores import push_log
from materialization.ingest.taking import NO_ROOM, Sent, TooManyEvents, judge, take
from materialization.stores.push_command import Once
from materialization.stores.push_log import StreamMoved, remembered_key
from materialization.stores.stretches import Stretch
from materialization.streams.letters import is_asked, keep_letters, note_again, note_taken
from serving.streams.reading import AHEAD, MANY_SCHEMAS, NOT_YET, NotYet
from serving.streams.records import Reason, read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from materialization.ingest.targets import Target
    from materialization.models import DeadLetter
    from materialization.streams.reader import Record, StreamReader
    from serving.streams.forms import Forms
    from serving.streams.reading import Reading, StreamLimits
    from serving.streams.records import AnyStream, Reasons


class Taker(NamedTuple):
    """Takes records for one table."""

    target: Target
    source: AnyStream
    forms: Forms
    limits: StreamLimits

    def take(self, reading: Reading, records: Sequence[Record], *, at: datetime) -> str:
        """Take rows of records, all in one step with the place behind them.

        What is refused is noted before: once the place is moved nobody reads it again. Return why
        those behind are left for later; empty: none are.
        """
        left = MANY_SCHEMAS if (reach := self.forms.reach(records)) < len(records) else ""
        records = records[:reach]
        rows, reasons = self._read(records)
        if (count := self._count_due(rows, at)) < len(records):
            if count == 0:
                raise NotYet(NOT_YET)
            rows, reasons = self._read(records[:count])
            left = NOT_YET
        records, end = records[:count], records[count - 1].place + 1
        judged = judge([Sent(self.target, rows)], reasons, partial_ok=True, at=at)
        self._keep_letters(reading, records, reasons.by_row, at)
        if not judged.rows:
            self._move(reading, end)
            return left
        (pushed,), (kept,) = judged.rows, judged.places
        places = [records[row].place for row in kept]
        stretch = Stretch(reading.stream, reading.place, end, places)
        judged = judged._replace(rows=[pushed._replace(stretch=stretch)])
        take(judged, at=at, once=None, most=self.limits.waiting)
        reading.place = end
        return left

    def takes_none(self, *, at: datetime) -> bool:
        """Return whether no record at all can be taken: then what fails is of some record."""
        try:
            rows, reasons = self._read([])
            judge([Sent(self.target, rows)], reasons, partial_ok=True, at=at)
        except Exception:  # noqa: BLE001 - whatever it is, no record made it fail
            return False
        return True

    def leave_out(self, reading: Reading, record: Record, words: str, *, at: datetime) -> None:
        """Move the place behind a record that cannot be taken, and note why."""
        self._keep_letters(reading, [record], {0: Reason("", words)}, at)
        self._move(reading, record.place + 1)

    def read_again(self, letter: DeadLetter, reader: StreamReader, *, at: datetime) -> None:
        """Take the record of a dead letter, or note anew why not.

        :raises Unavailable: it could not be had, or taken, now.
        """
        if letter.generation != letter.part.generation:
            note_again(letter, "", "the stream was read on elsewhere since.")
            return
        record = reader.fetch(letter.part.partition, letter.place)
        if record is None:
            note_again(letter, "", "the stream does not have it any more.")
            return
        rows, reasons = self._read([record])
        judged = judge([Sent(self.target, rows)], reasons, partial_ok=True, at=at)
        if 0 in reasons.by_row:
            note_again(letter, *reasons.by_row[0])
            return
        if not is_asked(letter):
            return
        # Who dies before it is noted takes it a second time, which counts once.
        once = Once(remembered_key("letter", str(letter.pk)), b"taken")
        try:
            take(judged, at=at, once=once, most=self.limits.waiting)
        except TooManyEvents:
            note_again(letter, "", NO_ROOM)
            return
        note_taken(letter)

    def _read(self, records: Sequence[Record]) -> tuple[pa.RecordBatch, Reasons]:
        return read_rows(records, self.source, self.target.spec.columns_read, self.forms)

    def _count_due(self, rows: pa.RecordBatch, at: datetime) -> int:
        """Return how many rows come before the first that windows cannot count yet.

        A clock that is a little ahead is waited for; what lies further is refused as it comes.
        """
        count: int = rows.num_rows
        if not self.target.spec.stores_events_only:
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
        keep_letters(reading.row, found, most=self.limits.letters, at=at)
