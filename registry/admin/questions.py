"""Questions on a feature's page: what was asked and answered, and what is said by its forms.

Not for who may say what: ``operations.questions`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from registry import access
from registry.admin.addresses import named_url
from registry.lineage_graph import NodeKind
from registry.models import Question
from registry.news import page_for
from registry.operations.questions import ask_question, find_question, knows
from registry.prose import rendered

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from registry.models import Feature

#: Questions of a feature that its page shows, open ones first.
MOST_SHOWN = 30
#: More than any key in a database.
MOST_ID = 2**63 - 1


def questions_context(request: HttpRequest, feature: Feature) -> dict[str, Any]:
    """Return what was asked about a feature, open and newest first, and who may say what."""
    view = feature.version.feature_view
    rows = Question.objects.filter(feature_view=view, feature=feature.name)
    related = rows.select_related("asked_by", "closed_by").prefetch_related("answers__answered_by")
    shown = sorted(related[:MOST_SHOWN], key=lambda each: each.closed_at is not None)
    may_answer = knows(request.user, view)
    return {
        "questions": [
            {
                "question": each,
                "text": rendered(each.text),
                "answers": [(answer, rendered(answer.text)) for answer in each.answers.all()],
                "may_say": may_answer or each.asked_by_id == request.user.pk,
            }
            for each in shown
        ],
        "questions_count": rows.count(),
    }


@page_for("registry.question")
def page_of_question(pk: str) -> str:
    """Return the page of the feature that it is about."""
    question = Question.objects.select_related("feature_view__project").get(pk=pk)
    project = question.feature_view.project.name
    return named_url(project, NodeKind.FEATURE, question.reference)


def ask(request: HttpRequest, *, feature: Feature, text: str) -> object:
    """Ask what the page's form says."""
    return ask_question(
        feature_view=feature.version.feature_view,
        feature=feature.name,
        text=text,
        actor=access.acting_user(request),
        at=timezone.now(),
    )


def on_question(operation: Callable[..., object]) -> Callable[..., object]:
    """Return what does ``operation`` with the question that the form names."""

    def step(request: HttpRequest, *, feature: Feature, **said: Any) -> object:
        project = feature.version.feature_view.project
        question = find_question(project, number_of(request, "question"))
        actor = access.acting_user(request)
        return operation(question=question, actor=actor, at=timezone.now(), **said)

    return step


def number_of(request: HttpRequest, name: str) -> int:
    """Return a number that a form sends; zero, which no row has, of anything else."""
    text = request.POST.get(name, "")
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MOST_ID))
    return min(int(text), MOST_ID) if is_number else 0
