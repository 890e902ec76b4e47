"""Datasets over HTTP: translate, one call, translate.

Not for what a dataset is: ``asking``, ``reading`` and ``checks`` say that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import answers, pages
from lib.api import API, described
from lib.bodies import body_reader, small_object
from lib.clock import database_now
from lib.errors import NotFound
from lib.media_types import JSON, PARQUET
from lib.parameters import PAGE, one_of, paged, stored_text
from lib.pools import Pool
from lib.resumable import head_of, resumable
from materialization.edges.stores import dataset_files
from registry import access
from serving.choices import WorkStatus
from serving.datasets import openapi
from serving.datasets.asking import create_dataset
from serving.datasets.checks import request_check
from serving.datasets.disclosure import WHY_WITHHELD, may_know, without_hashes
from serving.datasets.edges import dataset_stores
from serving.datasets.ending import end_dataset
from serving.datasets.joining import joined_parts
from serving.datasets.manifest import parameters_of
from serving.datasets.outputs import (
    CheckAnswer,
    DatasetAnswer,
    ManifestAnswer,
    OneDataset,
    check_output,
    dataset_output,
)
from serving.datasets.reading import datasets_of, get_dataset, open_rows, require_made, require_rows
from serving.datasets.request import PARAMETERS, parse_body, parse_parameters
from serving.downloads import noted
from serving.edges import dataset_frame_limits, dataset_limits
from serving.historical.api import frame_body, frame_type, refuse_query

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from serving.datasets.request import DatasetRequest
    from serving.models import Dataset


class CheckNotFound(NotFound):
    code = "check_not_found"


class EndInput(msgspec.Struct, forbid_unknown_fields=True):
    reason: str = ""
    despite_downloads: bool = False


_read_end = body_reader(EndInput, '{"reason": "…", "despite_downloads": false}')


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
        responses=pages(DatasetAnswer),
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

        The frame is JSON or an upload, or that of all entities there are now, as for a training set
        that is answered at once. What the request names is pinned to the versions it reads now.
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
            stores=dataset_stores(),
            limits=dataset_frame_limits(),
            kept=dataset_limits(),
            at=database_now(),
        )
        return Response(dataset_output(made), status=202)


class DatasetAPI(API):
    """One version of a dataset: how far it is, what it has, what the last check found."""

    attempt = "looking at dataset {name}@{number}"

    @extend_schema(operation_id="get_dataset", responses=answers(OneDataset))
    def get(self, request: Request, project: str, name: str, number: int) -> Response:
        dataset = _dataset(request, project, name, number)
        last = dataset.checks.select_related("requested_by").first()
        knows = _knows(request, dataset)
        told: OneDataset = {
            **dataset_output(dataset),
            "size": dataset.size if knows else None,
            "content_hash": (dataset.content_hash or None) if knows else None,
            "withheld": None if knows else WHY_WITHHELD,
            "last_check": check_output(last, knows=knows) if last else None,
        }
        return Response(told)


class ManifestAPI(API):
    """What the rows of one version are, and all that they were made of.

    Without values but those that a query's SQL names; that and hashes are for those who may read
    the rows. Beside it, for them and until it ends, what the encodings of each view were fitted to.
    """

    attempt = "reading the manifest of dataset {name}@{number}"

    @extend_schema(operation_id="get_dataset_manifest", responses=answers(ManifestAnswer))
    def get(self, request: Request, project: str, name: str, number: int) -> Response:
        dataset = _dataset(request, project, name, number)
        if dataset.status != WorkStatus.ENDED:  # of which its manifest is what there is
            require_made(dataset)
        knows = _knows(request, dataset)
        told: ManifestAnswer = {
            "manifest_hash": dataset.manifest_hash,
            "manifest": dataset.manifest if knows else without_hashes(dataset.manifest),
            "parameters": _parameters(dataset) if knows else None,
            "withheld": None if knows else WHY_WITHHELD,
        }
        return Response(told)


def _parameters(dataset: Dataset) -> list[dict[str, str]] | None:
    if dataset.status == WorkStatus.ENDED:
        return None
    return [parameters_of(part) for part in joined_parts(dataset.parts.select_related("version"))]


class DownloadAPI(API):
    """The rows of one version, as the Parquet file that was written once, or a range of it."""

    attempt = "downloading dataset {name}@{number}"
    pool = Pool.TRAINING_SETS

    @openapi.download
    def get(self, request: Request, project: str, name: str, number: int) -> HttpResponseBase:
        dataset = _dataset(request, project, name, number)
        actor, at = request.user, timezone.now()
        said = {
            "mark": f"{dataset.uid} {dataset.written_by}",
            "name": f"{dataset.name}-{dataset.number}.parquet",
            "content_type": PARQUET,
        }
        if request.method == "HEAD":
            require_rows(dataset=dataset, actor=actor, at=at)
            return head_of(request.headers, size=dataset.size, **said)
        opened = open_rows(dataset=dataset, actor=actor, keeper=dataset_files(), at=at)
        answer = resumable(request.headers, opened, **said)
        data = {"rows": dataset.rows, "manifest_hash": dataset.manifest_hash}
        return noted(answer, dataset, kind="dataset", actor=actor, data=data, at=at)


class EndAPI(API):
    """End one version: its rows are removed, its row and manifest stay and say so."""

    attempt = "ending dataset {name}@{number}"

    @openapi.end
    def post(self, request: Request, project: str, name: str, number: int) -> Response:
        dataset = _dataset(request, project, name, number)
        body = _read_end(request)
        ended = end_dataset(
            dataset=dataset,
            actor=access.acting_user(request),
            reason=body.reason,
            despite_downloads=body.despite_downloads,
            keeper=dataset_files(),
            at=database_now(),
        )
        return Response(dataset_output(ended))


class VerifyAPI(API):
    """Have one version computed again from the files that it was made of, and compared."""

    attempt = "verifying dataset {name}@{number}"

    @extend_schema(operation_id="verify_dataset", request=None, responses=answers(CheckAnswer, 202))
    def post(self, request: Request, project: str, name: str, number: int) -> Response:
        dataset = _dataset(request, project, name, number)
        small_object(request, ())
        actor = access.acting_user(request)
        check = request_check(dataset=dataset, actor=actor, at=database_now())
        return Response(check_output(check, knows=_knows(request, dataset)), status=202)


class CheckAPI(API):
    """One check of a dataset: whether it was equal, and where not."""

    attempt = "looking at check {check_id} of dataset {name}@{number}"

    @extend_schema(operation_id="get_dataset_check", responses=answers(CheckAnswer))
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
