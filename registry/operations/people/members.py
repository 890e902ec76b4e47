"""Roles in projects: given and taken, with the audit entry and the epoch of each change.

Not for what a role may do (``access``) or for tokens (``tokens``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User

from lib.errors import Conflict
from registry import access, audit, epoch
from registry.accounts.hands import (
    DECIDING_ROLES,
    hands_of,
    is_independent,
    linked_by_password,
    set_since_agreed,
)
from registry.accounts.voices import require_own_voice
from registry.choices import ProposalKind, Right, Role
from registry.models import Membership, Project
from registry.operations.people.proposing import propose
from registry.proposals import ALONE
from registry.roles import sync_permissions
from registry.trail.told.accounts import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from registry.models import Proposal


#: Roles that a refusal names.
MOST_NAMED = 10


class LastOwner(Conflict):
    code = "last_owner"


class CannotAgree(Conflict):
    code = "cannot_agree"


class ServiceAccountDecidesNothing(Conflict):
    code = "service_account_decides_nothing"


@contextmanager
def managing(project: Project, actor: User) -> Iterator[None]:
    """Hold the project while somebody who may manage its members changes it, in one transaction.

    The right is required before the wait, so that nobody else disturbs the project's readers, and
    after it, because rights are changed under the same lock.
    :raises ActionNotPermitted: the actor lacks ``manage_members``, or lost it meanwhile.
    """
    access.require(actor, Right.MANAGE_MEMBERS, project)
    with epoch.change(project.pk):
        access.require_still(actor, Right.MANAGE_MEMBERS, project)
        yield


def grant_role(
    *, project: Project, user: User, role: Role, actor: User, at: datetime
) -> Membership | Proposal:
    """Give ``user`` a role; giving it again changes nothing.

    One that may approve, release or let others in waits for a second person, where there is one.
    :raises ServiceAccountDecidesNothing: it is one of these, and the user is a service account.
    """
    with managing(project, actor):
        require_may_have(user, role)
        had = Membership.objects.filter(project=project, user=user, role=role).exists()
        if role not in DECIDING_ROLES or had:
            return grant(project, user, role, actor, at)
        proposal = propose(
            kind=ProposalKind.ROLE,
            change={"role": role},
            actor=actor,
            at=at,
            project=project,
            person=user,
        )
        return proposal or grant(project, user, role, actor, at, data=ALONE)


def require_may_have(user: User, role: Role) -> None:
    """Return if the account may be given the role: a service account none that decides.

    :raises ServiceAccountDecidesNothing: names the roles that it may have.
    """
    if role not in DECIDING_ROLES or access.is_person(user):
        return
    others = ", ".join(each for each in Role if each not in DECIDING_ROLES)
    raise ServiceAccountDecidesNothing(
        f"{user} is a service account and never decides, so it is no {role}; it may be: {others}."
        " If a person is behind it, a superuser says so on the account's page first."
    )


def require_decides_nothing(user: User) -> None:
    """Return if a person's account may become a service account: it has no role that decides.

    :raises ServiceAccountDecidesNothing: names the roles that have to be taken first.
    """
    held = Membership.objects.filter(user=user, role__in=DECIDING_ROLES).select_related("project")
    roles = [f"{each.role} of {each.project}" for each in held.order_by("project__name", "role")]
    if not roles:
        return
    told = ", ".join(roles[:MOST_NAMED]) + (" and of others" if len(roles) > MOST_NAMED else "")
    raise ServiceAccountDecidesNothing(
        f"{user} is {told}, and a service account never decides. Take these roles on the pages of"
        " the projects first, then make it one."
    )


def agree_to_role(*, membership: Membership, actor: User, at: datetime) -> None:
    """Add a second person's word to a role that one alone gave.

    :raises CannotAgree: the actor gave it, has it, or is by their rights the hand of who gave it;
        or two people have agreed already.
    :raises Forbidden: as ``require_own_voice``.
    """
    project = membership.project
    with managing(project, actor):
        membership = Membership.objects.select_related("user").get(pk=membership.pk)
        giver, user = membership.granted_by, membership.user
        known = [giver.pk] if giver else []
        if len(membership.hands) > 1 and not set_since_agreed(user, membership):
            raise CannotAgree(f"two people have agreed that {user} is {membership.role} already.")
        require_own_voice(actor, None, project=project.name)  # no token comes to this door
        linked = linked_by_password(giver) if giver else set()
        if actor.pk in (user.pk, *known, *linked) or not is_independent(
            actor, project, known, Right.MANAGE_MEMBERS
        ):
            raise CannotAgree(
                f"{actor} does not stand apart from who made {user} {membership.role}; somebody"
                " else who manages members of the project has to agree."
            )
        hands = [*membership.hands[:1], *hands_of(project, user, actor)]
        audit.record(
            actor=actor,
            verb="membership.agreed",
            subject=project,
            after={"user": user, "role": membership.role},
            data={"hands": hands},
            at=at,
        )
        Membership.objects.filter(pk=membership.pk).update(
            accepted_by=actor, agreed_at=at, hands=hands
        )


def revoke_role(*, project: Project, user: User, role: Role, actor: User, at: datetime) -> None:
    """Take a role away; what it allowed is refused from the very next request.

    :raises LastOwner: nobody who is active would be left to manage the project's members.
    """
    with managing(project, actor):
        memberships = Membership.objects.filter(project=project)
        others = memberships.filter(role=Role.OWNER, user__is_active=True).exclude(user=user)
        if role == Role.OWNER and not others.exists():
            raise LastOwner(
                f"{user} is the last active owner of {project}; make another one first."
            )
        removed, _ = memberships.filter(user=user, role=role).delete()
        sync_permissions(project, user)
        if removed:
            audit.record(
                actor=actor,
                verb="membership.revoked",
                subject=project,
                before={"user": user, "role": role},
                at=at,
            )


def grant(
    project: Project,
    user: User,
    role: Role,
    actor: User,
    at: datetime,
    *,
    accepted_by: User | None = None,
    data: dict[str, Any] | None = None,
) -> Membership:
    """Store a role inside a change the caller has authorised; one that is there stays as it is.

    One that came by a group of the provider's no longer goes with it.
    :raises ServiceAccountDecidesNothing: as ``grant_role``.
    """
    require_may_have(user, role)
    known = Membership.objects.filter(project=project, user=user, role=role)
    known.exclude(group="").delete()
    found = known.first()
    if found is None:
        agreed = [actor, *([accepted_by] if accepted_by else [])]
        hands = hands_of(project, user, *agreed)
        second = {SECOND: accepted_by.pk} if accepted_by else {}
        # The entry first: without it the database takes no role.
        audit.record(
            actor=actor,
            verb="membership.granted",
            subject=project,
            after={"user": user, "role": role},
            data={**(data or {}), "hands": hands, **second},
            at=at,
        )
        found = Membership.objects.create(
            project=project,
            user=user,
            role=role,
            granted_by=actor,
            granted_at=at,
            accepted_by=accepted_by,
            agreed_at=at if accepted_by else None,
            hands=hands,
        )
    sync_permissions(project, user)
    return found
