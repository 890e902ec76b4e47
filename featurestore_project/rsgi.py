"""What granian serves: the front, with its threads by kind, and the WSGI application behind it.

Not for settings or URLs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from featurestore_project.wsgi import application as behind  # isort: skip - first: it loads the apps

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.db import close_old_connections
from django.http import parse_cookie
from django.urls import Resolver404, get_resolver, resolve
from django.utils import timezone

from featurestore_project import startup
from featurestore_project.bodies import BodyReader
from featurestore_project.desk import Desk
from featurestore_project.front import Front, Lane
from featurestore_project.sessions import why_over
from lib.errors import Unauthenticated
from lib.pools import Pool, pool_of_view
from registry.authentication import bearer_token, find_token
from serving.ingest.door import is_push
from serving.online.door import is_online_read

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Threads, and requests that may wait for one of them.
ROOM = {
    Pool.ONLINE: (settings.WEB_THREADS, 200),
    Pool.ROWS: (settings.WEB_THREADS, 200),
    Pool.DESK: (settings.WEB_THREADS, 100),
    Pool.PLANS: (settings.SLOW_THREADS, settings.SLOW_WAITING),
    Pool.TRAINING_SETS: (settings.SLOW_THREADS, settings.SLOW_WAITING),
    Pool.WATCH: (1, 10),
}

#: What is answered where there is a desk behind, too.
AT_THE_DOOR = {Pool.ONLINE, Pool.ROWS}
#: What one caller may hold up for others.
SLOW = {Pool.PLANS, Pool.TRAINING_SETS}


def pool_of(method: str, path: str) -> Pool:
    """Return whose threads answer a request: what its view says, the desk where there is none."""
    if is_online_read(method, path):
        return Pool.ONLINE
    if is_push(method, path):
        return Pool.ROWS
    try:
        return pool_of_view(resolve(path).func)
    except Resolver404:
        return Pool.DESK


def known_as(environ: Mapping[str, str]) -> str | None:
    """Return whose live token, or whose session, a request comes with; None: nobody's."""
    close_old_connections()
    token = bearer_token(environ.get("HTTP_AUTHORIZATION", ""))
    if token is None:
        key = parse_cookie(environ.get("HTTP_COOKIE", "")).get(settings.SESSION_COOKIE_NAME)
        session = import_module(settings.SESSION_ENGINE).SessionStore(key)
        user = session.get(SESSION_KEY) if key else None
        return None if user is None or why_over(session, at=timezone.now()) else str(user)
    try:
        return str(find_token(token, at=timezone.now()).user.pk)
    except Unauthenticated:
        return None


def make_front() -> Front:
    largest = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    desk = Desk(settings.DESK_SOCKET) if settings.DESK_SOCKET else None
    return Front(
        behind,
        lanes={
            pool: Lane(pool, threads=threads, waiting=waiting, is_shared=pool in SLOW)
            for pool, (threads, waiting) in ROOM.items()
            if desk is None or pool in AT_THE_DOOR
        },
        desk=desk,
        is_desk=settings.IS_DESK,
        pool_of=pool_of,
        known_as=known_as,
        origins=settings.CORS_ORIGINS,
        bodies=BodyReader(limit=largest, budget=2 * largest),
    )


get_resolver().url_patterns  # noqa: B018 - imports every view now, not at the first request
application = make_front()
startup.settle_memory()
