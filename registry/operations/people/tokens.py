"""API tokens: issued, shown once, revoked.

Not for finding the token behind a text: ``authentication`` does.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from lib.errors import Forbidden, Invalid
from registry import access, audit, epoch
from registry.authentication import TOKEN_PREFIX, digest
from registry.choices import Right
from registry.hands import has_own_password
from registry.models import ApiToken, Membership

if TYPE_CHECKING:
    from datetime import datetime

    from registry.models import Project

MAX_TOKEN_NAME = 100


class BadTokenRequest(Invalid):
    code = "invalid_token_request"


class NotYourToken(Forbidden):
    code = "not_your_token"


@transaction.atomic
def issue_token(
    *,
    user: User,
    name: str,
    actor: User,
    at: datetime,
    days: int = 90,
    project: Project | None = None,
    is_logged_in: bool = False,
) -> tuple[ApiToken, str]:
    """Make a token for ``user`` and return it with its text, which is never shown again.

    ``is_logged_in``: the actor asks for it as somebody logged in, by which they are known; for
    themselves it decides then as well, unless somebody else set the password they came by.
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
        may_decide=is_logged_in
        and user.pk == actor.pk
        and has_own_password(User.objects.get(pk=user.pk)),
    )
    audit.record(
        actor=actor,
        verb="api_token.issued",
        subject=token,
        after={"user": user, "expires_at": token.expires_at.isoformat()},
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
        if project is None or access.is_person(user):
            raise NotYourToken(
                f"{actor} may make tokens for themselves, and for service accounts in a project"
                " they manage."
            )
        access.require(actor, Right.MANAGE_MEMBERS, project)
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
    access.require(actor, Right.MANAGE_MEMBERS, token.project)


def _projects_of(token: ApiToken) -> list[int]:
    if token.project_id is not None:
        return [token.project_id]
    return list(access.visible_projects(token.user).values_list("pk", flat=True))
