"""What each version of a view made of one of its features: its course, newest first.

Not for what changed between two versions as a whole: ``spec.change`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from registry.choices import State
from registry.newest import MOST_SHOWN, NEWEST_FIRST
from registry.prose import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.models import FeatureView, FeatureViewVersion
    from registry.spec.model import FeatureSpec

#: What of a feature is told when it differs; checks are told apart.
COMPARED = ("type", "sensitivity", "source_column", "mask", "encoded", "sql", "unit", "description")


class Stage(NamedTuple):
    """One version of the view, and what became of the feature in it."""

    version: FeatureViewVersion
    #: new, changed, removed, or empty: it is as it was before.
    word: str
    changes: list[str]
    #: Why the version as a whole is of its class.
    reasons: list[str]


def stages_of(feature_view: FeatureView, name: str) -> Iterator[Stage]:
    """Yield the view's newest versions that have, or lost, the feature."""
    newest = feature_view.versions.order_by(*NEWEST_FIRST)
    for version in newest.select_related("based_on", "submitted_by")[:MOST_SHOWN]:
        version.feature_view = feature_view
        before, now = _found(version.based_on, name), _found(version, name)
        if now is None and before is None:
            continue
        packet = version.packet if version.state != State.DRAFT else {}
        reasons = [str(each) for each in packet.get("reasons", ())]
        yield Stage(version, _word(before, now), _changes(before, now), reasons)


def _found(version: FeatureViewVersion | None, name: str) -> FeatureSpec | None:
    features = version.spec.features if version else ()
    return next((each for each in features if each.name == name), None)


def _word(before: FeatureSpec | None, now: FeatureSpec | None) -> str:
    if now is None:
        return "removed"
    if before is None:
        return "new"
    return "" if before == now else "changed"


def _changes(before: FeatureSpec | None, now: FeatureSpec | None) -> list[str]:
    if before is None or now is None:
        return []
    found = []
    for name in COMPARED:
        old, new = (first_line(str(getattr(each, name) or "–")) for each in (before, now))
        if old != new:
            found.append(f"{name.replace('_', ' ')}: {old} became {new}")
    if before.checks != now.checks:
        found.append("checks changed")
    return found
