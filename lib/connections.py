"""The process's one pooled connection to the Redis that holds values, markers and epochs.

Not for the broker: Celery opens its own. Settings are read here, at the edge. What goes wrong is
named here too, once for everybody: silent, full, refusing writes, refusing at all.
"""

from __future__ import annotations

import itertools
import os
import re
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple

import redis
from django.conf import settings

from lib.errors import Unavailable

#: How long one command may take, and how long nobody asks again after one that took longer.
TIMEOUT_SECONDS = 5.0
PAUSE_SECONDS = 1.0
#: Connections in a process, and how many of them wait for those that borrow.
MOST_CONNECTIONS, MOST_LENT = 64, 16

_RUN_ID = re.compile(rb"run_id:([0-9a-f]+)")
#: Why a server that reads may not write: it follows another, its disk is full, or its followers are
#: away.
_READ_ONLY = ("READONLY", "MISCONF", "NOREPLICAS", "read only replica", "unable to persist")


class RedisUnavailable(Unavailable):
    """Redis does not do what is asked of it now."""


class RedisUnreachable(RedisUnavailable):
    code = "redis_unreachable"

    def __init__(self, cause: object) -> None:
        super().__init__(
            f"Redis does not answer ({cause}). Reads resume by themselves when it is back;"
            " see REDIS_URL."
        )


class RedisFull(RedisUnavailable):
    code = "redis_full"

    def __init__(self, cause: object) -> None:
        super().__init__(
            f"Redis is full and takes no more values ({cause}). What it holds is still read."
            " Raise its maxmemory, or retire versions that nobody reads."
        )


class RedisReadOnly(RedisUnavailable):
    code = "redis_read_only"

    def __init__(self, cause: object) -> None:
        super().__init__(
            f"Redis refuses to write ({cause}). What it holds is still read. Point REDIS_URL at"
            " the primary, or mend its disk or its replicas."
        )


class RedisRefused(RedisUnavailable):
    code = "redis_refused"

    def __init__(self, cause: object) -> None:
        super().__init__(
            f"Redis refuses a command ({cause}). See the rights of REDIS_URL's user, and that the"
            " server is 6.2 or newer."
        )


class _Silence:
    """After a command that was never answered nobody asks for a moment, then one finds out.

    Without it every thread would wait for the whole time-out of a server that hangs. What who finds
    out asks within, they ask too: else nobody would ever hear an answer.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._finds_out = 0
        self._lock = threading.Lock()

    def check(self) -> None:
        """:raises RedisUnreachable: it hung a moment ago, and nobody has found it well since."""
        if not self._until:
            return
        with self._lock:
            now = time.monotonic()
            if not self._until or self._finds_out == threading.get_ident():
                return
            if now < self._until:
                raise RedisUnreachable(f"it took longer than {TIMEOUT_SECONDS:g} s a moment ago")
            self._until = now + TIMEOUT_SECONDS + PAUSE_SECONDS
            self._finds_out = threading.get_ident()

    def began(self) -> None:
        self._until, self._finds_out = time.monotonic() + PAUSE_SECONDS, 0

    def ended(self) -> None:
        self._until, self._finds_out = 0.0, 0


class _Server(NamedTuple):
    """What this process has of one server; a forked process has its own."""

    made_for: tuple[str, int]
    client: redis.Redis
    silence: _Silence


_lock = threading.Lock()
_state: dict[str, _Server] = {}
_nameless = itertools.count(1)


def get_redis() -> redis.Redis:
    """Return the client for ``settings.REDIS_URL``; connects at first use, answers bytes.

    A changed URL or a forked process gets a client of its own.
    """
    return _server().client


class translated:  # noqa: N801 - reads as what it does; a class, for every read has one
    """Run commands; what Redis says against them is raised as what it means.

    :raises RedisUnreachable: it does not answer; at once where it did not a moment ago.
    :raises RedisFull, RedisReadOnly, RedisRefused: it answers, and does not do it.
    """

    __slots__ = ("_silence",)

    def __enter__(self) -> None:
        self._silence = _server().silence
        self._silence.check()

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        if isinstance(exc, redis.TimeoutError):
            self._silence.began()
            raise RedisUnreachable(exc) from exc
        if exc is None or isinstance(exc, redis.RedisError):
            self._silence.ended()
        if isinstance(exc, redis.RedisError):
            raise _meaning(exc) from exc


def _meaning(error: redis.RedisError) -> RedisUnavailable:
    """Scripts quote the refusal in a longer message, so its words are looked for."""
    said = str(error)
    if isinstance(error, redis.ConnectionError):
        return RedisUnreachable(said)
    if isinstance(error, redis.exceptions.OutOfMemoryError) or "OOM" in said:
        return RedisFull(said)
    if isinstance(error, redis.exceptions.ReadOnlyError) or any(w in said for w in _READ_ONLY):
        return RedisReadOnly(said)
    return RedisRefused(said)


def _server() -> _Server:
    made_for = (settings.REDIS_URL, os.getpid())
    found = _state.get("server")
    if found is None or found.made_for != made_for:
        with _lock:
            found = _state.get("server")
            if found is None or found.made_for != made_for:
                found = _Server(made_for, new_client(settings.REDIS_URL), _Silence())
                _state["server"] = found
    return found


class LendingPool(redis.BlockingConnectionPool):
    """A pool that lends connections for reads too, without looking at each before it does.

    The pool's own way costs as much as a read: locks, two system calls, counts that nobody asks
    for. Whoever borrows gives back a connection from which every answer was read, no other, and
    meets a dead one by itself.
    """

    def reset(self) -> None:
        super().reset()  # type: ignore[no-untyped-call]
        self._lent: deque[Any] = deque()

    def borrow(self) -> Any:
        if self._lent and self.pid == os.getpid():  # a fork's are its parent's
            with suppress(IndexError):
                return self._lent.pop()
        return self.get_connection()  # type: ignore[no-untyped-call]

    def give_back(self, connection: Any) -> None:
        """Keep a connection for the next that borrows, the rest of the pool for everybody else."""
        if len(self._lent) < MOST_LENT:
            self._lent.append(connection)
        else:
            self.release(connection)  # type: ignore[no-untyped-call]


def new_client(url: str) -> redis.Redis:
    """Return a client of its own for a server; its connections know which server it is."""
    pool = LendingPool.from_url(
        url,
        redis_connect_func=_greet,
        max_connections=MOST_CONNECTIONS,
        timeout=5,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=2,
        health_check_interval=0,
        protocol=2,
    )
    return redis.Redis(connection_pool=pool)


def _greet(connection: Any) -> None:
    """Log in as redis-py does, and ask the server process for its name.

    redis-py calls this for every connection it makes or makes again.
    """
    connection.on_connect()
    connection.send_command("INFO", "server", check_health=False)
    try:
        found = _RUN_ID.search(connection.read_response(disable_decoding=True))
    except redis.ResponseError:
        found = None
    # One that does not tell could be another each time.
    connection.server = found[1].decode() if found else f"connection {next(_nameless)}"


def server_of(connection: Any) -> str:
    """Return which server process a connection of ``get_redis`` leads to.

    Another name than before: it started again, perhaps from an older dump, or is another server.
    """
    return str(connection.server)
