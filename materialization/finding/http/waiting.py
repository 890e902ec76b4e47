"""When a server is asked again, and how often it is asked at all. [pure]

Not for asking it (``asking``).
"""

from __future__ import annotations

import threading
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.errors import AssayError

_FIRST_WAIT_S, _LONGEST_OWN_WAIT_S = 0.5, 30.0


class Again(Exception):  # noqa: N818 - no fault yet: the next try may have an answer
    """What was asked had no answer, and may have one later; ``error`` says so if it never has."""

    def __init__(self, error: AssayError, asked_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.asked_s = error, asked_s

    def wait_s(self, tried: int) -> float:
        """Return how long to wait after so many tries: as the server asks, at least as we would."""
        own: float = min(_FIRST_WAIT_S * 2 ** (tried - 1), _LONGEST_OWN_WAIT_S)
        return own if self.asked_s is None else max(self.asked_s, own)


def wait_asked(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds that ``Retry-After`` asks for; None: it says nothing that can be read."""
    said = headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit() and len(said) < 10:
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


class Turns:
    """Lets the requests of this process to one place go one after the other, at its rate."""

    _all: dict[str, Turns] = {}  # noqa: RUF012 - of the process
    _guard = threading.Lock()

    def __init__(self) -> None:
        self._lock, self._next = threading.Lock(), 0.0

    @classmethod
    def of(cls, place: str) -> Turns:
        with cls._guard:
            return cls._all.setdefault(place, cls())

    def take(self, per_second: float) -> float:
        """Return in how many seconds it is one's turn; 0: a rate without bound."""
        if not per_second:
            return 0.0
        with self._lock:
            now = time.monotonic()
            mine = max(now, self._next)
            self._next = mine + 1 / per_second
        return mine - now
