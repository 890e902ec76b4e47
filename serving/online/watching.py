"""What is counted of online reads: how long, how they end, what they find, who reads what.

A read leaves one small note in its process; a thread adds them up within a second. So readers
neither wait for each other nor for a file, nor for Redis. Not for what becomes of who read what:
``serving.usage``.
"""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING, NamedTuple

from django.utils import timezone

from lib.flushing import Flusher, Notes, gently
from lib.metrics import Counter, Histogram, unharmed
from registry.accounts.token_uses import note_uses
from serving.choices import Door
from serving.online.rows import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT
from serving.online.sensitive_reads import note_reads
from serving.usage.buffer import BUFFER
from serving.usage.edges import is_noted, send
from serving.usage.noting import BOUNDS, Answers, Columns
from serving.usage.sampling import Room, Taken, samples, take

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from serving.online.plans import ReadPlan
    from serving.online.rows import AnswerColumn
    from serving.online.sensitive_reads import SensitiveRead

SECONDS = Histogram(
    "assay_online_read_seconds",
    "Seconds of get-online-features inside the server, by HTTP status.",
    ("status",),
    buckets=BOUNDS,
)
#: Searches look at many rows for one answer: who watches online reads is not told of them there.
SEARCH_SECONDS = Histogram(
    "assay_search_seconds",
    "Seconds of search inside the server, by HTTP status.",
    ("status",),
    buckets=BOUNDS,
)
VALUES = Counter(
    "assay_online_values",
    "Values that online reads answered, by their status.",
    ("project", "feature_view", "status"),
)
PLANS = Counter("assay_online_plans_made", "Read plans made from the registry.", ("project",))
STATUSES = (PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE)


class Note(NamedTuple):
    """One read: ``found`` has how often each of these columns had which status."""

    seconds: float
    status: int
    plan: ReadPlan | None = None
    rows: int = 0
    found: Sequence[tuple[Columns, str, int]] = ()
    door: Door = Door.ONLINE
    taken: Taken | None = None


class Watch:
    """The notes of one process, and the thread that adds them up."""

    def __init__(self) -> None:
        self._notes = Notes[Note]()
        #: For values of notes since the last flush.
        self._room = Room()
        self._flusher = Flusher(self.flush, name="reads")

    def note(self, note: Note) -> None:
        if note.taken is not None:
            note = note._replace(taken=self._room.fit(note.taken))
        self._notes.add(note)
        self._flusher.wake()

    def flush(self) -> None:
        """Add up what was noted, and send what of it is sent; several may do it at once."""
        self._room.clear()
        answers: dict[tuple[int, Door], tuple[ReadPlan, Answers]] = {}
        seconds: dict[tuple[int, bool], list[float]] = {}
        notes, dropped = self._notes.take()
        if dropped:
            BUFFER.note_dropped(dropped)
        for note in gently(notes):
            key_of_time = note.status, note.door is Door.SEARCH
            seconds.setdefault(key_of_time, []).append(note.seconds)
            if (plan := note.plan) is not None:
                key = (id(plan), note.door)
                if (known := answers.get(key)) is None:
                    known = answers[key] = (plan, Answers())
                known[1].add(rows=note.rows, seconds=note.seconds, found=note.found)
                if note.taken is not None:
                    for version, sample in samples(note.taken, plan):
                        known[1].add_sample(version, sample)
        _count(seconds, answers.values())
        _hand_over(answers)


#: The process's own.
WATCH = Watch()


def note_answer(
    seconds: float,
    plan: ReadPlan,
    columns: Sequence[AnswerColumn],
    *,
    rows: int,
    door: Door,
    is_stored: bool,
) -> None:
    """Note a read that was answered; ``columns`` are those of the plan's features.

    ``is_stored``: they are as they are stored, not ready for JSON.
    """
    taken = None
    if plan.sampling is not None:
        taken = take(plan.sampling, columns, rows=rows, is_stored=is_stored, at=timezone.now())
    WATCH.note(Note(seconds, 200, plan, rows, _found(plan, columns), door, taken))


def note_refusal(seconds: float, status: int, *, door: Door) -> None:
    WATCH.note(Note(seconds, status, door=door))


def note_plan(project: str) -> None:
    with unharmed():
        PLANS.labels(project).inc()


def _found(plan: ReadPlan, columns: Sequence[AnswerColumn]) -> list[tuple[Columns, str, int]]:
    """Count the statuses of each column.

    Columns of a table mostly share a list: then it is counted once for all.
    """
    found: list[tuple[Columns, str, int]] = []
    for stretch in plan.stretches:
        version, start, end = stretch
        lists = [column.statuses for column in columns[start:end]]
        first = lists[0]
        if lists.count(first) == len(lists):
            found += [(stretch, status, n) for status, n in _counted(first)]
        else:
            for place, each in enumerate(lists, start):
                one = version, place, place + 1
                found += [(one, status, n) for status, n in _counted(each)]
    return found


def _counted(statuses: list[str]) -> list[tuple[str, int]]:
    present = statuses.count(PRESENT)
    if present == len(statuses):
        return [(PRESENT, present)]
    return [(status, count) for status in STATUSES if (count := statuses.count(status))]


def _count(
    seconds: Mapping[tuple[int, bool], Sequence[float]], answers: Iterable[tuple[ReadPlan, Answers]]
) -> None:
    """Add to what ``/metrics`` tells."""
    with unharmed():
        for (code, is_search), times in seconds.items():
            series = (SEARCH_SECONDS if is_search else SECONDS).labels(str(code))
            for each in gently(times):
                series.observe(each)
        for plan, added in answers:
            for ((version, start, end), status), count in added.found.items():
                VALUES.labels(plan.project, version, status).inc(count * (end - start))


def _hand_over(answers: Mapping[tuple[int, Door], tuple[ReadPlan, Answers]]) -> None:
    """Tell who read what, what of it is sensitive, and which tokens were used.

    What one part meets is no other's loss: who read what is kept before any is sent.
    """
    at = timezone.now()
    if is_noted():
        for (_, door), (plan, added) in answers.items():
            names = [reference.feature for reference in plan.references]
            BUFFER.add(added.records(plan.reading, door, at=at, names=names))
    sensitive: Tally[SensitiveRead] = Tally()
    for plan, added in answers.values():
        sensitive.update(dict.fromkeys(plan.sensitive, added.reads))
    try:
        note_reads(sensitive, at=at)
        note_uses({plan.token_id: at for plan, _ in answers.values()})
    finally:
        send()
