"""How long a log-in lasts: a working day at most, and less where nobody uses it.

Not for logging in or out, nor for the end of all other sessions when a password changes: Django's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY, logout
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver
from django.utils import timezone

from lib.addresses import address_of
from lib.shells import shell_actor
from registry.accounts.logins import note_logged_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.base import SessionBase
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    GetResponse = Callable[[HttpRequest], HttpResponseBase]

#: What a session says of itself: when somebody logged in, and last did something. Text of instants.
BEGAN, USED = "assay_began", "assay_used"
#: A use is written down once in so long: reading a page is no write to the database.
NOTED_EVERY = timedelta(minutes=1)


@receiver(user_logged_in)
def begin(request: HttpRequest, **_: Any) -> None:
    """Note when somebody logged in; Django has given the session a new key.

    A shell logs anybody in without a password: such a session never is under way.
    """
    if shell_actor():
        return
    request.session[BEGAN] = request.session[USED] = timezone.now().isoformat()


@receiver(user_logged_out)
def end(request: HttpRequest, user: User | None, **_: Any) -> None:
    """Leave the trace of a log-out; a session that ended by itself is one too."""
    if user is not None:
        note_logged_out(user=user, address=address_of(request), at=timezone.now())


def log_ins_end(get_response: GetResponse) -> GetResponse:
    """End a log-in that is over before anything is done with it."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        # Without its cookie nothing asks the database for a session.
        if settings.SESSION_COOKIE_NAME in request.COOKIES and SESSION_KEY in request.session:
            at = timezone.now()
            if why := why_over(request.session, at=at):
                logout(request)
                if is_use(request):
                    messages.info(request, f"You were logged out: {why}. Log in to go on.")
            elif is_use(request):
                note_use(request.session, at=at)
        return get_response(request)

    return answer


def why_over(session: SessionBase, *, at: datetime) -> str:
    """Return in words why a log-in is over; empty while it is not.

    One that does not say when it began was made past the log-in, and never is under way.
    """
    began, used = _instant(session, BEGAN), _instant(session, USED)
    if began is None or used is None:
        return "it is not known when you logged in"
    if at - began >= timedelta(hours=settings.SESSION_HOURS):
        return f"a log-in lasts {settings.SESSION_HOURS} h"
    if at - used >= timedelta(minutes=settings.SESSION_IDLE_MINUTES):
        return f"you did nothing here for {settings.SESSION_IDLE_MINUTES} min"
    return ""


def is_use(request: HttpRequest) -> bool:
    """Tell whether somebody does something; a page that asks for news by itself is nobody."""
    is_background = request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
    return request.method != "GET" or not is_background


def note_use(session: SessionBase, *, at: datetime) -> None:
    used = _instant(session, USED)
    if used is None or at - used >= NOTED_EVERY:
        session[USED] = at.isoformat()


def _instant(session: SessionBase, key: str) -> datetime | None:
    try:
        return datetime.fromisoformat(session[key])
    except (KeyError, TypeError, ValueError):
        return None
