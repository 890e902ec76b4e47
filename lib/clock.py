"""The one clock of windows and leases: the database's, which all processes and machines share.

Not for what only one process compares, like a time-out: ``time.monotonic`` has that.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from lib.connections import RedisUnavailable, get_redis, translated
from lib.instants import EPOCH


def database_now() -> datetime:
    """Return the instant by the database's clock; read once at an edge and pass it in.

    On PostgreSQL it is the server's, as of now and not of the transaction's start. SQLite has none:
    its file is on one machine, so that machine's clock is shared by all who open it.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


class Skew(NamedTuple):
    """How far clocks are ahead of the database's; negative: behind. ``redis`` None: no answer."""

    process: timedelta
    redis: timedelta | None

    @property
    def largest(self) -> timedelta:
        return max(abs(self.process), abs(self.redis or timedelta(0)))


def measure_skew() -> Skew:
    """Compare this process's clock, and that of Redis, with the database's.

    Good to half the time an answer takes: ours is read before and after each.
    """
    before = timezone.now()
    database = database_now()
    process = _middle(before) - database if connection.vendor == "postgresql" else timedelta(0)
    before = timezone.now()
    try:
        with translated():
            seconds, microseconds = get_redis().time()
    except RedisUnavailable:
        return Skew(process, None)
    redis = EPOCH + timedelta(seconds=int(seconds), microseconds=int(microseconds))
    return Skew(process, redis - _middle(before) + process)


def _middle(before: datetime) -> datetime:
    return before + (timezone.now() - before) / 2
