"""Asking for datasets: what is asked is resolved, allowed and kept, and a worker is woken.

Not for making one: ``making`` does, in a worker. The row is the queue.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import Max

from lib.commits import once_committed
from lib.errors import Conflict
from registry import audit
from serving import tasks
from serving.choices import LIVE_WORK, WorkStatus
from serving.datasets.files import frame_name, write_frame
from serving.datasets.splits import check_columns, stored
from serving.historical.plan import plan_training_set
from serving.historical.read import asked_frame
from serving.models import Dataset, DatasetPart
from serving.request_body import BadRequest

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from materialization.stores.kept_files import FileKeeper
    from registry.models import Project
    from serving.datasets.request import DatasetRequest
    from serving.historical.plan import TrainingPlan
    from serving.limits import ReadLimits

#: How many datasets of one project may wait for workers.
MOST_WAITING = 20


class TooManyDatasetsWaiting(Conflict):
    code = "too_many_datasets_waiting"


class TooManyDatasets(Conflict):
    code = "too_many_datasets"


class DatasetVersionTaken(Conflict):
    code = "dataset_version_taken"


def create_dataset(
    body: bytes,
    media_type: str,
    *,
    request: DatasetRequest,
    project: Project,
    actor: User,
    keeper: FileKeeper,
    limits: ReadLimits,
    most_kept: int,
    at: datetime,
) -> Dataset:
    """Queue the next version of a dataset; ``body`` is the entity frame, unless the request has it.

    What the request names is pinned now; what the tables hold is looked up when a worker begins.

    :raises NotFound, Forbidden, Gone, Unavailable, Invalid, TooLarge: as ``read_training_set``.
    :raises TooManyDatasetsWaiting: the project has ``MOST_WAITING`` already.
    :raises TooManyDatasets: it keeps ``most_kept``.
    :raises DatasetVersionTaken: another version of this name was begun in the same moment.
    """
    plan = plan_training_set(project=project, actor=actor, request=request, limits=limits, at=at)
    _require_room(project, most_kept)
    if request.all_entities is not None:
        raise BadRequest('a dataset is made of a frame: send "entities", or upload one.')
    frame = asked_frame(body, media_type, request=request, plan=plan, limits=limits).table
    if request.split is not None:
        check_columns(request.split, frame.column_names, [each.name for each in plan.columns])
    uid = secrets.token_hex(16)
    kept = write_frame(keeper, uid, frame)
    try:
        return _stored(
            plan, request, project, actor, at, uid=uid, rows=frame.num_rows, sha256=kept.sha256
        )
    except BaseException:
        keeper.remove(frame_name(uid))
        raise


def _require_room(project: Project, most_kept: int) -> None:
    """:raises TooManyDatasetsWaiting, TooManyDatasets: saying how many there are."""
    mine = Dataset.objects.filter(project=project)
    waiting = mine.filter(status__in=LIVE_WORK).count()
    if waiting >= MOST_WAITING:
        raise TooManyDatasetsWaiting(
            f"{waiting} datasets of {project} wait for a worker; ask again when some are made."
        )
    kept = mine.exclude(status=WorkStatus.FAILED).count()
    if kept >= most_kept:
        raise TooManyDatasets(
            f"{project} keeps {kept:,} datasets, each with the files it was read from; one project"
            f" keeps at most {most_kept:,} (DATASETS_MAX_KEPT). Use one that is there, a training"
            " set that is answered at once, or have the server's limit raised: datasets stay."
        )


def _stored(
    plan: TrainingPlan,
    request: DatasetRequest,
    project: Project,
    actor: User,
    at: datetime,
    *,
    uid: str,
    rows: int,
    sha256: str,
) -> Dataset:
    try:
        with transaction.atomic():
            made = Dataset.objects.create(
                project=project, name=request.name, number=_next_number(project, request.name),
                description=request.description, request=_said(request, plan),
                columns=[column._asdict() for column in plan.columns], uid=uid, rows=rows,
                frame_sha256=sha256, requested_by=actor, requested_at=at, enqueued_at=at,
            )  # fmt: skip
            DatasetPart.objects.bulk_create(_parts(made, plan))
            audit.record(
                actor=actor,
                verb="dataset.requested",
                subject=made,
                data={"features": made.request["features"], "rows": rows},
                at=at,
            )
            wake(made)
            return made
    except IntegrityError as exc:
        raise DatasetVersionTaken(
            f"another version of {request.name} was asked for in the same moment; ask again."
        ) from exc


def _next_number(project: Project, name: str) -> int:
    made = Dataset.objects.filter(project=project, name=name)
    return int(made.aggregate(last=Max("number"))["last"] or 0) + 1


def _said(request: DatasetRequest, plan: TrainingPlan) -> dict[str, Any]:
    """Return what was asked, with the version that each reference was of."""
    return {
        "features": [
            f"{plan.uses[column.part].version}:{column.feature}" for column in plan.columns
        ],
        "asked": request.features,
        "views": {name: msgspec.to_builtins(each) for name, each in request.views.items()},
        "feature_service": request.feature_service,
        "timing": str(request.timing),
        "split": stored(request.split) if request.split else None,
        "full_feature_names": request.full_feature_names,
    }


def _parts(dataset: Dataset, plan: TrainingPlan) -> list[DatasetPart]:
    return [
        DatasetPart(
            dataset=dataset,
            position=place,
            version=use.version,
            label=use.label[:200],
            key_columns=use.key_columns,
            features=list(
                dict.fromkeys(each.feature for each in plan.columns if each.part == place)
            ),
        )
        for place, use in enumerate(plan.uses)
    ]


def wake(dataset: Dataset) -> None:
    """Wake a worker once the transaction is in; the sweep repeats it if the message is lost."""
    what = f"waking a worker for dataset {dataset.pk}"
    once_committed(what, tasks.make_dataset.delay, dataset_id=dataset.pk)
