"""Broken glasses as the rest of the registry sees them: which version has one, and what it keeps.

Not for breaking one or looking at it (``operations.lifecycle.glass``), nor for what the database
refuses (``guards.glass``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from django.db.models import Exists, OuterRef, Q

from lib.answer_schemas import Instant
from lib.errors import Conflict
from lib.instants import timestamp
from registry.choices import Look, State
from registry.models import BrokenGlass

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from registry.models import FeatureViewVersion, Project

#: What of a version is loaded with it to say whether it is marked, and by whom.
GLASS = ("glass__broken_by", "glass__looked_by")


class GlassNotConfirmed(Conflict):
    code = "glass_not_confirmed"


class BrokenGlassAnswer(TypedDict):
    """That one person alone approved a version, and what came of it."""

    by: str
    reason: str
    at: Instant
    until: Instant
    verdict: str | None
    looked_by: str | None
    comment: str


def glass_of(version: FeatureViewVersion) -> BrokenGlass | None:
    """Return how a version's glass was broken; None: it was not."""
    return getattr(version, "glass", None)


def mark_of(version: FeatureViewVersion) -> BrokenGlass | None:
    """Return the glass that a version is marked by: nobody confirmed it."""
    glass = glass_of(version)
    return None if glass is None or glass.is_confirmed else glass


def unlooked() -> QuerySet[BrokenGlass]:
    """Return the glasses that nobody has settled."""
    return BrokenGlass.objects.filter(verdict="")


def marked() -> QuerySet[BrokenGlass]:
    """Return the glasses that mark their versions: nobody confirmed them; see ``mark_of``."""
    return BrokenGlass.objects.exclude(verdict=Look.CONFIRMED)


def is_unlooked() -> Exists:
    """Return the condition on a version that its glass is broken and nobody has settled it."""
    return Exists(unlooked().filter(version=OuterRef("pk")))


def waits() -> Q:
    """Return the condition on versions that somebody has to decide on, or look at afterwards."""
    return Q(state=State.IN_REVIEW) | Q(is_unlooked())


def marks_of(versions: Iterable[int]) -> dict[int, BrokenGlass]:
    """Return the marks of versions by their keys, asking once."""
    rows = marked().filter(version__in=versions).select_related("broken_by", "looked_by")
    return {each.version_id: each for each in rows}


def marks_in(project: Project) -> QuerySet[BrokenGlass]:
    """Return the marks of all versions of a project."""
    return marked().filter(version__feature_view__project=project)


def marked_views() -> QuerySet[BrokenGlass, int]:
    """Return the keys of views that have a marked version, to be asked within a question."""
    return marked().values_list("version__feature_view", flat=True)


def require_confirmed(version: FeatureViewVersion, at: datetime) -> None:
    """Return unless the version's glass keeps it from leading anybody, by its end or a word.

    The end counts by its instant, whether or not a sweep has come by.
    :raises GlassNotConfirmed: saying which, and the next step.
    """
    glass = mark_of(version)
    if glass is None or not glass.leads_nowhere(at):
        return
    if glass.verdict == Look.OBJECTED:
        raise GlassNotConfirmed(
            f"{version} was approved by breaking the glass, and {glass.looked_by} objected to it:"
            f" {glass.comment[:200]} Submit what should be instead as a new version."
        )
    raise GlassNotConfirmed(
        f"{version} was approved by breaking the glass until {glass.ends_at:%Y-%m-%d %H:%M} UTC,"
        " and nobody else has confirmed it. Have somebody confirm it who could have approved it"
        " (confirm), then repeat."
    )


def cautions(versions: Iterable[FeatureViewVersion]) -> list[str]:
    """Return what readers of these versions should know of them."""
    said = []
    for version in versions:
        if version.state == State.DEPRECATED:
            until = f", and answers until {version.sunset_at:%Y-%m-%d}" if version.sunset_at else ""
            said.append(f"{version} is deprecated{until}.")
        if (glass := mark_of(version)) is not None:
            said.append(f"{version} {in_words(glass)}.")
    return said


def in_words(glass: BrokenGlass) -> str:
    """Say how a marked version was approved, naming nobody."""
    if glass.verdict == Look.OBJECTED:
        return "was approved by breaking the glass, and whoever looked at it objected"
    until = f"{glass.ends_at:%Y-%m-%d %H:%M} UTC"
    return f"was approved by breaking the glass until {until}, and nobody else has confirmed it"


def mark_output(version: FeatureViewVersion) -> BrokenGlassAnswer | None:
    """Describe the mark of a version; None: it has none."""
    glass = mark_of(version)
    return None if glass is None else glass_output(glass)


def glass_output(glass: BrokenGlass) -> BrokenGlassAnswer:
    return {
        "by": glass.broken_by.get_username(),
        "reason": glass.reason,
        "at": timestamp(glass.broken_at),
        "until": timestamp(glass.ends_at),
        "verdict": glass.verdict or None,
        "looked_by": glass.looked_by.get_username() if glass.looked_by else None,
        "comment": glass.comment,
    }
