"""Where else a column can be read that a version makes sensitive: what other views serve of it.

Told with the reasons of its change, so that whoever agrees knows what stays open. Not for what a
version may not be less sensitive than (``remembered``): this weakens nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.choices import SENSITIVE, SERVED_STATES
from registry.models import FeatureViewVersion
from registry.spec.made_of import made_of, rank
from registry.spec.model import load_version_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.models import Project
    from registry.spec.change import Change
    from registry.spec.made_of import MadeOf
    from registry.spec.model import VersionSpec

#: Features of other views that are named.
MOST = 10


def told_elsewhere(
    change: Change, project: Project, base: VersionSpec | None, spec: VersionSpec
) -> Change:
    """Return a change with what stays open of columns that it makes sensitive, in words."""
    before = {each.name: each.sensitivity for each in base.features} if base else {}
    raised = [
        made
        for made in made_of(spec)
        if made.sensitivity in SENSITIVE and before.get(made.name) != made.sensitivity
    ]
    if not raised or change.classification is None:
        return change
    found = list(dict.fromkeys(_open(project, spec.view.name, raised)))
    more = [f"and {len(found) - MOST} more are open elsewhere"] if len(found) > MOST else []
    return change._replace(reasons=(*change.reasons, *found[:MOST], *more))


def _open(project: Project, view: str, raised: list[MadeOf]) -> Iterator[str]:
    served = FeatureViewVersion.objects.filter(
        feature_view__project=project, state__in=SERVED_STATES
    ).exclude(feature_view__name=view)
    columns = "feature_view__name", "major", "minor", "patch", "spec_json"
    for name, major, minor, patch, text in served.order_by("pk").values_list(*columns):
        for other in made_of(load_version_spec(text)):
            for made in raised:
                is_less = rank(other.sensitivity) < rank(made.sensitivity)
                column = other.shared(made) if is_less and not other.masks_all_of(made) else ""
                if column:
                    yield (
                        f"feature {made.name}: {name}@{major}.{minor}.{patch}:{other.name} reads"
                        f" the column {column} as {other.sensitivity}, and goes on doing so"
                    )
