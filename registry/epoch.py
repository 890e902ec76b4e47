"""A project's epoch: a nonce in Redis that changes with every fact a read plan holds.

Readers fetch it in the round trip of the values, so a revoked right or a promoted version counts
from the very next request. Not for the plans themselves: ``serving.online.plan_cache`` keeps those.
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

import redis
from django.db import transaction

from lib.connections import RedisUnreachable, get_redis
from registry.models import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)
PENDING = b"pending:"
#: A change takes well under this; what is pending longer was left by a process that died.
STUCK_AFTER_SECONDS = 60
#: Gives each key the fresh nonce (ARGV 2), except where another change than ours (ARGV 1) is
#: under way by now: that one will give its own.
FINISH = """
for _, key in ipairs(KEYS) do
  local now = redis.call('GET', key)
  if not now or now == ARGV[1] or string.sub(now, 1, #ARGV[3]) ~= ARGV[3] then
    redis.call('SET', key, ARGV[2])
  end
end
"""


def epoch_key(project_id: int) -> bytes:
    return b"a:epoch:%d" % project_id


def current(project_id: int) -> bytes | None:
    try:
        return cast("bytes | None", get_redis().get(epoch_key(project_id)))
    except redis.RedisError as exc:
        raise RedisUnreachable(exc) from exc


def ensure(project_id: int) -> bytes:
    """Return the epoch, making one when Redis has none; of several makers one wins."""
    try:
        get_redis().set(epoch_key(project_id), _nonce(), nx=True)
    except redis.RedisError as exc:
        raise RedisUnreachable(exc) from exc
    return current(project_id) or b""


@contextmanager
def change(*project_ids: int) -> Iterator[None]:
    """Run a change of facts that plans of these projects hold, in one transaction.

    While it is under way plans are made but not kept; after the commit, the outermost one where
    transactions are nested, they are all made anew. Changes of one project wait for each other.
    :raises RedisUnreachable: and nothing is changed, because readers could not be told.
    """
    pending = PENDING + _nonce() + b":%d" % int(time.time())
    finish = partial(_finish, project_ids, pending)
    with transaction.atomic():
        hold(*project_ids)
        _set(project_ids, pending)
        try:
            yield
        except BaseException:
            finish()  # nobody saw what is rolled back now
            raise
        # Should an outer transaction roll back instead, the sweep ends what stays pending.
        transaction.on_commit(finish)


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


def hold(*project_ids: int) -> None:
    """Lock the projects until the transaction ends, always in the same order.

    New rows below them can still be made. For what must not meet a change, and is none itself.
    """
    projects = Project.objects.select_for_update(no_key=True).filter(pk__in=project_ids)
    list(projects.order_by("pk").values_list("pk", flat=True))


def _set(project_ids: tuple[int, ...], value: bytes) -> None:
    if not project_ids:
        return
    try:
        get_redis().mset({epoch_key(pk): value for pk in project_ids})
    except redis.RedisError as exc:
        raise RedisUnreachable(exc) from exc


def _finish(project_ids: tuple[int, ...], pending: bytes) -> None:
    """Tell readers that the change is over; if Redis went away, it stays pending for the sweep."""
    if not project_ids:
        return
    keys = [epoch_key(pk) for pk in project_ids]
    try:
        get_redis().eval(FINISH, len(keys), *keys, pending, _nonce(), PENDING)
    except redis.RedisError as exc:
        logger.warning("the epoch of projects %s stays pending: %s", project_ids, exc)
