"""The part of a project's page by which connections are seen and tried.

Not for writing one down: whoever runs the server does, outside of the admin.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.utils import timezone

from registry import access
from registry.admin.attempts import as_sentence, attempt
from registry.choices import Right
from registry.operations.connecting import (
    listed_connections,
    shows_addresses,
    try_connection,
)

if TYPE_CHECKING:
    from django.http import HttpRequest

    from registry.models import Project


class ConnectionDoors:
    """Trying a connection; the page it is part of shows itself again."""

    def connections_content(self, request: HttpRequest, obj: Project) -> dict[str, Any]:
        user = access.acting_user(request)
        return {
            "connections": listed_connections(obj),
            "shows_addresses": shows_addresses(user, obj),
            "may_try": access.can(user, Right.TEST_CONNECTION, obj),
        }

    def try_connection(self, request: HttpRequest, obj: Project) -> None:
        name = request.POST.get("name", "")[:100]
        actor, at = access.acting_user(request), timezone.now()
        tried = attempt(
            request, partial(try_connection, project=obj, name=name, actor=actor, at=at)
        )
        if tried is None:
            return
        if tried.last is not None and tried.last.error:
            messages.error(request, as_sentence(tried.last.error))
        else:
            messages.success(request, f"The system behind {name} answers.")
