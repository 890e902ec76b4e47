"""A project's epoch: a nonce that changes with every fact a read plan holds.

Redis has one that readers fetch in the round trip of the values, so that a revoked right or a
promoted version counts from the very next request. The project's row has another, which changes in
the transaction of the facts: what a reader asks now and then, in case Redis could not be told or
went back to what it was. Not for the plans themselves: ``serving.online.plan_cache`` keeps those.
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, cast

from django.conf import settings
from django.db import transaction

from lib.connections import RedisFull, RedisReadOnly, RedisUnavailable, get_redis, translated
from registry import locks
from registry.models import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)
#: The projects that a change under way will tell of at its end.
_under_change: ContextVar[frozenset[int]] = ContextVar("_under_change", default=frozenset())


def epoch_key(project_id: int) -> bytes:
    return b"a:epoch:%d" % project_id


def current(project_id: int) -> bytes | None:
    with translated():
        return cast("bytes | None", get_redis().get(epoch_key(project_id)))


def ensure(project_id: int) -> bytes | None:
    """Return the epoch in Redis, making one when it has none; of several makers one wins.

    None: Redis has none and takes none, being full or read-only; no plan can be kept then.
    :raises RedisUnavailable: it does not answer.
    """
    if (found := current(project_id)) is not None:
        return found
    try:
        with translated():
            get_redis().set(epoch_key(project_id), _nonce(), nx=True)
    except (RedisFull, RedisReadOnly):
        return None
    return current(project_id)


def confirmed_for() -> timedelta:
    """Return for how long a reader goes by the project's row before it asks again."""
    return timedelta(seconds=settings.PLAN_CONFIRM_SECONDS)


@contextmanager
def change(*project_ids: int) -> Iterator[None]:
    """Run a change of facts that plans of these projects hold, in one transaction.

    After the commit, the outermost one where transactions are nested, every plan is made anew from
    the next request on. Changes of one project wait for each other. Whatever state Redis is in, the
    change stands: what cannot be told is waited for, until readers have found it by themselves.
    """
    told = _under_change.get()
    with transaction.atomic():
        if told.issuperset(project_ids):
            yield
            return
        hold(*project_ids)
        Project.objects.filter(pk__in=project_ids).update(epoch=_nonce().decode())
        token = _under_change.set(told | set(project_ids))
        try:
            yield
        finally:
            _under_change.reset(token)
        transaction.on_commit(partial(_tell, project_ids))


def hold(*project_ids: int) -> None:
    """Lock the projects until the transaction ends, always in the same order.

    New rows below them can still be made. For what must not meet a change, and is none itself.
    """
    locks.hold(Project.objects.filter(pk__in=project_ids))


def _tell(project_ids: tuple[int, ...]) -> None:
    """Let no reader go by an earlier plan; return when none does."""
    try:
        _renew(project_ids)
    except RedisUnavailable as exc:
        # A question that is being asked right now may answer the last of them for as long again.
        wait = 2 * confirmed_for()
        logger.warning("readers cannot be told of a change, waiting for them: %s", exc)
        time.sleep(wait.total_seconds())


def _renew(project_ids: tuple[int, ...]) -> None:
    """Give the projects fresh epochs in Redis; where it is full, none, which it takes as well."""
    if not project_ids:
        return
    fresh = {epoch_key(pk): _nonce() for pk in project_ids}
    try:
        with translated():
            get_redis().mset(fresh)
    except RedisFull:
        with translated():
            get_redis().delete(*fresh)


def _nonce() -> bytes:
    return secrets.token_hex(8).encode()
