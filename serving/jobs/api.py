"""Training sets as jobs over HTTP: translate, one call, translate.

Not for what a job is: ``asking``, ``reading`` and ``ending`` say that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import answers, pages
from lib.api import API, described
from lib.bodies import small_object
from lib.clock import database_now
from lib.media_types import PARQUET
from lib.parameters import PAGE, one_of, paged
from lib.pools import Pool
from lib.resumable import head_of, resumable
from materialization.edges.stores import job_files
from registry import access
from serving.choices import WorkStatus
from serving.downloads import noted
from serving.historical.api import asked, frame_body, frame_type
from serving.historical.request import PARAMETERS, parse_body, parse_parameters
from serving.jobs import openapi
from serving.jobs.asking import create_job
from serving.jobs.edges import job_bounds, job_limits, job_stores
from serving.jobs.ending import cancel_job
from serving.jobs.outputs import JobAnswer, job_output
from serving.jobs.reading import get_job, jobs_of, open_answer, require_answer

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from serving.models import HistoricalJob


class HistoricalJobsAPI(API):
    """The jobs of a project, newest first; POST asks for a training set as one."""

    attempt = "asking for a training set as a job"
    pool = Pool.TRAINING_SETS
    parameters: ClassVar[dict[str, str]] = {"status": ", ".join(WorkStatus), **PAGE}
    repeatable: ClassVar[frozenset[str]] = frozenset({"features"})

    @classmethod
    def taken(cls, method: str | None) -> dict[str, str]:
        return PARAMETERS if method == "POST" else cls.parameters

    @extend_schema(
        operation_id="list_historical_jobs",
        parameters=described(parameters),
        responses=pages(JobAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        found = jobs_of(access.access_project(request.user, project), request.user)
        if status := one_of(request.query_params, "status", WorkStatus):
            found = found.filter(status=status)
        return paged(request, found, lambda job: job_output(job, request))

    @openapi.create
    def post(self, request: Request, project: str) -> Response:
        """Ask for a training set that a worker puts together and keeps for some hours.

        Body and frame are as of `get-historical-features`, with more rows. What the request names
        is pinned to the versions it reads now.
        """
        found = access.access_project(request.user, project)
        media_type = frame_type(request)
        body = frame_body(request, media_type)
        made = create_job(
            body,
            media_type,
            request=asked(request, media_type, body, parse_body, parse_parameters),
            project=found,
            actor=access.acting_user(request),
            stores=job_stores(),
            limits=job_limits(),
            bounds=job_bounds(),
            at=database_now(),
        )
        said = job_output(made, request)
        return Response(said, status=202, headers={"Location": said["url"]})


class HistoricalJobAPI(API):
    """One job: how far it is, and what became of it."""

    attempt = "looking at historical job {job_id}"

    @extend_schema(operation_id="get_historical_job", responses=answers(JobAnswer))
    def get(self, request: Request, project: str, job_id: int) -> Response:
        return Response(job_output(_job(request, project, job_id), request))


class DownloadJobAPI(API):
    """The rows of a job as a Parquet file, or a range of it: for whoever asked for it."""

    attempt = "downloading historical job {job_id}"
    pool = Pool.TRAINING_SETS

    @openapi.download
    def get(self, request: Request, project: str, job_id: int) -> HttpResponseBase:
        job = _job(request, project, job_id)
        actor = access.acting_user(request)
        at = timezone.now()
        said = {
            "mark": f"{job.uid} {job.written_by}",
            "name": f"training-set-{job.pk}.parquet",
            "content_type": PARQUET,
        }
        if request.method == "HEAD":
            require_answer(job=job, actor=actor, at=at)
            return head_of(request.headers, size=job.size, **said)
        opened = open_answer(job=job, actor=actor, keeper=job_files(), at=at)
        answer = resumable(request.headers, opened, **said)
        data = {"rows": job.rows}
        return noted(answer, job, kind="historical_job", actor=actor, data=data, at=at)


class CancelJobAPI(API):
    """``POST`` without a body: ends a job, and removes what it made."""

    attempt = "cancelling historical job {job_id}"

    @extend_schema(operation_id="cancel_historical_job", request=None, responses=answers(JobAnswer))
    def post(self, request: Request, project: str, job_id: int) -> Response:
        job = _job(request, project, job_id)
        small_object(request, known=())
        actor = access.acting_user(request)
        ended = cancel_job(job=job, actor=actor, keeper=job_files(), at=database_now())
        return Response(job_output(ended, request))


def _job(request: Request, project: str, job_id: int) -> HistoricalJob:
    return get_job(access.access_project(request.user, project), request.user, job_id)
