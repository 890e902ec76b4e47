"""What was refused beyond a limit, put into the trail once its period is over: an entry each.

Not for counting (``lib.rates``) or for refusing (``denials``, ``logins``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import transaction

from lib import rates
from lib.addresses import kept_part
from registry import audit
from registry.accounts.logins import LOGGED_IN, LOGINS, LOGINS_OF_ADDRESS, UNKNOWN
from registry.denials import DENIED, HIDDEN, STRANGERS, STRANGERS_KNOWN
from registry.models import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any


def record_excess(*, at: datetime) -> None:
    """Record how many more were refused in each period that is over, then forget them.

    In this order: of a process that dies between the two an entry stays twice, rather than never.
    """
    for excess, more in rates.ended(at=at):
        with transaction.atomic():
            span = {"more": more, "from": excess.began_at, "until": excess.ended_at}
            audit.record(after=span, at=at, **_entries[excess.rate](*excess.who))
        rates.forget(excess)


def _denied(pk: str, project: str) -> dict[str, Any]:
    user = get_user_model().objects.filter(pk=pk or 0).first()
    return {
        "actor": user or AnonymousUser(),
        "verb": "access.denied_more",
        "subject": Project.objects.filter(name=project).first(),
        "label": "" if project else "the installation",
    }


def _hidden(pk: str, project: str) -> dict[str, Any]:
    return _denied(pk, project) | {"verb": "access.hidden_more"}


def _strangers(address: str) -> dict[str, Any]:
    return _nobody("access.stranger_refused", kept_part(address))


def _many_strangers() -> dict[str, Any]:
    return _nobody("access.stranger_refused", "further addresses")


def _logged_in(pk: str) -> dict[str, Any]:
    user = get_user_model().objects.filter(pk=pk).first()
    return {"actor": user or AnonymousUser(), "verb": "user.logged_in_more", "subject": None}


def _logins(name: str, address: str) -> dict[str, Any]:
    user = get_user_model().objects.filter(username=name).first()
    entry = _nobody("user.login_refused", "" if user else UNKNOWN)
    return entry | {"subject": user, "data": {"address": kept_part(address)}}


def _logins_of_address(address: str) -> dict[str, Any]:
    return _nobody("user.login_refused", kept_part(address))


def _nobody(verb: str, label: str) -> dict[str, Any]:
    return {"actor": AnonymousUser(), "verb": verb, "subject": None, "label": label}


#: Rate → the entry's words of whom it counted.
_entries: dict[str, Callable[..., dict[str, Any]]] = {
    DENIED: _denied,
    HIDDEN: _hidden,
    STRANGERS: _strangers,
    STRANGERS_KNOWN: _many_strangers,
    LOGGED_IN: _logged_in,
    LOGINS: _logins,
    LOGINS_OF_ADDRESS: _logins_of_address,
}


def register(entries: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """Add what an app above counts, when it starts: its rates, and the words of their entries."""
    _entries.update(entries)
