"""Drafts of views that nobody sent: what they embed was changed, or is in another place now.

Not for views that are sent (``view_drafts``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from registry.choices import Kind, State
from registry.newest import newest_of
from registry.operations.registration.clashes import clashes
from registry.operations.registration.drafts import decide_draft
from registry.operations.registration.meant import registered_in
from registry.operations.registration.reads import find_reads, waits_in_words
from registry.operations.registration.view_drafts import parts_of

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion, FileRoot
    from registry.operations.registration.applied import Application, Applied
    from registry.operations.registration.standing import Standing
    from registry.reading.parsing import Definition
    from registry.spec.version_spec import VersionSpec

#: What an entity or data source is called, and where it was changed.
Moved = dict[tuple[Kind, str], "Definition"]


def dependent_views(application: Application, moved: Moved, *, already: set[str]) -> list[Applied]:
    """Make drafts of the views that embed what changed and were not sent themselves."""
    changes: list[Applied] = []
    standing = application.standing
    for name in sorted(standing.views.keys() - already) if moved else ():
        newest = newest_of(standing.usable(name))
        uses = sorted(_embedded(newest) & moved.keys()) if newest else []
        if newest is not None and uses:
            changes += _follow(application, newest, {each: moved[each] for each in uses})
    return changes


def _follow(application: Application, newest: FeatureViewVersion, moved: Moved) -> list[Applied]:
    """Make the draft of ``newest`` anew, or say why what changed does not fit it."""
    spec, editor_ids, waits_for = _as_of_now(application.standing, newest)
    if found := clashes(spec):
        message = f"feature view {spec.view.name} uses it: {found[0][1]}"
        application.problems += [each.problem(("name",), message) for each in moved.values()]
        return []
    applied = decide_draft(application, spec, editor_ids=editor_ids)
    applied.because_of = sorted(name for _, name in moved)
    applied.warnings.append(f"uses {', '.join(applied.because_of)}, which changed")
    _note_waiting(applied, waits_for)
    return [applied]


def views_over_root(application: Application, root: FileRoot) -> list[Applied]:
    """Make drafts of the views whose files lie under a root that is in another place now."""
    changes: list[Applied] = []
    for name in sorted(application.standing.views):
        newest = newest_of(application.standing.usable(name))
        if newest is not None and root.name in newest.spec.roots:
            spec, editor_ids, waits_for = _as_of_now(application.standing, newest)
            changes.append(decide_draft(application, spec, editor_ids=editor_ids))
            changes[-1].warnings.append(f"root {root.name} is in another place now")
            _note_waiting(changes[-1], waits_for)
    return changes


def _note_waiting(applied: Applied, waits_for: tuple[str, ...]) -> None:
    applied.waits_for = waits_for
    if waits_for:
        applied.warnings.append(waits_in_words(waits_for))


def _as_of_now(
    standing: Standing, newest: FeatureViewVersion
) -> tuple[VersionSpec, set[int], tuple[str, ...]]:
    """Return what ``newest`` says with today's source, root and entities, and who wrote those.

    And what a draft still waits for of what it reads.
    """
    view = msgspec.structs.replace(newest.spec.view, version=None)
    if newest.state != State.DRAFT:
        view = msgspec.structs.replace(view, based_on=None)
    reads, waits_for = newest.spec.reads, tuple[str, ...]()
    if not all(read.is_settled for read in reads):
        found = find_reads(view, standing.project, registered_in(standing))
        if found.problems:
            waits_for = tuple(str(read) for read in reads if not read.is_settled)
        else:
            view, reads, waits_for = found.view, found.versions, found.waits_for
    parts = parts_of(standing, view, reads)
    return parts.resolve(view), parts.editor_ids, waits_for


def _embedded(version: FeatureViewVersion) -> set[tuple[Kind, str]]:
    view = version.spec.view
    sources = (view.source, *(join.name for join in view.sources))
    return {
        *((Kind.DATA_SOURCE, name) for name in sources),
        *((Kind.ENTITY, name) for name in view.entities),
    }
