"""Where else a column or feature can be read that a version makes sensitive: what other views
serve of it.

Told with the reasons of its change, so that whoever agrees knows what stays open. Not for what a
version may not be less sensitive than (``remembered``): this weakens nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.choices import SENSITIVE, SERVED_STATES
from registry.models import FeatureViewVersion
from registry.spec.made_of import made_of, rank
from registry.spec.sql_lineage import EVERY
from registry.spec.version_spec import load_version_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.models import Project
    from registry.spec.change import Change
    from registry.spec.made_of import MadeOf, Told
    from registry.spec.version_spec import VersionSpec

#: Features of other views that are named.
MOST = 10


def told_elsewhere(
    change: Change, project: Project, base: VersionSpec | None, spec: VersionSpec
) -> Change:
    """Return a change with what stays open of columns that it makes sensitive, in words."""
    raised = list(_raised(base, spec))
    if not raised or change.classification is None:
        return change
    found = list(dict.fromkeys(_open(project, spec.view.name, raised)))
    more = [f"and {len(found) - MOST} more are open elsewhere"] if len(found) > MOST else []
    return change._replace(reasons=(*change.reasons, *found[:MOST], *more))


def _raised(base: VersionSpec | None, spec: VersionSpec) -> Iterator[MadeOf]:
    """Yield what a version makes sensitive that was not as sensitive before: features, and columns.

    A feature that keeps its name may be made of other columns: of such, those alone.
    """
    before = list(made_of(base)) if base else []
    for made in made_of(spec):
        if made.sensitivity not in SENSITIVE:
            continue
        as_closed = [each for each in before if rank(each.sensitivity) >= rank(made.sensitivity)]
        if made.name not in {each.name for each in as_closed}:
            yield made
            continue
        of = tuple(each._replace(columns=_new_columns(each, as_closed)) for each in made.of)
        if any(each.columns for each in of):
            yield made._replace(of=of)


def _new_columns(told: Told, before: list[MadeOf]) -> frozenset[str]:
    """Return the columns that none of these has values of."""
    there = [each for made in before for each in made.of if each.place.is_surely(told.place)]
    known = frozenset[str]().union(*(each.columns for each in there))
    return frozenset() if EVERY in known else told.columns - known


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
                reads = f"reads the column {column}" if column else ""
                if is_less and (view, made.name) in other.features:
                    reads = "is computed from it"
                if reads:
                    yield (
                        f"feature {made.name}: {name}@{major}.{minor}.{patch}:{other.name} {reads}"
                        f" as {other.sensitivity}, and goes on doing so"
                    )
