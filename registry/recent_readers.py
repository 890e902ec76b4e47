"""Who read a view's features lately, as an app above knows: for the packet of a change.

The registry knows nothing of reads: that app registers what does when it starts. Not for what names
a view's features (``queries.services_using``), whether anybody reads it or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from registry import access
from registry.choices import Right
from registry.models.names import names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from registry.models import FeatureView

    RecentReaders = Callable[[FeatureView, datetime], Iterable["RecentReader"]]

#: What a packet has of them: the latest.
MOST_NAMED = 50
#: With one of these rights on a view somebody is told who reads it.
MAY_SEE = (Right.VIEW_AUDITENTRY, Right.CHANGE_FEATUREVIEW)

_known: list[RecentReaders] = []


class RecentReader(NamedTuple):
    """One reader, by pseudonym, and of one version how many features they read, and when last."""

    reader: str
    version: str
    features: int
    last_read_at: datetime


def register(readers: RecentReaders) -> None:
    if readers not in _known:
        _known.append(readers)


def for_packet(view: FeatureView, at: datetime) -> list[dict[str, Any]]:
    """Return who read the view lately, the latest first, as a packet has it: nobody by name."""
    found = [each for readers in _known for each in readers(view, at)]
    latest = sorted(found, key=lambda each: each.last_read_at, reverse=True)[:MOST_NAMED]
    return [
        each._asdict() | {"last_read_at": each.last_read_at.date().isoformat()} for each in latest
    ]


def may_see(user: User | AnonymousUser, view: FeatureView) -> bool:
    rights = access.Rights(user)
    return any(rights.can(right, view) for right in MAY_SEE)


def shown(packet: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a packet has of them, by their present names, for those who may see."""
    found = packet.get("read_by", [])
    names = names_of({each["reader"] for each in found})
    return [{**each, "reader": names[each["reader"]]} for each in found]
