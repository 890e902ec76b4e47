"""Whether roles, rights, policies and defaults are what the trail says of them.

Not for versions (``told``) or the trail itself (``verifying``, which asks both).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User

from lib.batches import in_key_order
from registry import access, audit
from registry.choices import Action, Right, Role
from registry.lifecycle import VERB
from registry.models import (
    AuditEntry,
    DataSource,
    Entity,
    FeatureView,
    FeatureViewUserObjectPermission,
    FeatureViewVersion,
    FileRoot,
    Membership,
    Project,
)
from registry.models.names import pseudonym_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

#: Rows, and entries, that are looked at together.
AT_ONCE = 500
ROLES = ("membership.granted", "membership.revoked")
POLICY = ("approvals_required", "approvals_required_sensitive", "evidence_required")
PROMOTED, RETIRED = VERB[Action.PROMOTE], VERB[Action.RETIRE]
#: Rights of which somebody has to be known to have given them.
DECIDING = (Right.APPROVE_FEATUREVIEW, Right.RELEASE_FEATUREVIEW)

LET_IN = ("user.activated", "user.deactivated")
ACCOUNTS = ("user.created", "user.changed", "user.forgotten", *LET_IN)

#: Where it is, and what is wrong with it.
Wrong = tuple[str, str]


def rights_findings() -> Iterator[Wrong]:
    for projects in in_key_order(Project.objects.all(), AT_ONCE):
        for project in projects:
            yield from _roles(project)
            yield from _policy(project)
            yield from _permissions(project)
            yield from _definitions(project)
    yield from _view_permissions()
    for users in in_key_order(User.objects.select_related("pseudonym"), AT_ONCE):
        yield from _accounts(users)
    for views in in_key_order(FeatureView.objects.select_related("project"), AT_ONCE):
        yield from _defaults(views)


def _roles(project: Project) -> Iterator[Wrong]:
    """Whoever has a role was given it, and nobody lost one without an entry."""
    told: set[tuple[str, str]] = set()
    for entry in _entries(project, ROLES):
        is_given = entry.verb == ROLES[0]
        said = (entry.after if is_given else entry.before) or {}
        pair = str(said.get("user")), str(said.get("role"))
        told = told | {pair} if is_given else told - {pair}
    gone = set(
        AuditEntry.objects.filter(verb="user.forgotten").values_list("subject_label", flat=True)
    )
    told = {pair for pair in told if pair[0] not in gone}
    memberships = Membership.objects.filter(project=project).select_related("user__pseudonym")
    there = {(pseudonym_of(each.user), str(each.role)) for each in memberships}
    for who, role in sorted(there - told):
        yield str(project), f"{who} is {role}, and the trail has nobody who made them that"
    for who, role in sorted(told - there):
        yield str(project), f"{who} is not {role} any more, and the trail has nobody who took that"


def _defaults(views: Sequence[FeatureView]) -> Iterator[Wrong]:
    """What everybody reads is what somebody promoted last, or nothing where that was retired."""
    versions = FeatureViewVersion.objects.filter(feature_view__in=views)
    view_of = {str(pk): view for pk, view in versions.values_list("pk", "feature_view_id")}
    steps = AuditEntry.objects.filter(
        subject_type="featureviewversion",
        subject_id__in=list(view_of),
        verb__in=(PROMOTED, RETIRED),
    )
    told: dict[int, int | None] = {}
    for entry in steps.order_by("pk"):
        of_view, version = view_of[entry.subject_id], int(entry.subject_id)
        if entry.verb == PROMOTED:
            told[of_view] = version
        elif told.get(of_view) == version:
            told[of_view] = None
    for view in views:
        if view.default_version_id != told.get(view.pk):
            said = "its default is another than the trail says was promoted"
            yield f"{view.project}/{view}", said


def _definitions(project: Project) -> Iterator[Wrong]:
    """What versions are made of, and where files are, is what somebody last said it is."""
    for model in (Entity, DataSource):
        rows = {str(each.pk): each for each in model._default_manager.filter(project=project)}
        told = _last_said(str(model._meta.model_name), rows)
        for pk, row in rows.items():
            if told.get(pk) != audit.plain(row.spec_json):
                yield f"{project}/{row}", "its definition is not the one that the trail has"
    roots = {str(each.pk): each for each in FileRoot.objects.filter(project=project)}
    said = _last_said("fileroot", roots)
    for pk, root in roots.items():
        if (said.get(pk) or {}).get("path") != root.path:
            yield f"{project}/{root}", "its directory is not the one that the trail has"


def _last_said(kind: str, keys: Collection[str]) -> dict[str, Any]:
    entries = AuditEntry.objects.filter(subject_type=kind, subject_id__in=list(keys))
    return {entry.subject_id: entry.after for entry in entries.order_by("pk")}


def _permissions(project: Project) -> Iterator[Wrong]:
    """Nobody holds a right on the project that none of their roles carries."""
    roles: dict[int, set[str]] = defaultdict(set)
    for user, role in Membership.objects.filter(project=project).values_list("user", "role"):
        roles[user] |= {str(right) for right in access.ROLES[Role(role)]}
    held = project.projectuserobjectpermission_set.values_list("user", "permission__codename")
    for user, right in held:
        if right not in roles[user]:
            yield str(project), f"account {user} has the right {right}, and no role that carries it"
    if project.projectgroupobjectpermission_set.exists():
        yield str(project), "a group has rights, which no role gives"


def _view_permissions() -> Iterator[Wrong]:
    """Rights on single views are given in a shell only, so nothing says who gave them."""
    held = FeatureViewUserObjectPermission.objects.select_related(
        "content_object__project", "permission"
    )
    for each in held.filter(permission__codename__in=DECIDING).order_by("pk")[:AT_ONCE]:
        view = each.content_object
        said = f"account {each.user_id} has the right {each.permission.codename} on it alone"
        yield f"{view.project}/{view}", f"{said}, and the trail has nobody who gave that"


def _accounts(users: Sequence[User]) -> Iterator[Wrong]:
    """Whoever is let in or shut out was so by somebody, and so is a superuser whom somebody made.

    The first superuser is made in a shell, and no entry is of accounts that were made there.
    """
    entries = AuditEntry.objects.filter(
        subject_type="user", subject_id__in=[str(each.pk) for each in users], verb__in=ACCOUNTS
    )
    active: dict[str, bool] = {}
    superuser: dict[str, bool] = {}
    for entry in entries.order_by("pk"):
        if entry.verb in LET_IN:
            active[entry.subject_id] = entry.verb == LET_IN[0]
        elif isinstance(entry.after, dict) and "is_superuser" in entry.after:
            superuser[entry.subject_id] = entry.after["is_superuser"]
        elif entry.verb == "user.forgotten":
            superuser[entry.subject_id] = False
    for user in users:
        key, who = str(user.pk), f"account {user.pk}"
        if user.is_active != active.get(key, True):
            yield who, "it is let in or shut out, and the trail has nobody who did that"
        if user.is_superuser != superuser.get(key, user.is_superuser):
            yield who, "it is a superuser's or not, and the trail has nobody who changed that"


def _policy(project: Project) -> Iterator[Wrong]:
    new = Project()
    told: dict[str, Any] = {name: getattr(new, name) for name in POLICY}
    for entry in _entries(project, ("project.changed",)):
        told |= {name: value for name, value in (entry.after or {}).items() if name in POLICY}
    for name, value in told.items():
        if (now := getattr(project, name)) != value:
            yield str(project), f"{name} is {now}, and the trail says {value}"


def _entries(project: Project, verbs: Sequence[str]) -> Iterator[AuditEntry]:
    found = AuditEntry.objects.filter(project_name=project.name, verb__in=verbs)
    for batch in in_key_order(found, AT_ONCE):
        yield from batch
