"""A request for a training set, from what it names to the answer: the whole way, in order.

Not for HTTP (``api``), nor for how each step is done: it calls them one after the other.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction

from lib.errors import SHOWN
from materialization.quality.freshness import freshness_of
from registry import audit
from registry.deprecation import deprecation_of
from registry.glass import cautions
from serving.choices import Door
from serving.freshness import overdue_words
from serving.historical.entity_frame import EVENT_TIMESTAMP, entity_frame
from serving.historical.forms import numbers_left_as_text, read_columns, read_upload
from serving.historical.found_frame import common_keys, find_entities
from serving.historical.plan import plan_training_set
from serving.historical.queried_frame import Asker
from serving.historical.training_set import join_features
from serving.historical.waiting import rows_that_wait, waiting_words
from serving.names import FeatureNameCollision
from serving.request_body import BadRequest
from serving.usage.slow_reads import asked_by, note_read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.compute.engine import Engine
    from materialization.stores.offline_protocol import OfflineStore
    from registry.models import FeatureViewVersion, Project
    from serving.historical.all_entities import AllEntities
    from serving.historical.entity_frame import EntityFrame
    from serving.historical.forms import SentFrame
    from serving.historical.plan import TrainingPlan
    from serving.historical.request import HistoricalRequest
    from serving.historical.training_set import TrainingSet
    from serving.limits import ReadLimits
    from serving.values import KeyColumn


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
    began = perf_counter()
    plan = plan_training_set(project=project, actor=actor, request=request, limits=limits, at=at)
    asker = Asker(actor, project, engine, at=at)
    rest, waiting = None, rows_that_wait(plan.versions)
    if request.all_entities is None:
        frame = asked_frame(body, media_type, asker, plan=plan, request=request, limits=limits)
        parts = plan.parts(store)
    else:
        keys = asked_entities(plan, request)
        parts = plan.parts(store)
        frame, rest = find_entities(
            request.all_entities, keys, parts, engine=engine, timing=request.timing, limits=limits
        )
        limits.check_values(frame.table.num_rows, len(keys) + 1 + plan.width)
    answer = join_features(
        frame, parts, plan.columns, engine=engine, timing=request.timing, explain=request.explain
    )
    _record(answer, asker, plan=plan, request=request)
    note_read(
        asked_by(plan), Door.HISTORICAL, project=project, actor=actor, at=at,
        service=request.feature_service, rows=answer.table.num_rows,
        seconds=perf_counter() - began,
    )  # fmt: skip
    late = waiting_words(waiting, frame.table, request.timing)
    warnings = (*warnings_of(plan.versions, at), *asker.warnings, *answer.warnings, *late)
    return answer._replace(warnings=warnings, next=rest, deprecation=deprecation_of(plan.versions))


def warnings_of(versions: Sequence[FeatureViewVersion], at: datetime) -> list[str]:
    """Say which versions nobody approved yet, and which are older than they promise."""
    return [*cautions(versions), *_overdue(versions, at)]


def _overdue(versions: Sequence[FeatureViewVersion], at: datetime) -> list[str]:
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
    asker: Asker,
    *,
    plan: TrainingPlan,
    request: HistoricalRequest,
    limits: ReadLimits,
) -> EntityFrame:
    """Return the frame that was sent, in the body or beside the request, or that a query gives.

    :raises FeatureNameCollision, TooManyColumns, TooManyValues, BadEntityFrame, TooManyRows: as
        ``read_training_set``.
    """
    sent: SentFrame
    if request.entities is not None:
        sent = read_columns(request.entities, limits=limits, int64_as_text=request.has_text_keys)
    elif request.entity_query is not None:
        sent = asker.frame(request.entity_query, limits)
    else:
        sent = read_upload(body, media_type, limits=limits)
    limits.check_columns(len(sent.names))
    limits.check_values(sent.rows, len(sent.names) + plan.width)
    _refuse_names(sent.names, plan, full=request.full_feature_names)
    keys = plan.asked_of_frame
    asker.warnings = numbers_left_as_text(sent, {EVENT_TIMESTAMP, *(key.name for key in keys)})
    return entity_frame(sent, keys)


def asked_entities(plan: TrainingPlan, request: HistoricalRequest) -> list[KeyColumn]:
    """Return the join keys of a frame that all entities of the views make.

    :raises BadRequest: as ``common_keys``.
    :raises FeatureNameCollision: a feature has the name of one.
    """
    if plan.request:
        key = plan.request[0]
        raise BadRequest(
            f"{key.view} computes with the request value {key.name!r}, which entities that are"
            ' found by "all_entities" do not have; send a frame with it.'
        )
    keys = common_keys(plan.uses)
    _refuse_names([key.name for key in keys], plan, full=request.full_feature_names)
    return keys


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
    answer: TrainingSet, asker: Asker, *, plan: TrainingPlan, request: HistoricalRequest
) -> None:
    named = {name: msgspec.to_builtins(each) for name, each in request.views.items()}
    every = request.all_entities
    audit.record(
        actor=asker.actor,
        verb="training_set.read",
        subject=asker.project,
        data={
            "features": [*dict.fromkeys(map(str, plan.references))],
            "feature_service": request.feature_service,
            "versions": [str(version) for version in plan.versions],
            **({"views": named} if named else {}),
            **({"all_entities": told(every)} if every else {}),
            **asker.told,
            "timing": request.timing,
            "rows": answer.table.num_rows,
            "matched": {part.label: part.matched for part in answer.parts},
        },
        project=asker.project,
        at=asker.at,
    )


def told(every: AllEntities) -> dict[str, Any]:
    """Return what the trail has of it: of many instants the first ones."""
    said = {name: value for name, value in msgspec.to_builtins(every).items() if value is not None}
    if isinstance(every.at, list) and len(every.at) > SHOWN:
        said |= {"at": every.at[:SHOWN], "instants": len(every.at)}
    return said
