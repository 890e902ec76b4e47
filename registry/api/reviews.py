"""What waits for review over HTTP: the queue, who is asked, and several approvals at once.

Not for one version's review or decision: ``versions`` has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NotRequired, TypedDict

import msgspec
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import answers, pages
from lib.api import API, described
from lib.bodies import BadBody, body_reader
from lib.body_schemas import body_of
from lib.errors import AssayError, Forbidden
from lib.parameters import PAGE, one_of, paged
from registry import access, reviewers
from registry.api.answers import AskedAnswer, ToDecide
from registry.api.serializers import asked_output, waiting_output
from registry.authentication import token_of
from registry.denials import DenialNotRecorded, RefusedTooOften, record_denial
from registry.evidence import decided_on_each
from registry.models import Project
from registry.operations.lifecycle.asking import ask_reviewers, may_ask
from registry.operations.lifecycle.bulk import MOST_AT_ONCE, approve_in_bulk
from registry.queries import waiting_for_review
from registry.scopes import told_to

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

    from registry.models import FeatureViewVersion

#: Whose turn it is → what the word says.
FOR = {
    "me": "asked of me, and I have not decided",
    "mine": "I wrote or submitted it",
    "overdue": "waits longer than the project gives reviewers",
}


class ReviewsAPI(API):
    """What waits for review, longest first."""

    attempt = "looking at what waits for review"
    parameters: ClassVar[dict[str, str]] = {
        "for": "; ".join(f"{word}: {says}" for word, says in FOR.items()),
        **PAGE,
    }

    @extend_schema(
        operation_id="list_reviews",
        parameters=described(parameters),
        responses=pages(ToDecide),
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        response = paged(
            request,
            reviewers.with_agreed(told_to(request.user, _turn(request, found), "feature_view")),
        )
        page = response.data["results"]
        now, asked, shown = timezone.now(), reviewers.names_asked(page), decided_on_each(page)
        told: list[ToDecide] = [
            {
                **waiting_output(version, at=now, reviewers=asked.get(version.pk, [])),
                "packet_hash": shown[version.pk],
            }
            for version in page
        ]
        response.data["results"] = told
        return response


def _turn(request: Request, project: Project) -> QuerySet[FeatureViewVersion]:
    turn = one_of(request.query_params, "for", FOR)
    waiting = waiting_for_review([project])
    if turn == "me":
        may = access.can(request.user, reviewers.RIGHT, project)
        mine = reviewers.undecided(request.user, [project] if may else [])
        return reviewers.asked_of(mine, request.user)
    if turn == "mine":
        return reviewers.submitted_by(waiting, request.user)
    return reviewers.overdue(waiting, at=timezone.now()) if turn == "overdue" else waiting


class ReviewersInput(msgspec.Struct, forbid_unknown_fields=True):
    """User names; none: it is asked of all who may approve the view."""

    reviewers: list[str]


_read_reviewers = body_reader(ReviewersInput, '{"reviewers": ["name"]}')


class ReviewersAPI(API):
    """Who is asked to decide on a version, and who could."""

    attempt = "choosing who reviews {name}@{version}"

    @extend_schema(operation_id="get_reviewers", responses=answers(AskedAnswer))
    def get(self, request: Request, project: str, name: str, version: str) -> Response:
        return _asked(request, access.access_version(request.user, project, name, version))

    @extend_schema(
        operation_id="ask_reviewers",
        request=body_of(ReviewersInput),
        responses=answers(AskedAnswer),
    )
    def post(self, request: Request, project: str, name: str, version: str) -> Response:
        found = access.access_version(request.user, project, name, version)
        ask_reviewers(
            version=found,
            reviewers=_read_reviewers(request).reviewers,
            actor=access.acting_user(request),
            at=timezone.now(),
        )
        return _asked(request, found)


def _recorded(request: Request, error: AssayError, chosen: Chosen) -> AssayError:
    """Put a refusal in the trail; return what to say of it, as what went before has to be told."""
    if not isinstance(error, Forbidden):
        return error
    what = f"approving {chosen.view}@{chosen.version}"
    try:
        record_denial(request, error, at=timezone.now(), attempt=what[:200])
    except (DenialNotRecorded, RefusedTooOften) as instead:
        return instead
    return error


def _asked(request: Request, version: FeatureViewVersion) -> Response:
    return Response(asked_output(version, may_ask=may_ask(request.user, version)))


class Chosen(msgspec.Struct, forbid_unknown_fields=True):
    """One version, and the hash of what its review showed."""

    view: str
    version: str
    packet_hash: str


class BulkInput(msgspec.Struct, forbid_unknown_fields=True):
    versions: list[Chosen]
    comment: str = ""


class ApprovedAnswer(TypedDict):
    """What became of one: its state, or why it was refused."""

    view: str
    version: str
    approved: bool
    state: NotRequired[str]
    code: NotRequired[str]
    detail: NotRequired[str]


class BulkAnswer(TypedDict):
    approved: int
    results: list[ApprovedAnswer]


_read_bulk = body_reader(
    BulkInput,
    '{"versions": [{"view": "…", "version": "…", "packet_hash": "…"}], "comment": "…"}',
)


class BulkApproveAPI(API):
    """Approve several patches, or versions of public features; each by itself, so some may fail."""

    attempt = "approving several versions"

    @extend_schema(
        operation_id="approve_in_bulk",
        request=body_of(BulkInput),
        responses=answers(BulkAnswer),
    )
    def post(self, request: Request, project: str) -> Response:
        access.access_project(request.user, project)
        asked = _read_bulk(request)
        if not 1 <= len(asked.versions) <= MOST_AT_ONCE:
            raise BadBody(f"{len(asked.versions)} versions; send 1 to {MOST_AT_ONCE} at once.")
        if any("\x00" in each.view + each.version for each in asked.versions):
            raise BadBody("a view or version holds a NUL, which no name here has.")
        results = [_approve(request, project, each, asked.comment) for each in asked.versions]
        told: BulkAnswer = {
            "approved": sum(result["approved"] for result in results),
            "results": results,
        }
        return Response(told)


def _approve(request: Request, project: str, chosen: Chosen, comment: str) -> ApprovedAnswer:
    """Approve one; what is refused is told, and in the trail, as if it had been asked alone."""
    said: ApprovedAnswer = {"view": chosen.view, "version": chosen.version, "approved": False}
    token = token_of(request)
    try:
        version = approve_in_bulk(
            version=access.access_version(request.user, project, chosen.view, chosen.version),
            actor=access.acting_user(request),
            at=timezone.now(),
            packet_hash=chosen.packet_hash,
            comment=comment,
            token=token,
        )
    except AssayError as error:
        error = _recorded(request, error, chosen)
        return {**said, "code": error.code, "detail": error.message}
    return {**said, "approved": True, "state": version.state}
