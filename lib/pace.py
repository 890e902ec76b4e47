"""Work that goes no faster than a rate, so that others who use the same server keep theirs.

Not for refusing callers: ``rates`` counts those.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Pace:
    """Let ``per_second`` units pass a second; what was not used earlier is not made up for."""

    def __init__(
        self,
        per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_second, self._clock, self._sleep = per_second, clock, sleep
        self._free_at = clock()

    def wait(self, units: float) -> None:
        """Return when so many units that were just used may be followed by more."""
        now = self._clock()
        self._free_at = max(self._free_at, now) + units / self._per_second
        if self._free_at > now:
            self._sleep(self._free_at - now)
