"""Whose an account's password is: its owner's own, or that of somebody who set it for them.

Whoever set a password can log in as its account, also after it was changed, and make what lasts:
tokens, log-ins by a provider. Not for whose hand an account is among deciders (``hands``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import Forbidden
from lib.shells import shell_actor
from registry.access import is_person
from registry.models import Membership, PasswordChange
from registry.scopes import scope_of
from registry.trail.told.accounts import password_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

PASSWORD_PAGE = "/admin/password_change/"  # noqa: S105 - where it is changed


class PasswordNotYourOwn(Forbidden):
    code = "password_not_your_own"


def note_password(
    *, user: User, set_by: User, at: datetime, accepted_by: User | None = None
) -> None:
    """Remember who gave the account the password that is stored for it now.

    Whoever says at the shell of the server that they are its owner may be anybody.
    """
    if user.has_usable_password() and not (set_by.pk == user.pk and shell_actor()):
        PasswordChange.objects.create(
            user=user,
            set_by=set_by,
            set_at=at,
            accepted_by=accepted_by,
            digest=password_digest(user),
        )


def has_own_password(user: User) -> bool:
    """Return whether nobody but its owner set the account's password, or nobody logs in by one."""
    if not user.has_usable_password():
        return True
    last = _last_password(user)
    return last is not None and last.set_by_id == user.pk


def has_anothers_password(user: User) -> bool:
    """Return whether it is known who else set the account's present password."""
    last = _last_password(user) if user.has_usable_password() else None
    return last is not None and last.set_by_id != user.pk


def _last_password(user: User) -> PasswordChange | None:
    """Return who set the present password; None: it came past us, as by a shell."""
    last = PasswordChange.objects.filter(user=user).order_by("-id").first()
    return last if last is not None and last.digest == password_digest(user) else None


def require_own_password(user: User, *, project: str) -> None:
    """Return if the account's password is its owner's own.

    :raises PasswordNotYourOwn: naming who set it, and where the owner sets one.
    """
    if has_own_password(user):
        return
    last = _last_password(user)
    who = last.set_by.get_username() if last else "somebody at the shell of the server"
    raise PasswordNotYourOwn(
        f"{user}'s password was set by {who}, who could log in as {user}; only {user} decides. Set"
        f" one of your own under {PASSWORD_PAGE}, then decide.",
        project=project,
    )


def reads_as_own(user: User | AnonymousUser) -> bool:
    """Return whether nobody else can be behind an account where it reads what it has grants for.

    A program's tokens are made by those who manage it. A person's are theirs where they made them
    when logged in, by a password of their own; and so is their log-in.
    """
    if not user.is_authenticated:
        return False
    scope = scope_of(user)
    if scope is not None:
        return scope.is_own or not is_person(user)
    return has_own_password(user)


def last_foreign_password(user: User, *, by: datetime | None = None) -> PasswordChange | None:
    """Return the last password that somebody else set for the account, at ``by`` or before it."""
    changes = PasswordChange.objects.filter(user=user).exclude(set_by=user)
    if by is not None:
        changes = changes.filter(set_at__lte=by)
    return changes.order_by("-set_at", "-id").first()


def words_of_others(roles: Iterable[Membership], people: Collection[int]) -> Iterator[datetime]:
    """Yield when somebody who is none of these people, nor their hand, gave their word."""
    for role in roles:
        times = (role.granted_at, role.agreed_at)
        for hands, at in zip(role.hands, times, strict=False):
            if at is not None and set(people).isdisjoint(hands):
                yield at


def words_since(foreign: PasswordChange) -> Iterator[datetime]:
    """Return when others than who set a password gave their word on its account, since then."""
    roles = Membership.objects.filter(user=foreign.user)
    words = words_of_others(roles, {foreign.set_by_id})
    return (at for at in words if at > foreign.set_at)


def require_vouched(user: User) -> None:
    """Return unless somebody else set the account's password and nobody gave their word since.

    :raises PasswordNotYourOwn: whoever did could act as its owner still; says who.
    """
    foreign = last_foreign_password(user)
    if foreign is None or foreign.accepted_by_id or any(words_since(foreign)):
        return
    raise PasswordNotYourOwn(
        f"{foreign.set_by} set {user}'s password once, and could be who asks for this. Have"
        f" somebody else give their word on {user}: a role given, or agreed to, by another owner.",
        project="",
    )
