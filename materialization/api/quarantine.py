"""Rows that checks refused, over HTTP: what is held, the rows that fail, and two decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Document, Instant, answers
from lib.api import API, described
from lib.bodies import BadBody, small_object
from lib.body_schemas import TEXT, object_of
from lib.clock import database_now
from lib.parameters import MAX_LIMIT, page_bounds
from lib.pools import Pool
from materialization.api.serializers import (
    QuarantineAnswer,
    RunAnswer,
    quarantine_output,
    run_output,
)
from materialization.disclosure import Disclosure
from materialization.requests.quarantine import (
    QuarantineNotFound,
    discard_rows,
    quarantines,
    release_rows,
)
from materialization.requests.refused_rows import NO_ROWS, place_after, read_rows
from registry import access
from registry.authentication import token_of

if TYPE_CHECKING:
    from rest_framework.request import Request

    from materialization.models import Quarantine

DEFAULT_LIMIT = 100


class HeldRow(TypedDict):
    """A row that is held, and the checks that it fails."""

    failed: list[str]
    keys: Document
    event_timestamp: Instant | None
    created_timestamp: Instant | None
    values: Document
    held_by: dict[str, Document]


class HeldRows(QuarantineAnswer):
    """What is held, with a page of its rows for those who may read them."""

    rows_shown: bool
    withheld: list[str]
    next: str | None
    results: list[HeldRow]


class QuarantineAPI(API):
    """What of a run is held or was, and a page of the rows that fail, for those who may read."""

    attempt = "looking at the quarantine of run {run_id}"
    #: Listing reads files in a process of its own.
    pool = Pool.PLANS
    parameters: ClassVar[dict[str, str]] = {
        "limit": f"1 to {MAX_LIMIT}, default {DEFAULT_LIMIT}",
        "cursor": "the `next` of the page before",
    }

    @extend_schema(
        operation_id="get_quarantine",
        parameters=described(parameters),
        responses=answers(HeldRows),
    )
    def get(self, request: Request, project: str, run_id: int) -> Response:
        found = _quarantine(request, project, run_id)
        limit, _ = page_bounds(request.query_params, default=DEFAULT_LIMIT)
        after = place_after(request.query_params.get("cursor", ""))
        shown = Disclosure(request.user, at=timezone.now())
        may_read = shown.shows_rows(found.run.version)
        page = NO_ROWS
        if may_read:
            actor, now = access.acting_user(request), database_now()
            page = read_rows(found, actor=actor, limit=limit, after=after, at=now)
        told: HeldRows = {
            **quarantine_output(found, shown),
            "rows_shown": may_read,
            "withheld": sorted(shown.withheld(found.run.version)),
            "next": page.cursor,
            "results": [
                {
                    "failed": row.failed,
                    "keys": row.keys,
                    "event_timestamp": row.event_timestamp,
                    "created_timestamp": row.created_timestamp,
                    "values": row.values,
                    "held_by": row.held_by,
                }
                for row in page.rows
            ],
        }
        return Response(told)


class ReleaseAPI(API):
    """``POST {"reason"}``: publish the held rows as they are; answers the run that does."""

    attempt = "releasing the quarantine of run {run_id}"

    @extend_schema(
        operation_id="release_quarantine",
        request=object_of(("reason",), reason=TEXT),
        responses=answers(RunAnswer, 202),
    )
    def post(self, request: Request, project: str, run_id: int) -> Response:
        found = _quarantine(request, project, run_id)
        token, now = token_of(request), database_now()
        run = release_rows(
            quarantine=found,
            reason=_reason(request),
            actor=access.acting_user(request),
            at=now,
            token=token,
        )
        return Response(run_output(run, Disclosure(request.user, at=now), at=now), status=202)


class DiscardAPI(API):
    """``POST {"reason"}``: throw the held rows away."""

    attempt = "discarding the quarantine of run {run_id}"

    @extend_schema(
        operation_id="discard_quarantine",
        request=object_of(("reason",), reason=TEXT),
        responses=answers(QuarantineAnswer),
    )
    def post(self, request: Request, project: str, run_id: int) -> Response:
        found = _quarantine(request, project, run_id)
        discarded = discard_rows(
            quarantine=found,
            reason=_reason(request),
            actor=access.acting_user(request),
            at=database_now(),
        )
        return Response(quarantine_output(discarded, Disclosure(request.user, at=timezone.now())))


def _quarantine(request: Request, project: str, run_id: int) -> Quarantine:
    found = quarantines(access.access_project(request.user, project)).filter(run__pk=run_id).first()
    if found is None:
        raise QuarantineNotFound(f"no rows of run {run_id} are, or were, in quarantine.")
    return found


def _reason(request: Request) -> str:
    reason: Any = small_object(request, ("reason",)).get("reason", "")
    if not isinstance(reason, str):
        raise BadBody('send {"reason": "…"}: a text.')
    return reason
