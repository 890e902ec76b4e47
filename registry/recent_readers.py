"""Who read a view's features lately, as an app above knows: numbers in packets, people on pages.

The registry knows nothing of reads: that app registers what does when it starts. A packet is sealed
for ever, so it has how many read a version; who they are is asked when somebody looks, for as long
as that is kept (docs/decisions/0079). Not for what names a view's features
(``queries.services_using``), whether anybody reads it or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from registry import access
from registry.choices import Right
from registry.models.names import names_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from registry.models import FeatureView

#: What a packet or a page has of them: the latest.
MOST_NAMED = 50
#: With one of these rights on a view somebody is told who reads it.
MAY_SEE = (Right.VIEW_AUDITENTRY, Right.CHANGE_FEATUREVIEW)


class ReadVersion(NamedTuple):
    """One version, how many read any of its features in so many days, and when one did last."""

    version: str
    readers: int
    last_read_at: datetime
    days: int


class RecentReader(NamedTuple):
    """One reader, by pseudonym, and of one version how many features they read, and when last."""

    reader: str
    version: str
    features: int
    last_read_at: datetime


class Reads(Protocol):
    """What knows of reads: each answer has the latest, ``MOST_NAMED`` at most."""

    def versions(self, view: FeatureView, at: datetime) -> Iterable[ReadVersion]: ...

    def readers(self, view: FeatureView, at: datetime) -> Iterable[RecentReader]: ...


_known: list[Reads] = []


def register(reads: Reads) -> None:
    if reads not in _known:
        _known.append(reads)


def for_packet(view: FeatureView, at: datetime) -> list[dict[str, Any]]:
    """Return which versions were read lately and by how many, as a packet has it: nobody."""
    return [_line(each) for reads in _known for each in reads.versions(view, at)]


def may_see(user: User | AnonymousUser, view: FeatureView) -> bool:
    rights = access.Rights(user)
    return any(rights.can(right, view) for right in MAY_SEE)


def named(view: FeatureView, at: datetime) -> list[dict[str, Any]]:
    """Return who read the view lately by their present names, for those who may see."""
    found = [each for reads in _known for each in reads.readers(view, at)]
    names = names_of({each.reader for each in found})
    return [_line(each) | {"reader": names[each.reader]} for each in found]


def _line(each: ReadVersion | RecentReader) -> dict[str, Any]:
    return each._asdict() | {"last_read_at": each.last_read_at.date().isoformat()}
