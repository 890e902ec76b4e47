"""What every step of the lifecycle does: the right, the row held, the table's word, the trail.

Not for what a single step changes: ``reviews`` and ``releases`` have those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry import access, audit, lifecycle
from registry.choices import State

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.choices import Action
    from registry.lifecycle import Transition
    from registry.models import FeatureViewVersion


def permit(version: FeatureViewVersion, action: Action, actor: User) -> None:
    """Require the action's right, before anything is locked or told.

    :raises ActionNotPermitted: naming the right and the roles that carry it.
    """
    access.require(actor, lifecycle.PERMISSION[action], version.feature_view)


def begin(
    version: FeatureViewVersion, action: Action, actor: User, *, comment: str = ""
) -> Transition:
    """Permit the action, hold the version's row until the transaction ends, and say where it leads.

    :raises ActionNotPermitted, EditorMayNotDecide: the actor may not.
    :raises StateChanged, TransitionNotAllowed: the version is not what, or where, it has to be.
    :raises CommentNeeded: the action wants a reason.
    """
    permit(version, action, actor)
    version.hold()
    return lifecycle.check(
        State(version.state),
        action,
        has_edited=version.has_edited(actor.pk),
        comment=comment,
        project=version.feature_view.project.name,
    )


def record(
    version: FeatureViewVersion,
    action: Action,
    actor: User | None,
    *,
    before: str | None,
    after: str | None,
    at: datetime,
    comment: str,
    **data: Any,
) -> None:
    """Write the action's audit entry, in the transaction of its change."""
    audit.record(
        actor=actor,
        verb=lifecycle.VERB[action],
        subject=version,
        before=before,
        after=after,
        data={"comment": comment, **data},
        at=at,
    )
