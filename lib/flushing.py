"""A thread of a process that adds up, each second, what its other threads noted.

Not for what is noted, nor for where it goes.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)
FLUSH_EVERY_SECONDS = 1.0


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
