"""A project's epoch: a nonce in Redis that changes with every fact a read plan holds.

Readers fetch it in the round trip of the values, so a revoked right or a promoted version counts
from the very next request. Not for the plans themselves: ``serving.plans`` keeps those.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import redis
from django.db import connection, transaction

from registry.connections import RedisUnreachable, get_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

PENDING = b"pending:"
#: A change takes well under this; what is pending longer was left by a process that died.
STUCK_AFTER_SECONDS = 60


def epoch_key(project_id: int) -> bytes:
    return b"a:epoch:%d" % project_id


def current(project_id: int) -> bytes | None:
    try:
        return get_redis().get(epoch_key(project_id))  # type: ignore[return-value]
    except redis.RedisError as exc:
        raise RedisUnreachable(exc) from exc


def ensure(project_id: int) -> bytes:
    """Return the epoch, making one when Redis has none; of several makers one wins."""
    try:
        client = get_redis()
        client.set(epoch_key(project_id), _nonce(), nx=True)
        return client.get(epoch_key(project_id)) or b""  # type: ignore[return-value]
    except redis.RedisError as exc:
        raise RedisUnreachable(exc) from exc


@contextmanager
def change(*project_ids: int) -> Iterator[None]:
    """Run a change of facts that plans of these projects hold, in one transaction.

    While it is under way plans are made but not kept; after the commit they are all made anew.
    :raises RedisUnreachable: and nothing is changed, because readers could not be told.
    """
    _set(project_ids, PENDING + _nonce() + b":%d" % int(time.time()))
    nested = connection.in_atomic_block
    try:
        with transaction.atomic():
            yield
            if nested:
                # The commit is the outer transaction's; a rollback leaves `pending` to the sweep.
                transaction.on_commit(lambda: _set(project_ids, _nonce()))
    finally:
        if not nested:
            _set(project_ids, _nonce())


def clear_stuck(project_ids: list[int], *, now_seconds: float) -> int:
    """Give a fresh epoch to projects whose change never finished; return how many."""
    stuck = [pk for pk in project_ids if _is_stuck(current(pk), now_seconds)]
    _set(tuple(stuck), _nonce())
    return len(stuck)


def _is_stuck(epoch: bytes | None, now_seconds: float) -> bool:
    if epoch is None or not epoch.startswith(PENDING):
        return False
    return now_seconds - int(epoch.rsplit(b":", 1)[1]) > STUCK_AFTER_SECONDS


def _nonce() -> bytes:
    return secrets.token_hex(8).encode()


def _set(project_ids: tuple[int, ...], value: bytes) -> None:
    if not project_ids:
        return
    try:
        get_redis().mset({epoch_key(pk): value for pk in project_ids})
    except redis.RedisError as exc:
        raise RedisUnreachable(exc) from exc
