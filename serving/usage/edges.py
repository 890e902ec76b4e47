"""Where usage is sent and stored on this server, and for how long, from its settings."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from lib.connections import RedisUnavailable
from lib.flushing import FLUSH_EVERY_SECONDS
from materialization.edges.stores import usage_stream, usage_table
from materialization.stores.usage_table import UsageTable
from serving.usage.buffer import BUFFER
from serving.usage.rows import SCHEMA

if TYPE_CHECKING:
    from datetime import datetime

RETRY_EVERY_SECONDS = 1.0
#: Held by the one thread that tries again.
_RETRYING = threading.Lock()


def is_noted() -> bool:
    return bool(settings.USAGE_DAYS > 0)


def kept_for() -> timedelta:
    return timedelta(days=settings.USAGE_DAYS)


def stored_usage() -> UsageTable:
    return usage_table(SCHEMA)


def counted_until(at: datetime) -> datetime | None:
    """Return until when reads are stored, of those that were before ``at``; ask before reading.

    None: Redis, where they wait, does not answer.
    """
    try:
        waits = usage_stream().waits_since_ms() or 0
    except RedisUnavailable:
        return None
    # Each process sends what it noted once a second.
    return at - timedelta(milliseconds=waits, seconds=FLUSH_EVERY_SECONDS)


def send() -> bool:
    """Send what this process noted; return whether nothing waits any more."""
    return BUFFER.send(usage_stream(), most_bytes=settings.USAGE_MAX_WAITING_MB << 20)


def send_or_retry() -> None:
    """Send what this process noted; while Redis is away a thread tries again."""
    if not send() and _RETRYING.acquire(blocking=False):
        threading.Thread(target=_retry, name="usage", daemon=True).start()


def _retry() -> None:
    try:
        while not send():
            time.sleep(RETRY_EVERY_SECONDS)
    finally:
        _RETRYING.release()
