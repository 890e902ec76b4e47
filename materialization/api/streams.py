"""Streams over HTTP: how far tables have come, what could not be taken, and where to read on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypedDict

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Instant, answers, pages
from lib.api import API, described
from lib.bodies import BadBody, small_object
from lib.body_schemas import TEXT, YES_OR_NO, object_of
from lib.clock import database_now
from lib.errors import NotFound
from lib.instants import timestamp
from lib.parameters import PAGE, one_of, paged
from materialization.choices import LetterState, PartState
from materialization.models import DeadLetter, StreamPart
from materialization.requests.letters import dismiss_letters, replay_letter
from materialization.requests.streams import OLDEST, read_on
from materialization.streams.places import NEWEST
from registry import access
from registry.scopes import told_to

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

#: What a place may be said as, beside its number.
_WORDS = {"oldest": OLDEST, "newest": NEWEST}


class StreamPartNotFound(NotFound):
    code = "stream_part_not_found"


class DeadLetterNotFound(NotFound):
    code = "dead_letter_not_found"


class StreamPartAnswer(TypedDict):
    """A partition of a stream, how far a table has come in it, and how far it lags."""

    id: int
    feature_view: str
    table: str
    stream: str
    partition: int
    state: str
    words: str | None
    since: Instant | None
    place: int | None
    end: int | None
    lag: int | None
    lag_is_least: bool
    seen_at: Instant | None
    letters_removed: int


class DeadLetterAnswer(TypedDict):
    """A record that could not be taken: where it lies, and why."""

    id: int
    feature_view: str
    table: str
    stream: str
    partition: int
    place: int
    column: str | None
    words: str
    state: str
    created_at: Instant
    dismissed_at: Instant | None
    dismissed_by: str | None
    reason: str | None


class DismissedAnswer(TypedDict):
    """How many were dismissed, how many alike wait still, and the one that was named."""

    dismissed: int
    still_alike: int
    letter: DeadLetterAnswer


class StreamsAPI(API):
    """The partitions of the streams that a project's tables are fed from, and how far each came."""

    attempt = "listing streams"
    parameters: ClassVar[dict[str, str]] = {"state": ", ".join(PartState), **PAGE}

    @extend_schema(
        operation_id="list_streams",
        parameters=described(parameters),
        responses=pages(StreamPartAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        parts = _parts(request, project)
        if asked := one_of(request.query_params, "state", PartState):
            parts = parts.filter(state=asked)
        return paged(request, parts, part_output)


class ReadOnAPI(API):
    """``POST {"place", "reason"}``: where a partition is read on, an offset, oldest or newest."""

    attempt = "saying where to read on in partition {part_id}"

    @extend_schema(
        operation_id="read_on_in_stream",
        request=object_of(
            ("place", "reason"), place={"oneOf": [{"type": "integer"}, TEXT]}, reason=TEXT
        ),
        responses=answers(StreamPartAnswer),
    )
    def post(self, request: Request, project: str, part_id: int) -> Response:
        part = _parts(request, project).filter(pk=part_id).first()
        if part is None:
            raise StreamPartNotFound(f"project {project} has no partition {part_id} of a stream.")
        place, reason = _place_and_reason(request)
        actor = access.acting_user(request)
        moved = read_on(part=part, place=place, actor=actor, reason=reason, at=database_now())
        return Response(part_output(moved))


class DeadLettersAPI(API):
    """Records that could not be taken, newest first: where each lies, and why; no value of it."""

    attempt = "listing dead letters"
    parameters: ClassVar[dict[str, str]] = {"state": ", ".join(LetterState), **PAGE}

    @extend_schema(
        operation_id="list_dead_letters",
        parameters=described(parameters),
        responses=pages(DeadLetterAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        letters = _letters(request, project)
        if asked := one_of(request.query_params, "state", LetterState):
            letters = letters.filter(state=asked)
        return paged(request, letters, letter_output)


class ReplayAPI(API):
    """``POST`` without a body: the record is read again within seconds, and taken if it can be."""

    attempt = "having dead letter {letter_id} read again"

    @extend_schema(
        operation_id="replay_dead_letter", request=None, responses=answers(DeadLetterAnswer)
    )
    def post(self, request: Request, project: str, letter_id: int) -> Response:
        letter = _letter(request, project, letter_id)
        small_object(request, known=())
        actor = access.acting_user(request)
        return Response(letter_output(replay_letter(letter=letter, actor=actor, at=database_now())))


class DismissAPI(API):
    """``POST {"reason", "alike"?}``: it is left out for good, or all alike, 10,000 at once."""

    attempt = "dismissing dead letter {letter_id}"

    @extend_schema(
        operation_id="dismiss_dead_letter",
        request=object_of(("reason",), reason=TEXT, alike=YES_OR_NO),
        responses=answers(DismissedAnswer),
    )
    def post(self, request: Request, project: str, letter_id: int) -> Response:
        letter = _letter(request, project, letter_id)
        body = small_object(request, ("reason", "alike"))
        reason, alike = body.get("reason"), body.get("alike", False)
        if not isinstance(reason, str) or not isinstance(alike, bool):
            raise BadBody('send {"reason": "a text"}, and "alike": true for all alike.')
        actor = access.acting_user(request)
        done = dismiss_letters(
            letter=letter, alike=alike, actor=actor, reason=reason, at=database_now()
        )
        return Response(
            DismissedAnswer(
                dismissed=done.dismissed,
                still_alike=done.still_alike,
                letter=letter_output(done.letter),
            )
        )


def part_output(part: StreamPart) -> StreamPartAnswer:
    return {
        "id": part.pk,
        "feature_view": part.table.feature_view.name,
        "table": part.table.uid,
        "stream": part.stream,
        "partition": part.partition,
        "state": part.state,
        "words": part.words or None,
        "since": timestamp(part.since),
        "place": part.place,
        "end": part.end,
        "lag": part.lag,
        "lag_is_least": part.lag_is_least,
        "seen_at": timestamp(part.seen_at),
        "letters_removed": part.letters_removed,
    }


def letter_output(letter: DeadLetter) -> DeadLetterAnswer:
    part = letter.part
    return {
        "id": letter.pk,
        "feature_view": part.table.feature_view.name,
        "table": part.table.uid,
        "stream": part.stream,
        "partition": part.partition,
        "place": letter.place,
        "column": letter.column or None,
        "words": letter.words,
        "state": letter.state,
        "created_at": timestamp(letter.created_at),
        "dismissed_at": timestamp(letter.dismissed_at),
        "dismissed_by": letter.dismissed_by.get_username() if letter.dismissed_by else None,
        "reason": letter.reason or None,
    }


def _parts(request: Request, project: str) -> QuerySet[StreamPart]:
    found = access.access_project(request.user, project)
    mine = StreamPart.objects.filter(table__feature_view__project=found)
    seen: QuerySet[StreamPart] = told_to(request.user, mine, "table__feature_view")
    return seen.select_related("table__feature_view__project").order_by("pk")


def _letters(request: Request, project: str) -> QuerySet[DeadLetter]:
    found = access.access_project(request.user, project)
    mine = DeadLetter.objects.filter(part__table__feature_view__project=found)
    seen: QuerySet[DeadLetter] = told_to(request.user, mine, "part__table__feature_view")
    return seen.select_related("part__table__feature_view__project", "dismissed_by")


def _letter(request: Request, project: str, letter_id: int) -> DeadLetter:
    letter = _letters(request, project).filter(pk=letter_id).first()
    if letter is None:
        raise DeadLetterNotFound(f"project {project} has no dead letter {letter_id}.")
    return letter


def _place_and_reason(request: Request) -> tuple[int | None, str]:
    body = small_object(request, ("place", "reason"))
    place, reason = body.get("place"), body.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise BadBody('"reason" is a text: why it is read on there.')
    if isinstance(place, str) and place in _WORDS:
        return _WORDS[place], reason
    if not isinstance(place, int) or isinstance(place, bool):
        raise BadBody('"place" is a whole number, an offset, or "oldest" or "newest".')
    return place, reason
