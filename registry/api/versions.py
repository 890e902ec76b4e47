"""One version over HTTP: its content, its review, the steps of its lifecycle.

Not for rules: ``access`` loads and authorises, ``operations.lifecycle`` decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import answers, pages
from lib.api import API, described
from lib.bodies import BadBody, small_object
from lib.body_schemas import body_of
from lib.decoding import converter
from lib.instants import parse_instant
from lib.parameters import PAGE, one_of, paged
from lib.pools import Pool
from registry import access
from registry.api.answers import ReviewAnswer, VersionAnswer, VersionLine
from registry.api.requests import editor_ids
from registry.api.serializers import review_output, version_line, version_output
from registry.authentication import token_of
from registry.catalogue.facts import facts_of
from registry.choices import Action, State
from registry.evidence import sight_of
from registry.glass import GLASS
from registry.looking import get_looking
from registry.newest import NEWEST_FIRST
from registry.operations.lifecycle.actions import OPERATIONS
from registry.recent_readers import may_see, named
from registry.words import DOING

if TYPE_CHECKING:
    from datetime import datetime

    from rest_framework.request import Request


class VersionsAPI(API):
    """The versions of one view: drafts without a number first, then the highest first."""

    attempt = "looking at the versions of {name}"
    parameters: ClassVar[dict[str, str]] = {"state": "only those in this state", **PAGE}

    @extend_schema(
        operation_id="list_versions",
        parameters=described(parameters),
        responses=pages(VersionLine),
    )
    def get(self, request: Request, project: str, name: str) -> Response:
        view = access.access_feature_view(request.user, project, name)
        rows = view.versions.select_related("table", *GLASS).defer("packet").order_by(*NEWEST_FIRST)
        if state := one_of(request.query_params, "state", State):
            rows = rows.filter(state=state)
        response = paged(request, rows)
        page = response.data["results"]
        said = facts_of(page)
        response.data["results"] = [{**version_line(each, view), **said[each.pk]} for each in page]
        return response


class VersionAPI(API):
    """One version: its state and everything it means. ``draft`` names the newest draft."""

    attempt = "looking at {name}@{version}"

    @extend_schema(operation_id="get_version", responses=answers(VersionAnswer))
    def get(self, request: Request, project: str, name: str, version: str) -> Response:
        found = access.access_version(request.user, project, name, version)
        return Response({**version_output(found), **facts_of([found])[found.pk]})


class ReviewAPI(API):
    """What a reviewer decides on, who decided so far, and how many have to agree."""

    attempt = "looking at the review of {name}@{version}"

    @extend_schema(operation_id="get_review", responses=answers(ReviewAnswer))
    def get(self, request: Request, project: str, name: str, version: str) -> Response:
        found = access.access_version(request.user, project, name, version)
        at = timezone.now()
        sight = sight_of(request.user, found, at=at)
        may_know = may_see(request.user, found.feature_view)
        readers = named(found.feature_view, at) if may_know else None
        return Response(review_output(found, sight, readers=readers))


#: What single actions take beside a comment.
TAKES = {
    Action.SUBMIT: {"reviewers"},
    Action.APPROVE: {"packet_hash"},
    Action.REJECT: {"packet_hash"},
    Action.BREAK_GLASS: {"packet_hash", "until"},
    Action.CONFIRM: {"packet_hash"},
    Action.OBJECT: {"packet_hash"},
    Action.PROMOTE: {"force"},
    Action.DEPRECATE: {"until"},
    Action.RETIRE: {"force"},
}


class ActionInput(msgspec.Struct, forbid_unknown_fields=True):
    """What an action may be told.

    ``force`` promotes or retires, ``packet_hash`` (of what was seen) decides, ``reviewers`` are
    asked by a submission; ``until`` is when a broken glass ends, or a deprecated version.
    """

    comment: str = ""
    force: bool = False
    packet_hash: str = ""
    until: str = ""
    reviewers: list[str] | None = None


_read_action = converter(ActionInput)


class ActionAPI(API):
    """``POST …/{action}`` with ``{"comment": …}``: one step of the lifecycle."""

    #: Submitting looks at the source.
    pool = Pool.PLANS

    @staticmethod
    def attempt(*, name: str, version: str, action: str, **_: str) -> str:
        return f"{DOING[Action(action)]} {name}@{version}"

    @extend_schema(
        operation_id="act_on_version",
        request=body_of(ActionInput),
        responses=answers(VersionAnswer),
    )
    def post(
        self, request: Request, project: str, name: str, version: str, action: str
    ) -> Response:
        found = access.access_version(request.user, project, name, version)
        options = _options(request, Action(action))
        moved = OPERATIONS[Action(action)](
            version=found, actor=access.acting_user(request), at=timezone.now(), **options
        )
        return Response(version_output(moved))


def _options(request: Request, action: Action) -> dict[str, Any]:
    """Return what an action's operation takes beside the version, the actor and the time."""
    try:
        body = _read_action(small_object(request, ActionInput.__struct_fields__))
    except msgspec.ValidationError as exc:
        raise BadBody(f'send {{"comment": "…"}}: {exc}.') from exc
    told = {name: getattr(body, name) for name in ("force", "packet_hash", "reviewers", "until")}
    given = {name for name, value in told.items() if value not in (False, "", None)}
    if extra := given - TAKES.get(action, set()):
        raise BadBody(f"{action} does not take {', '.join(sorted(extra))}.")
    options: dict[str, Any] = {"comment": body.comment}
    token = token_of(request)
    if action is Action.SUBMIT:
        options |= {"look": get_looking(), "editor_ids": editor_ids(request)}
        options["reviewers"] = body.reviewers
    elif "packet_hash" in TAKES.get(action, ()):
        options |= {"token": token, "packet_hash": body.packet_hash}
        if body.until:
            options["until"] = _until(body.until)
    elif action in (Action.PROMOTE, Action.RETIRE):
        options["force"] = body.force
    elif action is Action.DEPRECATE and body.until:
        options["until"] = _until(body.until)
    return options


def _until(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError as exc:
        raise BadBody(f"until: {exc}; send one like 2026-03-01T18:00:00Z.") from exc
