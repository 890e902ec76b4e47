"""What is counted of online reads: how long, how they end, what they find, plans made anew.

A read leaves one small note in its process; a thread adds them up within a second. So readers
neither wait for each other nor for a file. Not for who read what: usage is another matter.
"""

from __future__ import annotations

import threading
import time
from collections import Counter as Tally
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils import timezone

from lib.metrics import Counter, Histogram, unharmed
from registry.token_uses import note_uses
from serving.online.rows import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT
from serving.online.sensitive_reads import note_reads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from serving.online.plans import ReadPlan
    from serving.online.rows import AnswerColumn
    from serving.online.sensitive_reads import SensitiveRead

SECONDS = Histogram(
    "assay_online_read_seconds",
    "Seconds of get-online-features inside the server, by HTTP status.",
    ("status",),
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
VALUES = Counter(
    "assay_online_values",
    "Values that online reads answered, by their status.",
    ("project", "feature_view", "status"),
)
PLANS = Counter("assay_online_plans_made", "Read plans made from the registry.", ("project",))
STATUSES = (PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE)
FLUSH_EVERY_SECONDS = 1.0
#: Notes that may wait: a thread that is starved must not let them pile up.
MOST_WAITING = 50_000


class Note(NamedTuple):
    """One read: ``found`` has how many values of which table, by its place in the plan."""

    seconds: float
    status: int
    plan: ReadPlan | None = None
    found: Sequence[tuple[int, str, int]] = ()


class Watch:
    """The notes of one process, and the thread that adds them up."""

    def __init__(self) -> None:
        self._notes: deque[Note] = deque(maxlen=MOST_WAITING)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def note(self, note: Note) -> None:
        self._notes.append(note)
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        """Add up what was noted; several may do it at once."""
        found: Tally[tuple[str, str, str]] = Tally()
        used: dict[int, datetime] = {}
        sensitive: Tally[SensitiveRead] = Tally()
        seconds: dict[int, list[float]] = {}
        while self._notes:
            try:
                note = self._notes.popleft()
            except IndexError:
                break
            seconds.setdefault(note.status, []).append(note.seconds)
            if note.plan is not None:
                used[note.plan.token_id] = timezone.now()
                project = note.plan.project
                sensitive.update(note.plan.sensitive)
                for table, status, count in note.found:
                    found[project, note.plan.tables[table].version, status] += count
        note_uses(used)
        note_reads(sensitive, at=timezone.now())
        with unharmed():
            for code, times in seconds.items():
                series = SECONDS.labels(str(code))
                for each in times:
                    series.observe(each)
            for labels, count in found.items():
                VALUES.labels(*labels).inc(count)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(FLUSH_EVERY_SECONDS)
            self.flush()


#: The process's own.
WATCH = Watch()


def note_answer(seconds: float, plan: ReadPlan, columns: Sequence[AnswerColumn]) -> None:
    """Note a read that was answered; ``columns`` are those of the plan's features."""
    WATCH.note(Note(seconds, 200, plan, _found(plan, columns)))


def note_refusal(seconds: float, status: int) -> None:
    WATCH.note(Note(seconds, status))


def note_plan(project: str) -> None:
    with unharmed():
        PLANS.labels(project).inc()


def _found(plan: ReadPlan, columns: Sequence[AnswerColumn]) -> list[tuple[int, str, int]]:
    """Count the statuses by table. Columns of a table mostly share one list: it is counted once."""
    sharing: dict[tuple[int, int], list[Any]] = {}
    for feature, column in zip(plan.columns, columns, strict=True):
        statuses = column.statuses
        shared = sharing.get((feature.table, id(statuses)))
        if shared is None:
            sharing[feature.table, id(statuses)] = [statuses, 1]
        else:
            shared[1] += 1
    return [
        (table, status, count * times)
        for (table, _), (statuses, times) in sharing.items()
        for status, count in _count(statuses)
    ]


def _count(statuses: list[str]) -> list[tuple[str, int]]:
    present = statuses.count(PRESENT)
    if present == len(statuses):
        return [(PRESENT, present)]
    return [(status, count) for status in STATUSES if (count := statuses.count(status))]
