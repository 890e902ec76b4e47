"""Passwords of accounts: whose hand they are, and the two people it takes for somebody else's.

Not for what an account is or may do: ``users``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from lib.errors import Conflict, Invalid
from registry import audit, epoch
from registry.accounts.passwords import note_password
from registry.choices import AccountKind, ProposalKind
from registry.models import Account, ApiToken, Identity, Project
from registry.operations.people.identities import unlink_identity
from registry.operations.people.proposing import propose
from registry.operations.people.tokens import end_token
from registry.proposals import ALONE, decides_anything
from registry.trail.told.accounts import SECOND, told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from registry.models import Proposal


#: Characters of the longest password that is taken.
MAX_PASSWORD = 1000


class ServiceAccountHasNoLogin(Conflict):
    code = "service_account_has_no_login"


class BadPassword(Invalid):
    code = "invalid_password"


def fault_of(password: str, user: User) -> str:
    """Say why an account may not have this password; empty: it may. It is in no word of that."""
    if len(password) > MAX_PASSWORD or "\x00" in password:
        return f"a password has at most {MAX_PASSWORD} characters, and no NUL."
    try:
        validate_password(password, user)
    except ValidationError as exc:
        return " ".join(exc.messages)
    return ""


def require_login_allowed(user: User) -> None:
    """Return if the account may have a password; asked before one is stored.

    :raises ServiceAccountHasNoLogin: it is marked as a service account.
    """
    if Account.objects.filter(user=user, kind=AccountKind.SERVICE).exists():
        raise ServiceAccountHasNoLogin(
            f"{user} is a service account and gets no password; if a person is behind it now,"
            " change the kind of the account first."
        )


def note_password_changed(
    *,
    user: User,
    actor: User,
    at: datetime,
    accepted_by: User | None = None,
    data: dict[str, object] | None = None,
) -> None:
    """Leave the trace of a new password, or of its removal, in the transaction that stored it.

    Until its owner changes it, a password is the hand of the ``actor`` who set it. What the account
    made for itself before ends with another's: whoever set one before may have made that.
    """
    with transaction.atomic():
        if actor.pk != user.pk:
            _end_own_keys(user, actor, at)
        second = {SECOND: accepted_by.pk} if accepted_by else {}
        audit.record(
            actor=actor,
            verb="user.password_changed",
            subject=user,
            data={
                "login": user.has_usable_password(),
                **(data or {}),
                **second,
                **told(user, "password"),
            },
            at=at,
        )
        # The entry first: without it the database keeps no word of who set a password.
        note_password(user=user, set_by=actor, at=at, accepted_by=accepted_by)


def _end_own_keys(user: User, actor: User, at: datetime) -> None:
    """End the tokens that an account made for itself, and its log-ins by a provider."""
    for token in ApiToken.objects.filter(user=user, created_by=user, revoked_at=None):
        if token.is_live(at):
            end_token(token=token, actor=actor, at=at)
    for identity in Identity.objects.filter(user=user):
        unlink_identity(identity=identity, user=user, actor=actor, at=at)


@contextmanager
def setting_password() -> Iterator[None]:
    """Hold what another's password may end the keys of, for as long as one is stored.

    Projects are locked before people, as everywhere, and tokens end under their project's lock.
    """
    with transaction.atomic():
        epoch.hold(*Project.objects.values_list("pk", flat=True))
        yield


def password_set(*, user: User, before: str, actor: User, at: datetime) -> Proposal | None:
    """See to a password that was just stored for ``user``, within ``setting_password``.

    Somebody else's for an account that decides anything waits for a second superuser, where there
    is one: ``before`` is stored again until then.
    """
    if actor.pk == user.pk or not user.has_usable_password() or not decides_anything(user):
        note_password_changed(user=user, actor=actor, at=at)
        return None
    with transaction.atomic():
        kind, secret = ProposalKind.PASSWORD, user.password
        proposal = propose(kind=kind, change={}, actor=actor, at=at, person=user, secret=secret)
        if proposal is None:
            note_password_changed(user=user, actor=actor, at=at, data=dict(ALONE))
        else:
            User.objects.filter(pk=user.pk).update(password=before)
    return proposal
