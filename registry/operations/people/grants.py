"""Grants to read sensitive values: asked for by one person, given by another, taken back by many.

Not for what a grant lets somebody read (``registry.grants``), nor for roles (``members``).
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from lib.errors import SHOWN_LENGTH, Conflict, Forbidden, Invalid, TooLarge
from registry import access, audit, epoch
from registry.accounts.voices import require_own_voice
from registry.choices import SENSITIVE, GrantState, Right
from registry.models import ReadGrant
from registry.operations.people.seconds import require_second

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from registry.models import ApiToken, FeatureView, Project

MAX_PURPOSE = 1000
MAX_COMMENT = 2000
#: Grants that one person may have asked for in one project without a decision.
MOST_WAITING = 50


class BadGrantRequest(Invalid):
    code = "invalid_grant_request"


class NoRole(BadGrantRequest):
    def __init__(self, name: str, project: Project) -> None:
        super().__init__(
            f"{name[:SHOWN_LENGTH]!r} has no role in {project}; a grant adds to a role, so that"
            " comes first."
        )


class NotYourGrant(Forbidden):
    code = "not_your_grant"


class GrantDecided(Conflict):
    code = "grant_decided"


class GrantOver(Conflict):
    code = "grant_over"


class TooManyGrantsAsked(TooLarge):
    code = "too_many_grants_asked"


class Scope(NamedTuple):
    """What a grant is of: one view, or every view of the project up to a level."""

    feature_view: FeatureView | None = None
    level: str = ""


class Hand(NamedTuple):
    """Who acts, and by which API token; None without one."""

    actor: User
    token: ApiToken | None = None


@transaction.atomic
def ask_for_grant(
    *,
    project: Project,
    user: User,
    scope: Scope,
    purpose: str,
    ends_at: datetime,
    by: Hand,
    at: datetime,
) -> ReadGrant:
    """Ask that an account with a role in the project may read sensitive values until an instant.

    :raises ActionNotPermitted: the asking person may not see the project.
    :raises ServiceAccountMayNotDecide, TokenMayNotDecide, PasswordNotYourOwn: as
        ``require_own_voice``: it is nobody's own request.
    :raises BadGrantRequest: no purpose, an end in the past or too far, no such scope, or an account
        without a role.
    :raises TooManyGrantsAsked: too many that the person asked for wait for a decision.
    """
    access.require(by.actor, Right.VIEW_PROJECT, project)
    access.require_unlimited(by.actor)
    require_own_voice(by.actor, by.token, project=project.name)
    purpose = _text(purpose, "purpose", MAX_PURPOSE)
    _check_scope(project, user, scope)
    _check_end(ends_at, at)
    waiting = ReadGrant.objects.filter(project=project, asked_by=by.actor, state=GrantState.ASKED)
    if waiting.filter(ends_at__gt=at).count() >= MOST_WAITING:
        raise TooManyGrantsAsked(
            f"{MOST_WAITING} grants that {by.actor} asked for in {project} wait for a decision;"
            " have some decided, or take them back."
        )
    grant = ReadGrant.objects.create(
        project=project,
        user=user,
        feature_view=scope.feature_view,
        level=scope.level,
        purpose=purpose,
        ends_at=ends_at,
        asked_by=by.actor,
        asked_at=at,
    )
    _record("read_grant.asked", grant, by, at, state=GrantState.ASKED, said={"purpose": purpose})
    return grant


def give_grant(*, grant: ReadGrant, by: Hand, at: datetime, comment: str = "") -> ReadGrant:
    """Give what somebody else asked for; it counts from the very next request.

    Where nobody else could, whoever asked may give it, and it is recorded as such.

    :raises ActionNotPermitted, ServiceAccountMayNotDecide, TokenMayNotDecide, PasswordNotYourOwn:
        the actor may not give grants, or it is not their own hand.
    :raises HandMayNotDecide: as ``require_second``.
    :raises GrantTakesTwo: the actor asked for it, or would read by it, and others could give it.
    :raises GrantDecided, GrantOver: somebody decided first, or its end has come.
    """
    comment = _text(comment, "comment", MAX_COMMENT, least=0)
    with _deciding(grant, by):
        _require_state(grant, GrantState.ASKED)
        if at >= grant.ends_at:
            raise GrantOver(f"{grant} was to end at {grant.ends_at:%Y-%m-%d %H:%M} UTC; ask anew.")
        _move(
            grant,
            GrantState.GIVEN,
            by,
            at,
            decided_by=by.actor,
            decided_at=at,
            is_unseconded=require_second(grant, by.actor),
            comment=comment,
        )
    return grant


def refuse_grant(*, grant: ReadGrant, by: Hand, at: datetime, comment: str) -> ReadGrant:
    """Refuse what was asked for, and say why.

    :raises ActionNotPermitted, GrantDecided: as ``give_grant``.
    :raises BadGrantRequest: no reason.
    """
    comment = _text(comment, "comment", MAX_COMMENT)
    with _deciding(grant, by):
        _require_state(grant, GrantState.ASKED)
        decided = {"decided_by": by.actor, "decided_at": at}
        _move(grant, GrantState.REFUSED, by, at, comment=comment, **decided)
    return grant


def revoke_grant(*, grant: ReadGrant, by: Hand, at: datetime, comment: str = "") -> ReadGrant:
    """Take a grant back, or what was asked for; refused from the very next request, everywhere.

    :raises NotYourGrant: it is somebody else's, and the actor may not give grants.
    :raises GrantDecided: it was refused or taken back already.
    """
    comment = _text(comment, "comment", MAX_COMMENT, least=0)
    _require_may_revoke(grant, by.actor)
    with epoch.change(grant.project_id):
        _require_may_revoke(grant, User.objects.get(pk=by.actor.pk))
        grant.refresh_from_db()
        _require_state(grant, GrantState.ASKED, GrantState.GIVEN)
        revoked = {"revoked_by": by.actor, "revoked_at": at}
        _move(grant, GrantState.REVOKED, by, at, comment=comment, **revoked)
    return grant


@contextmanager
def _deciding(grant: ReadGrant, by: Hand) -> Iterator[None]:
    """Hold the project while a person who may decides on a grant of it, in one transaction.

    What is given needs no other epoch: no read plan knows of a grant that is lacking.
    """
    access.require(by.actor, Right.GIVE_READGRANT, grant.project)
    require_own_voice(by.actor, by.token, project=grant.project.name)
    with transaction.atomic():
        epoch.hold(grant.project_id)
        access.require_still(by.actor, Right.GIVE_READGRANT, grant.project)
        grant.refresh_from_db()
        yield


def _require_may_revoke(grant: ReadGrant, actor: User) -> None:
    if access.can(actor, Right.GIVE_READGRANT, grant.project):
        return
    access.require_unlimited(actor)
    if not (actor.is_active and actor.pk in (grant.user_id, grant.asked_by_id)):
        raise NotYourGrant(
            f"{actor} can take back what they asked for or may read by; the grant is"
            f" {grant.user}'s, and {grant.asked_by} asked for it.",
            project=grant.project.name,
        )


def _check_scope(project: Project, user: User, scope: Scope) -> None:
    view = scope.feature_view
    if (view is None) == (not scope.level):
        raise BadGrantRequest("a grant is of one feature view or of a level: say one of them.")
    if scope.level and scope.level not in SENSITIVE:
        raise BadGrantRequest(
            f"level {scope.level[:SHOWN_LENGTH]!r}: {' or '.join(SENSITIVE)}; what is less"
            " sensitive needs no grant."
        )
    if view is not None and view.project_id != project.pk:
        raise BadGrantRequest(f"feature view {view} is not of project {project}.")
    if not access.visible_projects(user).filter(pk=project.pk).exists():
        raise NoRole(str(user), project)


def _check_end(ends_at: datetime, at: datetime) -> None:
    most = settings.READ_GRANT_MAX_DAYS
    if not at < ends_at <= at + timedelta(days=most):
        raise BadGrantRequest(
            f"ends_at {ends_at:%Y-%m-%dT%H:%M:%SZ}: a grant ends after now and within {most} days"
            " (READ_GRANT_MAX_DAYS); one that is still needed then is asked for anew."
        )


def _text(text: str, name: str, most: int, *, least: int = 1) -> str:
    text = text.strip()
    if not least <= len(text) <= most or "\x00" in text:
        raise BadGrantRequest(f"{name}: write {least} to {most} characters; the trail keeps it.")
    return text


def _require_state(grant: ReadGrant, *states: GrantState) -> None:
    if grant.state not in states:
        who = grant.revoked_by or grant.decided_by
        raise GrantDecided(f"{grant} is {grant.state} already, by {who}. Look again.")


def _move(grant: ReadGrant, to: GrantState, by: Hand, at: datetime, **also: Any) -> None:
    """Change the state, which nobody else can meanwhile: the project is held.

    The database wants the entry of the trail to be there before what it tells of.
    """
    said = {"comment": also["comment"]} if also["comment"] else {}
    if also.get("is_unseconded"):
        said["unseconded"] = "nobody else could give it"
    _record(f"read_grant.{to}", grant, by, at, state=to, said=said)
    ReadGrant.objects.filter(pk=grant.pk).update(state=to, **also)
    grant.refresh_from_db()


def _record(
    verb: str, grant: ReadGrant, by: Hand, at: datetime, *, state: GrantState, said: dict[str, str]
) -> None:
    audit.record(
        actor=by.actor,
        verb=verb,
        subject=grant,
        after={
            "user": grant.user,
            "scope": grant.scope,
            "ends_at": grant.ends_at.isoformat(),
            "state": state,
        },
        data=said,
        project=grant.project,
        at=at,
    )
