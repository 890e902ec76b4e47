"""Epochs: nonces that change with every fact a read plan holds, a project's own and each view's.

Redis has those that readers fetch in the round trip of the values, so that a revoked right or a
promoted version counts from the very next request. The rows of projects and views have others,
which change in the transaction of the facts: what a reader asks now and then, in case Redis could
not be told or went back to what it was. What happens to one view is that view's alone: plans that
do not read it stay. Not for the plans themselves: ``serving.online.plan_cache`` keeps those.
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from django.conf import settings
from django.db import transaction

from lib.connections import RedisFull, RedisReadOnly, RedisUnavailable, get_redis, translated
from registry import locks
from registry.models import FeatureView, Project

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

logger = logging.getLogger(__name__)
#: The keys in Redis that a change under way will renew at its end.
_under_change: ContextVar[frozenset[bytes]] = ContextVar("_under_change", default=frozenset())
#: More views than this are not named one by one: databases limit a statement's parameters.
MOST_NAMED = 500


def epoch_keys(project_id: int, views: Sequence[str] = ()) -> list[bytes]:
    """Return the key of the project's own epoch in Redis, then those of the views, in order."""
    own = b"a:epoch:%d" % project_id
    return [own, *(b"%s:%s" % (own, view.encode()) for view in views)]


def current(project_id: int, views: Sequence[str] = ()) -> tuple[bytes | None, ...]:
    """Return the epochs in Redis, the project's own first; None: it has none."""
    with translated():
        return tuple(cast("list[bytes | None]", get_redis().mget(epoch_keys(project_id, views))))


def ensure(project_id: int, views: Sequence[str] = ()) -> tuple[bytes | None, ...]:
    """Return the epochs in Redis, making those it has not; of several makers one wins.

    None: Redis has none and takes none, being full or read-only; no plan can be kept then.
    :raises RedisUnavailable: it does not answer.
    """
    found = current(project_id, views)
    missing = [
        key
        for key, epoch in zip(epoch_keys(project_id, views), found, strict=True)
        if epoch is None
    ]
    if not missing:
        return found
    try:
        with translated():
            for key in missing:
                get_redis().set(key, _nonce(), nx=True)
    except (RedisFull, RedisReadOnly):
        return found
    return current(project_id, views)


class Registered(NamedTuple):
    """The epochs in the registry's rows: the project's own, and of views by name."""

    own: str | None
    views: dict[str, str]

    def of(self, views: Sequence[str]) -> tuple[str | None, ...]:
        """Return the epochs as ``current`` orders them; None for a view that is not known."""
        return (self.own, *map(self.views.get, views))


def registered(project_id: int, views: Collection[str] | None = None) -> Registered:
    """Ask the registry for the epochs of a project and of these of its views, or all.

    Of a project that is not there ``own`` is None; views that it has not are left out.
    """
    own = Project.objects.filter(pk=project_id).values_list("epoch", flat=True).first()
    return Registered(own, registered_views(project_id, views))


def registered_views(project_id: int, views: Collection[str] | None = None) -> dict[str, str]:
    """Ask the registry for the epochs of these views of a project, or all, by name."""
    rows = FeatureView.objects.filter(project_id=project_id)
    if views is not None and len(views) <= MOST_NAMED:
        rows = rows.filter(name__in=views)
    return dict(rows.values_list("name", "epoch"))


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
    keys = {key for pk in project_ids for key in epoch_keys(pk)}
    with transaction.atomic():
        if _under_change.get() >= keys:
            yield
            return
        hold(*project_ids)
        Project.objects.filter(pk__in=project_ids).update(epoch=_nonce().decode())
        with _telling(keys):
            yield


@contextmanager
def change_view(view: FeatureView) -> Iterator[None]:
    """Run a change of facts of one view, as ``change`` does; plans that do not read it stay.

    It waits for other changes of the project, and they for it.
    """
    own, key = epoch_keys(view.project_id, [view.name])
    with transaction.atomic():
        if not _under_change.get().isdisjoint({own, key}):
            yield
            return
        hold(view.project_id)
        FeatureView.objects.filter(pk=view.pk).update(epoch=_nonce().decode())
        with _telling({key}):
            yield


@contextmanager
def _telling(keys: set[bytes]) -> Iterator[None]:
    """Renew the keys after the commit of what is done inside, unless that fails."""
    token = _under_change.set(_under_change.get() | keys)
    try:
        yield
    finally:
        _under_change.reset(token)
    transaction.on_commit(partial(_tell, keys))


def hold(*project_ids: int) -> None:
    """Lock the projects until the transaction ends, always in the same order.

    New rows below them can still be made. For what must not meet a change, and is none itself.
    """
    locks.hold(Project.objects.filter(pk__in=project_ids))


def _tell(keys: set[bytes]) -> None:
    """Let no reader go by an earlier plan; return when none does."""
    try:
        _renew(keys)
    except RedisUnavailable as exc:
        # A question that is being asked right now may answer the last of them for as long again.
        wait = 2 * confirmed_for()
        logger.warning("readers cannot be told of a change, waiting for them: %s", exc)
        time.sleep(wait.total_seconds())


def _renew(keys: set[bytes]) -> None:
    """Put fresh epochs under the keys in Redis; where it is full, none, which it takes as well."""
    if not keys:
        return
    try:
        with translated():
            get_redis().mset({key: _nonce() for key in keys})
    except RedisFull:
        with translated():
            get_redis().delete(*keys)


def _nonce() -> bytes:
    return secrets.token_hex(8).encode()
