"""Log-ins by password: how many may fail, and their entries in the trail.

Limited per account and address, so that nobody can lock another out of their account from afar, and
more widely per address. Not for sessions or passwords themselves: Django's.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.forms import UsernameField
from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from lib import rates
from lib.addresses import kept_part
from lib.errors import TooOften
from lib.rates import Rate
from registry import audit

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from lib.rates import Counted

#: What is counted, by name.
LOGINS, LOGINS_OF_ADDRESS, LOGGED_IN = "logins", "logins_of_address", "logged_in"
#: Log-ins of an account that have an entry each in a period; the others have one together.
MOST_RECORDED = 20
UNKNOWN = "an unknown account"


class TooManyFailures(TooOften):
    """So many log-ins failed that for a while none is tried, with whatever password."""

    code = "too_many_failed_logins"


def rate_of_address(address: str) -> tuple[Rate, tuple[str, ...]]:
    """Return the limit of all log-ins from an address, and as whom it is counted."""
    seconds = settings.FAILED_LOGINS_SECONDS
    return Rate(LOGINS_OF_ADDRESS, settings.FAILED_LOGINS_OF_ADDRESS, seconds), (address,)


class Login(NamedTuple):
    """One that is being tried; ``name`` is how an account of that name, or of none, is counted."""

    user: User | None
    name: str
    address: str

    @property
    def rates(self) -> list[tuple[Rate, tuple[str, ...]]]:
        """The limits it counts for, the wider first: over that, no name takes any room."""
        seconds = settings.FAILED_LOGINS_SECONDS
        return [
            rate_of_address(self.address),
            (Rate(LOGINS, settings.FAILED_LOGINS, seconds), (self.name, self.address)),
        ]


def begin(typed: str, *, address: str, at: datetime) -> Login:
    """Return the log-in, counted as a failed one until it succeeds: many at once are many.

    What was typed may be a password in the wrong place, so of names that are nobody's only a hash
    is kept.
    :raises TooManyFailures: too many failed; this one is counted and not tried.
    """
    # As the form reads it, or variants of a name would be counted as several.
    name = str(UsernameField().to_python(typed) or "").replace("\0", "")
    user = get_user_model().objects.filter(username=name).first()
    unknown = "?" + hashlib.sha256(name.encode()).hexdigest()[:16]
    login = Login(user, name if user else unknown, address)
    wide, narrow = login.rates
    if (counted := rates.count(*wide, at=at)).is_over:
        raise _too_many(counted, at)
    if (counted := rates.count(*narrow, at=at)).is_over:
        rates.take_back(*wide, at=at)  # not tried, so no matter of the address's other accounts
        raise _too_many(counted, at)
    return login


def take_back(login: Login, *, at: datetime) -> None:
    """Note that a password was the right one, which was not to be counted."""
    for rate, who in login.rates:
        rates.take_back(rate, who, at=at)


def succeed(login: Login, *, user: User, at: datetime) -> None:
    """Record a log-in, which was not to be counted."""
    take_back(login, at=at)
    note_logged_in(login, user=user, at=at)


def note_logged_in(login: Login, *, user: User, at: datetime) -> None:
    rate = Rate(LOGGED_IN, MOST_RECORDED, settings.FAILED_LOGINS_SECONDS)
    if rates.count(rate, (str(user.pk),), at=at).is_over:
        return
    with transaction.atomic():
        audit.record(
            actor=user, verb="user.logged_in", subject=None, label=kept_part(login.address), at=at
        )


def note_logged_out(*, user: User, address: str, at: datetime) -> None:
    """Record that somebody ended their session."""
    with transaction.atomic():
        audit.record(
            actor=user, verb="user.logged_out", subject=None, label=kept_part(address), at=at
        )


def fail(login: Login, *, at: datetime) -> None:
    with transaction.atomic():
        audit.record(
            actor=AnonymousUser(),
            verb="user.login_failed",
            subject=login.user,
            label="" if login.user else UNKNOWN,
            data={"address": kept_part(login.address)},
            at=at,
        )


def _too_many(counted: Counted, at: datetime) -> TooManyFailures:
    wait = counted.wait_seconds(at)
    return TooManyFailures(
        f"Since {counted.began_at:%H:%M} UTC {counted.most} log-ins from your address have failed."
        f" Try again in {max(wait // 60, 1)} min: until then none is tried.",
        wait_seconds=wait,
    )
