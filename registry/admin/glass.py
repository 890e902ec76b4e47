"""What a version's page shows of a broken glass: its mark, and the two forms about it.

Not for the rules: ``operations.lifecycle.glass`` has them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from lib.errors import AssayError
from registry import access, lifecycle
from registry.admin.attempts import as_sentence
from registry.approval import require_person
from registry.choices import Action, State
from registry.evidence import decided_on, evidence_of
from registry.glass import mark_of
from registry.operations.lifecycle.after_glass import require_onlooker
from registry.operations.lifecycle.glass import require_breakable

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.http import HttpRequest

    from registry.models import BrokenGlass, FeatureViewVersion

LOOKS = (Action.CONFIRM, Action.OBJECT)
GLASS_ACTIONS = (Action.BREAK_GLASS, *LOOKS)
#: Hours to choose from.
ENDS = {1: "1 hour", 4: "4 hours", 24: "a day", 72: "3 days", 168: "7 days"}


def end_of(request: HttpRequest) -> datetime | None:
    """Return the end that was chosen; None for the usual one, where none of those was."""
    hours = {str(each): each for each in ENDS}.get(request.POST.get("hours", ""))
    return timezone.now() + timedelta(hours=hours) if hours else None


def glass_context(version: FeatureViewVersion, user: User) -> dict[str, Any]:
    """Return the mark of a version, and what the person may do about it."""
    mark = mark_of(version)
    found: dict[str, Any] = {
        "mark": mark,
        "glass_is_over": mark is not None and timezone.now() >= mark.ends_at,
        "glass_ends": ENDS.items(),
    }
    rights = access.permissions(user, version.feature_view)
    if mark is not None and mark.is_unlooked and lifecycle.PERMISSION[Action.CONFIRM] in rights:
        barred = _why_not_look(version, user, mark)
        found |= {"may_look": not barred, "look_barred": barred}
    if version.state == State.IN_REVIEW and lifecycle.PERMISSION[Action.BREAK_GLASS] in rights:
        found |= {"may_break": True, "break_barred": _why_not_break(version, user)}
    return found


def _why_not_look(version: FeatureViewVersion, user: User, glass: BrokenGlass) -> str:
    if version.has_edited(user.pk):
        return "You wrote some of this version, so somebody else has to look at it."
    now = decided_on(version, evidence_of(version))
    if version.reviews.filter(reviewer=user, decided_on=now).exists():
        return "You approved it already; as many more as are wanted have to confirm it."
    try:
        require_person(version, user, None)
        require_onlooker(version, user, glass)
    except AssayError as error:
        return as_sentence(error.message)
    return ""


def _why_not_break(version: FeatureViewVersion, user: User) -> str:
    try:
        require_breakable(version, user, None)
    except AssayError as error:
        return as_sentence(error.message)
    return ""
