"""What the page of a version shows: its definition, its change, the evidence, who said what.

Not for rendering (``templates/registry/admin/version.html``) or for acting (``review``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils import timezone

from lib.errors import Forbidden
from registry import access, lifecycle
from registry.admin.attempts import as_sentence
from registry.admin.conversation import conversation
from registry.admin.glass import GLASS_ACTIONS, glass_context
from registry.admin.queue import place_of
from registry.admin.scope import projects_with
from registry.approval import (
    approvals_required,
    require_person,
    require_reviewer,
    standing,
)
from registry.breakage import services_broken_by
from registry.choices import Action, Right, State
from registry.elsewhere import told_elsewhere
from registry.evidence import decided_on, evidence_of
from registry.glass import mark_of
from registry.models import AuditEntry, FeatureService, Review
from registry.operations.lifecycle.asking import may_ask
from registry.operations.lifecycle.packets import files_since
from registry.operations.registration.reads import in_the_way
from registry.operations.registration.registered import registered_one
from registry.queries import consumers_of
from registry.recent_readers import may_see, named
from registry.refused_ahead import refused_ahead_of
from registry.remembered import held_to, lowered
from registry.reviewers import could_decide, due_at, names_asked
from registry.spec.change import classify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.admin import ModelAdmin
    from django.contrib.auth.models import User
    from django.http import HttpRequest

    from registry.models import FeatureViewVersion
    from registry.spec.model import FeatureSpec

HISTORY_LENGTH = 50
#: People to choose reviewers from.
MOST_SUGGESTED = 50
DECISIONS = (Action.APPROVE, Action.REJECT)
#: Each with a form of its own, which says what it does.
APART = (*DECISIONS, *GLASS_ACTIONS, Action.DEPRECATE, Action.RETIRE)


class Button(NamedTuple):
    action: Action
    label: str
    icon: str
    tone: str = ""


BUTTONS = {
    button.action: button
    for button in (
        Button(Action.SUBMIT, "Submit for review", "send", "primary"),
        Button(Action.WITHDRAW, "Withdraw to draft", "undo"),
        Button(Action.APPROVE, "Approve", "check", "primary"),
        Button(Action.REJECT, "Request changes", "rate_review", "danger"),
        Button(Action.PROMOTE, "Make it the default", "star", "primary"),
        Button(Action.RESTORE, "Take the deprecation back", "restore"),
        Button(Action.RETIRE, "Retire", "block", "danger"),
    )
}


class FeatureRow(NamedTuple):
    """One feature beside what it was before; ``word`` is new, changed, removed or empty."""

    spec: FeatureSpec
    checks: list[str]
    word: str


def version_context(
    request: HttpRequest, admin: ModelAdmin[Any], version: FeatureViewVersion
) -> dict[str, Any]:
    """Return everything the template shows of ``version``."""
    user: Any = request.user
    base = version.based_on
    spec = version.spec
    waiting, unreadable = in_the_way(version)
    return {
        "version": version,
        "spec": spec,
        "base": base,
        "is_default": version.feature_view.default_version_id == version.pk,
        "change": change_of(version),
        "files_since": files_since(version),
        **conversation(version, user),
        "features": feature_rows(spec.features, base.spec.features if base else None),
        "people": _people(version),
        "services": _services(version),
        **_read_by(version, user),
        "consumers": consumers_of(version),
        "breaks": [] if version.state == State.RETIRED else services_broken_by(version),
        "registered": registered_one(version.feature_view),
        "history": _history(request, version),
        "queue": place_of(request, admin, version),
        "decided_on": decided_on(version, evidence_of(version)),
        **_review(version),
        **_asked(version, user),
        **glass_context(version, user),
        **_actions(version, user, waiting),
        "waits_for": waiting,
        "unreadable": unreadable,
        "refused_ahead": refused_ahead_of(version),
    }


def change_of(version: FeatureViewVersion) -> dict[str, Any]:
    """Return class, reasons, guard: the submitted packet, for a draft what it would say."""
    if version.packet and version.state != State.DRAFT:
        return dict(version.packet)
    base = version.based_on
    change = classify(base.spec if base else None, version.spec)
    weaker = lowered(version.feature_view.project, version.spec)
    change = held_to(change, weaker)
    project, old = version.feature_view.project, base.spec if base else None
    change = told_elsewhere(change, project, old, version.spec)
    return {
        "class": change.classification,
        "reasons": change.reasons,
        "guard": change.is_guard,
    }


def feature_rows(
    after: tuple[FeatureSpec, ...], before: tuple[FeatureSpec, ...] | None
) -> list[FeatureRow]:
    """Return the features with what became of each; without ``before`` nothing is marked."""
    if before is None:
        return [FeatureRow(feature, list(feature.checks.in_words()), "") for feature in after]
    known, kept = {feature.name: feature for feature in before}, {feature.name for feature in after}
    rows = [
        FeatureRow(
            feature,
            list(feature.checks.in_words()),
            _feature_word(feature, known.get(feature.name)),
        )
        for feature in after
    ]
    removed = (feature for feature in before if feature.name not in kept)
    return rows + [
        FeatureRow(feature, list(feature.checks.in_words()), "removed") for feature in removed
    ]


def _feature_word(feature: FeatureSpec, before: FeatureSpec | None) -> str:
    if before is None:
        return "new"
    return "" if feature == before else "changed"


def _people(version: FeatureViewVersion) -> dict[str, Any]:
    editors = version.editors.select_related("user").order_by("first_at", "id")
    return {"editors": [editor.user.get_username() for editor in editors]}


def _services(version: FeatureViewVersion) -> list[dict[str, Any]]:
    """Return the impact lines of the packet with the services they name, for links."""
    services = FeatureService.objects.filter(project=version.feature_view.project)
    by_name = {service.name: service for service in services}
    lines = [line.partition(": ") for line in version.packet.get("impact", ())]
    return [
        {
            "name": name,
            "reference": reference,
            "service": by_name.get(name),
            "is_pinned": "@" in reference,
        }
        for name, _, reference in lines
    ]


def _read_by(version: FeatureViewVersion, user: Any) -> dict[str, Any]:
    """Return how many read the view before the submission, and who did lately.

    For those who may see that.
    """
    view = version.feature_view
    if not may_see(user, view):
        return {}
    return {
        "read_before": version.packet.get("read_by", []),
        "read_by": named(view, timezone.now()),
    }


def _history(request: HttpRequest, version: FeatureViewVersion) -> list[AuditEntry] | None:
    """Return the newest entries about the version; None for those who may not read the trail."""
    if version.feature_view.project_id not in projects_with(request, Right.VIEW_AUDITENTRY):
        return None
    entries = AuditEntry.objects.named().filter(
        subject_type="featureviewversion", subject_id=str(version.pk)
    )
    return list(entries.order_by("-id")[:HISTORY_LENGTH])


def _review(version: FeatureViewVersion) -> dict[str, Any]:
    reviews = list(version.reviews.select_related("reviewer"))
    now = decided_on(version, evidence_of(version))
    why_not = {review.pk: why for review, why in standing(version)}
    return {
        "reviews": [
            (
                each,
                why_not.get(each.pk, "") if each.decided_on == now else "on an earlier submission",
            )
            for each in reviews
        ],
        "approvals": sum(not why for why in why_not.values()),
        "required": approvals_required(version),
    }


def _asked(version: FeatureViewVersion, user: User) -> dict[str, Any]:
    """Return who is asked to decide, and for those who may ask whom they could."""
    open_states = State.DRAFT, State.IN_REVIEW
    if version.state not in open_states or not may_ask(user, version):
        could: list[str] = []
    else:
        could = list(could_decide(version).values_list("username", flat=True)[:MOST_SUGGESTED])
    due = due_at(version)
    return {
        "asked": names_asked([version]).get(version.pk, []),
        "could_ask": could,
        "due_at": due,
        "is_overdue": due is not None and due < timezone.now(),
    }


def _actions(version: FeatureViewVersion, user: User, waiting: tuple[str, ...]) -> dict[str, Any]:
    """Return the buttons the person may press now, and why deciding is not among them."""
    rights = access.permissions(user, version.feature_view)
    edited = version.has_edited(user.pk)
    allowed = [action for action in _possible(version) if lifecycle.PERMISSION[action] in rights]
    barred = _why_not_decide(version, user, edited=edited) if Action.APPROVE in allowed else ""
    if barred:
        allowed = [action for action in allowed if action not in DECISIONS]
    if waiting:
        allowed = [action for action in allowed if action is not Action.SUBMIT]
    steps = [BUTTONS[a] for a in allowed if a not in APART]
    return {
        "may_decide": Action.APPROVE in allowed,
        "barred": barred,
        "steps": steps,
        "may_deprecate": Action.DEPRECATE in allowed,
        "may_retire": Action.RETIRE in allowed,
    }


def _possible(version: FeatureViewVersion) -> Iterator[Action]:
    """Yield the actions that lead from the version's state, as far as they change it."""
    glass = mark_of(version)
    is_kept = glass is not None and glass.leads_nowhere(timezone.now())
    for state, action in lifecycle.TRANSITIONS:
        if state != version.state:
            continue
        is_default = version.feature_view.default_version_id == version.pk
        if action is Action.PROMOTE and (is_default or not version.is_ready):
            continue
        if is_kept and action in (Action.PROMOTE, Action.RESTORE):
            continue
        yield action


def _why_not_decide(version: FeatureViewVersion, user: User, *, edited: bool) -> str:
    if edited:
        return (
            "You created, edited or submitted content of this version, "
            "so somebody else has to decide."
        )
    now = decided_on(version, evidence_of(version))
    if Review.objects.filter(version=version, reviewer=user, decided_on=now).exists():
        return "You have decided on this submission already."
    try:
        require_person(version, user, None)
        require_reviewer(version, user)
    except Forbidden as error:
        return as_sentence(error.message)
    return ""
