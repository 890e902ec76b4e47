"""The registry's words: audit verbs as sentences, actions while attempted, tones of badges.

Not for words of other apps: each has its own ``words`` and registers them when it starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry import verbs
from registry.choices import (
    Action,
    ChangeClass,
    Fate,
    GrantState,
    InStep,
    NewsKind,
    ProposalState,
    Sensitivity,
    Standing,
    State,
    Verdict,
)
from registry.markup import register_tones
from registry.verbs import Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

VERBS = {
    "access.denied": Verb("was refused", "gpp_bad"),
    "access.denied_more": Verb("was refused {more} more times in", "gpp_bad"),
    "access.hidden": Verb("asked for what they may not see in", "visibility_off"),
    "access.hidden_more": Verb(
        "asked {more} more times for what they may not see in", "visibility_off"
    ),
    "access.stranger": Verb("was not let in from", "gpp_bad"),
    "access.stranger_refused": Verb("was refused {more} more times from", "gpp_bad"),
    "api_token.issued": Verb("issued the token", "key"),
    "api_token.revoked": Verb("revoked the token", "person_remove"),
    "audit.exported": Verb("exported the trail of", "download"),
    "api_token.rotated": Verb("rotated the token", "sync_lock"),
    "data_source.created": Verb("created", "add_circle"),
    "data_source.updated": Verb("updated", "edit"),
    "entity.created": Verb("created", "add_circle"),
    "entity.updated": Verb("updated", "edit"),
    "feature_service.created": Verb("created", "add_circle"),
    "feature_service.updated": Verb("updated", "edit"),
    "feature_view_version.drafted": Verb("drafted", "edit_note"),
    "feature_view_version.edited": Verb("edited", "edit_note"),
    "feature_view_version.asked": Verb("chose who reviews", "person_search"),
    "feature_view_version.submitted": Verb("submitted", "send"),
    "feature_view_version.assayed": Verb("has its evidence", "biotech", is_outcome=True),
    "feature_view_version.withdrawn": Verb("withdrew", "undo"),
    "connection.tried": Verb("tried the connection", "cable"),
    "feature_view_version.approved": Verb("approved", "check_circle"),
    "feature_view_version.rejected": Verb("rejected", "cancel"),
    "feature_view_version.glass_broken": Verb("broke the glass to approve", "emergency_home"),
    "feature_view_version.glass_confirmed": Verb("confirmed the broken glass of", "verified"),
    "feature_view_version.glass_objected": Verb("objected to the broken glass of", "report"),
    "feature_view_version.glass_ended": Verb(
        "is deprecated: nobody confirmed its broken glass in its time", "timer_off", is_outcome=True
    ),
    "feature_view_version.promoted": Verb("promoted", "star"),
    "feature_view_version.deprecated": Verb("deprecated", "hourglass_bottom"),
    "feature_view_version.restored": Verb("restored", "restore"),
    "feature_view_version.retired": Verb("retired", "block"),
    "file_root.assigned": Verb("assigned the root", "folder"),
    "file_root.moved": Verb("moved the root", "drive_file_move"),
    "file_root.released": Verb("released the root", "folder_off"),
    "membership.agreed": Verb("agreed that {user} is {role} of", "handshake"),
    "membership.granted": Verb("made {user} {role} of", "person_add"),
    "membership.revoked": Verb("took the role {role} from {user} in", "person_remove"),
    "project.applied": Verb("applied {definitions} definitions of {repository} to", "commit"),
    "read_grant.asked": Verb("asked for", "contact_support"),
    "read_grant.given": Verb("gave", "lock_open"),
    "read_grant.refused": Verb("refused", "lock"),
    "read_grant.revoked": Verb("took back", "lock_reset"),
    "project.created": Verb("created", "add_circle"),
    "project.mask_key_made": Verb("had the key of hashes made for", "key"),
    "project.changed": Verb("changed", "tune"),
    "review_comment.added": Verb("commented on", "add_comment"),
    "review_comment.resolved": Verb("resolved a comment on", "mark_chat_read"),
    "service_account.created": Verb("made the service account", "smart_toy"),
    "service_account.changed": Verb("changed the service account", "tune"),
    "proposal.made": Verb("proposed to {does}:", "how_to_vote"),
    "proposal.accepted": Verb("agreed to {does}:", "handshake"),
    "proposal.refused": Verb("refused to {does}:", "thumb_down"),
    "proposal.withdrawn": Verb("took back the wish to {does}:", "undo"),
    "user.identity_linked": Verb("linked a log-in of the provider to", "link"),
    "question.accepted": Verb("took an answer to", "check_circle"),
    "question.answered": Verb("answered", "forum"),
    "question.asked": Verb("asked", "help"),
    "question.closed": Verb("closed", "check"),
    "question.reopened": Verb("opened again", "undo"),
    "user.identity_unlinked": Verb("took a log-in of the provider from", "link_off"),
    "user.created": Verb("created the account", "add_circle"),
    "user.changed": Verb("changed the account", "tune"),
    "user.forgotten": Verb("forgot who this was:", "person_off"),
    "user.activated": Verb("activated the account"),
    "user.deactivated": Verb("deactivated the account"),
    "user.logged_in": Verb("logged in from", "login", is_routine=True),
    "user.logged_in_more": Verb("logged in {more} more times", "login", is_routine=True),
    "user.logged_out": Verb("logged out from", "logout", is_routine=True),
    "user.login_failed": Verb("failed to log in as", "gpp_bad"),
    "user.login_refused": Verb("was refused {more} more log-ins as", "gpp_bad"),
    "user.password_changed": Verb("changed the password of", "password"),
    "user.password_renewed": Verb("stored the same password by a newer hasher for", "password"),
    "user.deleted": Verb("removed the account", "person_off"),
}
#: What somebody was refused to do, as in "approving driver_hourly@1.0.0".
DOING = {
    Action.SUBMIT: "submitting",
    Action.WITHDRAW: "withdrawing",
    Action.APPROVE: "approving",
    Action.REJECT: "rejecting",
    Action.BREAK_GLASS: "breaking the glass of",
    Action.CONFIRM: "confirming the broken glass of",
    Action.OBJECT: "objecting to the broken glass of",
    Action.PROMOTE: "promoting",
    Action.DEPRECATE: "deprecating",
    Action.RESTORE: "restoring",
    Action.RETIRE: "retiring",
}
#: Reasons that a line has.
REASONS_SHOWN = 2
TONES: dict[str, str] = {
    State.DRAFT: "neutral",
    State.IN_REVIEW: "warn",
    State.APPROVED: "good",
    State.DEPRECATED: "warn",
    State.RETIRED: "neutral",
    "default": "accent",
    # proposals
    ProposalState.PROPOSED: "warn",
    ProposalState.ACCEPTED: "good",
    ProposalState.REFUSED: "bad",
    "overdue": "bad",
    "broken glass": "bad",
    "broken_glass": "bad",
    # what people hear of
    NewsKind.REVIEW: "info",
    NewsKind.REMINDER: "warn",
    NewsKind.FAILURE: "bad",
    NewsKind.BREAKAGE: "bad",
    NewsKind.DRIFT: "warn",
    NewsKind.FRESHNESS: "warn",
    "unread": "accent",
    # what became of a line that was commented on; "changed" is below
    Fate.UNCHANGED: "warn",
    Fate.GONE: "neutral",
    "resolved": "good",
    "ready": "good",
    "not ready": "neutral",
    ChangeClass.FIRST: "accent",
    ChangeClass.MAJOR: "bad",
    ChangeClass.MINOR: "info",
    ChangeClass.PATCH: "neutral",
    ChangeClass.GUARD: "warn",
    Sensitivity.PUBLIC: "good",
    Sensitivity.INTERNAL: "neutral",
    Sensitivity.CONFIDENTIAL: "warn",
    Sensitivity.RESTRICTED: "bad",
    Verdict.REJECTED: "bad",
    Standing.IN_TIME: "good",
    Standing.OVERDUE: "bad",
    InStep.IN_STEP: "good",
    InStep.WAITS: "warn",
    InStep.DRIFTED: "warn",
    # what is the matter with a service's member
    "broken": "bad",
    # of questions
    "answered": "good",
    "accepted": "good",
    "stale": "warn",
    "well": "good",
    # tokens
    "live": "good",
    "expired": "neutral",
    "revoked": "bad",
    "shut out": "bad",
    # grants
    GrantState.ASKED: "warn",
    GrantState.REFUSED: "bad",
    "active": "good",
    "ends soon": "warn",
    "ended": "neutral",
    # what a feature or value is against the version before
    "new": "good",
    "changed": "info",
    "removed": "bad",
    "added": "good",
}


def in_short(packet: Mapping[str, Any]) -> str:
    """Say in one line why a change is of its class, and what it touches."""
    reasons, breaks = packet.get("reasons", []), packet.get("breaks", [])
    said = [*reasons[:REASONS_SHOWN]]
    if more := len(reasons) - len(said):
        said.append(f"and {more} more")
    if breaks:
        said.append(f"breaks {', '.join(breaks)}")
    elif services := len({line.partition(":")[0] for line in packet.get("impact", ())}):
        said.append(f"read by {services} service{'s' if services > 1 else ''}")
    if derived := len({line.partition(":")[0] for line in packet.get("derived", ())}):
        said.append(f"{derived} view{'s' if derived > 1 else ''} computed with it")
    return "; ".join(said)


def register() -> None:
    verbs.register(VERBS)
    register_tones(TONES)
