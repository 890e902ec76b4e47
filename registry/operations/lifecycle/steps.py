"""What every step of the lifecycle does: the right, the row held, the table's word, the trail.

Not for what a single step changes: ``submissions``, ``reviews`` and ``releases`` have those.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lib.errors import Invalid
from registry import access, audit, epoch, lifecycle
from registry.choices import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.choices import Action
    from registry.lifecycle import Transition
    from registry.models import AuditEntry, FeatureViewVersion


#: Characters of one comment.
MOST_CHARACTERS = 10_000


class BadComment(Invalid):
    code = "invalid_comment"


def permit(version: FeatureViewVersion, action: Action, actor: User) -> None:
    """Require the action's right, before anything is locked or told.

    :raises ActionNotPermitted: naming the right and the roles that carry it.
    """
    access.require(actor, lifecycle.PERMISSION[action], version.feature_view)


def require_storable(comment: str) -> None:
    """:raises BadComment: it is too long for a comment, or text cannot be stored with it."""
    if len(comment) > MOST_CHARACTERS:
        raise BadComment(
            f"the comment has {len(comment):,} characters; write at most {MOST_CHARACTERS:,},"
            " and link to what is longer."
        )
    if "\x00" in comment:
        raise BadComment("the comment holds a NUL, which text cannot be stored with.")


@contextmanager
def taking(
    version: FeatureViewVersion, action: Action, actor: User, *, comment: str = ""
) -> Iterator[Transition]:
    """Hold the project and the version while the action is taken; gives where it leads.

    Every step locks in this order: project, version, the head of the trail. Rights are changed
    under the project's lock too, so they are required again under it.
    :raises ActionNotPermitted, EditorMayNotDecide: the actor may not.
    :raises StateChanged, TransitionNotAllowed: the version is not what, or where, it has to be.
    :raises CommentNeeded, BadComment: the action wants a reason, or cannot store this one.
    """
    permit(version, action, actor)
    require_storable(comment)
    with epoch.change_view(version.feature_view):
        access.require_still(actor, lifecycle.PERMISSION[action], version.feature_view)
        version.hold()
        yield lifecycle.check(
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
) -> AuditEntry:
    """Write the action's audit entry, in the transaction of its change."""
    return note(
        version, lifecycle.VERB[action], actor, before=before, after=after, at=at, comment=comment,
        **data,
    )  # fmt: skip


def note(
    version: FeatureViewVersion,
    verb: str,
    actor: User | None,
    *,
    before: str | None,
    after: str | None,
    at: datetime,
    comment: str,
    **data: Any,
) -> AuditEntry:
    """Write an entry as ``record`` does, of what no action of a person does."""
    return audit.record(
        actor=actor,
        verb=verb,
        subject=version,
        before=before,
        after=after,
        data={"comment": comment, **data},
        at=at,
    )
