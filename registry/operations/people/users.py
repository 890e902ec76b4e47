"""Accounts: made and changed by superusers, audited; what changes rights changes every epoch.

Not for roles in projects: ``members``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from lib.errors import Conflict
from registry import access, audit, epoch
from registry.choices import Role
from registry.models import Membership, Project

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


@transaction.atomic
def add_user(*, user: User, actor: User, at: datetime) -> User:
    """Store a new account; it has no role anywhere yet."""
    access.require_superuser(actor)
    user.save()
    audit.record(
        actor=actor,
        verb="user.created",
        subject=user,
        after=_columns(user) | {"login": user.has_usable_password()},
        at=at,
    )
    return user


@transaction.atomic
def change_user(*, user: User, actor: User, at: datetime) -> User:
    """Store the words and rights that ``user`` carries now.

    :raises LastSuperuser: nobody would be left who can manage accounts.
    :raises RightsChanged: somebody else changed what the account may do a moment ago.
    """
    access.require_superuser(actor)
    moves = _moves_rights(User.objects.get(pk=user.pk), user)
    # Projects are locked before people, as everywhere; mere words are in no plan.
    with epoch.change(*(Project.objects.values_list("pk", flat=True) if moves else ())):
        held = _hold_with_superusers(user)
        access.require_superuser(actor)
        stored = held.pop(user.pk)
        if _moves_rights(stored, user) and not moves:
            raise RightsChanged(f"{user} may do something else by now. Look again, then repeat.")
        if not (user.is_superuser and user.is_active) and not held:
            raise LastSuperuser(f"{user} is the last active superuser; make another one first.")
        if user.is_active != stored.is_active:
            set_active(user=user, active=user.is_active, actor=actor, at=at)
        _store(user, actor, at, before=_columns(stored), after=_columns(user))
    return user


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


def owned_alone(user: User) -> list[str]:
    """Return the names of the projects that nobody active but ``user`` owns."""
    owners = Membership.objects.filter(role=Role.OWNER)
    others = owners.filter(user__is_active=True).exclude(user=user)
    alone = Project.objects.filter(pk__in=owners.filter(user=user).values("project"))
    alone = alone.exclude(pk__in=others.values("project"))
    return list(alone.order_by("name").values_list("name", flat=True))


def note_password_changed(*, user: User, actor: User, at: datetime) -> None:
    """Leave the trace of a new password, or of its removal: it decides who counts as a person."""
    with transaction.atomic():
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
    # New rows that name a user, as memberships do, need not wait for this.
    rows = User.objects.select_for_update(no_key=True).filter(wanted).order_by("pk")
    return {each.pk: each for each in rows}


def _store(
    user: User, actor: User, at: datetime, before: dict[str, object], after: dict[str, object]
) -> None:
    if before != after:
        User.objects.filter(pk=user.pk).update(**after)
        audit.record(
            actor=actor, verb="user.changed", subject=user, before=before, after=after, at=at
        )


def _columns(user: User) -> dict[str, object]:
    return {column: getattr(user, column) for column in (*WORDS, *RIGHTS)}
