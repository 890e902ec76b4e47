"""What a registration changes, value by value, and for whom: what a plan shows before anything is.

Not for whether it may be (``drafts``) or for how much it asks of consumers (``spec.change``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from registry.breakage import losses
from registry.choices import Kind
from registry.operations.registration.storing import DraftChange, ServiceChange
from registry.spec.differences import differ, differences
from registry.spec.references import parse_reference

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion
    from registry.operations.registration.applied import Application
    from registry.operations.registration.standing import Standing
    from registry.operations.registration.storing import Change
    from registry.spec.differences import Difference


class Break(NamedTuple):
    """Something that loses what it reads; ``why`` is a reason for each part it loses."""

    kind: Kind
    name: str
    why: list[str]


class Consequences(NamedTuple):
    """What one change is and means; nothing where nothing changes.

    ``following``: services that read the default version, whichever that is. ``pinned``: what
    services name of single versions, which they go on reading.
    """

    differences: list[Difference]
    breaks: list[Break]
    following: list[str]
    pinned: list[str]


def tell_consequences(application: Application) -> None:
    """Add to what is said of each object what its change means."""
    changes = {_named(change): change for change in application.changes}
    for applied in application.applied:
        # A draft that says the same already has its consequences still before it.
        changed = changes.get((applied.kind, applied.name))
        draft = applied.draft or (changed.row if isinstance(changed, DraftChange) else None)
        if draft is not None:
            applied.consequences = _of_draft(draft, application.standing)
        else:
            applied.consequences = _of_change(changed)


def _named(change: Change) -> tuple[Kind, str]:
    if isinstance(change, DraftChange):
        stored = change.row.spec.transform.is_stored
        kind = Kind.FEATURE_VIEW if stored else Kind.ON_DEMAND_FEATURE_VIEW
        return kind, change.row.feature_view.name
    if isinstance(change, ServiceChange):
        return Kind.FEATURE_SERVICE, change.row.feature_service.name
    is_entity = change.row._meta.model_name == "entity"
    return Kind.ENTITY if is_entity else Kind.DATA_SOURCE, change.row.name


def _of_draft(draft: FeatureViewVersion, standing: Standing) -> Consequences:
    view = draft.feature_view
    followers = standing.followers.get(view.pk, [])
    derived = standing.computed_from.get(view.name, [])
    breaks = [
        Break(kind, name, why)
        for kind, readers in (
            (Kind.FEATURE_SERVICE, followers),
            (Kind.ON_DEMAND_FEATURE_VIEW, derived),
        )
        for name, why in losses(draft, readers).items()
    ]
    base = draft.based_on
    return Consequences(
        differences(base.spec, draft.spec) if base else [],
        breaks,
        sorted({service for service, _ in followers}),
        standing.pinned.get(view.pk, []),
    )


def _of_change(change: Change | None) -> Consequences:
    if change is None or change.before is None:
        return Consequences([], [], [], [])
    before, after = json.loads(change.before), json.loads(change.row.spec_json)
    breaks = []
    if isinstance(change, ServiceChange) and (lost := _lost(before, after)):
        breaks = [Break(Kind.FEATURE_SERVICE, change.row.feature_service.name, lost)]
    return Consequences(list(differ("", before, after)), breaks, [], [])


def _lost(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """Say what a service has no more, in whichever version: its readers asked for all of it."""
    kept = {_feature(text) for text in after["features"]}
    return [f"no {text}" for text in before["features"] if _feature(text) not in kept]


def _feature(text: str) -> tuple[str, str]:
    reference = parse_reference(text)
    return reference.view, reference.feature
