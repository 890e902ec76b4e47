"""Projects, roles and tokens: who may do what, changed with its audit entry and its epoch."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from lib.errors import Conflict, Forbidden, Invalid
from registry import access, audit, epoch
from registry.authentication import TOKEN_PREFIX, digest
from registry.choices import Role
from registry.file_roots import check_roots
from registry.models import ApiToken, Membership, Project
from registry.spec_rules import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


MAX_TOKEN_NAME = 100


class ProjectNameTaken(Conflict):
    code = "project_name_taken"


class LastOwner(Conflict):
    code = "last_owner"


class BadTokenRequest(Invalid):
    code = "invalid_token_request"


class NotYourToken(Forbidden):
    code = "not_your_token"


@contextmanager
def managing(project: Project, actor: User) -> Iterator[None]:
    """Hold the project while somebody who may manage its members changes it, in one transaction.

    The right is required before the wait, so that nobody else disturbs the project's readers, and
    after it, because rights are changed under the same lock.
    :raises ActionNotPermitted: the actor lacks ``manage_members``, or lost it meanwhile.
    """
    access.require(actor, "manage_members", project)
    with epoch.change(project.pk):
        access.require_still(actor, "manage_members", project)
        yield


@transaction.atomic
def create_project(
    *, name: str, actor: User, at: datetime, title: str = "", roots: list[str] | None = None
) -> Project:
    """Create a project with ``actor`` as its first owner.

    :raises ProjectNameTaken: names are unique in an installation.
    :raises RootNotAllowed: a root is no directory or outside the installation's ``FILE_ROOTS``.
    """
    if not NAME.fullmatch(name):
        rule = "use lower-case letters, digits and _, beginning with a letter, at most 63."
        raise Invalid(f"project name {name!r}: {rule}")
    allowed = check_roots(roots or [])
    try:
        with transaction.atomic():
            project = Project.objects.create(
                name=name, title=title.strip() or name, roots=allowed, created_at=at
            )
    except IntegrityError as exc:
        raise ProjectNameTaken(f"there is a project {name!r} already.") from exc
    audit.record(
        actor=actor, verb="project.created", subject=project, after={"roots": project.roots}, at=at
    )
    _grant(project, actor, Role.OWNER, actor, at)
    return project


def grant_role(
    *, project: Project, user: User, role: Role, actor: User, at: datetime
) -> Membership:
    """Give ``user`` a role; giving it again changes nothing."""
    with managing(project, actor):
        return _grant(project, user, role, actor, at)


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
                before={"user": str(user), "role": role},
                at=at,
            )


def _grant(project: Project, user: User, role: Role, actor: User, at: datetime) -> Membership:
    membership, created = Membership.objects.get_or_create(
        project=project, user=user, role=role, defaults={"granted_by": actor, "granted_at": at}
    )
    access.sync_permissions(project, user)
    if created:
        audit.record(
            actor=actor,
            verb="membership.granted",
            subject=project,
            after={"user": str(user), "role": role},
            at=at,
        )
    return membership


@transaction.atomic
def issue_token(
    *,
    user: User,
    name: str,
    actor: User,
    at: datetime,
    days: int = 90,
    project: Project | None = None,
) -> tuple[ApiToken, str]:
    """Make a token for ``user`` and return it with its text, which is never shown again.

    :raises NotYourToken: for another person, another superuser, or a service account without a
        role in a project the actor manages.
    :raises BadTokenRequest: no name, or a life of less than a day or over ``TOKEN_MAX_DAYS``.
    """
    if user.pk != actor.pk:
        _require_may_issue(user, actor, project)
    if not 1 <= len(name.strip()) <= MAX_TOKEN_NAME:
        raise BadTokenRequest(f"name the token by its use, in at most {MAX_TOKEN_NAME} characters.")
    if not 1 <= days <= settings.TOKEN_MAX_DAYS:
        raise BadTokenRequest(f"a token lives 1 to {settings.TOKEN_MAX_DAYS} days, not {days}.")
    text = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        project=project,
        name=name,
        prefix=text[: len(TOKEN_PREFIX) + 6],
        digest=digest(text),
        created_by=actor,
        created_at=at,
        expires_at=at + timedelta(days=days),
    )
    audit.record(
        actor=actor,
        verb="api_token.issued",
        subject=token,
        after={"user": str(user), "expires_at": token.expires_at.isoformat()},
        project=project,
        at=at,
    )
    return token, text


def _require_may_issue(user: User, actor: User, project: Project | None) -> None:
    """Allow a token for somebody else, by what both are now; the project stays held."""
    if project is not None:
        # Roles change under this lock; no plan knows the new token, so the epoch stays.
        epoch.hold(project.pk)
    user, actor = User.objects.get(pk=user.pk), User.objects.get(pk=actor.pk)
    if not (actor.is_superuser and actor.is_active):
        if project is None or user.has_usable_password():
            raise NotYourToken(
                f"{actor} may make tokens for themselves, and for service accounts in a project"
                " they manage."
            )
        access.require(actor, "manage_members", project)
        if not Membership.objects.filter(project=project, user=user).exists():
            raise NotYourToken(
                f"{user} has no role in {project}; grant one first, then make the token."
            )
    if user.is_superuser:
        raise NotYourToken(f"{user} is a superuser; nobody else makes tokens that speak for one.")


def revoke_token(*, token: ApiToken, actor: User, at: datetime) -> None:
    """End a token; it is refused from the very next request, by every process.

    :raises NotYourToken: it is somebody else's, and of no project the actor manages.
    """
    _require_may_revoke(token, actor)
    with epoch.change(*_projects_of(token)):
        _require_may_revoke(token, User.objects.get(pk=actor.pk))
        if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=at):
            audit.record(
                actor=actor, verb="api_token.revoked", subject=token, project=token.project, at=at
            )
    token.refresh_from_db()


def _require_may_revoke(token: ApiToken, actor: User) -> None:
    is_theirs = actor.is_superuser or actor.pk in (token.user_id, token.created_by_id)
    if is_theirs and actor.is_active:
        return
    if token.project is None:
        raise NotYourToken(f"{token} is {token.user}'s; its owner or a superuser can revoke it.")
    access.require(actor, "manage_members", token.project)


def set_active(*, user: User, active: bool, actor: User, at: datetime) -> None:
    """Let a user in or shut them out everywhere, with the tokens that speak for or come from them.

    A project's last active owner can be shut out: only superusers come here, and they manage its
    members themselves. The entry names such projects.
    :raises ActionNotPermitted: the actor is no superuser.
    """
    access.require_superuser(actor)
    with epoch.change(*Project.objects.values_list("pk", flat=True)):
        access.require_superuser(User.objects.get(pk=actor.pk))
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


def _projects_of(token: ApiToken) -> list[int]:
    if token.project_id is not None:
        return [token.project_id]
    return list(access.visible_projects(token.user).values_list("pk", flat=True))
