"""What is counted of pushes: how many rows of whom were taken and refused, and how long it took.

A push leaves one small note in its process; a thread adds them up within a second. The trail has an
entry for each account, view and period, with the number of rows: pushes themselves are too many.
"""

from __future__ import annotations

import logging
from collections import Counter as Tally
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone

from lib import rates
from lib.flushing import Flusher, Notes, gently
from lib.metrics import Counter, Histogram, unharmed
from lib.rates import Counting, Rate
from registry.models import Project
from registry.trail import excess

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

SECONDS = Histogram(
    "assay_push_seconds",
    "Seconds of pushes that took rows, inside the server.",
    (),
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
ROWS = Counter(
    "assay_push_rows", "Rows that were pushed, by what became of them.", ("project", "outcome")
)
#: What is counted for the trail, by name, and what its entry is called.
PUSHED, REFUSED = "pushed_rows", "refused_rows"
VERBS = {PUSHED: "rows.pushed", REFUSED: "rows.refused"}
DROPPED = Counter(
    "assay_push_notes_dropped",
    "Pushes whose rows are neither counted nor in the trail: the process had no time to add up.",
    (),
)
#: Characters of the versions' names that an entry has.
MOST_NAMES = 1_000


class Note(NamedTuple):
    """One push; ``to`` are the versions, or what else was said to be meant."""

    user_id: int
    project: str
    to: str
    taken: int
    refused: int
    seconds: float


def register() -> None:
    excess.register({PUSHED: _pushed, REFUSED: _refused})


class Watch:
    """The notes of one process, and the thread that adds them up."""

    def __init__(self) -> None:
        self._notes = Notes[Note]()
        self._flusher = Flusher(self.flush, name="pushes")

    def note(self, note: Note) -> None:
        self._notes.add(note)
        self._flusher.wake()

    def flush(self) -> None:
        """Add up what was noted; several may do it at once."""
        found: Tally[tuple[str, int, str, str]] = Tally()
        seconds: list[float] = []
        notes, dropped = self._notes.take()
        for note in notes:
            who = (note.user_id, note.project, note.to)
            found[PUSHED, *who] += note.taken
            found[REFUSED, *who] += note.refused
            seconds += [note.seconds] if note.taken else []
        if dropped:
            words = "%d pushes are in no count and no trail: the process had no time to add them up"
            logger.warning(words, dropped)
        with unharmed():
            DROPPED.inc(dropped)
            for each in gently(seconds):
                SECONDS.observe(each)
            for (name, _, project, _to), rows in found.items():
                if rows:
                    ROWS.labels(project, "taken" if name == PUSHED else "refused").inc(rows)
        told: dict[Counting, int] = {
            (Rate(name, 0, settings.PUSHES_TOLD_SECONDS), (str(user_id), project, to)): rows
            for (name, user_id, project, to), rows in found.items()
            if rows
        }
        rates.tally(told, at=timezone.now())


#: The process's own.
WATCH = Watch()


def note_push(
    user_id: int, project: str, to: Iterable[str], *, taken: int, refused: int, seconds: float
) -> None:
    names = " ".join(to)[:MOST_NAMES]
    WATCH.note(Note(user_id, project, names, taken, refused, seconds))


def _pushed(user_id: str, project: str, to: str) -> dict[str, Any]:
    return _entry(PUSHED, user_id, project, to)


def _refused(user_id: str, project: str, to: str) -> dict[str, Any]:
    return _entry(REFUSED, user_id, project, to)


def _entry(name: str, user_id: str, project: str, to: str) -> dict[str, Any]:
    return {
        "actor": get_user_model().objects.filter(pk=user_id).first(),
        "verb": VERBS[name],
        "subject": None,
        "project": Project.objects.filter(name=project).first(),
        "label": to,
    }
