"""What a training set is made of, from the registry: which versions, features and join keys.

Not for the frame (``entity_frame``) or the join (``training_set``): a plan is data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materialization.queries import table_at
from registry import access, queries
from registry.choices import Right
from registry.grants import Grants
from serving.historical.named_views import (
    NamedView,
    check_used,
    columns_of_keys,
    stored_names,
)
from serving.historical.training_set import JoinedFeature, ViewPart
from serving.names import answer_names, asked_references, check_feature, check_stored
from serving.values import KeyColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.stores.offline_protocol import OfflineStore, Snapshot
    from registry.models import FeatureViewVersion, Project
    from registry.spec.references import Reference
    from serving.historical.request import HistoricalRequest
    from serving.limits import ReadLimits


class ViewUse(NamedTuple):
    """One version under one name: join key → the frame's column that has it."""

    label: str
    version: FeatureViewVersion
    key_columns: dict[str, str]

    def asked_keys(self) -> list[KeyColumn]:
        """Return its join keys as the frame has them."""
        return [
            KeyColumn(self.key_columns[key.name], key.value_type, self.label)
            for key in self.version.spec.join_keys
        ]


class TrainingPlan(NamedTuple):
    """A resolved and authorised request: the versions it reads and the columns it gives.

    A version is there once for each way in which its keys are found. ``columns`` and ``references``
    go together. ``keys`` are all join keys, once for each column of the frame and type.
    """

    uses: tuple[ViewUse, ...]
    columns: tuple[JoinedFeature, ...]
    references: tuple[Reference, ...]
    keys: tuple[KeyColumn, ...]

    @property
    def versions(self) -> tuple[FeatureViewVersion, ...]:
        """Each version once."""
        return tuple({use.version.pk: use.version for use in self.uses}.values())

    def parts(self, store: OfflineStore) -> list[ViewPart]:
        """Return what is read for each use, at one snapshot a table, also where it is shared.

        :raises OfflineStoreBehind: the store has not what was stored.
        """
        tables = {version.table.pk: version.table for version in self.versions if version.table}
        found = {pk: store.snapshot(table_at(table)) for pk, table in tables.items()}
        return [
            self._part(place, use, found[use.version.table.pk] if use.version.table else None)
            for place, use in enumerate(self.uses)
        ]

    def _part(self, place: int, use: ViewUse, snapshot: Snapshot | None) -> ViewPart:
        return ViewPart(
            label=use.label,
            spec=use.version.spec,
            files=snapshot.read_by(use.version.spec) if snapshot else (),
            features=self._features(place),
            key_columns=use.key_columns,
        )

    def _features(self, place: int) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.feature for one in self.columns if one.part == place))


def plan_training_set(
    *,
    project: Project,
    actor: User | AnonymousUser,
    request: HistoricalRequest,
    limits: ReadLimits,
    at: datetime,
) -> TrainingPlan:
    """Resolve what a request names and require ``read_offline``, and grants, for all of it.

    :raises BadRequest: ``views`` has a name or a join key that there is not.
    :raises ReferenceNotFound, VersionNotReady, VersionRetired: what it names cannot be read.
    :raises ActionNotPermitted: the actor may not read one of the views.
    :raises GrantNeeded: the actor has no grant for a feature that is sensitive.
    :raises FeatureNameCollision: two features would have one name; names both.
    """
    references = asked_references(
        project=project,
        features=request.features,
        feature_service=request.feature_service,
        limits=limits,
        stored_names=stored_names(request.views),
    )
    check_used(request.views, {each.view for each in references})
    stored = [_stored(each, request.views) for each in references]
    versions = _served(stored, project=project, actor=actor)
    read = [(versions[each.view, each.pin], each.feature) for each in stored]
    Grants(actor, at=at).require(read)
    named = answer_names(references, full=request.full_feature_names)
    uses: dict[tuple[int, tuple[str, ...]], ViewUse] = {}
    columns = []
    for (name, reference), (version, _) in zip(named.items(), read, strict=True):
        use = _use(reference.view, version, request.views)
        identity = version.pk, tuple(use.key_columns.values())
        uses.setdefault(identity, use)
        columns.append(_joined(name, reference, version, [*uses].index(identity)))
    return TrainingPlan(tuple(uses.values()), tuple(columns), tuple(stored), _keys(uses.values()))


def _stored(asked: Reference, views: Mapping[str, NamedView]) -> Reference:
    """Return the reference by the registry's own name of its view."""
    return asked._replace(view=stored_names(views).get(asked.view, asked.view))


def _served(
    references: Iterable[Reference], *, project: Project, actor: User | AnonymousUser
) -> dict[tuple[str, str | None], FeatureViewVersion]:
    """Return the version that each view and pin reads, all of which the actor may read."""
    versions: dict[tuple[str, str | None], FeatureViewVersion] = {}
    for reference in references:  # rights first: a collision names what may be hidden
        asked = (reference.view, reference.pin)
        if asked not in versions:
            versions[asked] = queries.served_version(
                project=project, view=reference.view, pin=reference.pin
            )
            access.require(actor, Right.READ_OFFLINE, versions[asked].feature_view)
            check_stored(versions[asked])
    return versions


def _use(name: str, version: FeatureViewVersion, views: Mapping[str, NamedView]) -> ViewUse:
    label = str(version) if name == version.feature_view.name else f"{name} ({version})"
    return ViewUse(label, version, columns_of_keys(version, name, views.get(name, NamedView())))


def _joined(
    name: str, reference: Reference, version: FeatureViewVersion, place: int
) -> JoinedFeature:
    types = {feature.name: feature.type for feature in version.spec.features}
    check_feature(reference, version, types)
    return JoinedFeature(name, place, reference.feature, types[reference.feature])


def _keys(uses: Iterable[ViewUse]) -> tuple[KeyColumn, ...]:
    keys = [key for use in uses for key in use.asked_keys()]
    return tuple({(key.name, key.type): key for key in reversed(keys)}.values())[::-1]
