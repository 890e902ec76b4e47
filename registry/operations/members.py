"""Projects, roles and tokens: who may do what, changed with its audit entry and its epoch."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction

from registry import access, audit, epoch
from registry.authentication import TOKEN_PREFIX, digest
from registry.choices import Role
from registry.errors import Conflict, Forbidden, Invalid
from registry.file_roots import check_roots
from registry.models import ApiToken, Membership, Project
from registry.spec_rules import NAME

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User


MAX_TOKEN_NAME = 100


class ProjectNameTaken(Conflict):
    code = "project_name_taken"


class LastOwner(Conflict):
    code = "last_owner"


class BadTokenRequest(Invalid):
    code = "invalid_token_request"


class NotYourToken(Forbidden):
    code = "not_your_token"


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
                name=name, title=title or name, roots=allowed, created_at=at
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
    access.require(actor, "manage_members", project)
    with epoch.change(project.pk):
        return _grant(project, user, role, actor, at)


def revoke_role(*, project: Project, user: User, role: Role, actor: User, at: datetime) -> None:
    """Take a role away; what it allowed is refused from the very next request.

    :raises LastOwner: nobody would be left to manage the project's members.
    """
    access.require(actor, "manage_members", project)
    with epoch.change(project.pk):
        memberships = Membership.objects.filter(project=project)
        others = memberships.filter(role=Role.OWNER).exclude(user=user)
        if role == Role.OWNER and not others.exists():
            raise LastOwner(f"{user} is the last owner of {project}; make another one first.")
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

    :raises NotYourToken: for another person, or for a service account in a project not managed.
    :raises BadTokenRequest: no name, or a life of less than a day or over ``TOKEN_MAX_DAYS``.
    """
    if user.pk != actor.pk and not actor.is_superuser:
        if project is None or user.has_usable_password():
            raise NotYourToken(
                f"{actor} may make tokens for themselves, and for service accounts in a project"
                " they manage."
            )
        access.require(actor, "manage_members", project)
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


def revoke_token(*, token: ApiToken, actor: User, at: datetime) -> None:
    """End a token; it is refused from the very next request, by every process.

    :raises NotYourToken: it is somebody else's, and of no project the actor manages.
    """
    if actor.pk not in (token.user_id, token.created_by_id) and not actor.is_superuser:
        if token.project is None:
            raise NotYourToken(
                f"{token} is {token.user}'s; its owner or a superuser can revoke it."
            )
        access.require(actor, "manage_members", token.project)
    with epoch.change(*_projects_of(token)):
        if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=at):
            audit.record(
                actor=actor, verb="api_token.revoked", subject=token, project=token.project, at=at
            )
    token.refresh_from_db()


def set_active(*, user: User, active: bool, actor: User, at: datetime) -> None:
    """Let a user in or shut them out everywhere.

    :raises ActionNotPermitted: the actor is no superuser.
    """
    access.require_superuser(actor)
    with epoch.change(*Project.objects.values_list("pk", flat=True)):
        type(user).objects.filter(pk=user.pk).update(is_active=active)
        audit.record(
            actor=actor,
            verb=f"user.{'activated' if active else 'deactivated'}",
            subject=user,
            at=at,
        )


def _projects_of(token: ApiToken) -> list[int]:
    if token.project_id is not None:
        return [token.project_id]
    return list(access.visible_projects(token.user).values_list("pk", flat=True))
