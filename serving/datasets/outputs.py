"""A dataset and a check of one, as the API answers with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from lib.answer_schemas import Document, Instant
from lib.instants import timestamp
from serving.datasets.disclosure import found_without_hashes

if TYPE_CHECKING:
    from serving.models import Dataset, DatasetCheck


class DatasetAnswer(TypedDict):
    """What everybody in the project is told of a version of a dataset."""

    name: str
    version: int
    description: str
    status: str
    features: list[str]
    feature_service: str | None
    timing: str
    rows: int
    manifest_hash: str | None
    requested_by: str
    requested_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    expires_at: Instant | None
    ended_at: Instant | None
    ended_by: str | None
    end_reason: str | None
    error: str | None
    error_code: str | None


class CheckAnswer(TypedDict):
    """A dataset that was computed again: whether it was equal, and where not."""

    id: int
    status: str
    verdict: str | None
    found: Document | None
    requested_by: str
    requested_at: Instant
    finished_at: Instant | None
    error: str | None
    error_code: str | None


class OneDataset(DatasetAnswer):
    """The same with what it takes, what it is, and what the last check found."""

    size: int | None
    content_hash: str | None
    withheld: str | None
    last_check: CheckAnswer | None


class ManifestAnswer(TypedDict):
    """What the rows are, and all that they were made of; hashes for who may read them."""

    manifest_hash: str
    manifest: Document
    parameters: list[dict[str, str]] | None
    withheld: str | None


def dataset_output(dataset: Dataset) -> DatasetAnswer:
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
        "expires_at": timestamp(dataset.expires_at),
        "ended_at": timestamp(dataset.ended_at),
        "ended_by": dataset.ended_by.get_username() if dataset.ended_by else None,
        "end_reason": dataset.end_reason or None,
        "error": dataset.error or None,
        "error_code": dataset.error_code or None,
    }


def check_output(check: DatasetCheck, *, knows: bool) -> CheckAnswer:
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
