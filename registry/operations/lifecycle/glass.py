"""Break the glass: approve without the four eyes, for a while.

Whoever breaks it says why and until when, and is marked everywhere until somebody else, who could
have approved it, confirmed it or objected. Not for what comes of it afterwards (``after_glass``),
nor for who sees the mark (``registry.glass``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from lib.errors import Conflict, Invalid
from registry import access
from registry.accounts import hands
from registry.approval import (
    evidence_wanted,
    require_person,
)
from registry.choices import Action, Right, State
from registry.evidence import evidence_of, require_evidence
from registry.glass import unlooked
from registry.lifecycle import CommentNeeded
from registry.models import BrokenGlass, FeatureViewVersion
from registry.operations.lifecycle import steps
from registry.operations.lifecycle.packets import check_base, check_files
from registry.operations.lifecycle.releases import default_if_none
from registry.operations.lifecycle.voices import require_seen
from registry.queries import relatives
from registry.remembered import held_to, lowered
from registry.spec.change import classify, with_guards

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import ApiToken

#: How long a glass stays broken if nothing is said, and at most.
USUAL, LONGEST = timedelta(hours=24), timedelta(days=7)
#: Letters and digits of a reason.
LEAST_LETTERS = 10


class BadEnd(Invalid):
    code = "invalid_until"


class GlassUnlooked(Conflict):
    code = "glass_unlooked"


class GlassNotForGuards(Conflict):
    code = "glass_not_for_guards"


def break_glass(
    *,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    packet_hash: str,
    comment: str,
    until: datetime | None = None,
    token: ApiToken | None = None,
) -> FeatureViewVersion:
    """Make a version approved by one person's word, its editors' too; ``comment`` says why.

    :raises ActionNotPermitted: the actor has no right to.
    :raises CommentNeeded, BadComment: there is no reason, or one that cannot be stored.
    :raises BadEnd: ``until`` is not after now, or too far off.
    :raises ServiceAccountMayNotDecide, TokenMayNotDecide, PasswordNotYourOwn, HandMayNotDecide: it
        is no person's own word, or somebody else's hand.
    :raises PacketHashMissing, StateChanged, TransitionNotAllowed: as ``approve_version``.
    :raises BaseNotApproved, SourceSwapped, EvidenceMissing: as ``approve_version``; what the policy
        wants to be known beforehand is not what an emergency lacks.
    :raises GlassNotForGuards: it weakens a protection.
    :raises GlassUnlooked: an earlier glass of the view waits for somebody to look at it.
    """
    steps.permit(version, Action.BREAK_GLASS, actor)
    ends_at = _end(until, at)
    reason = _reason(comment)
    with steps.taking(version, Action.BREAK_GLASS, actor, comment=reason) as transition:
        evidence = evidence_of(version)
        decided = require_seen(version, evidence, packet_hash)
        require_breakable(version, actor, token)
        check_base(version)
        check_files(version)
        require_evidence(version, evidence, evidence_wanted(version))
        behind = hands.behind(
            access.reloaded(actor), version.feature_view.project, Right.BREAK_GLASS
        )
        entry = steps.record(
            version, Action.BREAK_GLASS, actor, before=State.IN_REVIEW, after=transition.target,
            at=at, comment=reason, packet_hash=decided, until=ends_at.isoformat(), hands=behind,
        )  # fmt: skip
        BrokenGlass.objects.create(
            version=version, packet_hash=version.packet_hash, decided_on=decided, broken_by=actor,
            reason=reason, broken_at=at, ends_at=ends_at, hands=behind, audit_entry=entry,
        )  # fmt: skip
        version.move(expected=State.IN_REVIEW, to=transition.target, approved_at=at)
        if version.is_ready:
            default_if_none(version, at=at)
    return version


def _end(until: datetime | None, at: datetime) -> datetime:
    ends_at = until or at + USUAL
    if not at < ends_at <= at + LONGEST:
        raise BadEnd(
            f"until {ends_at:%Y-%m-%dT%H:%M:%SZ}: a glass is broken until an instant after now, and"
            f" within {LONGEST.days} days; without one, for {USUAL // timedelta(hours=1)} hours."
        )
    return ends_at


def _reason(comment: str) -> str:
    """Return the reason, which somebody else has to understand afterwards.

    :raises CommentNeeded: it has hardly a letter, or only what nobody sees.
    """
    reason = comment.strip()
    if len(reason) > 0 and sum(map(str.isalnum, reason)) < LEAST_LETTERS:
        raise CommentNeeded(
            f"{Action.BREAK_GLASS} needs a reason of at least {LEAST_LETTERS} letters or digits:"
            " say why it cannot wait for others to approve it."
        )
    return reason


def require_breakable(version: FeatureViewVersion, actor: User, token: ApiToken | None) -> None:
    """Return if the actor's own voice may break this glass.

    :raises Forbidden, GlassUnlooked, GlassNotForGuards: as ``break_glass`` says.
    """
    require_person(version, actor, token)
    _require_own_right(version, actor)
    _require_only_one(version)
    _refuse_guards(version)


def _require_own_right(version: FeatureViewVersion, actor: User) -> None:
    """Return if the right is the actor's own, and they are no hand of another who edited it."""
    others = set(version.editors.values_list("user_id", flat=True)) - {actor.pk}
    hands.require_independent(access.reloaded(actor), version, others, whose="edited it")


def _require_only_one(version: FeatureViewVersion) -> None:
    other = unlooked().filter(version__feature_view=version.feature_view_id)
    if (glass := other.select_related("version__feature_view").first()) is not None:
        raise GlassUnlooked(
            f"nobody has looked at {glass.version} yet, which was approved by breaking the glass:"
            f" have somebody confirm it or object to it, before another of {version.feature_view}.",
            version=str(glass.version),
        )


def _refuse_guards(version: FeatureViewVersion) -> None:
    """:raises GlassNotForGuards: it weakens a protection, by its packet or by what is so now."""
    base = version.based_on
    change = classify(base.spec if base else None, version.spec)
    known = relatives(version.feature_view, base, version.version)
    change = with_guards(change, {str(each.number): each.spec for each in known}, version.spec)
    change = held_to(change, lowered(version.feature_view.project, version.spec))
    if change.is_guard or version.packet.get("guard"):
        reasons = "; ".join(version.packet.get("reasons", ())[:3] or change.reasons[:3])
        raise GlassNotForGuards(
            f"{version} weakens a protection ({reasons}), which no emergency is a reason for."
            " Submit what is urgent without that, or have as many people approve it as it wants.",
            project=version.feature_view.project.name,
        )
