"""Whether two people agree to a grant: whoever asks or reads by it, and whoever gives it.

Not for the steps of a grant (``grants``), nor for whose hand somebody is in general
(``registry.accounts.hands``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import Forbidden
from registry import access
from registry.accounts.hands import HandMayNotDecide, require_apart
from registry.choices import Right
from registry.models import ApiToken, PasswordChange

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from registry.models import ReadGrant


class GrantTakesTwo(Forbidden):
    code = "grant_takes_two"


def require_second(grant: ReadGrant, actor: User) -> bool:
    """Return if two people agree: False; True where nobody but one person could give it.

    :raises GrantTakesTwo: the actor asked, or would read by it, and others could give it.
    :raises HandMayNotDecide: the actor decides by the word of whoever asked or would read by it, or
        could log in as them; and others could.
    """
    try:
        _require_apart(grant, actor)
    except (GrantTakesTwo, HandMayNotDecide) as exc:
        names = _others(grant, actor)
        if not names:
            return True
        if isinstance(exc, HandMayNotDecide):
            raise
        count = f"{len(names)} other {'person' if len(names) == 1 else 'people'}"
        raise GrantTakesTwo(
            f"{exc.message} somebody else has to give it; {count} could: stewards, owners,"
            " superusers.",
            project=grant.project.name,
        ) from None
    return False


def _others(grant: ReadGrant, actor: User) -> list[str]:
    """Return who else could give it and has no part in it."""
    people = access.people_with(Right.GIVE_READGRANT, grant.project).exclude(pk=actor.pk)
    return [each.get_username() for each in people.order_by("username") if _is_apart(grant, each)]


def _is_apart(grant: ReadGrant, person: User) -> bool:
    try:
        _require_apart(grant, person)
    except (GrantTakesTwo, HandMayNotDecide):
        return False
    return True


def _require_apart(grant: ReadGrant, actor: User) -> None:
    """Return if the actor has no part in what was asked for.

    :raises GrantTakesTwo: they asked for it or would read by it, were it by a token they made.
    :raises HandMayNotDecide: somebody who did is behind them, or they could log in as one of those.
    """
    project = grant.project
    if actor.pk == grant.asked_by_id:
        raise GrantTakesTwo(f"{actor} asked for it;", project=project.name)
    tokens = ApiToken.objects.filter(user=grant.user_id, created_by=actor, revoked_at=None)
    if actor.pk == grant.user_id or tokens.exists():
        raise GrantTakesTwo(f"{actor} would read by it;", project=project.name)
    own = {grant.asked_by_id, grant.user_id}
    require_apart(actor, project, own, whose="asked for it or reads by it")
    known = PasswordChange.objects.filter(user__in=own, set_by=actor).select_related("user")
    if (change := known.first()) is not None:
        raise HandMayNotDecide(
            f"{actor} set {change.user}'s password once and could be behind what {change.user} asks"
            " for or reads; ask another steward.",
            project=project.name,
        )
