"""Trying a connection on request: whether it answers, and when that was seen last.

Not for what it is (``registry.connections``) or for who reads by it. What is asked of the other
system is nothing that depends on its data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from lib.errors import AssayError, NotFound, did_you_mean
from registry import access, audit
from registry.choices import Right
from registry.connections import connections_of
from registry.models import ConnectionTry

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import Project
    from registry.spec.connections import Connection


class ConnectionNotFound(NotFound):
    code = "connection_not_found"


class Trying(Protocol):
    """Asks another system whether it answers; ``settings.CONNECTION_TRY`` names who does.

    :raises AssayError: it does not, or not this server; says why, and nothing secret.
    """

    def __call__(self, *, name: str, project: Project) -> None: ...


class Listed(NamedTuple):
    """A connection as a project sees it, and its last try; None: nobody tried it as it is."""

    name: str
    connection: Connection
    last: ConnectionTry | None


def listed_connections(project: Project) -> list[Listed]:
    """Return the connections that a project's definitions may name."""
    tries = {each.name: each for each in ConnectionTry.objects.filter(project=project)}
    found = []
    for name, connection in connections_of(project).items():
        last = tries.get(name)
        is_same = last is not None and last.identity == connection.identity
        found.append(Listed(name, connection, last if is_same else None))
    return found


def shows_addresses(user: User, project: Project) -> bool:
    """Return whether somebody is told where connections lead: who writes definitions, or runs."""
    return any(
        access.can(user, right, project)
        for right in (Right.PLAN_FEATUREVIEW, Right.TEST_CONNECTION)
    )


def try_connection(*, project: Project, name: str, actor: User, at: datetime) -> Listed:
    """Ask the other system whether it answers, and note what came of it.

    The one call may take as long as the other system is waited for; nothing is held meanwhile.

    :raises ActionNotPermitted: the actor may not have connections tried.
    :raises ConnectionNotFound: the project has none of that name.
    """
    access.require(actor, Right.TEST_CONNECTION, project)
    mine = connections_of(project)
    if (connection := mine.get(name)) is None:
        raise ConnectionNotFound(
            f"project {project} has no connection {name!r}.{did_you_mean(name, mine)}"
        )
    error = _error_of(name, project)
    with transaction.atomic():
        said = {
            "identity": connection.identity, "tried_at": at, "tried_by": actor, "error": error,
        }  # fmt: skip
        last, _ = ConnectionTry.objects.update_or_create(project=project, name=name, defaults=said)
        data = {"identity": connection.identity, "ok": not error, "error": error}
        audit.record(actor=actor, verb="connection.tried", subject=last, data=data, at=at)
    return Listed(name, connection, last)


def _error_of(name: str, project: Project) -> str:
    trying = cast("Trying", import_string(settings.CONNECTION_TRY))
    try:
        trying(name=name, project=project)
    except AssayError as exc:
        return exc.message
    return ""
