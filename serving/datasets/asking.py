"""Asking for datasets: what is asked is resolved, allowed and kept, and a worker is woken.

Not for making one: ``making`` does, in a worker. The row is the queue.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Sum

from lib.commits import once_committed
from lib.errors import Conflict
from registry import audit
from registry.rows_kept import columns_kept
from serving import tasks
from serving.choices import LIVE_WORK, WorkStatus
from serving.datasets.splits import check_columns, stored
from serving.historical.all_entities import require_unpaged
from serving.historical.found_frame import find_entities
from serving.historical.kept_plan import columns_to_keep, parts_to_keep, references_to_keep
from serving.historical.plan import plan_training_set
from serving.historical.queried_frame import Asker
from serving.historical.read import asked_entities, asked_frame, told
from serving.kept_frames import frame_name, write_frame
from serving.models import Dataset, DatasetPart

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa
    from django.contrib.auth.models import User

    from registry.models import Project
    from serving.datasets.joining import Stores
    from serving.datasets.request import DatasetRequest
    from serving.edges import DatasetLimits
    from serving.historical.plan import TrainingPlan
    from serving.limits import ReadLimits

#: How many datasets of one project may wait for workers.
MOST_WAITING = 20


class TooManyDatasetsWaiting(Conflict):
    code = "too_many_datasets_waiting"


class TooManyDatasets(Conflict):
    code = "too_many_datasets"


class DatasetsTooLarge(Conflict):
    code = "datasets_too_large"


class DatasetVersionTaken(Conflict):
    code = "dataset_version_taken"


def create_dataset(
    body: bytes,
    media_type: str,
    *,
    request: DatasetRequest,
    project: Project,
    actor: User,
    stores: Stores,
    limits: ReadLimits,
    kept: DatasetLimits,
    at: datetime,
) -> Dataset:
    """Queue the next version of a dataset; ``body`` is the entity frame, unless the request has it.

    What the request names is pinned now; what the tables hold is looked up when a worker begins.
    Which entities there are, where it asks about all of them, is looked up now, and is its frame.

    :raises NotFound, Forbidden, Gone, Unavailable, Invalid, TooLarge: as ``read_training_set``.
    :raises TooManyDatasetsWaiting: the project has ``MOST_WAITING`` already.
    :raises TooManyDatasets, DatasetsTooLarge: it keeps as many, or as much, as one project does.
    :raises DatasetVersionTaken: another version of this name was begun in the same moment.
    """
    plan = plan_training_set(project=project, actor=actor, request=request, limits=limits, at=at)
    _require_room(project, kept)
    asker = Asker(actor, project, stores.engine, at=at)
    frame = _frame(body, media_type, asker, plan, request, stores, limits)
    if request.split is not None:
        check_columns(request.split, frame.column_names, [each.name for each in plan.columns])
    uid = secrets.token_hex(16)
    written = write_frame(stores.keeper, uid, frame)
    try:
        return _stored(
            plan,
            request,
            project,
            actor,
            at,
            asker=asker,
            uid=uid,
            rows=frame.num_rows,
            sha256=written.sha256,
        )
    except BaseException:
        stores.keeper.remove(frame_name(uid))
        raise


def _frame(
    body: bytes,
    media_type: str,
    asker: Asker,
    plan: TrainingPlan,
    request: DatasetRequest,
    stores: Stores,
    limits: ReadLimits,
) -> pa.Table:
    """Return the rows the dataset is of: those that were sent, or of all entities there are."""
    every = request.all_entities
    if every is None:
        asked = asked_frame(body, media_type, asker, request=request, plan=plan, limits=limits)
        return asked.table
    require_unpaged(every, "a dataset")
    keys, parts = asked_entities(plan, request), plan.parts(stores.offline)
    found = find_entities(
        every, keys, parts, engine=stores.engine, timing=request.timing, limits=limits
    )
    frame = found.frame.table
    limits.check_values(frame.num_rows, frame.num_columns + plan.width)
    return frame


def _require_room(project: Project, most: DatasetLimits) -> None:
    """:raises TooManyDatasetsWaiting, TooManyDatasets, DatasetsTooLarge: saying what there is."""
    mine = Dataset.objects.filter(project=project)
    waiting = mine.filter(status__in=LIVE_WORK).count()
    if waiting >= MOST_WAITING:
        raise TooManyDatasetsWaiting(
            f"{waiting} datasets of {project} wait for a worker; ask again when some are made."
        )
    kept = mine.exclude(status__in=(WorkStatus.FAILED, WorkStatus.ENDED))
    found = kept.aggregate(number=Count("pk"), size=Sum("size", default=0))
    if (size := found["size"] >> 20) >= most.size_mb:
        raise DatasetsTooLarge(
            f"the datasets of {project} have {size:,} MB of rows; one project keeps at most"
            f" {most.size_mb:,} (DATASETS_MAX_MB). End some that nobody needs, or have the server's"
            " limit raised."
        )
    if found["number"] >= most.number:
        raise TooManyDatasets(
            f"{project} keeps {found['number']:,} datasets, each with the files it was read from;"
            f" one project keeps at most {most.number:,} (DATASETS_MAX_KEPT). End one that nobody"
            " needs, use a training set that is answered at once, or have the limit raised."
        )


def _stored(
    plan: TrainingPlan,
    request: DatasetRequest,
    project: Project,
    actor: User,
    at: datetime,
    *,
    asker: Asker,
    uid: str,
    rows: int,
    sha256: str,
) -> Dataset:
    try:
        with transaction.atomic():
            made = Dataset.objects.create(
                project=project, name=request.name, number=_next_number(project, request.name),
                description=request.description, query=asker.kept,
                query_columns=columns_kept(asker.spec) if asker.spec is not None else {},
                request=_said(request, plan, asker),
                columns=columns_to_keep(plan),
                uid=uid, rows=rows,
                frame_sha256=sha256, requested_by=actor, requested_at=at, enqueued_at=at,
                expires_at=at + request.keeps_for if request.keeps_for else None,
            )  # fmt: skip
            DatasetPart.objects.bulk_create(_parts(made, plan))
            audit.record(
                actor=actor,
                verb="dataset.requested",
                subject=made,
                data={"features": made.request["features"], "rows": rows, **asker.told},
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


def _said(request: DatasetRequest, plan: TrainingPlan, asker: Asker) -> dict[str, Any]:
    """Return what was asked, with the version that each reference was of."""
    return {
        "features": references_to_keep(plan),
        "asked": request.features,
        "views": {name: msgspec.to_builtins(each) for name, each in request.views.items()},
        "feature_service": request.feature_service,
        "timing": str(request.timing),
        "all_entities": told(request.all_entities) if request.all_entities else None,
        "entity_query": asker.said,
        "frame_warnings": asker.warnings,
        "split": stored(request.split) if request.split else None,
        "full_feature_names": request.full_feature_names,
    }


def _parts(dataset: Dataset, plan: TrainingPlan) -> list[DatasetPart]:
    return [
        DatasetPart(
            dataset=dataset,
            position=place,
            version=part.version,
            label=part.label[:200],
            key_columns=part.key_columns,
            features=part.features,
        )
        for place, part in enumerate(parts_to_keep(plan))
    ]


def wake(dataset: Dataset) -> None:
    """Wake a worker once the transaction is in; the sweep repeats it if the message is lost."""
    what = f"waking a worker for dataset {dataset.pk}"
    once_committed(what, tasks.make_dataset.delay, dataset_id=dataset.pk)
