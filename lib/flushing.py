"""What the threads of a process note, and the one that adds it up each second.

Not for what is noted, nor for where it goes.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

logger = logging.getLogger(__name__)
FLUSH_EVERY_SECONDS = 1.0
#: Notes that may wait: a thread that is starved must not let them pile up.
MOST_WAITING = 50_000
Note = TypeVar("Note")


#: Who adds up gives way after so many notes, for so many seconds: Python's lock would be held for
#: milliseconds otherwise, and whoever is answered meanwhile waits for it several times.
AT_ONCE, PAUSE_SECONDS = 16, 0.0001


def gently(notes: Iterable[Note]) -> Iterator[Note]:
    """Yield notes, giving way to other threads every now and then."""
    for number, note in enumerate(notes, 1):
        yield note
        if number % AT_ONCE == 0:
            time.sleep(PAUSE_SECONDS)


class Notes(Generic[Note]):
    """Notes that wait; of too many the oldest leave, and are counted."""

    def __init__(self) -> None:
        self._notes: deque[Note] = deque()
        self._dropping = threading.Lock()
        self._dropped = 0

    def add(self, note: Note) -> None:
        """Keep a note; costs no lock while there is room."""
        self._notes.append(note)
        if len(self._notes) > MOST_WAITING:
            with self._dropping, suppress(IndexError):
                self._notes.popleft()
                self._dropped += 1

    def take(self) -> tuple[list[Note], int]:
        """Return the notes there are and how many left before them; several may do it at once."""
        found = []
        with suppress(IndexError):
            while self._notes:
                found.append(self._notes.popleft())
        dropped = 0
        if self._dropped:
            with self._dropping:
                dropped, self._dropped = self._dropped, 0
        return found, dropped


class Flusher:
    """Calls ``flush`` each second from the first ``wake`` on, and once more as the process ends."""

    def __init__(self, flush: Callable[[], None], *, name: str) -> None:
        """``name`` is the thread's, and what the log calls what was not counted."""
        self._flush, self._name = flush, name
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Begin, if it has not; costs no lock when it has."""
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
                atexit.register(self._flush)

    def _run(self) -> None:
        while True:
            time.sleep(FLUSH_EVERY_SECONDS)
            try:
                self._flush()
            except Exception:  # noqa: BLE001 - without this thread nothing would be counted again
                logger.exception("%s were not counted", self._name)
