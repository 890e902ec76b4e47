"""Accounts of others, changed by programs: whoever asks shows that it is surely their own wish.

What takes two people waits as it does from the admin: ``users`` and ``passwords`` see to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from lib.errors import SHOWN_LENGTH, UNSEEN, Conflict, Invalid, NotFound, did_you_mean
from registry import access, locks
from registry.accounts import names as account_names
from registry.accounts.voices import require_own_voice
from registry.operations.people import passwords, users

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from registry.choices import AccountKind
    from registry.models import ApiToken, Proposal

#: What may be changed of an account, beside its kind and its password.
COLUMNS = (*users.WORDS, "is_active", *users.RIGHTS)


class AccountNotFound(NotFound):
    code = "account_not_found"


class BadAccount(Invalid):
    code = "invalid_account"


class OwnPassword(Conflict):
    code = "own_password"


def find_account(name: str, *, actor: User) -> User:
    """Return the account of this name, for superusers.

    :raises ActionNotPermitted: the actor is none, and is not told which accounts there are.
    :raises AccountNotFound: names the nearest.
    """
    access.require_superuser(actor)
    shown = name[:SHOWN_LENGTH]
    found = User.objects.filter(username=name.replace("\x00", "")).first()
    if found is None:
        known = User.objects.values_list("username", flat=True)
        raise AccountNotFound(f"there is no account {shown!r}.{did_you_mean(shown, known)}")
    return found


def change_account(
    *,
    user: User,
    wanted: Mapping[str, Any],
    actor: User,
    at: datetime,
    kind: AccountKind | None = None,
    token: ApiToken | None = None,
) -> Proposal | None:
    """Change the columns that are ``wanted``, and what the account is unless ``kind`` is None.

    Returned is what waits for a second superuser, as ``users.change_user`` says.
    :raises ActionNotPermitted: the actor is no superuser.
    :raises TokenMayNotDecide, PasswordNotYourOwn: it is not surely the actor's own wish.
    :raises BadAccount: nothing is to change, or a value that no account has; says which.
    :raises UnclearName, NameTaken: it cannot be called so.
    """
    access.require_superuser(actor)
    require_own_voice(actor, token, project="")
    if not wanted and kind is None:
        raise BadAccount(f"say what to change: {', '.join((*COLUMNS, 'kind'))}.")
    changed = User.objects.get(pk=user.pk)
    for name in COLUMNS:
        if name in wanted:
            setattr(changed, name, wanted[name])
    _check(changed, user)
    return users.change_user(user=changed, actor=actor, at=at, kind=kind)


def _check(changed: User, user: User) -> None:
    for name in users.WORDS:
        if UNSEEN.search(getattr(changed, name)):
            raise BadAccount(f"{name} has a character that nobody sees; leave it out.")
    try:
        changed.full_clean(exclude=["password"], validate_unique=False)
    except ValidationError as exc:
        first = next(iter(exc.message_dict.items()))
        raise BadAccount(f"{first[0]}: {' '.join(first[1])}") from exc
    if changed.username != user.username:
        account_names.check_name(changed)


def give_password(
    *, user: User, password: str, actor: User, at: datetime, token: ApiToken | None = None
) -> Proposal | None:
    """Give somebody else a password; only its hash is kept, here and by what waits.

    Until its owner changes it, it is the actor's hand. Of an account that decides anything it waits
    for a second superuser, as ``passwords.password_set`` says, and is returned.
    :raises OwnPassword: it is the actor's own, which takes the old one.
    :raises ServiceAccountHasNoLogin: nobody logs in to it.
    :raises BadPassword: too short, too common, too much like the name; it is in no message.
    """
    access.require_superuser(actor)
    require_own_voice(actor, token, project="")
    if user.pk == actor.pk:
        raise OwnPassword(
            "this gives others a password; set your own in the admin, where the old one is asked"
            " for."
        )
    passwords.require_login_allowed(user)
    if fault := passwords.fault_of(password, user):
        raise passwords.BadPassword(fault)
    hashed = make_password(password)
    with passwords.setting_password():
        (stored,) = locks.hold(User.objects.filter(pk=user.pk))
        passwords.require_login_allowed(stored)
        access.require_superuser(actor)
        before, stored.password = stored.password, hashed
        User.objects.filter(pk=stored.pk).update(password=hashed)
        return passwords.password_set(user=stored, before=before, actor=actor, at=at)
