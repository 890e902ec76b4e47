"""A request for a training set, from what it names to the answer: the whole way, in order.

Not for HTTP (``api``), nor for how each step is done: it calls them one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from django.db import transaction

from materialization.quality.freshness import freshness_of
from registry import audit
from registry.glass import cautions
from serving.freshness import overdue_words
from serving.historical.entity_frame import entity_frame
from serving.historical.forms import read_columns, read_upload
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
    from serving.historical.forms import SentFrame
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
    sent = _read(body, media_type, request=request, limits=limits)
    limits.check_columns(len(sent.names))
    limits.check_values(sent.rows, len(sent.names) + len(plan.columns))
    _refuse_names(sent.names, plan, full=request.full_feature_names)
    frame = entity_frame(sent, plan.keys)
    answer = join_features(
        frame,
        plan.parts(store),
        plan.columns,
        engine=engine,
        timing=request.timing,
        explain=request.explain,
    )
    _record(answer, plan=plan, project=project, actor=actor, request=request, at=at)
    overdue = _overdue(plan.versions, at)
    warnings = (*cautions(plan.versions), *overdue, *answer.warnings)
    return answer._replace(warnings=warnings)


def _overdue(versions: Sequence[FeatureViewVersion], at: datetime) -> list[str]:
    """Say which versions are older than they promise."""
    promising = [version for version in versions if version.spec.view.freshness]
    found = freshness_of(promising, at=at) if promising else {}
    return [
        overdue_words(str(version), version.spec.view.freshness or "", fresh.covered_until)
        for version, fresh in found.items()
        if fresh.is_overdue and fresh.covered_until is not None
    ]


def _read(
    body: bytes, media_type: str, *, request: HistoricalRequest, limits: ReadLimits
) -> SentFrame:
    if request.entities is not None:
        return read_columns(request.entities, max_rows=limits.rows)
    return read_upload(body, media_type, limits=limits)


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
    audit.record(
        actor=actor,
        verb="training_set.read",
        subject=project,
        data={
            "features": [*dict.fromkeys(map(str, plan.references))],
            "feature_service": request.feature_service,
            "versions": [str(version) for version in plan.versions],
            **({"views": named} if named else {}),
            "timing": request.timing,
            "rows": answer.table.num_rows,
            "matched": {part.label: part.matched for part in answer.parts},
        },
        project=project,
        at=at,
    )
