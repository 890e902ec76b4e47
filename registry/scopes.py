"""What a token is limited to, beside what its account may do: project, views, rights, networks.

The account that a token speaks for carries the scope, so wherever its rights are asked it counts:
no door has to remember. Not for issuing (``operations.people.tokens``).
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from lib.addresses import asked_from, client_address
from lib.errors import Unauthenticated
from registry.choices import Right
from registry.models import FeatureView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from ipaddress import IPv4Network, IPv6Network
    from typing import Any

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from registry.models import ApiToken, Project

    Networks = tuple[IPv4Network | IPv6Network, ...]

Rows = TypeVar("Rows", bound="QuerySet[Any]")


class TokenFromElsewhere(Unauthenticated):
    code = "token_from_elsewhere"


class Scope(NamedTuple):
    """What holds for one token; an empty limit is none."""

    token_id: int
    project_id: int | None
    views: frozenset[str]
    rights: frozenset[str]
    networks: Networks
    calls_per_minute: int | None
    expires_at: datetime
    #: Whether its person made it themselves, when logged in by a password of their own.
    is_own: bool

    @property
    def is_limited(self) -> bool:
        return bool(self.project_id or self.views or self.rights or self.networks)

    def allows(self, right: str, obj: Project | FeatureView) -> bool:
        """Tell whether the token may use a right on ``obj``, whatever its account may.

        Whoever may do something in a project may see that it is there.
        """
        project = obj.project_id if isinstance(obj, FeatureView) else obj.pk
        if self.project_id not in (None, project):
            return False
        if self.rights and right not in self.rights and right != Right.VIEW_PROJECT:
            return False
        if isinstance(obj, FeatureView):
            return not self.views or obj.name in self.views
        return not self.views or right == Right.VIEW_PROJECT


def limit(user: User, token: ApiToken) -> None:
    """Let the account, as this object, do no more than the token is for."""
    user._assay_scope = Scope(  # type: ignore[attr-defined]
        token_id=token.pk,
        project_id=token.project_id,
        views=frozenset(token.views),
        rights=frozenset(token.rights),
        networks=networks_of(token.networks),
        calls_per_minute=token.calls_per_minute,
        expires_at=token.expires_at,
        is_own=token.may_decide,
    )


def scope_of(user: User | AnonymousUser) -> Scope | None:
    """Return the scope of the token somebody came with; None: a log-in, or no request at all."""
    return getattr(user, "_assay_scope", None)


def carry(user: User, to: User) -> User:
    """Give another object of the same account the limits that the first one carries."""
    if (scope := scope_of(user)) is not None:
        to._assay_scope = scope  # type: ignore[attr-defined]
    return to


def views_of(user: User | AnonymousUser) -> frozenset[str] | None:
    """Return the names of the views that somebody's token is limited to; None: it is not."""
    scope = scope_of(user)
    return scope.views if scope is not None and scope.views else None


def told_to(user: User | AnonymousUser, rows: Rows, view: str) -> Rows:
    """Return the rows that somebody is told of by the token they came with, for every list.

    ``view`` leads from a row to its feature view, empty: it is one. A row of no view is of none
    that a token names.
    """
    views = views_of(user)
    name = f"{view}__name__in" if view else "name__in"
    return rows if views is None else rows.filter(**{name: views})


def told_whole(user: User | AnonymousUser, rows: Rows, parts: QuerySet[Any], *, of: str) -> Rows:
    """Return the rows that have no part of a view that somebody is not told of, for every list.

    ``of`` leads from a part to its row; a part is of a version.
    """
    if (views := views_of(user)) is None:
        return rows
    others = parts.exclude(version__feature_view__name__in=views)
    return rows.exclude(pk__in=others.values(of))


def is_limited(user: User | AnonymousUser) -> bool:
    """Tell whether somebody came with a token that is for less than its account."""
    scope = scope_of(user)
    return scope is not None and scope.is_limited


def networks_of(texts: Sequence[str]) -> Networks:
    return tuple(ip_network(text) for text in texts)


def require_from(networks: Networks, environ: Mapping[str, Any]) -> None:
    """Return if a request comes from the networks, and whoever it is passed on for, or there are
    none.

    :raises TokenFromElsewhere: it does not; says where it comes from, not where it should.
    """
    if not networks:
        return
    for address in (client_address(environ), *asked_from(environ)):
        if address is None or not any(address in network for network in networks):
            raise TokenFromElsewhere(
                "the token is limited to networks, and this call comes from"
                f" {address or 'nowhere'}."
                " Call from one of them; whoever manages the token can see and change which."
            )
