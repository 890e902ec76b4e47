"""Datasets over HTTP: translate, one call, translate.

Not for what a dataset is: ``asking``, ``reading`` and ``checks`` say that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.http import FileResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.api import API, described
from lib.bodies import small_object
from lib.clock import database_now
from lib.errors import NotFound
from lib.instants import timestamp
from lib.parameters import PAGE, one_of, paged, stored_text
from lib.pools import Pool
from materialization.edges import dataset_files
from registry import access
from serving.choices import WorkStatus
from serving.datasets import openapi
from serving.datasets.asking import create_dataset
from serving.datasets.checks import request_check
from serving.datasets.disclosure import (
    WHY_WITHHELD,
    found_without_hashes,
    may_know,
    without_hashes,
)
from serving.datasets.reading import datasets_of, get_dataset, open_rows, require_made
from serving.datasets.request import PARAMETERS, parse_body, parse_parameters
from serving.edges import historical_limits, most_datasets
from serving.historical.api import frame_body, frame_type, refuse_query
from serving.historical.media_types import JSON, PARQUET
from serving.models import DatasetCheck

if TYPE_CHECKING:
    from rest_framework.request import Request

    from serving.datasets.request import DatasetRequest
    from serving.models import Dataset


class CheckNotFound(NotFound):
    code = "check_not_found"


class DatasetsAPI(API):
    """The datasets of a project, newest first; POST asks for the next version of one."""

    attempt = "asking for datasets"
    pool = Pool.TRAINING_SETS
    parameters: ClassVar[dict[str, str]] = {
        "name": "its name",
        "status": ", ".join(WorkStatus),
        **PAGE,
    }
    repeatable: ClassVar[frozenset[str]] = frozenset({"features"})

    @classmethod
    def taken(cls, method: str | None) -> dict[str, str]:
        return PARAMETERS if method == "POST" else cls.parameters

    @extend_schema(
        operation_id="list_datasets",
        parameters=described(parameters),
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, project: str) -> Response:
        found = datasets_of(access.access_project(request.user, project), request.user)
        if name := stored_text(request.query_params, "name"):
            found = found.filter(name=name)
        if status := one_of(request.query_params, "status", WorkStatus):
            found = found.filter(status=status)
        return paged(request, found.defer("manifest", "profile"), dataset_output)

    @openapi.create
    def post(self, request: Request, project: str) -> Response:
        """Ask for the next version of a dataset; a worker makes it.

        The frame is JSON or an upload, as for a training set that is answered at once. What the
        request names is pinned to the versions it reads now.
        """
        found = access.access_project(request.user, project)
        media_type = frame_type(request)
        body = frame_body(request, media_type)
        made = create_dataset(
            body,
            media_type,
            request=_asked(request, media_type, body),
            project=found,
            actor=access.acting_user(request),
            keeper=dataset_files(),
            limits=historical_limits(),
            most_kept=most_datasets(),
            at=database_now(),
        )
        return Response(dataset_output(made), status=202)


class DatasetAPI(API):
    """One version of a dataset: how far it is, what it has, what the last check found."""

    attempt = "looking at dataset {name}@{number}"

    @extend_schema(operation_id="get_dataset", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project: str, name: str, number: int) -> Response:
        dataset = _dataset(request, project, name, number)
        last = dataset.checks.select_related("requested_by").first()
        knows = _knows(request, dataset)
        return Response(
            {
                **dataset_output(dataset),
                "size": dataset.size if knows else None,
                "content_hash": (dataset.content_hash or None) if knows else None,
                "withheld": None if knows else WHY_WITHHELD,
                "last_check": check_output(last, knows=knows) if last else None,
            }
        )


class ManifestAPI(API):
    """What the rows of one version are, and all that they were made of; without values.

    Hashes are for those who may read the rows.
    """

    attempt = "reading the manifest of dataset {name}@{number}"

    @extend_schema(operation_id="get_dataset_manifest", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project: str, name: str, number: int) -> Response:
        dataset = _dataset(request, project, name, number)
        require_made(dataset)
        knows = _knows(request, dataset)
        return Response(
            {
                "manifest_hash": dataset.manifest_hash,
                "manifest": dataset.manifest if knows else without_hashes(dataset.manifest),
                "withheld": None if knows else WHY_WITHHELD,
            }
        )


class DownloadAPI(API):
    """The rows of one version, as the Parquet file that was written once."""

    attempt = "downloading dataset {name}@{number}"
    pool = Pool.TRAINING_SETS

    @openapi.download
    def get(self, request: Request, project: str, name: str, number: int) -> FileResponse:
        dataset = _dataset(request, project, name, number)
        opened = open_rows(
            dataset=dataset, actor=request.user, keeper=dataset_files(), at=timezone.now()
        )
        file = f"{dataset.name}-{dataset.number}.parquet"
        return FileResponse(opened, as_attachment=True, filename=file, content_type=PARQUET)


class VerifyAPI(API):
    """Have one version computed again from the files that it was made of, and compared."""

    attempt = "verifying dataset {name}@{number}"

    @extend_schema(
        operation_id="verify_dataset", request=None, responses={202: OpenApiTypes.OBJECT}
    )
    def post(self, request: Request, project: str, name: str, number: int) -> Response:
        dataset = _dataset(request, project, name, number)
        small_object(request, ())
        actor = access.acting_user(request)
        check = request_check(dataset=dataset, actor=actor, at=database_now())
        return Response(check_output(check, knows=_knows(request, dataset)), status=202)


class CheckAPI(API):
    """One check of a dataset: whether it was equal, and where not."""

    attempt = "looking at check {check_id} of dataset {name}@{number}"

    @extend_schema(operation_id="get_dataset_check", responses=OpenApiTypes.OBJECT)
    def get(
        self, request: Request, project: str, name: str, number: int, check_id: int
    ) -> Response:
        dataset = _dataset(request, project, name, number)
        check = dataset.checks.select_related("requested_by").filter(pk=check_id).first()
        if check is None:
            raise CheckNotFound(f"{dataset} has no check {check_id}.")
        return Response(check_output(check, knows=_knows(request, dataset)))


def _dataset(request: Request, project: str, name: str, number: int) -> Dataset:
    return get_dataset(access.access_project(request.user, project), request.user, name, number)


def _knows(request: Request, dataset: Dataset) -> bool:
    return may_know(dataset, request.user, at=timezone.now())


def _asked(request: Request, media_type: str, body: bytes) -> DatasetRequest:
    if media_type != JSON:
        return parse_parameters(dict(request.query_params.lists()))
    refuse_query(request)
    return parse_body(body)


def dataset_output(dataset: Dataset) -> dict[str, Any]:
    """Return what everybody in the project is told of a dataset."""
    return {
        "name": dataset.name,
        "version": dataset.number,
        "description": dataset.description,
        "status": dataset.status,
        "features": dataset.request["features"],
        "feature_service": dataset.request["feature_service"],
        "timing": dataset.request["timing"],
        "rows": dataset.rows,
        "manifest_hash": dataset.manifest_hash or None,
        "requested_by": dataset.requested_by.get_username(),
        "requested_at": timestamp(dataset.requested_at),
        "started_at": timestamp(dataset.started_at),
        "finished_at": timestamp(dataset.finished_at),
        "error": dataset.error or None,
        "error_code": dataset.error_code or None,
    }


def check_output(check: DatasetCheck, *, knows: bool) -> dict[str, Any]:
    found = check.found if knows else found_without_hashes(check.found)
    return {
        "id": check.pk,
        "status": check.status,
        "verdict": check.verdict or None,
        "found": found or None,
        "requested_by": check.requested_by.get_username(),
        "requested_at": timestamp(check.requested_at),
        "finished_at": timestamp(check.finished_at),
        "error": check.error or None,
        "error_code": check.error_code or None,
    }
