"""Roles in projects: given and taken, with the audit entry and the epoch of each change.

Not for what a role may do (``access``) or for tokens (``tokens``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.contrib.auth.models import User

from lib.errors import Conflict
from registry import access, audit, epoch
from registry.choices import Right, Role
from registry.hands import hands_of
from registry.models import Membership, Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


class LastOwner(Conflict):
    code = "last_owner"


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
) -> Membership:
    """Give ``user`` a role; giving it again changes nothing."""
    with managing(project, actor):
        return grant(project, user, role, actor, at)


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
        access.sync_permissions(project, user)
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
) -> Membership:
    """Store a role inside a change the caller has authorised; one that is there stays as it is."""
    agreed = [actor, *([accepted_by] if accepted_by else [])]
    about = {"granted_by": actor, "granted_at": at, "accepted_by": accepted_by}
    membership, created = Membership.objects.get_or_create(
        project=project,
        user=user,
        role=role,
        defaults=about | {"hands": hands_of(project, user, *agreed)},
    )
    access.sync_permissions(project, user)
    if created:
        audit.record(
            actor=actor,
            verb="membership.granted",
            subject=project,
            after={"user": user, "role": role},
            at=at,
        )
    return membership
