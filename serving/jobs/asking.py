"""Asking for a training set as a job: what is asked is resolved, allowed and kept.

Not for making it: ``making`` does, in a worker. The row is the queue.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from django.db import transaction

from lib.commits import once_committed
from registry import audit
from serving import tasks
from serving.historical.all_entities import asked_times, require_unpaged
from serving.historical.kept_plan import columns_to_keep, parts_to_keep, references_to_keep
from serving.historical.plan import plan_training_set
from serving.historical.queried_frame import Asker
from serving.historical.read import asked_entities, asked_frame, told
from serving.jobs.room import require_room
from serving.kept_frames import frame_name, write_frame
from serving.models import HistoricalJob, HistoricalJobPart

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from materialization.stores.kept_files import FileKeeper
    from registry.models import Project
    from serving.historical.plan import TrainingPlan
    from serving.historical.request import HistoricalRequest
    from serving.jobs.bounds import JobBounds
    from serving.jobs.edges import JobStores
    from serving.limits import ReadLimits


class Frame(NamedTuple):
    """The entity frame as it was kept; none of all entities, whose rows nobody counted yet."""

    rows: int | None = None
    size: int = 0


def create_job(
    body: bytes,
    media_type: str,
    *,
    request: HistoricalRequest,
    project: Project,
    actor: User,
    stores: JobStores,
    limits: ReadLimits,
    bounds: JobBounds,
    at: datetime,
) -> HistoricalJob:
    """Queue a question; ``body`` is the entity frame, unless the request has it or needs none.

    What the request names is pinned now; what the tables hold is looked up when a worker begins.

    :raises NotFound, Forbidden, Gone, Unavailable, Invalid, TooLarge: as ``read_training_set``.
    :raises TooManyJobs: the actor has ``bounds.most_of_one`` already.
    :raises NoRoomForJobs: all jobs together have ``bounds.all_mb``.
    """
    plan = plan_training_set(project=project, actor=actor, request=request, limits=limits, at=at)
    require_room(actor, bounds)
    uid = secrets.token_hex(16)
    try:
        asker = Asker(actor, project, stores.engine(bounds.seconds), at=at)
        frame = _kept(
            body, media_type, asker, uid, request=request, plan=plan, limits=limits,
            to=stores.keeper,
        )  # fmt: skip
        with transaction.atomic():
            made = _stored(plan, request, project, actor, at, asker=asker, uid=uid, frame=frame)
            # The trail has one of all askings at a time from there on: the others are counted.
            require_room(actor, bounds, besides=made)
            return made
    except BaseException:
        stores.keeper.remove(frame_name(uid))
        raise


def _kept(
    body: bytes,
    media_type: str,
    asker: Asker,
    uid: str,
    *,
    request: HistoricalRequest,
    plan: TrainingPlan,
    limits: ReadLimits,
    to: FileKeeper,
) -> Frame:
    every = request.all_entities
    if every is None:
        asked = asked_frame(body, media_type, asker, request=request, plan=plan, limits=limits)
        return Frame(asked.table.num_rows, write_frame(to, uid, asked.table).size)
    asked_entities(plan, request)
    asked_times(every)
    require_unpaged(every, "a job")
    return Frame()


def _stored(
    plan: TrainingPlan,
    request: HistoricalRequest,
    project: Project,
    actor: User,
    at: datetime,
    *,
    asker: Asker,
    uid: str,
    frame: Frame,
) -> HistoricalJob:
    made = HistoricalJob.objects.create(
        project=project, request=_said(request, plan, asker), query=asker.kept, uid=uid,
        rows=frame.rows, size=frame.size,
        columns=columns_to_keep(plan),
        requested_by=actor, requested_at=at, enqueued_at=at,
    )  # fmt: skip
    HistoricalJobPart.objects.bulk_create(
        HistoricalJobPart(
            job=made,
            position=place,
            version=part.version,
            label=part.label[:200],
            key_columns=part.key_columns,
        )
        for place, part in enumerate(parts_to_keep(plan))
    )
    every = request.all_entities
    audit.record(
        actor=actor,
        verb="historical_job.requested",
        subject=made,
        data={
            "features": made.request["features"],
            "timing": request.timing,
            "rows": frame.rows,
            **({"all_entities": told(every)} if every else {}),
            **asker.told,
        },
        at=at,
    )
    wake(made)
    return made


def _said(request: HistoricalRequest, plan: TrainingPlan, asker: Asker) -> dict[str, Any]:
    """Return what was asked, with the version that each reference was of."""
    every = request.all_entities
    return {
        "features": references_to_keep(plan),
        "feature_service": request.feature_service,
        "views": {name: msgspec.to_builtins(each) for name, each in request.views.items()},
        "timing": str(request.timing),
        "explain": request.explain,
        "full_feature_names": request.full_feature_names,
        "all_entities": msgspec.to_builtins(every) if every else None,
        "entity_query": asker.said,
        "frame_warnings": asker.warnings,
    }


def wake(job: HistoricalJob) -> None:
    """Wake a worker once the transaction is in; the sweep repeats it if the message is lost."""
    once_committed(f"waking a worker for {job}", tasks.make_historical_job.delay, job_id=job.pk)
