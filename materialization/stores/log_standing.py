"""How a table's log of pushed rows stands: what of it waits, and what was stored last.

Not for taking rows or for storing them (``push_log``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lib.connections import translated
from lib.instants import from_us
from materialization.stores.layout import counter_key, log_key
from materialization.stores.push_scripts import STANDING

if TYPE_CHECKING:
    from datetime import datetime

    import redis


class LogStanding(NamedTuple):
    """How many entries, and rows, of a log wait; since when the first does; what was stored last.

    ``drained_at`` None: nothing was since Redis lost its state.
    """

    entries: int
    rows: int
    since: datetime | None
    drained_at: datetime | None
    drained_rows: int


def log_standing(client: redis.Redis, uid: str) -> LogStanding:
    """:raises Unavailable: Redis does not answer."""
    keys = log_key(uid), counter_key(uid)
    with translated():
        found = cast("list[Any]", client.eval(STANDING, 2, *keys))
    entries, since, rows, drained_at, drained = found
    return LogStanding(
        int(entries),
        int(rows),
        from_us(int(since)) if entries else None,
        from_us(int(drained_at)) if drained_at else None,
        int(drained),
    )
