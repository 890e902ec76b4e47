"""Refused requests: what each one attempted, in the words of the view it asked, and its entry.

Not for deciding what is refused (``access``) or for answering it: the API and the admin do that.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import DatabaseError, transaction

from lib.errors import Unavailable
from registry import audit
from registry.models import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.http import HttpRequest
    from rest_framework.request import Request

    from lib.errors import Forbidden

log = logging.getLogger(__name__)
View = TypeVar("View", bound="Callable[..., Any]")


class DenialNotRecorded(Unavailable):
    code = "denial_not_recorded"


def attempting(words: str) -> Callable[[View], View]:
    """Give a view that is a function its ``attempt``; decorators that copy attributes keep it."""

    def mark(view: View) -> View:
        view.attempt = words  # type: ignore[attr-defined]
        return view

    return mark


def attempt_of(request: HttpRequest | Request) -> str:
    """Say what a request attempts, as in "cancelling run 7"; empty where no view says it.

    A view class has ``attempt`` as an attribute, a function by ``attempting``: a text that may name
    arguments of the view's path, or a function of them.
    """
    if request.resolver_match is None:
        return ""
    view, arguments = request.resolver_match.func, request.resolver_match.kwargs
    words = getattr(getattr(view, "view_class", view), "attempt", "")
    said = words(**arguments) if callable(words) else words.format(**arguments)
    return str(said)


def record_denial(
    request: HttpRequest | Request, error: Forbidden, *, at: datetime, attempt: str = ""
) -> None:
    """Append a refusal to the trail, with ``attempt`` where the view alone does not know it.

    In a transaction of its own: that of the refused change is rolled back.
    :raises DenialNotRecorded: the trail cannot be written; the log has it then, and nobody is told
        what they were refused without a trace of it.
    """
    try:
        with transaction.atomic():
            audit.record(
                actor=request.user,
                verb="access.denied",
                subject=None,
                label=f"{request.method} {request.path}",
                data={
                    "code": error.code,
                    "detail": error.message,
                    "attempt": attempt or attempt_of(request),
                    "method": request.method,
                    "path": request.path,
                },
                project=Project.objects.filter(name=error.data.get("project", "")).first(),
                at=at,
            )
    except DatabaseError as exc:
        log.exception(
            "denial not recorded: %s, %s %s, %s",
            request.user.get_username() or "anonymous",
            request.method,
            request.path,
            error.code,
        )
        raise DenialNotRecorded(
            "the request was refused, and the trail that has to say so cannot be written; "
            "nothing was changed. Try again."
        ) from exc
