"""Questions about features over HTTP: asked, answered, accepted, closed.

Not for what is said of a version under review: ``comments`` has that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import msgspec
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Instant, answers, pages
from lib.api import API, described
from lib.bodies import body_reader
from lib.body_schemas import body_of
from lib.instants import timestamp
from lib.parameters import PAGE, one_of, paged
from registry import access
from registry.models import Question
from registry.operations import questions
from registry.scopes import told_to
from registry.spec.references import parse_reference

if TYPE_CHECKING:
    from rest_framework.request import Request

STATES = ("open", "answered", "closed")
#: More than any key in a database.
MOST_ID = 2**63 - 1


class AnswerOfQuestion(TypedDict):
    """One answer to a question."""

    id: int
    text: str
    answered_by: str
    answered_at: Instant


class QuestionAnswer(TypedDict):
    """A question about a feature, and what was answered."""

    id: int
    feature: str
    text: str
    asked_by: str
    asked_at: Instant
    accepted: int | None
    closed_at: Instant | None
    closed_by: str | None
    answers: list[AnswerOfQuestion]


class QuestionInput(msgspec.Struct, forbid_unknown_fields=True):
    feature: str
    text: str


class AnswerInput(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class AcceptInput(msgspec.Struct, forbid_unknown_fields=True):
    answer: int


_read_question = body_reader(QuestionInput, '{"feature": "view:feature", "text": "…"}')
_read_answer = body_reader(AnswerInput, '{"text": "…"}')
_read_accepted = body_reader(AcceptInput, '{"answer": 1}')


class QuestionsAPI(API):
    """What was asked about features of the project, newest first, with the answers."""

    attempt = "asking about a feature"
    parameters = {
        "feature": "a reference, view:feature, or the name of a view",
        "state": f"one of {', '.join(STATES)}: open ones without an accepted answer, those with"
        " one, and those that are closed",
        **PAGE,
    }

    @extend_schema(
        operation_id="list_questions",
        parameters=described(parameters),
        responses=pages(QuestionAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        rows = Question.objects.filter(feature_view__project=found)
        rows = told_to(request.user, rows, "feature_view")
        if about := request.query_params.get("feature", "").replace("\x00", ""):
            view, _, feature = about.partition(":")
            # A question is about a feature, whichever version the reference reads.
            rows = rows.filter(feature_view__name=view.partition("@")[0])
            rows = rows.filter(feature=feature) if feature else rows
        match one_of(request.query_params, "state", STATES):
            case "open":
                rows = rows.filter(closed_at=None, accepted=None)
            case "answered":
                rows = rows.filter(closed_at=None, accepted__isnull=False)
            case "closed":
                rows = rows.filter(closed_at__isnull=False)
        related = rows.select_related("feature_view", "asked_by", "closed_by")
        return paged(request, related.prefetch_related("answers__answered_by"), question_output)

    @extend_schema(
        operation_id="ask_question",
        request=body_of(QuestionInput),
        responses=answers(QuestionAnswer, 201),
    )
    def post(self, request: Request, project: str) -> Response:
        access.access_project(request.user, project)
        told = _read_question(request)
        reference = parse_reference(told.feature)
        question = questions.ask_question(
            feature_view=access.access_feature_view(request.user, project, reference.view),
            feature=reference.feature,
            text=told.text,
            actor=access.acting_user(request),
            at=timezone.now(),
        )
        return Response(question_output(question), status=201)


class AnswersAPI(API):
    """Answer a question."""

    attempt = "answering question {question_id}"

    @extend_schema(
        operation_id="answer_question",
        request=body_of(AnswerInput),
        responses=answers(QuestionAnswer, 201),
    )
    def post(self, request: Request, project: str, question_id: str) -> Response:
        found = _question(request, project, question_id)
        actor, at = access.acting_user(request), timezone.now()
        text = _read_answer(request).text
        questions.answer_question(question=found, text=text, actor=actor, at=at)
        return Response(question_output(found), status=201)


class AcceptAnswerAPI(API):
    """Say which answer answers a question."""

    attempt = "accepting an answer to question {question_id}"

    @extend_schema(
        operation_id="accept_answer",
        request=body_of(AcceptInput),
        responses=answers(QuestionAnswer),
    )
    def post(self, request: Request, project: str, question_id: str) -> Response:
        found = _question(request, project, question_id)
        answer = max(0, min(_read_accepted(request).answer, MOST_ID))
        actor, at = access.acting_user(request), timezone.now()
        accepted = questions.accept_answer(question=found, answer_id=answer, actor=actor, at=at)
        return Response(question_output(accepted))


class _StepAPI(API):
    """A step without a body."""

    attempt = "closing or opening question {question_id}"
    closes = True

    def post(self, request: Request, project: str, question_id: str) -> Response:
        found = _question(request, project, question_id)
        actor, at = access.acting_user(request), timezone.now()
        step = questions.close_question if self.closes else questions.reopen_question
        return Response(question_output(step(question=found, actor=actor, at=at)))


@extend_schema(operation_id="close_question", request=None, responses=answers(QuestionAnswer))
class CloseQuestionAPI(_StepAPI):
    """Close a question; what was said stays."""


@extend_schema(operation_id="reopen_question", request=None, responses=answers(QuestionAnswer))
class ReopenQuestionAPI(_StepAPI):
    """Open a question that was closed."""

    closes = False


def _question(request: Request, project: str, question_id: str) -> Question:
    found = access.access_project(request.user, project)
    return questions.find_question(found, min(int(question_id), MOST_ID))


def question_output(question: Question) -> QuestionAnswer:
    return {
        "id": question.pk,
        "feature": question.reference,
        "text": question.text,
        "asked_by": question.asked_by.get_username(),
        "asked_at": timestamp(question.asked_at),
        "accepted": question.accepted_id,
        "closed_at": timestamp(question.closed_at),
        "closed_by": question.closed_by.get_username() if question.closed_by else None,
        "answers": [
            {
                "id": answer.pk,
                "text": answer.text,
                "answered_by": answer.answered_by.get_username(),
                "answered_at": timestamp(answer.answered_at),
            }
            for answer in question.answers.all()
        ],
    }
