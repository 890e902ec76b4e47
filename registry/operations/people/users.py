"""Accounts: made and changed by superusers, audited; what changes rights changes every epoch.

Not for roles in projects: ``members``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from lib.errors import Conflict
from registry import access, account_names, audit, epoch, locks
from registry.choices import AccountKind
from registry.hands import hands_of, note_password
from registry.models import Account, Project
from registry.queries import owned_alone

if TYPE_CHECKING:
    from datetime import datetime

#: Columns that say who somebody is, not what they may do.
WORDS = ("username", "first_name", "last_name", "email")
#: Columns beside ``is_active`` that decide what somebody may do anywhere.
RIGHTS = ("is_staff", "is_superuser")


class LastSuperuser(Conflict):
    code = "last_superuser"


class RightsChanged(Conflict):
    code = "rights_changed"


class ServiceAccountHasNoLogin(Conflict):
    code = "service_account_has_no_login"


@transaction.atomic
def add_user(*, user: User, kind: AccountKind, actor: User, at: datetime) -> User:
    """Store a new account; it has no role anywhere yet, and a service account has no login."""
    access.require_superuser(actor)
    if kind is AccountKind.SERVICE:
        _take_login(user)
    user.save()
    note_password(user=user, set_by=actor, at=at)
    _mark(user, kind, actor, at)
    if user.is_superuser:
        _note_raised(user, actor)
    audit.record(
        actor=actor,
        verb="user.created",
        subject=user,
        after=_rights(user) | {"kind": kind, "login": user.has_usable_password()},
        at=at,
    )
    return user


@transaction.atomic
def change_user(*, user: User, actor: User, at: datetime, kind: AccountKind | None = None) -> User:
    """Store the words and rights that ``user`` carries now, and what the account is.

    ``kind`` None leaves that as it is; an account that becomes a service's loses its login.
    :raises LastSuperuser: nobody would be left who can manage accounts.
    :raises RightsChanged: somebody else changed what the account may do a moment ago.
    """
    access.require_superuser(actor)
    kind_before = access.kind_of(user)
    if (kind or kind_before) is AccountKind.SERVICE:
        _take_login(user)
    moves = _moves_rights(User.objects.get(pk=user.pk), user) or kind not in (None, kind_before)
    # Projects are locked before people, as everywhere; mere words are in no plan.
    with epoch.change(*(Project.objects.values_list("pk", flat=True) if moves else ())):
        held = _hold_with_superusers(user)
        access.require_superuser(actor)
        stored = held.pop(user.pk)
        was = access.kind_of(stored)
        becomes = kind or was
        if (_moves_rights(stored, user) or becomes is not was) and not moves:
            raise RightsChanged(f"{user} may do something else by now. Look again, then repeat.")
        if not (user.is_superuser and user.is_active and becomes is AccountKind.PERSON or held):
            raise LastSuperuser(f"{user} is the last active superuser; make another one first.")
        if user.is_active != stored.is_active:
            set_active(user=user, active=user.is_active, actor=actor, at=at)
        if becomes is not was:
            _change_kind(user, becomes, actor, at, had_password=stored.has_usable_password())
        if user.is_superuser and not stored.is_superuser:
            _mark(user, becomes, actor, at)
            _note_raised(user, actor)
        _store(
            user,
            actor,
            at,
            before=_rights(stored) | {"kind": was},
            after=_rights(user) | {"kind": becomes},
            changed=[each for each in WORDS if getattr(stored, each) != getattr(user, each)],
        )
    return user


def _take_login(user: User) -> None:
    """Make nobody able to log in to the account, once it is stored."""
    user.is_staff = False
    if user.has_usable_password():
        user.set_unusable_password()


def _change_kind(
    user: User, kind: AccountKind, actor: User, at: datetime, *, had_password: bool
) -> None:
    _mark(user, kind, actor, at)
    if kind is AccountKind.SERVICE and had_password:
        User.objects.filter(pk=user.pk).update(password=user.password)
        note_password_changed(user=user, actor=actor, at=at)


def _mark(user: User, kind: AccountKind, actor: User, at: datetime) -> None:
    marks = {"kind": kind, "set_by": actor, "set_at": at}
    Account.objects.update_or_create(user=user, defaults=marks)


def _note_raised(user: User, actor: User) -> None:
    """Remember on whose word somebody is a superuser: they may approve by that alone."""
    hands = hands_of(None, user, actor)
    Account.objects.filter(user=user).update(raised_by=hands)


def set_active(*, user: User, active: bool, actor: User, at: datetime) -> None:
    """Let a user in or shut them out everywhere, with the tokens that speak for or come from them.

    A project's last active owner can be shut out: only superusers come here, and they manage its
    members themselves. The entry names such projects.
    :raises ActionNotPermitted: the actor is no superuser.
    """
    access.require_superuser(actor)
    with epoch.change(*Project.objects.values_list("pk", flat=True)):
        access.require_superuser(actor)
        abandoned = [] if active else owned_alone(user)
        User.objects.filter(pk=user.pk).update(is_active=active)
        audit.record(
            actor=actor,
            verb=f"user.{'activated' if active else 'deactivated'}",
            subject=user,
            data={"without_active_owner": abandoned} if abandoned else {},
            at=at,
        )


def require_login_allowed(user: User) -> None:
    """Return if the account may have a password; asked before one is stored.

    :raises ServiceAccountHasNoLogin: it is marked as a service account.
    """
    if Account.objects.filter(user=user, kind=AccountKind.SERVICE).exists():
        raise ServiceAccountHasNoLogin(
            f"{user} is a service account and gets no password; if a person is behind it now,"
            " change the kind of the account first."
        )


def note_password_changed(*, user: User, actor: User, at: datetime) -> None:
    """Leave the trace of a new password, or of its removal, in the transaction that stored it.

    Until its owner changes it, a password is the hand of the ``actor`` who set it.
    """
    with transaction.atomic():
        note_password(user=user, set_by=actor, at=at)
        audit.record(
            actor=actor,
            verb="user.password_changed",
            subject=user,
            data={"login": user.has_usable_password()},
            at=at,
        )


def _moves_rights(stored: User, user: User) -> bool:
    return any(getattr(stored, name) != getattr(user, name) for name in ("is_active", *RIGHTS))


def _hold_with_superusers(user: User) -> dict[int, User]:
    """Lock the account and every active superuser, so that none of them goes unseen meanwhile."""
    wanted = Q(pk=user.pk) | Q(is_superuser=True, is_active=True)
    return {each.pk: each for each in locks.hold(User.objects.filter(wanted))}


def _store(
    user: User,
    actor: User,
    at: datetime,
    *,
    before: dict[str, object],
    after: dict[str, object],
    changed: list[str],
) -> None:
    """Store words and rights; of words the entry says which changed, for it is never erased."""
    if before == after and not changed:
        return
    if "username" in changed:
        account_names.check_name(user)
        account_names.note_name(user)
    columns = {column: getattr(user, column) for column in (*WORDS, *RIGHTS)}
    User.objects.filter(pk=user.pk).update(**columns)
    data = {"changed": changed} if changed else {}
    audit.record(
        actor=actor, verb="user.changed", subject=user, before=before, after=after, data=data, at=at
    )


def _rights(user: User) -> dict[str, object]:
    return {column: getattr(user, column) for column in RIGHTS}
