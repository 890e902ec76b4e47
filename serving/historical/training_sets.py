"""From a user's request to a training set: resolve, authorise, pin snapshots, join, leave a trace.

Not for HTTP (``api``) and not for the join (``read``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction

from materialization.queries import table_uri
from registry import access, audit, queries
from registry.choices import Right, State
from serving.historical.read import AskedFeature, TrainingSet, ViewPart, get_historical_features
from serving.names import (
    FeatureNameCollision,
    answer_names,
    asked_references,
    check_feature,
    check_stored,
)

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa
    from django.contrib.auth.models import AnonymousUser, User

    from materialization.compute.engine import Engine
    from materialization.stores.protocols import OfflineStore
    from registry.models import FeatureViewVersion, Project
    from registry.spec.references import Reference
    from registry.spec.value_types import ValueType
    from serving.historical.request import HistoricalRequest


class TrainingPlan(NamedTuple):
    """A resolved and authorised request: the versions it reads and the columns it gives."""

    versions: tuple[FeatureViewVersion, ...]
    columns: tuple[AskedFeature, ...]
    references: tuple[Reference, ...]

    @property
    def key_types(self) -> dict[str, ValueType]:
        """Return the join keys' types by name; of two views that disagree the first."""
        keys = [key for version in self.versions for key in version.spec.join_keys]
        return {key.name: key.value_type for key in reversed(keys)}


def plan_training_set(
    *, project: Project, actor: User | AnonymousUser, request: HistoricalRequest
) -> TrainingPlan:
    """Resolve what a request names and require ``read_offline`` on every view of it.

    :raises ReferenceNotFound, VersionNotReady, VersionRetired: what it names cannot be read.
    :raises ActionNotPermitted: the actor may not read one of the views.
    :raises FeatureNameCollision: two features would have one name; names both.
    """
    references = asked_references(
        project=project, features=request.features, feature_service=request.feature_service
    )
    versions: dict[tuple[str, str | None], FeatureViewVersion] = {}
    for reference in references:
        asked = (reference.view, reference.pin)
        if asked not in versions:
            versions[asked] = queries.served_version(
                project=project, view=reference.view, pin=reference.pin
            )
            access.require(actor, Right.READ_OFFLINE, versions[asked].feature_view)
            check_stored(versions[asked])
    distinct = {version.pk: version for version in versions.values()}
    places = {pk: place for place, pk in enumerate(distinct)}
    named = answer_names(references, full=request.full_feature_names)
    columns = [
        _column(name, reference, versions[reference.view, reference.pin], places)
        for name, reference in named.items()
    ]
    return TrainingPlan(tuple(distinct.values()), tuple(columns), references)


def read_training_set(
    frame: pa.Table,
    *,
    plan: TrainingPlan,
    project: Project,
    actor: User | AnonymousUser,
    request: HistoricalRequest,
    store: OfflineStore,
    engine: Engine,
    at: datetime,
) -> TrainingSet:
    """Join the plan's features to ``frame``, each table read at one snapshot, and record the read.

    :raises FeatureNameCollision: a column of the frame has the name of a feature.
    :raises BadEntityFrame: see ``get_historical_features``.
    """
    _refuse_frame_names(frame, plan, full=request.full_feature_names)
    answer = get_historical_features(
        frame,
        _parts(plan, store),
        plan.columns,
        engine=engine,
        timing=request.timing,
        explain=request.explain,
    )
    _record(answer, plan=plan, project=project, actor=actor, request=request, at=at)
    deprecated = [f"{v} is deprecated." for v in plan.versions if v.state == State.DEPRECATED]
    return answer._replace(warnings=(*deprecated, *answer.warnings))


@transaction.atomic
def _record(
    answer: TrainingSet,
    *,
    plan: TrainingPlan,
    project: Project,
    actor: User | AnonymousUser,
    request: HistoricalRequest,
    at: datetime,
) -> None:
    audit.record(
        actor=actor,
        verb="training_set.read",
        subject=project,
        data={
            "features": [str(reference) for reference in plan.references],
            "feature_service": request.feature_service,
            "versions": [str(version) for version in plan.versions],
            "timing": request.timing,
            "rows": answer.table.num_rows,
            "matched": {part.label: part.matched for part in answer.parts},
        },
        project=project,
        at=at,
    )


def _column(
    name: str, reference: Reference, version: FeatureViewVersion, places: dict[int, int]
) -> AskedFeature:
    types = {feature.name: feature.type for feature in version.spec.features}
    check_feature(reference, version, types)
    return AskedFeature(name, places[version.pk], reference.feature, types[reference.feature])


def _parts(plan: TrainingPlan, store: OfflineStore) -> list[ViewPart]:
    """Take one snapshot a table, also where several versions share it."""
    tables = {version.table.pk: version.table for version in plan.versions if version.table}
    files = {pk: store.snapshot(table_uri(table)).files for pk, table in tables.items()}
    return [
        ViewPart(
            label=str(version),
            spec=version.spec,
            files=files[version.table.pk] if version.table else (),
            features=tuple(
                dict.fromkeys(column.feature for column in plan.columns if column.part == place)
            ),
        )
        for place, version in enumerate(plan.versions)
    ]


def _refuse_frame_names(frame: pa.Table, plan: TrainingPlan, *, full: bool) -> None:
    other = "." if full else ', or send "full_feature_names": true.'
    for column, reference in zip(plan.columns, plan.references, strict=True):
        if column.name in frame.column_names:
            raise FeatureNameCollision(
                f"{reference} and the entity frame's column {column.name!r} have the same name."
                f" Rename or leave out the column{other}",
                features=[str(reference), f"entity frame: {column.name}"],
            )
