"""What a token may be limited to, and that none does more than the one its maker came with.

Not for what a limit forbids where the token is used: ``registry.scopes``.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, NamedTuple

from lib.errors import SHOWN_LENGTH, Forbidden, Invalid, did_you_mean
from registry.choices import Right
from registry.models import FeatureView
from registry.scopes import networks_of, scope_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.contrib.auth.models import User

    from registry.models import ApiToken, Project
    from registry.scopes import Networks, Scope

#: Views, rights and networks that one token is limited to, each.
MAX_LIMITS = 100
#: Far more than one process answers.
MOST_CALLS = 1_000_000


class BadTokenRequest(Invalid):
    code = "invalid_token_request"


class NotYourToken(Forbidden):
    code = "not_your_token"


class Limits(NamedTuple):
    """What a token is for, in the words of whoever asks for it; an empty limit is none."""

    views: Sequence[str] = ()
    rights: Sequence[str] = ()
    networks: Sequence[str] = ()
    calls_per_minute: int | None = None


NO_LIMITS = Limits()


def checked(limits: Limits, project: Project | None) -> Limits:
    """Return limits as they are stored; ``project`` None leaves the views as they are.

    :raises BadTokenRequest: names what means nothing, and what would.
    """
    for what in ("views", "rights", "networks"):
        if (count := len(getattr(limits, what))) > MAX_LIMITS:
            raise BadTokenRequest(f"{count} {what}; a token has at most {MAX_LIMITS}.")
    if unknown := sorted(set(limits.rights) - {*Right}):
        name = unknown[0][:SHOWN_LENGTH]
        raise BadTokenRequest(f"there is no right {name!r}.{did_you_mean(name, list(Right))}")
    if project is not None and limits.views:
        known = list(FeatureView.objects.filter(project=project).values_list("name", flat=True))
        if unknown := sorted(set(limits.views) - {*known}):
            name = unknown[0][:SHOWN_LENGTH]
            hint = did_you_mean(name, known)
            raise BadTokenRequest(f"{project} has no feature view {name!r}.{hint}")
    try:
        networks = {str(network) for network in networks_of(limits.networks)}
    except ValueError as exc:
        raise BadTokenRequest(
            f"{str(exc)[:SHOWN_LENGTH]}; write networks as 10.1.0.0/16 or 2001:db8::/32, single"
            " addresses as they are."
        ) from exc
    return Limits(
        sorted(set(limits.views)),
        sorted(set(limits.rights)),
        sorted(networks),
        checked_calls(limits.calls_per_minute, BadTokenRequest),
    )


def checked_calls(calls: int | None, error: type[Invalid]) -> int | None:
    """Return how many calls a minute may be made, as it is stored: 0 is no limit, which is None.

    :raises Invalid: as ``error``; no number that can be one.
    """
    if calls is not None and not 0 <= calls <= MOST_CALLS:
        raise error(
            f"calls_per_minute {str(calls)[:40]}: write a whole number up to {MOST_CALLS:,}, 0 for"
            " no limit."
        )
    return calls or None


def require_within(actor: User, token: ApiToken) -> None:
    """Return if the token does nothing that the one the actor came with does not.

    One for oneself lives no longer either; how long a program's does is for who manages it.

    :raises NotYourToken: it would: whoever finds a token must not make a stronger one of it.
    """
    scope = scope_of(actor)
    if scope is None:
        return
    wider = [
        what
        for what, is_wider in (
            ("other projects", scope.project_id not in (None, token.project_id)),
            ("other views", _exceeds(token.views, scope.views)),
            ("other rights", _exceeds(token.rights, scope.rights)),
            ("other networks", not _inside(networks_of(token.networks), scope.networks)),
            ("more calls", _calls_more(token.calls_per_minute, scope.calls_per_minute)),
            (f"longer than until {scope.expires_at:%Y-%m-%d}", _outlives(token, actor, scope)),
        )
        if is_wider
    ]
    if wider:
        raise NotYourToken(
            f"the token you came with makes none for {', '.join(wider)}. Ask for less, or make it"
            " in the admin."
        )


def _outlives(token: ApiToken, actor: User, scope: Scope) -> bool:
    return token.user_id == actor.pk and token.expires_at > scope.expires_at


def _calls_more(asked: int | None, allowed: int | None) -> bool:
    return allowed is not None and (asked is None or asked > allowed)


def _exceeds(asked: Sequence[str], allowed: frozenset[str]) -> bool:
    return bool(allowed) and (not asked or not allowed.issuperset(asked))


def _inside(asked: Networks, allowed: Networks) -> bool:
    if not allowed:
        return True
    return bool(asked) and all(any(_is_part(one, of) for of in allowed) for one in asked)


def _is_part(one: IPv4Network | IPv6Network, of: IPv4Network | IPv6Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(of, IPv4Network) and one.subnet_of(of)
    return isinstance(of, IPv6Network) and one.subnet_of(of)
