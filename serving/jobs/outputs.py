"""A training set that is a job, as the API answers with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from django.urls import reverse

from lib.answer_schemas import Document, Instant
from lib.instants import timestamp
from serving.jobs.words import progress_of

if TYPE_CHECKING:
    from rest_framework.request import Request

    from serving.models import HistoricalJob


class JobAnswer(TypedDict):
    """A job: how far it is, and what became of it; of its rows to whoever asked for it."""

    id: int
    url: str
    status: str
    progress: str
    features: list[str]
    feature_service: str | None
    timing: str
    all_entities: Document | None
    rows: int | None
    rows_done: int
    requested_by: str
    requested_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    expires_at: Instant | None
    size: int | None
    sha256: str | None
    warnings: list[str]
    explain: list[Document]
    error: str | None
    error_code: str | None


def job_output(job: HistoricalJob, request: Request) -> JobAnswer:
    """Return what somebody is told of a job; of its rows nobody but whoever asked for it."""
    names = {"project": job.project.name, "job_id": job.pk}
    is_theirs = job.requested_by_id == request.user.pk
    found = job.found if is_theirs else {}
    return {
        "id": job.pk,
        "url": reverse("historical-job", kwargs=names),
        "status": job.status,
        "progress": progress_of(job),
        "features": job.request["features"],
        "feature_service": job.request["feature_service"],
        "timing": job.request["timing"],
        "all_entities": job.request["all_entities"],
        "rows": job.rows,
        "rows_done": job.rows_done,
        "requested_by": job.requested_by.get_username(),
        "requested_at": timestamp(job.requested_at),
        "started_at": timestamp(job.started_at),
        "finished_at": timestamp(job.finished_at),
        "expires_at": timestamp(job.expires_at),
        # Until there is a file it is the room of the frame.
        "size": (job.size or None) if is_theirs and job.sha256 else None,
        "sha256": (job.sha256 or None) if is_theirs else None,
        "warnings": found.get("warnings", []),
        "explain": found.get("views", []) if job.request["explain"] else [],
        "error": job.error or None,
        "error_code": job.error_code or None,
    }
