"""Accounts: made and changed by superusers, audited; what changes rights changes every epoch.

Not for roles in projects (``members``) or passwords (``passwords``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from lib.errors import Conflict, Invalid
from registry import access, audit, epoch, locks
from registry.accounts import names as account_names
from registry.accounts.hands import hands_of
from registry.accounts.passwords import note_password
from registry.choices import AccountKind, ProposalKind, Role
from registry.models import Account, Membership, Project
from registry.operations.people.members import require_decides_nothing
from registry.operations.people.passwords import note_password_changed
from registry.operations.people.proposing import propose
from registry.proposals import ALONE, decides_anything
from registry.trail.told.accounts import ALL, MARKS, told

if TYPE_CHECKING:
    from datetime import datetime

    from registry.models import Proposal

#: Columns that say who somebody is, not what they may do.
WORDS = ("username", "first_name", "last_name", "email")
#: Columns beside ``is_active`` that decide what somebody may do anywhere.
RIGHTS = ("is_staff", "is_superuser")


class LastSuperuser(Conflict):
    code = "last_superuser"


class NotMadeSuperuser(Invalid):
    code = "not_made_superuser"


class RightsChanged(Conflict):
    code = "rights_changed"


@transaction.atomic
def add_user(*, user: User, kind: AccountKind, actor: User, at: datetime) -> User:
    """Store a new account; it has no role anywhere yet, and a service account has no login.

    :raises NotMadeSuperuser: that is a step of its own, which takes two people where there are two.
    """
    access.require_superuser(actor)
    if user.is_superuser:
        raise NotMadeSuperuser("make the account first; it is made a superuser on its own page.")
    if kind is AccountKind.SERVICE:
        _take_login(user)
    user.save()
    _mark(user, kind, actor, at)
    audit.record(
        actor=actor,
        verb="user.created",
        subject=user,
        after=_rights(user) | {"kind": kind, "login": user.has_usable_password()},
        data=told(user, *ALL),
        at=at,
    )
    note_password(user=user, set_by=actor, at=at)
    return user


@transaction.atomic
def change_user(
    *, user: User, actor: User, at: datetime, kind: AccountKind | None = None
) -> Proposal | None:
    """Store the words and rights that ``user`` carries now, and what the account is.

    ``kind`` None leaves that as it is; an account that becomes a service's loses its login. What
    makes somebody a superuser, or opens an account that decides anything to somebody else, waits
    for a second superuser, where there is one, and is returned as a proposal.
    :raises LastSuperuser: nobody would be left who can manage accounts.
    :raises ServiceAccountDecidesNothing: it becomes a program's, and has a role that decides.
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
        proposal, alone = _propose(stored, user, was, becomes, actor, at)
        if proposal:
            becomes = _without(proposal, user, becomes)
        if (_moves_rights(stored, user) or becomes is not was) and not moves:
            raise RightsChanged(f"{user} may do something else by now. Look again, then repeat.")
        if not (user.is_superuser and user.is_active and becomes is AccountKind.PERSON or held):
            raise LastSuperuser(f"{user} is the last active superuser; make another one first.")
        if user.is_active != stored.is_active:
            store_active(user, actor, at, active=user.is_active, data=alone)
        store_account(stored, user, becomes, [actor], at, data=alone)
    return proposal


def store_account(
    stored: User,
    user: User,
    kind: AccountKind,
    agreed: list[User],
    at: datetime,
    *,
    data: dict[str, object],
) -> None:
    """Store what an account becomes inside a change that these people agreed to.

    Of words the entry says which changed, for it is never erased.
    :raises ServiceAccountDecidesNothing: it becomes a program's, and has a role that decides.
    """
    was = access.kind_of(stored)
    actor = agreed[0]
    if kind is not was:
        if kind is AccountKind.SERVICE:
            require_decides_nothing(user)
        _change_kind(user, kind, actor, at, had_password=stored.has_usable_password())
    if user.is_superuser and not stored.is_superuser:
        _mark(user, kind, actor, at)
        raised_by = hands_of(None, user, *agreed)
        Account.objects.filter(user=user).update(raised_by=raised_by)
    before, after = _rights(stored) | {"kind": was}, _rights(user) | {"kind": kind}
    changed = [each for each in WORDS if getattr(stored, each) != getattr(user, each)]
    if before == after and not changed:
        return
    if "username" in changed:
        account_names.check_name(user)
        account_names.note_name(user)
    User.objects.filter(pk=user.pk).update(**_columns(user))
    rights = [name for name, value in before.items() if value != after[name]]
    marks = MARKS if "is_superuser" in rights else ()
    facts = {each for each in (*rights, *marks, *changed) if each in ALL}
    data = {**data, **({"changed": changed} if changed else {}), **told(user, *facts)}
    audit.record(
        actor=actor, verb="user.changed", subject=user, before=before, after=after, data=data, at=at
    )


def _propose(
    stored: User, user: User, was: AccountKind, becomes: AccountKind, actor: User, at: datetime
) -> tuple[Proposal | None, dict[str, object]]:
    """Propose what takes two superusers; of one alone the entry says that it was one."""
    after = _opening(stored, user, was, becomes)
    if not after:
        return None, {}
    known = {**_columns(stored), "is_active": stored.is_active, "kind": was}
    change = {"before": {name: known[name] for name in after}, "after": after}
    proposal = propose(kind=ProposalKind.ACCOUNT, change=change, actor=actor, at=at, person=stored)
    return proposal, {} if proposal else dict(ALONE)


def _opening(stored: User, user: User, was: AccountKind, becomes: AccountKind) -> dict[str, object]:
    """Return what would let somebody decide who does not now, by column."""
    wanted = {**_columns(user), "is_active": user.is_active, "kind": becomes}
    known = {**_columns(stored), "is_active": stored.is_active, "kind": was}
    names = ["is_superuser"] if wanted["is_superuser"] else []
    if decides_anything(stored):
        names += [name for name in ("is_active",) if wanted[name]]
        names += ["email", "username"]
        names += ["kind"] if becomes is AccountKind.PERSON else []
    return {name: wanted[name] for name in names if wanted[name] != known[name]}


def _without(proposal: Proposal, user: User, kind: AccountKind) -> AccountKind:
    """Take out of what ``user`` carries what waits for a second person; return the kind."""
    before = dict(proposal.change["before"])
    kept = AccountKind(before.pop("kind", kind))
    for name, value in before.items():
        setattr(user, name, value)
    return kept


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


def set_active(*, user: User, active: bool, actor: User, at: datetime) -> Proposal | None:
    """Let a user in or shut them out everywhere, with the tokens that speak for or come from them.

    To let somebody in again who decides anything waits for a second superuser, as ``change_user``.
    A project's last active owner can be shut out: only superusers come here, and they manage its
    members themselves. The entry names such projects.
    :raises ActionNotPermitted: the actor is no superuser.
    """
    access.require_superuser(actor)
    if active:
        stored = User.objects.get(pk=user.pk)
        stored.is_active = True
        return change_user(user=stored, actor=actor, at=at)
    store_active(user, actor, at, active=False)
    return None


def store_active(
    user: User, actor: User, at: datetime, *, active: bool, data: dict[str, object] | None = None
) -> None:
    """Store whether a user is let in, with its entry; ``data`` says who else agreed."""
    with epoch.change(*Project.objects.values_list("pk", flat=True)):
        access.require_superuser(actor)
        abandoned = [] if active else owned_alone(user)
        User.objects.filter(pk=user.pk).update(is_active=active)
        audit.record(
            actor=actor,
            verb=f"user.{'activated' if active else 'deactivated'}",
            subject=user,
            data={
                **(data or {}),
                **({"without_active_owner": abandoned} if abandoned else {}),
                **told(user, "is_active"),
            },
            at=at,
        )


def owned_alone(user: User) -> list[str]:
    """Return the names of the projects that nobody active but ``user`` owns."""
    owners = Membership.objects.filter(role=Role.OWNER)
    others = owners.filter(user__is_active=True).exclude(user=user)
    alone = Project.objects.filter(pk__in=owners.filter(user=user).values("project"))
    alone = alone.exclude(pk__in=others.values("project"))
    return list(alone.order_by("name").values_list("name", flat=True))


def _moves_rights(stored: User, user: User) -> bool:
    return any(getattr(stored, name) != getattr(user, name) for name in ("is_active", *RIGHTS))


def _hold_with_superusers(user: User) -> dict[int, User]:
    """Lock the account and every active superuser, so that none of them goes unseen meanwhile."""
    wanted = Q(pk=user.pk) | Q(is_superuser=True, is_active=True)
    return {each.pk: each for each in locks.hold(User.objects.filter(wanted))}


def _columns(user: User) -> dict[str, object]:
    return {column: getattr(user, column) for column in (*WORDS, *RIGHTS)}


def _rights(user: User) -> dict[str, object]:
    return {column: getattr(user, column) for column in RIGHTS}
