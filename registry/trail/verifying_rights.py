"""Whether roles, rights, policies and defaults are what the trail says of them.

Not for versions (``told.versions``) or the trail itself (``verifying``, which asks both).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User

from lib.batches import in_key_order
from registry import access, audit, mask_keys
from registry.accounts.hands import DECIDING_ROLES
from registry.choices import Action, Right, Role
from registry.lifecycle import VERB
from registry.models import (
    ApiToken,
    AuditEntry,
    DataSource,
    Entity,
    FeatureService,
    FeatureView,
    FeatureViewUserObjectPermission,
    FeatureViewVersion,
    FileRoot,
    MaskKey,
    Membership,
    Project,
)
from registry.models.names import pseudonym_of
from registry.roles import ROLES as RIGHTS_OF
from registry.trail.told.accounts import (
    AGREED,
    DELETED,
    FORGOTTEN,
    GRANTED,
    MADE,
    ROLES,
    Found,
    findings_of_accounts,
    findings_of_roles,
    findings_of_tokens,
    removed_past,
)
from registry.trail.told.definitions import last_said, not_as_told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.db.models import QuerySet

#: Rows, and entries, that are looked at together.
AT_ONCE = 500
POLICY = ("approvals_required", "approvals_required_sensitive", "evidence_required")
PROMOTED, RETIRED = VERB[Action.PROMOTE], VERB[Action.RETIRE]
GLASS_ENDS = (VERB[Action.OBJECT], "feature_view_version.glass_ended")
#: Rights of which somebody has to be known to have given them.
DECIDING = (Right.APPROVE_FEATUREVIEW, Right.RELEASE_FEATUREVIEW)

#: Where it is, and what is wrong with it.
Wrong = tuple[str, str]


def _project(projects: Sequence[Project]) -> Iterator[Wrong]:
    for project in projects:
        yield from _roles(project)
        yield from _policy(project)
        yield from _permissions(project)
        yield from _definitions(project)
        yield from _mask_keys(project)


def _accounts(users: Sequence[User]) -> Iterator[Wrong]:
    yield from _of_people(findings_of_accounts(users))


def _tokens(tokens: Sequence[ApiToken]) -> Iterator[Wrong]:
    yield from _of_people(findings_of_tokens(tokens))


def _gone(entries: Sequence[AuditEntry]) -> Iterator[Wrong]:
    for pk in removed_past(entries):
        yield f"account {pk}", "it is not there any more, and the trail has nobody who removed it"


def _of_people(found: Found) -> Iterator[Wrong]:
    """Name people as the trail does, with the key by which a shell finds them."""
    for user, said in found:
        yield f"account {user.pk} ({pseudonym_of(user)})", said


def _roles(project: Project) -> Iterator[Wrong]:
    """Whoever has a role was given it, and nobody lost one without an entry."""
    told: set[tuple[str, str]] = set()
    entries = list(_entries(project, ROLES))
    for entry in entries:
        if entry.verb == AGREED:
            continue
        is_given = entry.verb == GRANTED
        said = (entry.after if is_given else entry.before) or {}
        pair = str(said.get("user")), str(said.get("role"))
        told = told | {pair} if is_given else told - {pair}
    gone = set(
        AuditEntry.objects.filter(verb__in=(FORGOTTEN, DELETED)).values_list(
            "subject_label", flat=True
        )
    )
    told = {pair for pair in told if pair[0] not in gone}
    memberships = Membership.objects.filter(project=project).select_related("user__pseudonym")
    there = {(pseudonym_of(each.user), str(each.role)) for each in memberships}
    for who, role in sorted(told - there):
        yield str(project), f"{who} is not {role} any more, and the trail has nobody who took that"
    for user, said in findings_of_roles(memberships, entries):
        yield str(project), f"{pseudonym_of(user)}: {said}"
    for each in _of_programs(memberships):
        said = f"is a service account and is {each.role}, which decides"
        yield str(project), f"{pseudonym_of(each.user)}: {said}"


def _of_programs(memberships: QuerySet[Membership]) -> QuerySet[Membership]:
    """Return roles that decide and stand with what is no person's account."""
    deciding = memberships.filter(role__in=DECIDING_ROLES)
    return deciding.exclude(user__in=User.objects.filter(access.PERSON))


def _mask_keys(project: Project) -> Iterator[Wrong]:
    """Each key of hashes is the one that was made: of another, somebody may know the secret."""
    told = {
        (said.get("key"), said.get("digest"))
        for entry in _entries(project, (mask_keys.MADE,))
        if (said := entry.after or {})
    }
    for key in MaskKey.objects.filter(project=project):
        if (key.identity, key.digest) not in told:
            yield str(project), f"key {key.identity} of hashes is none that the trail has made"
        elif not mask_keys.secret_of(key):
            said = f"key {key.identity} of hashes is not readable by AUDIT_KEY or one before it"
            yield str(project), said


def _defaults(views: Sequence[FeatureView]) -> Iterator[Wrong]:
    """What everybody reads is what somebody promoted last, or nothing where that was retired."""
    versions = FeatureViewVersion.objects.filter(feature_view__in=views)
    view_of = {str(pk): view for pk, view in versions.values_list("pk", "feature_view_id")}
    steps = AuditEntry.objects.filter(
        subject_type="featureviewversion",
        subject_id__in=list(view_of),
        verb__in=(PROMOTED, RETIRED, *GLASS_ENDS),
    )
    told: dict[int, int | None] = {}
    for entry in steps.order_by("pk"):
        of_view, version = view_of[entry.subject_id], int(entry.subject_id)
        if entry.verb == PROMOTED:
            told[of_view] = version
        elif told.get(of_view) == version and (
            # A glass that ends leaves no default where it says so; else another is promoted.
            entry.verb == RETIRED or entry.data.get("default") == ""
        ):
            told[of_view] = None
    for view in views:
        if view.default_version_id != told.get(view.pk):
            said = "its default is another than the trail says was promoted"
            yield f"{view.project}/{view}", said


def _definitions(project: Project) -> Iterator[Wrong]:
    """What versions are made of, and where files are, is what somebody last said it is."""
    for model in (Entity, DataSource):
        for row in not_as_told(model._default_manager.filter(project=project)):
            yield f"{project}/{row}", "its definition is not the one that the trail has"
    services = FeatureService.objects.filter(project=project).select_related("current")
    told = last_said("featureservice", {str(each.pk): each for each in services})
    for service in services:
        names = service.current.spec_json if service.current else None
        if told.get(str(service.pk)) != audit.plain(names):
            yield f"{project}/{service}", "what it names is not what the trail says"
    roots = {str(each.pk): each for each in FileRoot.objects.filter(project=project)}
    said = last_said("fileroot", roots)
    for pk, root in roots.items():
        if (said.get(pk) or {}).get("path") != root.path:
            yield f"{project}/{root}", "its directory is not the one that the trail has"


def _permissions(project: Project) -> Iterator[Wrong]:
    """Nobody holds a right on the project that none of their roles carries."""
    roles: dict[int, set[str]] = defaultdict(set)
    for user, role in Membership.objects.filter(project=project).values_list("user", "role"):
        roles[user] |= {str(right) for right in RIGHTS_OF[Role(role)]}
    held = project.projectuserobjectpermission_set.values_list("user", "permission__codename")
    for user, right in held:
        if right not in roles[user]:
            yield str(project), f"account {user} has the right {right}, and no role that carries it"
    if project.projectgroupobjectpermission_set.exists():
        yield str(project), "a group has rights, which no role gives"


def _view_permissions(held: Sequence[FeatureViewUserObjectPermission]) -> Iterator[Wrong]:
    """Rights on single views are given in a shell only, so nothing says who gave them."""
    for each in held:
        view = each.content_object
        said = f"account {each.user_id} has the right {each.permission.codename} on it alone"
        yield f"{view.project}/{view}", f"{said}, and the trail has nobody who gave that"


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


def _rights_on_views() -> QuerySet[FeatureViewUserObjectPermission]:
    held = FeatureViewUserObjectPermission.objects.filter(permission__codename__in=DECIDING)
    return held.select_related("content_object__project", "permission")


#: What is looked at, some rows at a time, and how.
RIGHTS: Sequence[tuple[Callable[[], QuerySet[Any]], Callable[[Any], Iterator[Wrong]]]] = (
    (Project.objects.all, _project),
    (lambda: User.objects.select_related("pseudonym"), _accounts),
    (lambda: AuditEntry.objects.filter(subject_type="user", verb__in=MADE), _gone),
    (lambda: ApiToken.objects.select_related("user__pseudonym"), _tokens),
    (_rights_on_views, _view_permissions),
    (lambda: FeatureView.objects.select_related("project"), _defaults),
)
