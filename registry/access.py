"""Rights, who is a person, and the only ways to load what somebody may see.

Loading an object and authorising it is one call. Not for which role carries which right: ``roles``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db.models import Q
from guardian.shortcuts import get_perms, get_users_with_perms

from lib.errors import Forbidden, NotFound, Unauthenticated, did_you_mean
from registry.choices import AccountKind, Right, State
from registry.models import FeatureView, FeatureViewVersion, Project
from registry.newest import newest_of, numbers_of
from registry.roles import DECISIONS, ROLES
from registry.scopes import carry, is_limited, scope_of
from registry.spec.versions import parse_version

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from rest_framework.request import Request

#: Which accounts are persons': those that were made or marked as such, with or without a password.
#: One that nobody said anything of, made in a shell, is a person's only if a password lets somebody
#: log in to it: an account that nobody can be behind must not decide by a token.
PERSON = Q(account__kind=AccountKind.PERSON) | (
    Q(account=None) & ~Q(password="") & ~Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
)


class ActionNotPermitted(Forbidden):
    code = "not_permitted"


class ServiceAccountMayNotDecide(Forbidden):
    code = "service_account_may_not_decide"


class TokenTooNarrow(Forbidden):
    code = "token_too_narrow"


class ProjectNotFound(NotFound):
    code = "project_not_found"


class FeatureViewNotFound(NotFound):
    code = "feature_view_not_found"


class VersionNotFound(NotFound):
    code = "version_not_found"


def acting_user(request: HttpRequest | Request) -> User:
    """Return who asks, for operations that record who did something.

    :raises Unauthenticated: nobody is logged in and no token was sent.
    """
    if not request.user.is_authenticated:
        raise Unauthenticated("nobody is logged in, and this is recorded under somebody's name.")
    return request.user


def is_person(user: User) -> bool:
    """Return whether a person stands behind the account, as it is stored now.

    Only persons decide, and nobody makes tokens in a person's name.
    """
    return get_user_model().objects.filter(PERSON, pk=user.pk).exists()


def kind_of(user: User) -> AccountKind:
    return AccountKind.PERSON if is_person(user) else AccountKind.SERVICE


def people_with(right: Right, project: Project) -> QuerySet[User]:
    """Return the persons who hold ``right`` on a project and can use it now, superusers too."""
    holders: Any = get_users_with_perms(project, with_superusers=True, only_with_perms_in=[right])
    found: QuerySet[User] = holders.filter(PERSON, is_active=True)
    return found


class Rights:
    """What one user may, each object's permissions asked for once: for as long as one question."""

    def __init__(self, user: User | AnonymousUser) -> None:
        self.user = user
        self._known: dict[Project | FeatureView, frozenset[str]] = {}
        self._person: bool | None = None

    def on(self, obj: Project | FeatureView) -> frozenset[str]:
        """Return the rights held on ``obj``; on a view those on its project count too."""
        held = self._own(obj)
        if isinstance(obj, FeatureView):
            held |= self._own(obj.project)
        if (scope := scope_of(self.user)) is not None:
            held = frozenset(right for right in held if scope.allows(right, obj))
        return held - DECISIONS if held & DECISIONS and not self._is_person() else held

    def can(self, right: Right, obj: Project | FeatureView) -> bool:
        return self._holds(right, obj) and (right not in DECISIONS or self._is_person())

    def require(self, right: Right, obj: Project | FeatureView) -> None:
        """Return if the user holds ``right`` on ``obj`` or its project.

        :raises ActionNotPermitted: naming the right and the roles that carry it.
        :raises TokenTooNarrow: the account may, but not by the token it came with.
        :raises ServiceAccountMayNotDecide: the right is one that only people use.
        """
        if self.can(right, obj):
            return
        scope = scope_of(self.user)
        project = obj.project if isinstance(obj, FeatureView) else obj
        about = {"permission": right, "project": project.name}
        name = self.user.get_username() or "anonymous"
        if scope is not None and not scope.allows(right, obj):
            raise TokenTooNarrow(
                f"the token is limited, and not for the right {right} on {obj}; whoever manages it"
                " can see its limits.",
                **about,
            )
        if self._holds(right, obj):
            raise ServiceAccountMayNotDecide(
                f"{name} is a service account, and no role lets one use the right {right}; a person"
                " with a login has to do that.",
                **about,
            )
        roles = ", ".join(role for role, rights in ROLES.items() if right in rights)
        raise ActionNotPermitted(
            f"{name} lacks the right {right} on {obj}; roles that have it: {roles}.",
            **about,
        )

    def _holds(self, right: Right, obj: Project | FeatureView) -> bool:
        scope = scope_of(self.user)
        if scope is not None and not scope.allows(right, obj):
            return False
        if isinstance(obj, FeatureView) and right in self._own(obj.project):
            return True  # most have it by their role
        return right in self._own(obj)

    def _is_person(self) -> bool:
        if self._person is None:
            self._person = self.user.is_authenticated and is_person(self.user)
        return self._person

    def _own(self, obj: Project | FeatureView) -> frozenset[str]:
        if not self.user.is_active:
            return frozenset()
        if obj not in self._known:
            self._known[obj] = frozenset(get_perms(self.user, obj))
        return self._known[obj]


def permissions(user: User | AnonymousUser, obj: Project | FeatureView) -> frozenset[str]:
    """Return the rights ``user`` holds on ``obj``; on a view those on its project count too."""
    return Rights(user).on(obj)


def can(user: User | AnonymousUser, right: Right, obj: Project | FeatureView) -> bool:
    return Rights(user).can(right, obj)


def require(user: User | AnonymousUser, right: Right, obj: Project | FeatureView) -> None:
    """Return if ``user`` holds ``right`` on ``obj`` or its project.

    :raises ActionNotPermitted: naming the right and the roles that carry it.
    """
    Rights(user).require(right, obj)


def require_still(user: User, right: Right, obj: Project | FeatureView) -> None:
    """Require as ``require`` does, of the account as it is now and not as it was loaded.

    For use under the lock that rights change under too: whoever lost one meanwhile is refused.
    """
    require(reloaded(user), right, obj)


def reloaded(user: User) -> User:
    """Return the account as it is stored now, with the limits of the token it came with."""
    return carry(user, get_user_model().objects.get(pk=user.pk))


def require_unlimited(user: User) -> None:
    """Return if somebody came with no token, or with one for all that its account may.

    For what takes no right but to see the project, which every token has.
    :raises TokenTooNarrow: the token is for certain views or rights.
    """
    scope = scope_of(user)
    if scope is not None and (scope.rights or scope.views):
        raise TokenTooNarrow(
            "the token is limited to views or rights, and this is none of them; log in, or come"
            " with a token that is not."
        )


def require_superuser(user: User | AnonymousUser) -> None:
    """Return if ``user`` is an active superuser now, whenever the object at hand was loaded.

    :raises ActionNotPermitted: accounts, and where files are, are a superuser's matter.
    """
    superusers = get_user_model().objects.filter(is_active=True, is_superuser=True)
    if is_limited(user):
        raise TokenTooNarrow("the token is limited, and this is no matter of one project.")
    if not (user.is_authenticated and superusers.filter(pk=user.pk).exists()):
        name = user.get_username() or "anonymous"
        raise ActionNotPermitted(f"{name} is not a superuser; only superusers do that.")


def visible_projects(user: User | AnonymousUser) -> QuerySet[Project]:
    """Return the projects in which ``user`` has any role; a superuser sees all.

    A right granted on a single view adds to a role: it does not let anybody into a project.
    """
    if not user.is_active:
        return Project.objects.none()
    scope = scope_of(user)
    found = Project.objects.all()
    if scope is not None and scope.project_id is not None:
        found = found.filter(pk=scope.project_id)
    if user.is_superuser:
        return found
    return found.filter(memberships__user_id=user.pk).distinct()


def access_project(
    user: User | AnonymousUser, name: str, right: Right = Right.VIEW_PROJECT
) -> Project:
    """Load a project the user may see and require ``right`` on it.

    :raises ProjectNotFound: there is none, or the user may not know that there is.
    """
    return load_project(Rights(user), name, right)


def load_project(rights: Rights, name: str, right: Right = Right.VIEW_PROJECT) -> Project:
    """Do as ``access_project``, with rights of which more will be asked."""
    visible = visible_projects(rights.user)
    project = visible.filter(name=name).first()
    if project is None:
        known = visible.values_list("name", flat=True)
        raise ProjectNotFound(
            f"there is no project {name!r} you can see.{did_you_mean(name, known)}"
        )
    rights.require(right, project)
    return project


def access_feature_view(
    user: User | AnonymousUser, project_name: str, name: str, right: Right = Right.VIEW_PROJECT
) -> FeatureView:
    """Load a feature view the user may see and require ``right`` on it or its project.

    :raises ProjectNotFound, FeatureViewNotFound: there is none, or the user may not know of it.
    """
    project = access_project(user, project_name)
    views = FeatureView.objects.select_related("project", "default_version")
    feature_view = None if "\x00" in name else views.filter(project=project, name=name).first()
    if feature_view is None:
        known = FeatureView.objects.filter(project=project).values_list("name", flat=True)
        raise FeatureViewNotFound(
            f"project {project} has no feature view {name!r}.{did_you_mean(name, known)}"
        )
    require(user, right, feature_view)
    return feature_view


def access_version(
    user: User | AnonymousUser,
    project_name: str,
    name: str,
    number: str,
    right: Right = Right.VIEW_PROJECT,
) -> FeatureViewVersion:
    """Load one version by its number; ``draft`` is the newest draft, numbered or not.

    :raises BadVersion: neither ``draft`` nor three numbers.
    :raises VersionNotFound: the view has none of that number.
    """
    feature_view = access_feature_view(user, project_name, name, right)
    related = ("feature_view__project", "table", "based_on", "created_by", "glass")
    versions = feature_view.versions.select_related(*related)
    if number == State.DRAFT:
        found = newest_of(versions.filter(state=State.DRAFT))
    else:
        major, minor, patch = parse_version(number)
        found = versions.filter(major=major, minor=minor, patch=patch).first()
    if found is None:
        known = numbers_of(feature_view.versions.all())
        raise VersionNotFound(f"{name} has no version {number!r}.{did_you_mean(number, known)}")
    return found
