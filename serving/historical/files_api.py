"""``GET offline-files`` over HTTP: query parameters in, one call, JSON out.

Not for what is listed and who may see it: ``offline_files`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Instant, answers
from lib.api import API, described
from lib.errors import SHOWN_LENGTH
from lib.instants import sent_instant, timestamp
from lib.pools import Pool
from materialization.edges.stores import offline_store
from registry import access
from serving.historical.offline_files import FilesRequest, list_offline_files
from serving.openapi import problems
from serving.request_body import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rest_framework.request import Request

    from materialization.stores.offline_values import StoredFile
    from serving.historical.offline_files import OfflineFiles

PARAMETERS = {
    "feature_view": "The view whose files are asked for.",
    "version": "1.2.0, or v2 for the newest ready one of major 2; without it the default version.",
    "start": "Only files that may hold rows with this event time or a later one; ISO 8601, UTC.",
    "end": "Only files that may hold rows with this event time or an earlier one.",
}
_PROBLEMS = problems(
    {
        401: "no live token.",
        403: "the token's user lacks read_offline.",
        404: "no such project, view or version.",
        410: "the version was retired.",
        422: "an unknown parameter, a missing view or no instant; says what would be valid.",
        503: "not_ready or offline_store_unavailable; ask again.",
    }
)


class FileAnswer(TypedDict):
    """A Parquet file, and what it holds."""

    uri: str
    rows: int | None
    first_event: Instant | None
    last_event: Instant | None


class ColumnAnswer(TypedDict):
    name: str
    type: str


class FilesAnswer(TypedDict):
    """The files that hold a version's rows, and until when they may be read where they are."""

    feature_view: str
    version: str | None
    delta_version: int
    rows: int | None
    warnings: list[str]
    columns: list[ColumnAnswer]
    expires_at: Instant | None
    files: list[FileAnswer]


class OfflineFilesAPI(API):
    """The Parquet files of a version, to be read in bulk by oneself."""

    attempt = "listing offline files"
    pool = Pool.TRAINING_SETS
    parameters = PARAMETERS

    @extend_schema(
        operation_id="list_offline_files",
        parameters=described(PARAMETERS, required="feature_view"),
        responses={**answers(FilesAnswer), **_PROBLEMS},
    )
    def get(self, request: Request, project: str) -> Response:
        """List the Parquet files that hold a version's rows, and the Delta version they are of.

        Files hold every row there ever was: of rows with the same keys and event time the one with
        the greatest created time counts, then the one with the greatest ``__sequence``.
        """
        found = access.access_project(request.user, project)
        files = list_offline_files(
            project=found,
            actor=request.user,
            request=parse_parameters(request.query_params),
            store=offline_store(),
            at=timezone.now(),
        )
        return Response(files_output(files))


def parse_parameters(parameters: Mapping[str, str]) -> FilesRequest:
    """Read the query parameters; an empty one is as good as none.

    :raises BadRequest: no view, no instant, or an end before the start.
    """
    view = parameters.get("feature_view", "")
    if not view or "\x00" in view:
        raise BadRequest(f"feature_view={view[:SHOWN_LENGTH]!r}: send the name of a feature view.")
    start, end = _instant(parameters, "start"), _instant(parameters, "end")
    if start and end and end < start:
        raise BadRequest(f"end {timestamp(end)} is before start {timestamp(start)}; swap them.")
    return FilesRequest(view, parameters.get("version") or None, start, end)


def _instant(parameters: Mapping[str, str], name: str) -> datetime | None:
    value = parameters.get(name, "")
    return sent_instant(name, value, BadRequest) if value else None


def files_output(found: OfflineFiles) -> FilesAnswer:
    return {
        "feature_view": found.version.feature_view.name,
        "version": found.version.number,
        "delta_version": found.table_version,
        "rows": found.rows,
        "warnings": found.warnings,
        "columns": [{"name": name, "type": kind} for name, kind in found.columns.items()],
        "expires_at": timestamp(found.addresses.expires_at),
        "files": list(map(_file_output, found.files, found.addresses.uris)),
    }


def _file_output(file: StoredFile, uri: str) -> FileAnswer:
    return {
        "uri": uri,
        "rows": file.rows,
        "first_event": timestamp(file.first_event),
        "last_event": timestamp(file.last_event),
    }
