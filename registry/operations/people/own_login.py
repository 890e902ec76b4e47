"""A person logs in without a browser: their password for a token of their own.

Not for the admin's sessions (``admin.login``) or tokens of programs (``tokens``). The same doors
hold as there: passwords may be off, failures are counted, and both are in the trail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.db import transaction

from lib.errors import Conflict, Forbidden, Unauthenticated
from registry.access import is_person
from registry.accounts import logins
from registry.accounts.passwords import has_own_password
from registry.operations.people.passwords import BadPassword, fault_of, note_password_changed
from registry.operations.people.tokens import issue_token

if TYPE_CHECKING:
    from datetime import datetime

    from registry.models import ApiToken


class PasswordsNotTaken(Forbidden):
    code = "passwords_not_taken"


class LoginFailed(Unauthenticated):
    code = "login_failed"


class PasswordIsAnothers(Conflict):
    code = "password_not_your_own"


def log_in(
    *,
    username: str,
    password: str,
    address: str,
    at: datetime,
    new_password: str | None = None,
    token_name: str = "command line",  # noqa: S107 - what it is called
    days: int = 30,
) -> tuple[ApiToken, str]:
    """Return a new token of the person and its text, which is never shown again.

    ``new_password`` becomes theirs; one has to be where somebody else set the one they came by, for
    that could be anybody's hand.
    :raises PasswordsNotTaken: the installation knows people by their provider alone.
    :raises TooManyFailures: too many failed; this one is not tried.
    :raises LoginFailed: there is no such account, it is shut out or a program's, or the password is
        another: which of them is not told.
    :raises PasswordIsAnothers: it is right, and somebody else's.
    :raises BadPassword, BadTokenRequest: the new one is too weak; a name or a life no token has.
    """
    if not settings.LOCAL_LOGIN:
        raise PasswordsNotTaken("passwords are not taken here: log in with the provider.")
    tried = logins.begin(username, address=address, at=at)
    # A database may not even ask about a name with a NUL, and no account has one.
    known = None if "\0" in username else authenticate(username=username, password=password)
    if not isinstance(known, User) or not is_person(known):
        logins.fail(tried, at=at)
        raise LoginFailed("no account has this name and this password.")
    logins.take_back(tried, at=at)
    with transaction.atomic():
        if new_password is not None:
            _set_own(known, new_password, at)
        elif not has_own_password(known):
            raise PasswordIsAnothers(
                "somebody else set this password; send one of your own with it, as new_password."
            )
        token, text = issue_token(
            user=known, name=token_name, days=days, actor=known, at=at, is_logged_in=True
        )
    logins.note_logged_in(tried, user=known, at=at)
    return token, text


def _set_own(user: User, password: str, at: datetime) -> None:
    if user.check_password(password):
        raise BadPassword("the new password is the old one; choose another.")
    if fault := fault_of(password, user):
        raise BadPassword(fault)
    user.set_password(password)
    user.save(update_fields=["password"])
    note_password_changed(user=user, actor=user, at=at)
