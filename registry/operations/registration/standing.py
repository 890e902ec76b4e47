"""What a project has registered, read in a few queries: definitions are compared with it.

Deciding changes it in memory, so that what is sent later is compared with what was sent before.
Nothing here writes: ``storing`` does.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from registry import epoch
from registry.breakage import followers_by_view, pinned_by_view
from registry.choices import SUBMITTED_STATES, State
from registry.glass import marks_in
from registry.mask_keys import newest_identity
from registry.models import (
    DataSource,
    Entity,
    FeatureService,
    FeatureView,
    FeatureViewVersion,
    Project,
    VersionNumber,
)
from registry.newest import newest_of
from registry.remembered import Memory
from registry.source_places import Places
from registry.spec.references import parse_reference
from registry.spec.versions import FIRST, Version, parse_version

if TYPE_CHECKING:
    from registry.models import BrokenGlass
    from registry.models.catalog import CatalogObject
    from registry.spec.version_spec import VersionSpec

#: What deciding never reads, and is large.
_UNREAD = ("packet",)
_Object = TypeVar("_Object", bound="CatalogObject")


class Standing:
    """A project's objects by name; a handful of queries, however many there are.

    ``epochs`` are the project's at the first of them: while it has those, nothing was changed.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.epochs = epoch.registered(project.pk)
        self.places = Places(project)
        self.entities = self._catalog(Entity)
        self.sources = self._catalog(DataSource)
        views = FeatureView.objects.filter(project=project)
        self.views = {view.name: view for view in views}
        self.versions = self._versions()
        self.services = {
            service.name: service
            for service in FeatureService.objects.filter(project=project).select_related("current")
        }

    def _catalog(self, model: type[_Object]) -> dict[str, _Object]:
        found = {each.name: each for each in model._default_manager.filter(project=self.project)}
        for each in found.values():
            each.project = self.project
        return found

    def _versions(self) -> dict[str, list[FeatureViewVersion]]:
        """Group the versions by view; each knows its view, and a view its default."""
        found: dict[str, list[FeatureViewVersion]] = {name: [] for name in self.views}
        views = {view.pk: view for view in self.views.values()}
        versions = FeatureViewVersion.objects.filter(feature_view__project=self.project)
        for version in versions.defer(*_UNREAD):
            if (view := views.get(version.feature_view_id)) is None:
                continue  # made since the views were read: the epoch is another one by now
            view.project = self.project
            version.feature_view = view
            found[view.name].append(version)
            if view.default_version_id == version.pk:
                view.default_version = version
        return found

    @cached_property
    def marks(self) -> dict[int, BrokenGlass]:
        """The broken glasses that nobody confirmed, by the keys of their versions."""
        return {each.version_id: each for each in marks_in(self.project)}

    @cached_property
    def editor_ids(self) -> dict[tuple[type[CatalogObject], str], set[int]]:
        """Everybody who ever wrote an entity or a source."""
        found: dict[tuple[type[CatalogObject], str], set[int]] = defaultdict(set)
        for model, objects in ((Entity, self.entities), (DataSource, self.sources)):
            names = {each.pk: each.name for each in objects.values()}
            one = str(model._meta.model_name)
            rows = model.editors.through._default_manager.filter(
                **{f"{one}__project": self.project}
            )
            for pk, user_id in rows.values_list(f"{one}_id", "user_id"):
                if pk in names:
                    found[model, names[pk]].add(user_id)
        return found

    @cached_property
    def mask_key(self) -> str:
        """What versions with hashes name the project's key by; empty: it has none yet."""
        return newest_identity(self.project)

    @cached_property
    def memory(self) -> Memory:
        """What columns and features were ever approved as."""
        return Memory(self.project)

    @cached_property
    def numbers(self) -> dict[int, list[VersionNumber]]:
        """Every number that was ever given, by view."""
        found: dict[int, list[VersionNumber]] = defaultdict(list)
        for each in VersionNumber.objects.filter(feature_view__project=self.project):
            found[each.feature_view_id].append(each)
        return found

    @cached_property
    def followers(self) -> dict[int, list[tuple[str, str]]]:
        """By view, the ``(service, feature)`` that follow its default."""
        return followers_by_view(self.project)

    @cached_property
    def pinned(self) -> dict[int, list[str]]:
        """By view, what services name of its versions, as ``service: view@1.0.0:feature``."""
        return pinned_by_view(self.project)

    @cached_property
    def computed_from(self) -> dict[str, list[tuple[str, str]]]:
        """By view, the ``(on-demand view, feature)`` that are computed from its default."""
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name in sorted(self.versions):
            newest = newest_of(self.usable(name))
            inputs = newest.spec.view.inputs if newest else None
            for reference in map(parse_reference, inputs.features if inputs else ()):
                if reference.pin is None and reference.feature != "*":
                    found[reference.view].append((name, reference.feature))
        return found

    def taken_numbers(self, version: FeatureViewVersion) -> set[Version]:
        """Return the numbers that other versions of its view have or had."""
        given = self.numbers.get(version.feature_view.pk, ())
        return {each.number for each in given if each.version_id != version.pk}

    def usable(self, name: str) -> list[FeatureViewVersion]:
        """Return the versions of a view that are not retired."""
        return [each for each in self.versions.get(name, ()) if each.state != State.RETIRED]

    def base_of(self, spec: VersionSpec) -> FeatureViewVersion | None:
        """Return what ``queries.base_version`` would of the view that ``spec`` names."""
        submitted = [v for v in self.usable(spec.view.name) if v.state in SUBMITTED_STATES]
        if spec.view.based_on is not None:
            wanted = parse_version(spec.view.based_on)
            return next((each for each in submitted if each.version == wanted), None)
        return max(submitted, key=lambda each: each.version or FIRST, default=None)
