"""What each role may do in its project, and the rows that say so of somebody.

Permissions are written here and nowhere else. Not for asking what somebody may: ``access``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import Permission

from registry.choices import Right, Role
from registry.models import Membership, Project

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_READ = {Right.VIEW_PROJECT, Right.READ_ONLINE, Right.READ_OFFLINE}
_PRODUCER = {Right.VIEW_PROJECT, Right.PUSH_FEATUREVIEW}
_PLANNER = {Right.VIEW_PROJECT, Right.PLAN_FEATUREVIEW}
_AUTHOR = _READ | _PLANNER | {Right.ADD_FEATUREVIEW, Right.CHANGE_FEATUREVIEW}
_OPERATOR = {
    Right.VIEW_PROJECT,
    Right.MATERIALIZE_FEATUREVIEW,
    Right.CHANGE_SCHEDULE,
    Right.TEST_CONNECTION,
}
_STEWARD = _OPERATOR | {
    Right.APPROVE_FEATUREVIEW,
    Right.BREAK_GLASS,
    Right.RELEASE_FEATUREVIEW,
    Right.VIEW_AUDITENTRY,
    Right.GIVE_READGRANT,
    Right.END_DATASET,
}
_OWNER = _AUTHOR | _STEWARD | _PRODUCER | {Right.MANAGE_MEMBERS}
#: What each role may do in its project; the one place that says so.
ROLES: dict[Role, frozenset[Right]] = {
    Role.CONSUMER: frozenset(_READ),
    Role.PLANNER: frozenset(_PLANNER),
    Role.PRODUCER: frozenset(_PRODUCER),
    Role.AUTHOR: frozenset(_AUTHOR | {Right.MATERIALIZE_FEATUREVIEW}),
    Role.STEWARD: frozenset(_STEWARD),
    Role.OPERATOR: frozenset(_OPERATOR),
    Role.AUDITOR: frozenset({Right.VIEW_PROJECT, Right.VIEW_AUDITENTRY}),
    Role.OWNER: frozenset(_OWNER),
}


#: What only people do, whatever role a service account has: decide, release, say who may, end
#: what others keep.
DECISIONS = frozenset(
    {
        Right.APPROVE_FEATUREVIEW,
        Right.BREAK_GLASS,
        Right.RELEASE_FEATUREVIEW,
        Right.MANAGE_MEMBERS,
        Right.GIVE_READGRANT,
        Right.END_DATASET,
    }
)


def sync_permissions(project: Project, user: User) -> None:
    """Make the user's guardian rows on the project exactly what their roles say."""
    roles = Membership.objects.filter(project=project, user=user).values_list("role", flat=True)
    wanted = {str(right) for role in roles for right in ROLES[Role(role)]}
    rows = project.projectuserobjectpermission_set
    present = set(rows.filter(user=user).values_list("permission__codename", flat=True))
    granted = Permission.objects.filter(
        content_type__app_label=Project._meta.app_label,
        content_type__model=Project._meta.model_name,
        codename__in=wanted - present,
    )
    rows.bulk_create(
        rows.model(content_object=project, user=user, permission=each) for each in granted
    )
    if present - wanted:
        rows.filter(user=user, permission__codename__in=present - wanted).delete()
