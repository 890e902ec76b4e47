"""What a training set is made of, from the registry: which versions, features and join keys.

Not for the frame (``entity_frame``) or the join (``training_set``): a plan is data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materialization.queries import table_at
from registry import access, queries
from registry.choices import Right
from registry.grants import Grants
from serving.historical.training_set import JoinedFeature, ViewPart
from serving.names import answer_names, asked_references, check_feature, check_stored
from serving.values import KeyColumn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.stores.offline_protocol import OfflineStore
    from registry.models import FeatureViewVersion, Project
    from registry.spec.references import Reference
    from serving.historical.request import HistoricalRequest
    from serving.limits import ReadLimits


class TrainingPlan(NamedTuple):
    """A resolved and authorised request: the versions it reads and the columns it gives.

    ``keys`` are all join keys of the versions, once for each name and type.
    """

    versions: tuple[FeatureViewVersion, ...]
    columns: tuple[JoinedFeature, ...]
    references: tuple[Reference, ...]
    keys: tuple[KeyColumn, ...]

    def parts(self, store: OfflineStore) -> list[ViewPart]:
        """Return what is read of each version, at one snapshot a table, also where it is shared.

        :raises OfflineStoreBehind: the store has not what was stored.
        """
        tables = {version.table.pk: version.table for version in self.versions if version.table}
        files = {pk: store.snapshot(table_at(table)).files for pk, table in tables.items()}
        return [
            ViewPart(
                label=str(version),
                spec=version.spec,
                files=files[version.table.pk] if version.table else (),
                features=self._features(place),
            )
            for place, version in enumerate(self.versions)
        ]

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
    )
    versions: dict[tuple[str, str | None], FeatureViewVersion] = {}
    for reference in references:  # rights first: a collision names what may be hidden
        asked = (reference.view, reference.pin)
        if asked not in versions:
            versions[asked] = queries.served_version(
                project=project, view=reference.view, pin=reference.pin
            )
            access.require(actor, Right.READ_OFFLINE, versions[asked].feature_view)
            check_stored(versions[asked])
    read = [(versions[each.view, each.pin], each.feature) for each in references]
    Grants(actor, at=at).require(read)
    distinct = {version.pk: version for version in versions.values()}
    places = {pk: place for place, pk in enumerate(distinct)}
    named = answer_names(references, full=request.full_feature_names)
    columns = [
        _joined(name, reference, versions[reference.view, reference.pin], places)
        for name, reference in named.items()
    ]
    return TrainingPlan(
        tuple(distinct.values()), tuple(columns), references, _keys(distinct.values())
    )


def _joined(
    name: str, reference: Reference, version: FeatureViewVersion, places: dict[int, int]
) -> JoinedFeature:
    types = {feature.name: feature.type for feature in version.spec.features}
    check_feature(reference, version, types)
    return JoinedFeature(name, places[version.pk], reference.feature, types[reference.feature])


def _keys(versions: Iterable[FeatureViewVersion]) -> tuple[KeyColumn, ...]:
    keys = [
        KeyColumn(key.name, key.value_type, str(version))
        for version in versions
        for key in version.spec.join_keys
    ]
    return tuple({(key.name, key.type): key for key in reversed(keys)}.values())[::-1]
