"""Which action leads where: the table a reviewer reads, and its pure check. [pure]

Not for performing it: ``operations`` do, by conditional update.
"""

from __future__ import annotations

from typing import NamedTuple

from lib.errors import Conflict, Forbidden, Invalid
from registry.choices import Action, Right, State


class Transition(NamedTuple):
    target: State
    #: What has to be said; empty: nothing.
    needs_comment: str = ""
    editors_may: bool = True


OBJECTION = "say what is wrong with it"
TRANSITIONS: dict[tuple[State, Action], Transition] = {
    (State.DRAFT, Action.SUBMIT): Transition(State.IN_REVIEW),
    (State.IN_REVIEW, Action.WITHDRAW): Transition(State.DRAFT),
    (State.IN_REVIEW, Action.APPROVE): Transition(State.APPROVED, editors_may=False),
    (State.IN_REVIEW, Action.REJECT): Transition(
        State.DRAFT, needs_comment="say what should change", editors_may=False
    ),
    (State.IN_REVIEW, Action.BREAK_GLASS): Transition(
        State.APPROVED, needs_comment="say why it cannot wait for others to approve it"
    ),
    (State.APPROVED, Action.CONFIRM): Transition(State.APPROVED, editors_may=False),
    (State.DEPRECATED, Action.CONFIRM): Transition(State.DEPRECATED, editors_may=False),
    (State.RETIRED, Action.CONFIRM): Transition(State.RETIRED, editors_may=False),
    (State.APPROVED, Action.OBJECT): Transition(
        State.DEPRECATED, needs_comment=OBJECTION, editors_may=False
    ),
    (State.DEPRECATED, Action.OBJECT): Transition(
        State.DEPRECATED, needs_comment=OBJECTION, editors_may=False
    ),
    (State.RETIRED, Action.OBJECT): Transition(
        State.RETIRED, needs_comment=OBJECTION, editors_may=False
    ),
    (State.APPROVED, Action.PROMOTE): Transition(State.APPROVED),
    (State.APPROVED, Action.DEPRECATE): Transition(State.DEPRECATED),
    (State.APPROVED, Action.RETIRE): Transition(State.RETIRED),
    (State.DEPRECATED, Action.RESTORE): Transition(State.APPROVED),
    (State.DEPRECATED, Action.RETIRE): Transition(State.RETIRED),
}
#: The right each action needs, on the feature view or its project.
PERMISSION: dict[Action, Right] = {
    Action.SUBMIT: Right.CHANGE_FEATUREVIEW,
    Action.WITHDRAW: Right.CHANGE_FEATUREVIEW,
    Action.APPROVE: Right.APPROVE_FEATUREVIEW,
    Action.REJECT: Right.APPROVE_FEATUREVIEW,
    Action.BREAK_GLASS: Right.BREAK_GLASS,
    Action.CONFIRM: Right.APPROVE_FEATUREVIEW,
    Action.OBJECT: Right.APPROVE_FEATUREVIEW,
    Action.PROMOTE: Right.RELEASE_FEATUREVIEW,
    Action.DEPRECATE: Right.RELEASE_FEATUREVIEW,
    Action.RESTORE: Right.RELEASE_FEATUREVIEW,
    Action.RETIRE: Right.RELEASE_FEATUREVIEW,
}
#: The audit verb each action leaves, past tense and stable for ever.
VERB: dict[Action, str] = {
    Action.SUBMIT: "feature_view_version.submitted",
    Action.WITHDRAW: "feature_view_version.withdrawn",
    Action.APPROVE: "feature_view_version.approved",
    Action.REJECT: "feature_view_version.rejected",
    Action.BREAK_GLASS: "feature_view_version.glass_broken",
    Action.CONFIRM: "feature_view_version.glass_confirmed",
    Action.OBJECT: "feature_view_version.glass_objected",
    Action.PROMOTE: "feature_view_version.promoted",
    Action.DEPRECATE: "feature_view_version.deprecated",
    Action.RESTORE: "feature_view_version.restored",
    Action.RETIRE: "feature_view_version.retired",
}


class TransitionNotAllowed(Conflict):
    code = "transition_not_allowed"


class EditorMayNotDecide(Forbidden):
    code = "editor_may_not_decide"


class CommentNeeded(Invalid):
    code = "comment_needed"


def check(
    state: State, action: Action, *, has_edited: bool, comment: str, project: str = ""
) -> Transition:
    """Return where ``action`` leads from ``state``; a refusal belongs to the trail of ``project``.

    :raises TransitionNotAllowed: not from this state; names the states it is allowed from.
    :raises EditorMayNotDecide: the actor created, edited or submitted the version.
    :raises CommentNeeded: the action wants a reason.
    """
    transition = TRANSITIONS.get((state, action))
    if transition is None:
        allowed = ", ".join(source for source, possible in TRANSITIONS if possible is action)
        raise TransitionNotAllowed(
            f"cannot {action} a version that is {state}; it must be {allowed}.",
            state=state,
            action=action,
        )
    if has_edited and not transition.editors_may:
        who = "whoever created, edited or submitted a version"
        raise EditorMayNotDecide(f"{who} cannot {action} it; ask another steward.", project=project)
    if transition.needs_comment and not comment.strip():
        raise CommentNeeded(f"{action} needs a comment: {transition.needs_comment}.")
    return transition
