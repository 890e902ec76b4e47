"""How far a job is, told to its starter while it works: a line of JSON each time it has moved.

Not for what becomes of it: the report at the end says that.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

#: How often the job is looked at.
EVERY_SECONDS = 0.5


class Telling:
    """Writes the share of a job that is done, 0 to 1 and never less than before, to ``lines``."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, lines: IO[bytes]) -> None:
        self._connection, self._lines = connection, lines
        self._done, self._expected, self._told = 0, 1, 0.0

    def begin(self, number: int, expected: int) -> None:
        """Say that statement ``number`` of about ``expected`` begins."""
        self._done, self._expected = number, max(expected, number + 1)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell until the block ends; whoever does not listen costs the job nothing."""
        over = threading.Event()
        thread = threading.Thread(target=self._tell, args=(over,), name="telling", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _tell(self, over: threading.Event) -> None:
        while not over.wait(EVERY_SECONDS):
            # Of a statement that has not begun it says -1.
            share = max(self._connection.query_progress(), 0.0) / 100
            now = min((self._done + share) / self._expected, 1.0)
            if now > self._told:
                self._told = now
                try:
                    self._lines.write(b"%.3f\n" % now)
                    self._lines.flush()
                except OSError:
                    return
