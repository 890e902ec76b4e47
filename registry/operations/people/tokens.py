"""API tokens: issued with their limits, shown once, rotated, revoked.

Not for what limits mean (``token_limits``) or finding the token behind a text (``authentication``).
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from lib.errors import Conflict, NotFound
from lib.shells import shell_actor
from registry import access, audit, epoch
from registry.accounts.passwords import has_own_password
from registry.authentication import TOKEN_PREFIX, digest
from registry.choices import Right
from registry.models import ApiToken, Membership
from registry.operations.people.token_limits import (
    NO_LIMITS,
    BadTokenRequest,
    Limits,
    NotYourToken,
    checked,
    require_within,
)
from registry.scopes import is_limited, scope_of
from registry.trail.told.accounts import token_facts

if TYPE_CHECKING:
    from datetime import datetime

    from registry.models import Project

__all__ = [
    "NO_LIMITS",
    "BadTokenRequest",
    "Limits",
    "NotYourToken",
    "TokenNotFound",
    "TokenNotLive",
    "checked",
    "facts",
    "issue_token",
    "revoke_token",
    "rotate_token",
]

MAX_TOKEN_NAME = 100
MAX_OVERLAP_HOURS = 30 * 24


class TokenNotLive(Conflict):
    code = "token_not_live"


class TokenNotFound(NotFound):
    code = "token_not_found"


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
    limits: Limits = NO_LIMITS,
) -> tuple[ApiToken, str]:
    """Make a token for ``user`` and return it with its text, which is never shown again.

    ``is_logged_in``: the actor asks for it as somebody logged in, by which they are known; for
    themselves it decides then as well, unless somebody else set the password they came by.
    :raises NotYourToken: for another person, whoever asks, or a service account without a role in a
        project the actor manages; or for more than the token the actor came with.
    :raises BadTokenRequest: no name, a life of less than a day or over ``TOKEN_MAX_DAYS``, or a
        limit that means nothing.
    """
    if user.pk != actor.pk:
        _require_may_issue(user, actor, project)
    token, text = _new(user, name, actor, at, days, project, checked(limits, project))
    token.may_decide = is_logged_in and _is_own(token)
    require_within(actor, token)
    token.save()
    _record_issued(token, actor, at)
    return token, text


def rotate_token(
    *,
    token: ApiToken,
    actor: User,
    at: datetime,
    days: int | None = None,
    overlap_hours: int = 24,
    is_logged_in: bool = False,
) -> tuple[ApiToken, str]:
    """Make a token like another one, which goes on for the overlap only; return it and its text.

    ``days`` None is as long as the other was made for; ``is_logged_in`` is as for a new one.
    :raises NotYourToken: as ``issue_token``.
    :raises TokenNotLive: it has ended, or a successor has taken its place already.
    :raises BadTokenRequest: a life or an overlap that is too long.
    """
    if not 0 <= overlap_hours <= MAX_OVERLAP_HOURS:
        raise BadTokenRequest(f"the overlap is 0 to {MAX_OVERLAP_HOURS} hours.")
    made_for = (token.expires_at - token.created_at).days if days is None else days
    with epoch.change(*_projects_of(token)):
        if token.user_id != actor.pk:
            _require_may_issue(token.user, actor, token.project)
        token.refresh_from_db()
        if not token.is_live(at) or token.successors.exists():
            raise TokenNotLive(f"{token} has ended or was rotated before; issue a new one.")
        limits = Limits(token.views, token.rights, token.networks, token.calls_per_minute)
        successor, text = _new(
            token.user, token.name, actor, at, made_for, token.project, checked(limits, None)
        )
        successor.replaces = token
        successor.may_decide = is_logged_in and _is_own(successor)
        require_within(actor, successor)
        successor.save()
        ends = min(token.expires_at, at + timedelta(hours=overlap_hours))
        ApiToken.objects.filter(pk=token.pk).update(expires_at=ends)
        _record_issued(successor, actor, at)
        audit.record(
            actor=actor,
            verb="api_token.rotated",
            subject=token,
            after={"successor": str(successor), "until": ends.isoformat(), **facts(successor)},
            project=token.project,
            at=at,
        )
    token.refresh_from_db()
    return successor, text


def _record_issued(token: ApiToken, actor: User, at: datetime) -> None:
    audit.record(
        actor=actor,
        verb="api_token.issued",
        subject=token,
        after={"user": token.user, **facts(token)},
        data={"token": token_facts(token)},
        project=token.project,
        at=at,
    )


def facts(token: ApiToken) -> dict[str, Any]:
    """Return what the trail says of a token; limits that it has not are left out."""
    limits = {name: getattr(token, name) for name in Limits._fields}
    return {
        "expires_at": token.expires_at.isoformat(),
        **{name: limit for name, limit in limits.items() if limit},
    }


def _new(
    user: User,
    name: str,
    actor: User,
    at: datetime,
    days: int,
    project: Project | None,
    limits: Limits,
) -> tuple[ApiToken, str]:
    """Return a token that is not stored yet, and its text."""
    if limits.views and project is None:
        raise BadTokenRequest("a token that is limited to feature views is of one project.")
    if not 1 <= len(name.strip()) <= MAX_TOKEN_NAME or "\x00" in name:
        raise BadTokenRequest(f"name the token by its use, in at most {MAX_TOKEN_NAME} characters.")
    if not 1 <= days <= settings.TOKEN_MAX_DAYS:
        raise BadTokenRequest(f"a token lives 1 to {settings.TOKEN_MAX_DAYS} days, not {days}.")
    text = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = ApiToken(
        user=user,
        project=project,
        name=name.strip(),
        **limits._asdict(),
        prefix=text[: len(TOKEN_PREFIX) + 6],
        digest=digest(text),
        created_by=actor,
        created_at=at,
        expires_at=at + timedelta(days=days),
    )
    return token, text


def _is_own(token: ApiToken) -> bool:
    """Tell whether nobody but its user can have made a token, by what its user logs in with.

    At the shell of the server anybody may say that they are logged in.
    """
    is_theirs = token.user_id == token.created_by_id and not shell_actor()
    return is_theirs and has_own_password(User.objects.get(pk=token.user_id))


def _require_may_issue(user: User, actor: User, project: Project | None) -> None:
    """Allow a token for somebody else, by what both are now; the project stays held."""
    if project is not None:
        # Roles change under this lock; no plan knows the new token, so the epoch stays.
        epoch.hold(project.pk)
    user, still = User.objects.get(pk=user.pk), access.reloaded(actor)
    if access.is_person(user):
        raise NotYourToken(f"{user} is a person, and makes their tokens themselves.")
    if is_limited(actor) or not (still.is_superuser and still.is_active):
        if project is None:
            raise NotYourToken(
                f"{actor} may make tokens for themselves, and for service accounts in a project"
                " they manage."
            )
        access.require(actor, Right.MANAGE_MEMBERS, project)
        access.require_still(actor, Right.MANAGE_MEMBERS, project)
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
    _require_may_end(token, actor)
    with epoch.change(*_projects_of(token)):
        _require_may_revoke(token, access.reloaded(actor))
        end_token(token=token, actor=actor, at=at)
    token.refresh_from_db()


def end_token(*, token: ApiToken, actor: User, at: datetime) -> None:
    """End a token by what its ``actor`` did to its account, or may do to it."""
    with epoch.change(*_projects_of(token)):
        if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=at):
            audit.record(
                actor=actor, verb="api_token.revoked", subject=token, project=token.project, at=at
            )


def _require_may_end(token: ApiToken, actor: User) -> None:
    """Require what revoking takes; of a token that is for certain rights it has to be one."""
    scope = scope_of(actor)
    if scope is not None and scope.rights and scope.token_id != token.pk:
        if token.project is None:
            raise NotYourToken(f"the token you came with is limited, and {token} is of no project.")
        access.require(actor, Right.MANAGE_MEMBERS, token.project)
    _require_may_revoke(token, actor)


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
