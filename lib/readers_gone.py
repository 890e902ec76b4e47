"""Whether whoever asked still waits for the answer; what is done for them ends when they do not.

Not for noticing it: who serves requests does. Where nobody serves, somebody always waits.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from lib.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class ReaderGone(Unavailable):
    """Nobody waits for the answer any more, and it was not made to its end."""

    code = "reader_gone"


class Reader:
    """Whoever waits for one answer."""

    def __init__(self) -> None:
        self.is_gone = False
        self._stops: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    def leave(self) -> None:
        """Stop what is under way for them; said again, what has begun since."""
        self.is_gone = True
        with self._lock:
            for stop in self._stops:
                stop()

    @contextmanager
    def stopping(self, stop: Callable[[], object]) -> Iterator[None]:
        """Have ``stop`` called where they leave within the block, from another thread.

        :raises ReaderGone: they are gone, whatever came of it.
        """
        with self._lock:
            self._stops.append(stop)
        try:
            self._require_here()
            yield
        except Exception as exc:
            if self.is_gone:
                raise self._gone() from exc
            raise
        finally:
            with self._lock:
                self._stops.remove(stop)

    def _require_here(self) -> None:
        if self.is_gone:
            raise self._gone()

    def _gone(self) -> ReaderGone:
        return ReaderGone("whoever asked went away before the answer was made.")


#: Who waits for what this thread does.
READER: ContextVar[Reader | None] = ContextVar("reader", default=None)


@contextmanager
def while_somebody_waits(stop: Callable[[], object]) -> Iterator[None]:
    """Do what can be stopped for whoever waits; see ``Reader.stopping``."""
    if (reader := READER.get()) is None:
        yield
        return
    with reader.stopping(stop):
        yield
