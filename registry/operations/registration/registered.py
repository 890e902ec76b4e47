"""What is registered beside the commits that said it last: whether it still is what they said.

Not for noting commits (``origins``) or for writing definitions (``exported``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db.models import prefetch_related_objects

from registry.choices import InStep, Kind, State
from registry.models import Entity, FeatureService, FeatureView, Origin
from registry.newest import heads_of
from registry.operations.registration.exported import STANDING, Named, catalog_rows, names_in
from registry.spec.fingerprints import text_fingerprint, view_fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import DataSource, FeatureViewVersion, Project

#: Views with a version in one of these are there.
OPEN = (*STANDING, State.DRAFT)


class Registered(NamedTuple):
    """One object as it is, and the commit that said it last; None: none ever did.

    ``changed_at`` and ``changed_by`` are of what is registered, whoever registered it.
    """

    kind: Kind
    name: str
    version: str | None
    state: State | None
    changed_at: datetime
    changed_by: User
    origin: Origin | None = None
    standing: InStep | None = None


def registered(names: Sequence[Named], project: Project) -> list[Registered]:
    """Return these objects in their order, in a handful of questions."""
    wanted = {each.name for each in names}
    rows = Origin.objects.filter(project=project, name__in=wanted).select_related("applied_by")
    origins = {(each.kind, each.name): each for each in rows}
    found: dict[Named, Registered] = {
        Named(type(row), row.name): _catalog(row, origins) for row in catalog_rows(names, project)
    }
    views = FeatureView.objects.filter(
        project=project, name__in=[each.name for each in names if each.model is FeatureView]
    )
    heads, drafts = heads_of(views, STANDING), heads_of(views, [State.DRAFT])
    prefetch_related_objects([*heads.values(), *drafts.values()], "created_by")
    for key in heads.keys() | drafts.keys():
        line = _view(heads.get(key), drafts.get(key), origins)
        found[Named(FeatureView, line.name)] = line
    return [found[each] for each in names if each in found]


def registered_one(row: Entity | DataSource | FeatureView | FeatureService) -> Registered | None:
    """Return the same of one object; None: of a view no version is left."""
    found = registered([Named(type(row), row.name)], row.project)
    return found[0] if found else None


class Drift(NamedTuple):
    """How a project stands to the commit that was applied last."""

    latest: Origin
    total: int
    #: What is registered otherwise than its commit says.
    drifted: list[Registered]


def drift_of(project: Project, *, most: int) -> Drift | None:
    """Return it for a page, of the first ``most`` objects by name; None: no commit ever was."""
    origins = Origin.objects.filter(project=project)
    latest = origins.select_related("applied_by").order_by("-applied_at", "pk").first()
    if latest is None:
        return None
    said = set(origins.order_by("name").values_list("name", flat=True)[:most])
    names = [each for each in names_in(project, OPEN) if each.name in said]
    drifted = [each for each in registered(names, project) if each.standing == InStep.DRIFTED]
    return Drift(latest, origins.count(), drifted)


def _catalog(
    row: Entity | DataSource | FeatureService, origins: Mapping[tuple[str, str], Origin]
) -> Registered:
    if isinstance(row, FeatureService):
        current = row.current
        assert current is not None  # noqa: S101 - those without are left out before
        kind, text, version = Kind.FEATURE_SERVICE, current.spec_json, str(current.version)
        at, by = current.created_at, current.created_by
    else:
        kind = Kind.ENTITY if isinstance(row, Entity) else Kind.DATA_SOURCE
        text, version, at, by = row.spec_json, None, row.updated_at, row.updated_by
    origin = origins.get((kind, row.name))
    standing = None
    if origin is not None:
        same = origin.fingerprint == text_fingerprint(text)
        standing = InStep.IN_STEP if same else InStep.DRIFTED
    return Registered(kind, row.name, version, None, at, by, origin, standing)


def _view(
    head: FeatureViewVersion | None,
    draft: FeatureViewVersion | None,
    origins: Mapping[tuple[str, str], Origin],
) -> Registered:
    shown = head or draft
    assert shown is not None  # noqa: S101 - of each view there is one of them
    stored = shown.spec.transform.is_stored
    kind = Kind.FEATURE_VIEW if stored else Kind.ON_DEMAND_FEATURE_VIEW
    origin = origins.get((kind, shown.feature_view.name))
    return Registered(
        kind,
        shown.feature_view.name,
        shown.number,
        State(shown.state),
        shown.submitted_at or shown.created_at,
        shown.created_by,
        origin,
        _standing(origin, head, draft) if origin else None,
    )


def _standing(
    origin: Origin, head: FeatureViewVersion | None, draft: FeatureViewVersion | None
) -> InStep:
    """Compare what a commit said with what stands, and with what somebody has still to agree to."""
    if head is not None and view_fingerprint(head.spec) == origin.fingerprint:
        return InStep.WAITS if head.state == State.IN_REVIEW else InStep.IN_STEP
    if draft is not None and view_fingerprint(draft.spec) == origin.fingerprint:
        return InStep.WAITS
    return InStep.DRIFTED
