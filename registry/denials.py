"""Refused requests: what each one attempted, in the words of the view it asked, and its entry.

The first of a period have an entry each, the others together one. Not for deciding what is refused
(``access``), for answering it (the API and the admin do that), or for failed log-ins (``logins``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, transaction

from lib import rates
from lib.addresses import address_of
from lib.errors import TooOften, Unavailable
from lib.rates import Rate
from registry import audit
from registry.models import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.http import HttpRequest
    from rest_framework.request import Request

    from lib.errors import Forbidden
    from lib.rates import Counted

log = logging.getLogger(__name__)
#: What is counted, by name.
DENIED, STRANGERS = "denied", "strangers"
View = TypeVar("View", bound="Callable[..., Any]")


class DenialNotRecorded(Unavailable):
    code = "denial_not_recorded"


class RefusedTooOften(TooOften):
    """Refused like the ones before it; of those only the number is kept from now on."""

    code = "refused_too_often"


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
    :raises RefusedTooOften: it is counted in place of an entry, and told to the caller with this.
    :raises DenialNotRecorded: the trail cannot be written; the log has it then, and nobody is told
        what they were refused without a trace of it.
    """
    project = str(error.data.get("project", ""))
    counted = rates.count(denied_rate(), (str(request.user.pk or ""), project), at=at)
    if counted.is_over:
        raise _too_often(error.message, counted, at=at, refusal=error.code)
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
                }
                | _then(counted),
                project=Project.objects.filter(name=project).first(),
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


def count_stranger(request: HttpRequest | Request, *, at: datetime) -> None:
    """Count a call by nobody we know: those over the limit of an address get an entry together.

    It is refused either way, so callers with a token or log-in lose nothing by their neighbours.
    :raises RefusedTooOften: it is over the limit.
    """
    counted = rates.count(stranger_rate(), (address_of(request),), at=at)
    if counted.is_over:
        raise _too_often("send a live API token, or log in.", counted, at=at)


def denied_rate() -> Rate:
    """What one account is refused in one project."""
    return Rate(DENIED, settings.REFUSALS, settings.REFUSALS_SECONDS)


def stranger_rate() -> Rate:
    """What an address asks without a live token or log-in."""
    return Rate(STRANGERS, settings.REFUSALS, settings.REFUSALS_SECONDS)


def _then(counted: Counted) -> dict[str, str]:
    """Say in the last entry of a period what becomes of those that follow; else nothing."""
    said = f"others until {counted.ends_at:%Y-%m-%dT%H:%M:%SZ} are counted in one entry"
    return {"then": said} if counted.is_last else {}


def _too_often(why: str, counted: Counted, *, at: datetime, **data: str) -> RefusedTooOften:
    wait = counted.wait_seconds(at)
    return RefusedTooOften(
        f"refused, as {counted.most} calls since {counted.began_at:%H:%M:%S} UTC were: {why} For"
        f" another {wait} s refusals are only counted; what you may do goes on meanwhile.",
        wait_seconds=wait,
        **data,
    )
