"""Asking about a feature, answering, saying which answer answers it, and closing.

Nothing said is changed or removed. The trail has that it was said, and not what: that may be about
people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from lib.errors import SHOWN_LENGTH, Conflict, Forbidden, Invalid, NotFound, did_you_mean
from registry import access, audit
from registry.choices import Right
from registry.models import Answer, Feature, Question

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from registry.models import FeatureView, Project

MAX_TEXT = 4000
#: Questions about one view that are open, in all and of one person; answers to one question.
MOST_OPEN, MOST_OF_ONE, MOST_ANSWERS = 200, 20, 100
#: Whoever holds one of these knows the view.
KNOWING = (Right.CHANGE_FEATUREVIEW, Right.APPROVE_FEATUREVIEW)


class BadText(Invalid):
    code = "invalid_text"


class QuestionNotFound(NotFound):
    code = "question_not_found"


class TooManyQuestions(Conflict):
    code = "too_many_questions"


class QuestionClosed(Conflict):
    code = "question_closed"


class QuestionOfOthers(Forbidden):
    code = "question_of_others"


def find_question(project: Project, pk: int) -> Question:
    """Return a question about a feature of the project.

    :raises QuestionNotFound: there is none of that number.
    """
    related = "feature_view__project", "asked_by", "closed_by"
    found = Question.objects.filter(feature_view__project=project, pk=pk)
    question = found.select_related(*related).first()
    if question is None:
        raise QuestionNotFound(f"project {project} has no question {pk}.")
    return question


def knows(user: User | AnonymousUser, feature_view: FeatureView) -> bool:
    """Return whether somebody may answer for a view: who may write or approve it.

    Not by the name of its owner: an account that calls itself as a team does is not that team.
    """
    return bool(access.permissions(user, feature_view) & set(KNOWING))


def ask_question(
    *, feature_view: FeatureView, feature: str, text: str, actor: User, at: datetime
) -> Question:
    """Ask about a feature that any version of the view has.

    :raises ActionNotPermitted: the actor may not see the project.
    :raises QuestionNotFound: no version has such a feature; names the nearest.
    :raises BadText, TooManyQuestions: it cannot be stored, or too much is open already.
    """
    access.require(actor, Right.VIEW_PROJECT, feature_view)
    access.require_unlimited(actor)
    text = _storable(text)
    known = Feature.objects.filter(version__feature_view=feature_view)
    if "\x00" in feature or not known.filter(name=feature).exists():
        names = known.order_by("name").values_list("name", flat=True).distinct()[:1000]
        hint = did_you_mean(feature[:SHOWN_LENGTH], names)
        raise QuestionNotFound(f"{feature_view} has no feature {feature[:SHOWN_LENGTH]!r}.{hint}")
    with transaction.atomic():
        still_open = feature_view.questions.filter(closed_at=None)
        if still_open.filter(asked_by=actor).count() >= MOST_OF_ONE:
            raise TooManyQuestions(
                f"{actor} has {MOST_OF_ONE} open questions on {feature_view}; close some first."
            )
        if still_open.count() >= MOST_OPEN:
            raise TooManyQuestions(
                f"{feature_view} has {MOST_OPEN} open questions; close some first."
            )
        question = Question.objects.create(
            feature_view=feature_view, feature=feature, text=text, asked_by=actor, asked_at=at
        )
        _record("asked", question, actor, at)
    return question


def answer_question(*, question: Question, text: str, actor: User, at: datetime) -> Answer:
    """Answer a question, or say more to it as the one who asked.

    :raises QuestionOfOthers: the actor neither asked nor knows the view.
    :raises QuestionClosed, BadText, TooManyQuestions: nothing more can be said, or not this.
    """
    _require_part(question, actor)
    text = _storable(text)
    with transaction.atomic():
        _require_open(question)
        if question.answers.count() >= MOST_ANSWERS:
            raise TooManyQuestions(f"{question} has {MOST_ANSWERS} answers; close it and ask anew.")
        answer = Answer.objects.create(
            question=question, text=text, answered_by=actor, answered_at=at
        )
        _record("answered", question, actor, at, answer=answer.pk)
    return answer


def accept_answer(*, question: Question, answer_id: int, actor: User, at: datetime) -> Question:
    """Say which answer answers the question; another may take its place.

    :raises QuestionOfOthers: the actor neither asked nor knows the view.
    :raises QuestionNotFound: the question has no such answer.
    """
    _require_part(question, actor)
    with transaction.atomic():
        _require_open(question)
        answer = question.answers.filter(pk=answer_id).first()
        if answer is None:
            raise QuestionNotFound(f"{question} has no answer {answer_id}.")
        Question.objects.filter(pk=question.pk).update(accepted=answer)
        _record("accepted", question, actor, at, answer=answer.pk)
    question.refresh_from_db()
    return question


def close_question(*, question: Question, actor: User, at: datetime) -> Question:
    """Close a question: nothing more is said to it. What was said stays.

    :raises QuestionClosed: it is closed already.
    """
    return _turn(question, actor, at, closes=True)


def reopen_question(*, question: Question, actor: User, at: datetime) -> Question:
    """Open a question that was closed.

    :raises QuestionClosed: it is not closed.
    """
    return _turn(question, actor, at, closes=False)


def _turn(question: Question, actor: User, at: datetime, *, closes: bool) -> Question:
    _require_part(question, actor)
    closed_at, closed_by = (at, actor) if closes else (None, None)
    with transaction.atomic():
        turning = Question.objects.filter(pk=question.pk, closed_at__isnull=closes)
        if not turning.update(closed_at=closed_at, closed_by=closed_by):
            state = "closed already." if closes else "open: there is nothing to open again."
            raise QuestionClosed(f"{question} is {state}")
        _record("closed" if closes else "reopened", question, actor, at)
    question.refresh_from_db()
    return question


def _require_part(question: Question, actor: User) -> None:
    access.require(actor, Right.VIEW_PROJECT, question.feature_view)
    access.require_unlimited(actor)
    if question.asked_by_id != actor.pk and not knows(actor, question.feature_view):
        raise QuestionOfOthers(
            f"{actor} neither asked {question} nor answers for {question.feature_view}: those who"
            " may write or approve it do.",
            project=question.feature_view.project.name,
        )


def _require_open(question: Question) -> None:
    if not Question.objects.filter(pk=question.pk, closed_at=None).exists():
        raise QuestionClosed(f"{question} is closed; open it again to say more.")


def _storable(text: str) -> str:
    text = text.strip()
    if not text:
        raise BadText("the text is empty: say something.")
    if len(text) > MAX_TEXT:
        raise BadText(f"{len(text)} characters; at most {MAX_TEXT}.")
    if "\x00" in text:
        raise BadText("the text holds a NUL, which text cannot be stored with; leave it out.")
    return text


def _record(what: str, question: Question, actor: User, at: datetime, **data: int) -> None:
    audit.record(
        actor=actor,
        verb=f"question.{what}",
        subject=question,
        label=str(question),
        project=question.feature_view.project,
        data={"feature": question.reference, **data},
        at=at,
    )
