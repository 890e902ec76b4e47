"""A request for a training set, from what it names to the answer: the whole way, in order.

Not for HTTP (``api``), nor for how each step is done: it calls them one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction

from lib.errors import SHOWN
from materialization.quality.freshness import freshness_of
from registry import audit
from registry.glass import cautions
from serving.freshness import overdue_words
from serving.historical.entity_frame import entity_frame
from serving.historical.forms import read_columns, read_upload
from serving.historical.found_frame import common_keys, find_entities
from serving.historical.plan import plan_training_set
from serving.historical.training_set import join_features
from serving.names import FeatureNameCollision

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.compute.engine import Engine
    from materialization.stores.offline_protocol import OfflineStore
    from registry.models import FeatureViewVersion, Project
    from serving.historical.all_entities import AllEntities
    from serving.historical.entity_frame import EntityFrame
    from serving.historical.plan import TrainingPlan
    from serving.historical.request import HistoricalRequest
    from serving.historical.training_set import TrainingSet
    from serving.limits import ReadLimits


def read_training_set(
    body: bytes,
    media_type: str,
    *,
    request: HistoricalRequest,
    project: Project,
    actor: User | AnonymousUser,
    engine: Engine,
    store: OfflineStore,
    limits: ReadLimits,
    at: datetime,
) -> TrainingSet:
    """Answer a request, each table read at one snapshot, and record the read.

    ``body`` is the entity frame, where the request does not have it in ``entities``.

    :raises NotFound, Forbidden, Gone, Unavailable, FeatureNameCollision: as ``plan_training_set``;
        a collision also where a column of the frame has the name of a feature.
    :raises TooManyColumns, TooManyFeatures, TooManyValues: over ``limits``.
    :raises BadEntityFrame, TooManyRows: as ``read_upload``, ``read_columns`` and ``entity_frame``.
    :raises EngineLimitExceeded, OfflineStoreUnavailable: as ``Engine.point_in_time_joins``.
    """
    plan = plan_training_set(project=project, actor=actor, request=request, limits=limits, at=at)
    if request.all_entities is None:
        frame = asked_frame(body, media_type, plan=plan, request=request, limits=limits)
        rest = None
        parts = plan.parts(store)
    else:
        keys = common_keys(plan.uses)
        _refuse_names([key.name for key in keys], plan, full=request.full_feature_names)
        parts = plan.parts(store)
        frame, rest = find_entities(
            request.all_entities, keys, parts, engine=engine, timing=request.timing, limits=limits
        )
        limits.check_values(frame.table.num_rows, len(keys) + 1 + len(plan.columns))
    answer = join_features(
        frame, parts, plan.columns, engine=engine, timing=request.timing, explain=request.explain
    )
    _record(answer, plan=plan, project=project, actor=actor, request=request, at=at)
    overdue = _overdue(plan.versions, at)
    warnings = (*cautions(plan.versions), *overdue, *answer.warnings)
    return answer._replace(warnings=warnings, next=rest)


def _overdue(versions: Sequence[FeatureViewVersion], at: datetime) -> list[str]:
    """Say which versions are older than they promise."""
    promising = [version for version in versions if version.spec.view.freshness]
    found = freshness_of(promising, at=at) if promising else {}
    return [
        overdue_words(str(version), version.spec.view.freshness or "", fresh.covered_until)
        for version, fresh in found.items()
        if fresh.is_overdue and fresh.covered_until is not None
    ]


def asked_frame(
    body: bytes,
    media_type: str,
    *,
    plan: TrainingPlan,
    request: HistoricalRequest,
    limits: ReadLimits,
) -> EntityFrame:
    """Return the frame that was sent, in the body or beside the request.

    :raises FeatureNameCollision, TooManyColumns, TooManyValues, BadEntityFrame, TooManyRows: as
        ``read_training_set``.
    """
    if request.entities is not None:
        sent = read_columns(request.entities, max_rows=limits.rows)
    else:
        sent = read_upload(body, media_type, limits=limits)
    limits.check_columns(len(sent.names))
    limits.check_values(sent.rows, len(sent.names) + len(plan.columns))
    _refuse_names(sent.names, plan, full=request.full_feature_names)
    return entity_frame(sent, plan.keys)


def _refuse_names(names: Sequence[str], plan: TrainingPlan, *, full: bool) -> None:
    other = "." if full else ', or send "full_feature_names": true.'
    for column, reference in zip(plan.columns, plan.references, strict=True):
        if column.name in names:
            raise FeatureNameCollision(
                f"{reference} and the entity frame's column {column.name!r} have the same name."
                f" Rename or leave out the column{other}",
                features=[str(reference), f"entity frame: {column.name}"],
            )


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
    named = {name: msgspec.to_builtins(each) for name, each in request.views.items()}
    every = request.all_entities
    audit.record(
        actor=actor,
        verb="training_set.read",
        subject=project,
        data={
            "features": [*dict.fromkeys(map(str, plan.references))],
            "feature_service": request.feature_service,
            "versions": [str(version) for version in plan.versions],
            **({"views": named} if named else {}),
            **({"all_entities": _told(every)} if every else {}),
            "timing": request.timing,
            "rows": answer.table.num_rows,
            "matched": {part.label: part.matched for part in answer.parts},
        },
        project=project,
        at=at,
    )


def _told(every: AllEntities) -> dict[str, Any]:
    """Return what the trail has of it: of many instants the first ones."""
    said = {name: value for name, value in msgspec.to_builtins(every).items() if value is not None}
    if isinstance(every.at, list) and len(every.at) > SHOWN:
        said |= {"at": every.at[:SHOWN], "instants": len(every.at)}
    return said
