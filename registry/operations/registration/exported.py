"""What a project has registered, as definitions: applied again they change nothing.

Not for how a definition is written down (``reading.writing``). Nothing here changes anything.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from registry.choices import SUBMITTED_STATES, Kind, State
from registry.mask_keys import newest_identity
from registry.models import DataSource, Entity, FeatureService, FeatureView
from registry.newest import heads_of
from registry.operations.registration.view_drafts import resolved
from registry.source_places import Places
from registry.spec.fingerprints import content_fingerprint
from registry.spec.on_demand_views import on_demand_view
from registry.spec.row_sql import laid_out
from registry.spec.transforms import transform_of
from registry.spec.version_spec import VersionSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.models import FeatureViewVersion, Project
    from registry.spec.base import Described
    from registry.spec.model import FeatureViewSpec

#: What a definition that is sent is compared with: the highest of these.
STANDING = tuple(state for state in SUBMITTED_STATES if state != State.RETIRED)
#: The kinds in the order in which they are applied; views of both kinds are rows of one.
MODELS: tuple[type[Entity | DataSource | FeatureView | FeatureService], ...] = (
    Entity,
    DataSource,
    FeatureView,
    FeatureService,
)


class Named(NamedTuple):
    """One registered object, by what it takes to find it."""

    model: type[Entity | DataSource | FeatureView | FeatureService]
    name: str


class Exported(NamedTuple):
    """One definition; ``version`` and ``state`` of a view's version, the counter of a service."""

    kind: Kind
    spec: Described
    version: str | None = None
    state: State | None = None


def names_in(project: Project, states: Sequence[str], *, name: str = "") -> list[Named]:
    """Return what there is, in the order of an export: views with a version in one of these states.

    Where it is one state alone, only views: nothing else has any.
    """
    found: list[Named] = []
    for model in MODELS:
        rows: Any = model._default_manager.filter(project=project).order_by("name")
        if model is FeatureView:
            rows = rows.filter(versions__state__in=states).distinct()
        elif len(states) == 1:
            continue
        if model is FeatureService:
            rows = rows.exclude(current=None)
        if name:
            rows = rows.filter(name=name)
        found += (Named(model, each) for each in rows.values_list("name", flat=True))
    return found


def exported(
    names: Sequence[Named], project: Project, *, state: str = "", versions: bool = True
) -> list[Exported]:
    """Return the definitions of these objects, in their order, in a handful of questions.

    ``versions``: with the number of each view's version; without it the next change is numbered by
    what it asks of consumers.
    """
    found = {Named(type(row), row.name): _of_catalog(row) for row in catalog_rows(names, project)}
    views = [each.name for each in names if each.model is FeatureView]
    if views:
        parts = _Parts(project)
        heads = heads_of(FeatureView.objects.filter(project=project, name__in=views), STANDING)
        asked = heads
        if state:
            asked = heads_of(
                FeatureView.objects.filter(project=project, name__in=views), [State(state)]
            )
        for version in asked.values():
            head = heads.get(version.feature_view_id)
            named = Named(FeatureView, version.feature_view.name)
            found[named] = _of_version(version, head, parts, versions=versions)
    return [found[each] for each in names if each in found]


def catalog_rows(
    names: Iterable[Named], project: Project
) -> Iterable[Entity | DataSource | FeatureService]:
    for model in (Entity, DataSource, FeatureService):
        wanted = [each.name for each in names if each.model is model]
        rows: Any = model._default_manager.filter(project=project, name__in=wanted)
        by = "current__created_by" if model is FeatureService else "updated_by"
        yield from rows.select_related(by)


def _of_catalog(row: Entity | DataSource | FeatureService) -> Exported:
    if isinstance(row, FeatureService):
        assert row.current is not None  # noqa: S101 - those without are left out before
        spec: Described = row.current.spec
        return Exported(Kind.FEATURE_SERVICE, spec, str(row.current.version))
    kind = Kind.ENTITY if isinstance(row, Entity) else Kind.DATA_SOURCE
    return Exported(kind, row.spec)


class _Parts:
    """What views embed, as it is registered now."""

    def __init__(self, project: Project) -> None:
        self._entities = {e.name: e.spec for e in Entity.objects.filter(project=project)}
        self._sources = {s.name: s.spec for s in DataSource.objects.filter(project=project)}
        self._project = project
        self._places = Places(project)

    @cached_property
    def _mask_key(self) -> str:
        return newest_identity(self._project)

    def are_those_of(self, spec: VersionSpec) -> bool:
        """Return whether the version means today what it meant when it was written."""
        if spec.source is None:
            return True
        own, *joined = (self._places.of(self._sources[source.name]) for source in spec.all_sources)
        entities = [self._entities[name] for name in spec.view.entities]
        mask_key = self._mask_key if spec.has_hashes else ""
        now = resolved(spec.view, own, entities, mask_key, joined, reads=spec.reads)
        return content_fingerprint(now) == content_fingerprint(spec.untaken)


def _of_version(
    version: FeatureViewVersion, head: FeatureViewVersion | None, parts: _Parts, *, versions: bool
) -> Exported:
    view = version.spec.view
    number, based_on = view.version, view.based_on
    if version.state != State.DRAFT:
        # What it embeds has changed since: sent again it is another version, without a number yet.
        number = version.number if parts.are_those_of(version.spec) else None
        is_compared = head is None or head.pk == version.pk
        based_on = None if is_compared else version.number
    if not versions and version.state != State.DRAFT:
        number = None
    view = msgspec.structs.replace(_laid_out(view), version=number, based_on=based_on)
    stored = version.spec.transform.is_stored
    kind = Kind.FEATURE_VIEW if stored else Kind.ON_DEMAND_FEATURE_VIEW
    spec = view if stored else on_demand_view(view)
    return Exported(kind, spec, version.number, State(version.state))


def _laid_out(view: FeatureViewSpec) -> FeatureViewSpec:
    """Write SQL over several lines, where that is read as the same."""
    if view.sql is None:
        return view
    lines = msgspec.structs.replace(view, sql=laid_out(view.sql))
    same = transform_of(lines).canonical(view.source) == transform_of(view)
    return lines if same else view
