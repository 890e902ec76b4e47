"""What a training set is made of, from the registry: which versions, features and join keys.

Not for the frame (``entity_frame``) or the join (``training_set``): a plan is data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lib.errors import NotFound
from materialization.queries import table_at
from registry import access, queries
from registry.choices import Right
from registry.grants import Grants
from serving.historical.features import ComputedFeature, JoinedFeature
from serving.historical.named_views import (
    NamedView,
    check_used,
    columns_of_keys,
    stored_names,
)
from serving.historical.training_set import ViewPart
from serving.names import answer_names, asked_references, check_feature
from serving.on_demand.features import inputs_of, on_demand_feature
from serving.values import KeyColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.stores.offline_protocol import OfflineStore
    from materialization.stores.offline_values import Snapshot
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
    columns: tuple[JoinedFeature | ComputedFeature, ...]
    references: tuple[Reference, ...]
    keys: tuple[KeyColumn, ...]
    #: Request values that its computed features need of the frame, and the versions of those.
    request: tuple[KeyColumn, ...] = ()
    computed: tuple[FeatureViewVersion, ...] = ()

    @property
    def versions(self) -> tuple[FeatureViewVersion, ...]:
        """Each version once."""
        found = (*(use.version for use in self.uses), *self.computed)
        return tuple({version.pk: version for version in found}.values())

    @property
    def width(self) -> int:
        """Return how many values are held of each row, beside the frame's.

        Those are its columns, and the stored features that computed ones are made of: one column
        may be of a hundred.
        """
        made_of = {
            place
            for each in self.columns
            if isinstance(each, ComputedFeature)
            for place in each.stored
        }
        return len(self.columns) + len(made_of)

    @property
    def asked_of_frame(self) -> tuple[KeyColumn, ...]:
        """Return what a frame must have beside times: join keys, and values of the request."""
        return (*self.keys, *self.request)

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
            features=self.features_of(place),
            key_columns=use.key_columns,
            known={file.uri: file for file in snapshot.known} if snapshot else {},
        )

    def features_of(self, place: int) -> tuple[str, ...]:
        """Return what is read of one use, for columns of it and to compute others."""
        found = []
        for column in self.columns:
            if isinstance(column, JoinedFeature):
                found += [column.feature] if column.part == place else []
            else:
                found += [name for part, name in column.stored if part == place]
        return tuple(dict.fromkeys(found))


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
    stored = [_stored(each, request.views) for each in references]
    builder = _Builder(project, actor, request.views)
    try:
        read = [*stored, *builder.inputs(stored)]
    except NotFound:
        # A name that is misspelt in `views` is why there is no view of the reference's.
        check_used(request.views, {each.view for each in references})
        raise
    check_used(request.views, {each.view for each in (*references, *read)})
    Grants(actor, at=at).require((builder.version(each), each.feature) for each in read)
    named = answer_names(references, full=request.full_feature_names)
    columns = [
        builder.column(name, reference, of)
        for (name, reference), of in zip(named.items(), stored, strict=True)
    ]
    return builder.plan(columns, stored)


def _stored(asked: Reference, views: Mapping[str, NamedView]) -> Reference:
    """Return the reference by the registry's own name of its view."""
    return asked._replace(view=stored_names(views).get(asked.view, asked.view))


class _Builder:
    """Collects a plan's parts; each version enters once for each way in which it is joined."""

    def __init__(
        self, project: Project, actor: User | AnonymousUser, views: Mapping[str, NamedView]
    ) -> None:
        self._project, self._actor, self._views = project, actor, views
        self._versions: dict[tuple[str, str | None], FeatureViewVersion] = {}
        self._uses: dict[tuple[int, tuple[str, ...]], ViewUse] = {}

    def version(self, reference: Reference) -> FeatureViewVersion:
        """Return the version that a reference reads; the actor may."""
        asked = (reference.view, reference.pin)
        if asked not in self._versions:
            version = queries.served_version(
                project=self._project, view=reference.view, pin=reference.pin
            )
            access.require(self._actor, Right.READ_OFFLINE, version.feature_view)
            self._versions[asked] = version
        return self._versions[asked]

    def inputs(self, references: Sequence[Reference]) -> list[Reference]:
        """Return what the computed ones among these are computed from; the actor may read it."""
        found: list[Reference] = []
        for reference in references:  # rights first: a collision names what may be hidden
            version = self.version(reference)
            if not version.spec.transform.is_stored:
                found += inputs_of(version, reference.feature)
        for each in found:
            self.version(each)
        return found

    def column(
        self, name: str, reference: Reference, stored: Reference
    ) -> JoinedFeature | ComputedFeature:
        """Return a column of the answer; ``stored`` has the registry's own name of its view."""
        version = self.version(stored)
        if version.spec.transform.is_stored:
            return self._joined(name, reference, version)
        columns_of_keys(version, reference.view, self._views.get(reference.view, NamedView()))
        read = {
            each: self._joined(each.feature, each, self.version(each))
            for each in inputs_of(version, stored.feature)
        }
        types = {each: column.type for each, column in read.items()}
        feature = on_demand_feature(version, stored.feature, types)
        places = tuple((column.part, column.feature) for column in read.values())
        return ComputedFeature(name, feature, places)

    def plan(
        self, columns: Sequence[JoinedFeature | ComputedFeature], references: Sequence[Reference]
    ) -> TrainingPlan:
        uses = tuple(self._uses.values())
        computed = {
            version.pk: version
            for version in map(self.version, references)
            if not version.spec.transform.is_stored
        }
        return TrainingPlan(
            uses,
            tuple(columns),
            tuple(references),
            keys_of(uses),
            request_of(columns),
            tuple(computed.values()),
        )

    def _joined(
        self, name: str, reference: Reference, version: FeatureViewVersion
    ) -> JoinedFeature:
        use = _use(reference.view, version, self._views)
        identity = version.pk, tuple(use.key_columns.values())
        self._uses.setdefault(identity, use)
        types = {feature.name: feature.type for feature in version.spec.features}
        check_feature(reference, version, types)
        place = [*self._uses].index(identity)
        return JoinedFeature(name, place, reference.feature, types[reference.feature])


def _use(name: str, version: FeatureViewVersion, views: Mapping[str, NamedView]) -> ViewUse:
    label = str(version) if name == version.feature_view.name else f"{name} ({version})"
    return ViewUse(label, version, columns_of_keys(version, name, views.get(name, NamedView())))


def keys_of(uses: Iterable[ViewUse]) -> tuple[KeyColumn, ...]:
    """Return all join keys of the views, once for each column of the frame and type."""
    keys = [key for use in uses for key in use.asked_keys()]
    return tuple({(key.name, key.type): key for key in reversed(keys)}.values())[::-1]


def request_of(
    columns: Iterable[JoinedFeature | ComputedFeature],
) -> tuple[KeyColumn, ...]:
    """Return the request values that columns are computed with, once for each name and type."""
    features = [each.feature for each in columns if isinstance(each, ComputedFeature)]
    return tuple({(key.name, key.type): key for each in features for key in each.request}.values())
