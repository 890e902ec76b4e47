"""Setting what the tables of a view may take together.

Not for what happens there: nothing stops, ``requests.watch`` tells of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction

from lib.errors import Invalid
from materialization.models import ViewBudget
from materialization.requests.reasons import MAX_REASON, is_kept
from registry import access, audit, locks
from registry.choices import Right
from registry.models import Project

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import FeatureView

#: The most that a budget can be, in megabytes and in keys.
MOST = 1_000_000_000_000


class BadBudget(Invalid):
    code = "invalid_budget"


class Limits(NamedTuple):
    """As ``ViewBudget`` has them. None: what the settings say for all; zero: no limit."""

    disk_mb: int | None = None
    online_keys: int | None = None
    memory_mb: int | None = None


def set_budget(
    *,
    view: FeatureView,
    limits: Mapping[str, int | None],
    reason: str,
    actor: User,
    at: datetime,
) -> ViewBudget:
    """Let a view take so much from now on: by the names of ``Limits``, others stay as they are.

    :raises ActionNotPermitted: the actor may not approve the view's versions.
    :raises BadBudget: no limit or no reason is given, or a limit is below zero or above ``MOST``.
    """
    access.require(actor, Right.APPROVE_FEATUREVIEW, view)
    if not limits:
        raise BadBudget(f"say what it may take: {', '.join(Limits._fields)}.")
    for name, limit in limits.items():
        if limit is not None and not 0 <= limit <= MOST:
            raise BadBudget(f"{name} is {limit}: give 0 (no limit) to {MOST:,}, or nothing.")
    reason = reason.strip()
    if not is_kept(reason):
        raise BadBudget(f"say why, in 1 to {MAX_REASON} characters; the trail keeps it.")
    with transaction.atomic():
        locks.hold(Project.objects.filter(pk=view.project_id))
        access.require_still(actor, Right.APPROVE_FEATUREVIEW, view)
        before = _limits(ViewBudget.objects.filter(feature_view=view).first())
        after = {**before, **limits}
        budget, _ = ViewBudget.objects.update_or_create(
            feature_view=view,
            defaults={**after, "reason": reason, "set_by": actor, "set_at": at},
        )
        audit.record(
            actor=actor,
            verb="budget.changed",
            subject=view,
            before=before,
            after=after,
            data={"reason": reason},
            at=at,
        )
    return budget


def _limits(budget: ViewBudget | None) -> dict[str, Any]:
    return {name: getattr(budget, name, None) for name in Limits._fields}
