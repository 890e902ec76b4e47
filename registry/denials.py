"""Refused requests: what each one attempted, in the words of the view it asked, and its entry.

The first of a period have an entry each, the others together one. Not for deciding what is refused
(``access``), for answering it (the API and the admin do that), or for failed log-ins
(``accounts.logins``).
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, transaction

from lib import rates
from lib.addresses import address_of, kept_part
from lib.errors import TooOften, Unavailable
from lib.rates import Rate
from registry import audit
from registry.models import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.http import HttpRequest
    from rest_framework.request import Request

    from lib.errors import Forbidden
    from lib.rates import Counted

log = logging.getLogger(__name__)
#: What is counted, by name.
DENIED, HIDDEN = "denied", "hidden"
STRANGERS, STRANGERS_KNOWN = "strangers", "strangers_recorded"
#: Addresses of strangers that have an entry of their own in a period; there are very many.
MOST_STRANGERS = 100
#: Characters of a path, and of what was attempted, that an entry has.
MOST_PATH = 500
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
    The first of a period have one each; of the others one entry has the number.
    :raises RefusedTooOften: so many were refused that the caller is told to wait.
    :raises DenialNotRecorded: the trail cannot be written; the log has it then, and nobody is told
        what they were refused without a trace of it.
    """
    project = str(error.data.get("project", ""))
    counted = rates.count(denied_rate(), (str(request.user.pk or ""), project), at=at)
    if counted.number > settings.REFUSALS:
        raise _too_often(error.message, counted, at=at, refusal=error.code)
    if counted.is_over:
        return
    said = {
        "code": error.code,
        "detail": error.message,
        "attempt": (attempt or attempt_of(request))[:MOST_PATH],
        "method": request.method,
        "path": request.path[:MOST_PATH],
    }
    _append(
        request,
        request.user,
        error.code,
        verb="access.denied",
        label=f"{request.method} {request.path[:MOST_PATH]}",
        data=said | _then(counted),
        project=Project.objects.filter(name=project).first(),
        at=at,
    )


def record_hidden(request: HttpRequest | Request, name: str, *, at: datetime) -> None:
    """Append that somebody known asked for a project they may not see, once a period.

    They are told that there is none, and of one that there is not nothing is kept: neither the
    answer nor a limit lets anybody find out which there are.
    :raises DenialNotRecorded: the trail cannot be written.
    """
    if (project := Project.objects.filter(name=name).first()) is None:
        return
    rate = Rate(HIDDEN, 1, settings.REFUSALS_SECONDS)
    counted = rates.count(rate, (str(request.user.pk or ""), name), at=at)
    if counted.is_over:
        return
    said = {
        "attempt": attempt_of(request)[:MOST_PATH],
        "method": request.method,
        "path": request.path[:MOST_PATH],
    }
    _append(
        request, request.user, "not_found", verb="access.hidden", label=name,
        data=said | _then(counted), project=project, at=at,
    )  # fmt: skip


def _asked(request: HttpRequest | Request) -> dict[str, Any]:
    attempt, path = attempt_of(request)[:MOST_PATH], request.path[:MOST_PATH]
    return {"attempt": attempt, "method": request.method, "path": path}


def _append(
    request: HttpRequest | Request, actor: User | AnonymousUser, code: str, **fact: Any
) -> None:
    try:
        with transaction.atomic():
            audit.record(actor=actor, subject=None, **fact)
    except DatabaseError as exc:
        log.exception(
            "denial not recorded: %s, %s %s, %s",
            actor.get_username() or "anonymous",
            request.method,
            request.path,
            code,
        )
        raise DenialNotRecorded(
            "the request was refused, and the trail that has to say so cannot be written; "
            "nothing was changed. Try again."
        ) from exc


def count_stranger(request: HttpRequest | Request, *, at: datetime) -> None:
    """Count a call by nobody we know: of an address the first has an entry, the others have one.

    It is refused either way, so callers with a token or log-in lose nothing by their neighbours.
    :raises RefusedTooOften: it is over the limit.
    """
    address = address_of(request)
    counted = rates.count(stranger_rate(), (address,), at=at)
    if counted.number > settings.REFUSALS:
        raise _too_often("send a live API token, or log in.", counted, at=at)
    known = Rate(STRANGERS_KNOWN, MOST_STRANGERS, settings.REFUSALS_SECONDS)
    if counted.is_over or rates.count(known, (), at=at).is_over:
        return
    said = {
        "attempt": attempt_of(request)[:MOST_PATH],
        "method": request.method,
        "path": request.path[:MOST_PATH],
    }
    with suppress(DenialNotRecorded):  # it is in the log, and the caller is refused as they were
        _append(
            request, AnonymousUser(), "unauthenticated", verb="access.stranger",
            label=kept_part(address), data=said | _then(counted), at=at,
        )  # fmt: skip


def denied_rate() -> Rate:
    """What one account is refused in one project."""
    most = min(settings.REFUSALS_RECORDED, settings.REFUSALS)
    return Rate(DENIED, most, settings.REFUSALS_SECONDS)


def stranger_rate() -> Rate:
    """What an address asks without a live token or log-in."""
    return Rate(STRANGERS, 1, settings.REFUSALS_SECONDS)


def _then(counted: Counted) -> dict[str, str]:
    """Say in the last entry of a period what becomes of those that follow; else nothing."""
    said = f"others until {counted.ends_at:%Y-%m-%dT%H:%M:%SZ} are counted in one entry"
    return {"then": said} if counted.is_last else {}


def _too_often(why: str, counted: Counted, *, at: datetime, **data: str) -> RefusedTooOften:
    wait = counted.wait_seconds(at)
    return RefusedTooOften(
        f"refused, as {settings.REFUSALS} calls since {counted.began_at:%H:%M:%S} UTC were: {why}"
        f" For another {wait} s refusals are only counted; what you may do goes on meanwhile.",
        wait_seconds=wait,
        **data,
    )
