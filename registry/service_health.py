"""How each member of a feature service stands: what is broken, not ready, stale or deprecated.

Not for refusing reads (``queries`` does) or for what a promotion would break (``breakage``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from registry.catalogue.facts import kept_promises
from registry.choices import Standing, State
from registry.glass import in_words, mark_of
from registry.queries import ReferenceNotFound, VersionNotReady, VersionRetired, served_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.models import FeatureServiceMember, FeatureViewVersion, Project

    Read = FeatureViewVersion | tuple["Health", str]


class Health(StrEnum):
    """What is the matter with a member, worst first."""

    #: The version it reads has no such feature: the service answers nothing.
    BROKEN = "broken"
    RETIRED = "retired"
    NOT_READY = "not_ready"
    STALE = "stale"
    #: One person approved what it reads alone, and nobody has confirmed that.
    BROKEN_GLASS = "broken_glass"
    DEPRECATED = "deprecated"
    WELL = "well"


class MemberHealth(NamedTuple):
    """One member, the version it reads now (None: none answers), and what is the matter."""

    member: FeatureServiceMember
    version: FeatureViewVersion | None
    health: Health
    why: str


def health_of(project: Project, members: Sequence[FeatureServiceMember]) -> list[MemberHealth]:
    """Return how each member stands now, in their order."""
    read: dict[tuple[str, str], Read] = {}
    for member in members:
        named = member.feature_view.name, member.pin
        if named not in read:
            read[named] = _read(project, *named)
    versions = [each for each in read.values() if not isinstance(each, tuple)]
    promises = {v.pk: age for v in versions if (age := v.spec.view.promised_age)}
    kept = kept_promises({project.pk}, promises)
    return [
        MemberHealth(member, None, *found)
        if isinstance(found := read[member.feature_view.name, member.pin], tuple)
        else _judged(member, found, kept)
        for member in members
    ]


def _read(project: Project, view: str, pin: str) -> Read:
    """Return the version that is read; else what is the matter, and why."""
    try:
        return served_version(project=project, view=view, pin=pin or None)
    except ReferenceNotFound as error:
        return Health.BROKEN, error.message
    except VersionRetired as error:
        return Health.RETIRED, error.message
    except VersionNotReady as error:
        return Health.NOT_READY, error.message


def _judged(
    member: FeatureServiceMember, version: FeatureViewVersion, kept: Mapping[int, str]
) -> MemberHealth:
    if member.feature not in {each.name for each in version.spec.features}:
        words = f"{version} has no feature {member.feature}."
        return MemberHealth(member, version, Health.BROKEN, words)
    if kept.get(version.pk) == Standing.OVERDUE:
        words = f"Older than the {version.spec.view.freshness} that {version} promises."
        return MemberHealth(member, version, Health.STALE, words)
    if (glass := mark_of(version)) is not None:
        words = f"{version} {in_words(glass)}."
        return MemberHealth(member, version, Health.BROKEN_GLASS, words)
    if version.state == State.DEPRECATED:
        words = f"{version} is deprecated: it still answers, and will be retired."
        return MemberHealth(member, version, Health.DEPRECATED, words)
    return MemberHealth(member, version, Health.WELL, "")
