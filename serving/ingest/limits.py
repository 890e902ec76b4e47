"""What one push may have, as its caller's server is set up. [pure]"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from materialization.stores.push_command import MostWaiting


class PushLimits(NamedTuple):
    rows: int
    waiting: MostWaiting
