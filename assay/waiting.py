"""Asking again until something has ended, ever more seldom.
Not for what is asked: each group of calls knows what an end looks like.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from assay.shapes import JSON

FIRST_POLL_SECONDS = 0.2
LONGEST_POLL_SECONDS = 2.0
POLL_GROWTH = 1.4

#: Gets what each look found.
OnProgress = Callable[[JSON], None]


class Waiting:
    """One wait: how long it may take, and how long the next pause is.

    ``pause`` lets time pass as whoever asks does: a transport's.
    """

    def __init__(self, timeout_seconds: float | None, *, pause: Callable[[float], None]) -> None:
        self._let_pass = pause
        self._deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self._pause = FIRST_POLL_SECONDS

    @property
    def is_over(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def pause(self) -> None:
        self._let_pass(self._pause)
        self._pause = min(self._pause * POLL_GROWTH, LONGEST_POLL_SECONDS)
