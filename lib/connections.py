"""The process's one pooled connection to the Redis that holds values, markers and epochs.

Not for the broker: Celery opens its own. Settings are read here, at the edge.
"""

from __future__ import annotations

import itertools
import os
import threading
from typing import Any, cast

import redis
from django.conf import settings

from lib.errors import Unavailable

_generations = itertools.count(1)
_lock = threading.Lock()
_state: dict[str, Any] = {"generation": 0, "client": None, "made_for": None}


class RedisUnreachable(Unavailable):
    code = "redis_unreachable"

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"Redis does not answer ({cause}). Reads resume by themselves when it is back;"
            " see REDIS_URL."
        )


class _Counted:
    """Mix-in: counts connections made, because what was cached before a new one may be stale."""

    def on_connect(self) -> None:
        super().on_connect()  # type: ignore[misc]
        _state["generation"] = next(_generations)


class _TcpConnection(_Counted, redis.Connection):
    pass


class _TlsConnection(_Counted, redis.SSLConnection):
    pass


class _SocketConnection(_Counted, redis.UnixDomainSocketConnection):
    pass


def _connection_class(url: str) -> type:
    if url.startswith("unix://"):
        return _SocketConnection
    return _TlsConnection if url.startswith("rediss://") else _TcpConnection


def get_redis() -> redis.Redis:
    """Return the client for ``settings.REDIS_URL``; connects at first use, answers bytes.

    A changed URL or a forked process gets a client of its own.
    """
    made_for = (settings.REDIS_URL, os.getpid())
    if _state["made_for"] != made_for:
        with _lock:
            if _state["made_for"] != made_for:
                _state["client"] = _new_client(settings.REDIS_URL)
                _state["made_for"] = made_for
    return cast("redis.Redis", _state["client"])


def _new_client(url: str) -> redis.Redis:
    pool = redis.BlockingConnectionPool.from_url(
        url,
        connection_class=_connection_class(url),
        max_connections=64,
        timeout=5,
        socket_timeout=5,
        socket_connect_timeout=2,
        health_check_interval=0,
        protocol=2,
    )
    return redis.Redis(connection_pool=pool)


def generation() -> int:
    """Return a number that grows whenever this process opens a new connection to Redis."""
    return cast("int", _state["generation"])
