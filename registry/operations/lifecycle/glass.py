"""Break the glass: approve without the four eyes, for a while; and what comes of it afterwards.

Whoever breaks it says why and until when, and is marked everywhere until somebody else, who could
have approved it, confirmed it or objected. Not for ordinary approvals (``reviews``), nor for who
sees the mark (``registry.glass``).
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from lib.errors import AssayError, Conflict, Forbidden, Invalid
from registry import access, epoch, hands, lifecycle
from registry.approval import (
    RIGHT,
    approvals_given,
    approvals_required,
    evidence_wanted,
    require_person,
    require_reviewer,
)
from registry.choices import Action, Look, State, Verdict
from registry.evidence import evidence_of, require_evidence
from registry.glass import glass_of, unlooked
from registry.models import AuditEntry, BrokenGlass, FeatureView, FeatureViewVersion
from registry.operations.lifecycle import steps
from registry.operations.lifecycle.packets import check_base, check_files
from registry.operations.lifecycle.releases import default_if_none, note_default
from registry.operations.lifecycle.voices import require_first_voice, require_seen, store_review
from registry.queries import relatives
from registry.remembered import held_to, lowered
from registry.spec.change import classify, with_guards
from registry.spec.versions import parse_version

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import ApiToken

log = logging.getLogger(__name__)
#: How long a glass stays broken if nothing is said, and at most.
USUAL, LONGEST = timedelta(hours=24), timedelta(days=7)
#: Glasses whose end one sweep sees to.
MOST_ENDED = 200
ENDED = "feature_view_version.glass_ended"


class BadEnd(Invalid):
    code = "invalid_until"


class GlassUnlooked(Conflict):
    code = "glass_unlooked"


class GlassNotForGuards(Conflict):
    code = "glass_not_for_guards"


class NothingToLookAt(Conflict):
    code = "nothing_to_look_at"


class GlassYourOwn(Forbidden):
    code = "glass_your_own"


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
    ends_at = _end(until, at)
    with steps.taking(version, Action.BREAK_GLASS, actor, comment=comment) as transition:
        evidence = evidence_of(version)
        decided = require_seen(version, evidence, packet_hash)
        require_breakable(version, actor, token)
        check_base(version)
        check_files(version)
        require_evidence(version, evidence, evidence_wanted(version))
        entry = steps.record(
            version, Action.BREAK_GLASS, actor, before=State.IN_REVIEW, after=transition.target,
            at=at, comment=comment.strip(), packet_hash=decided, until=ends_at.isoformat(),
        )  # fmt: skip
        BrokenGlass.objects.create(
            version=version, packet_hash=version.packet_hash, decided_on=decided, broken_by=actor,
            reason=comment.strip(), broken_at=at, ends_at=ends_at, audit_entry=entry,
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


# --- Afterwards ----------------------------------------------------------------------------------


def confirm_glass(
    *,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    packet_hash: str,
    comment: str = "",
    token: ApiToken | None = None,
) -> FeatureViewVersion:
    """Approve afterwards what was approved by breaking the glass.

    It counts as an approval like any other; with as many as the policy wants the mark goes.
    :raises NothingToLookAt: no glass of it is broken, or somebody has settled that.
    :raises GlassYourOwn: the actor broke it.
    :raises EditorMayNotDecide, NotAskedAtSubmit, HandMayNotDecide, AlreadyReviewed: as
        ``approve_version``, of whoever broke it too.
    """
    with steps.taking(version, Action.CONFIRM, actor, comment=comment):
        glass = _looking(version, actor, token)
        decided = require_seen(version, evidence_of(version), packet_hash)
        require_first_voice(version, actor, decided)
        entry = steps.record(
            version, Action.APPROVE, actor, before=version.state, after=version.state, at=at,
            comment=comment, packet_hash=decided,
        )  # fmt: skip
        store_review(Verdict.APPROVED, version, actor, entry, comment, decided)
        if approvals_given(version) >= approvals_required(version):
            closing = steps.record(
                version, Action.CONFIRM, actor, before=version.state, after=version.state, at=at,
                comment=comment, packet_hash=decided,
            )  # fmt: skip
            _settle(glass, Look.CONFIRMED, actor, closing, comment)
    version.refresh_from_db()
    return version


def object_to_glass(
    *,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    packet_hash: str,
    comment: str,
    token: ApiToken | None = None,
) -> FeatureViewVersion:
    """Say that what was approved by breaking the glass should not have been; it is deprecated.

    Who follows the default reads again what was the default before, where that is ready.
    :raises NothingToLookAt, GlassYourOwn, CommentNeeded: as above; a reason is needed.
    """
    with steps.taking(version, Action.OBJECT, actor, comment=comment) as transition:
        glass = _looking(version, actor, token)
        decided = require_seen(version, evidence_of(version), packet_hash)
        back = _default_before(version, at)
        before = State(version.state)
        entry = steps.record(
            version, Action.OBJECT, actor, before=before, after=transition.target, at=at,
            comment=comment.strip(), packet_hash=decided, **_default_said(version, back),
        )  # fmt: skip
        _settle(glass, Look.OBJECTED, actor, entry, comment.strip())
        version.move(expected=before, to=transition.target)
        if back is not None:
            note_default(back, was=version, at=at, comment=f"{actor} objected to {version}")
    version.refresh_from_db()
    return version


def _looking(version: FeatureViewVersion, actor: User, token: ApiToken | None) -> BrokenGlass:
    """Return the glass that somebody is about to settle, who may: the version is held."""
    glass = glass_of(version)
    if glass is None or not glass.is_unlooked:
        said = f"was {glass.verdict} already" if glass else "was not approved by breaking the glass"
        raise NothingToLookAt(f"{version} {said}: there is nothing to look at.")
    require_person(version, actor, token)
    require_onlooker(version, actor, glass)
    return glass


def require_onlooker(version: FeatureViewVersion, actor: User, glass: BrokenGlass) -> None:
    """Return if the actor could have approved the version, and is nobody's hand who broke it.

    :raises GlassYourOwn: they broke it.
    :raises NotAskedAtSubmit, HandMayNotDecide: as ``require_reviewer``.
    """
    breaker = glass.broken_by
    if actor.pk == breaker.pk:
        raise GlassYourOwn(
            f"{actor} broke the glass of {version}: somebody else has to look at it.",
            project=version.feature_view.project.name,
        )
    require_reviewer(version, actor)
    hands.require_independent(
        access.reloaded(actor), version, {breaker.pk}, whose="broke its glass"
    )
    # Whose right is gone acts for nobody any more.
    if access.can(breaker, RIGHT, version.feature_view):
        hands.require_independent(breaker, version, {actor.pk}, whose=f"is not {actor}")


def _settle(
    glass: BrokenGlass, verdict: Look, actor: User, entry: AuditEntry, comment: str
) -> None:
    rows = BrokenGlass.objects.filter(pk=glass.pk, verdict="")
    rows.update(
        verdict=verdict, looked_by=actor, looked_at=entry.at, look_entry=entry, comment=comment
    )


# --- The default of before -----------------------------------------------------------------------


def _default_before(version: FeatureViewVersion, at: datetime) -> FeatureViewVersion | None:
    """Return what the default was before this version, if that is this one and can be again."""
    view = version.feature_view
    if FeatureView.objects.get(pk=view.pk).default_version_id != version.pk:
        return None
    promoted = AuditEntry.objects.filter(
        verb=lifecycle.VERB[Action.PROMOTE],
        subject_type="featureviewversion",
        subject_id=str(version.pk),
    )
    entry = promoted.order_by("-id").first()
    if entry is None or not isinstance(entry.before, str):
        return None
    numbered = view.versions.filter(**parse_version(entry.before)._asdict())
    former = numbered.select_related("table", "feature_view__project").first()
    if former is None or not former.is_ready:
        return None
    glass = glass_of(former)
    return None if glass is not None and glass.leads_nowhere(at) else former


def _default_said(version: FeatureViewVersion, back: FeatureViewVersion | None) -> dict[str, str]:
    """Say in the entry what becomes of the default, if this version is it."""
    if back is not None:
        return {"default": str(back)}
    if FeatureView.objects.filter(default_version=version).exists():
        return {"default": f"{version} still, for what was the default before is not ready"}
    return {}


# --- At the end ----------------------------------------------------------------------------------


def end_glasses(*, at: datetime) -> None:
    """Deprecate what nobody confirmed in its time; one that fails holds up no other."""
    due = unlooked().filter(ends_at__lte=at, version__state=State.APPROVED).order_by("ends_at")
    for glass in due.select_related("version__feature_view__project")[:MOST_ENDED]:
        try:
            _end_one(glass.version, at)
        except AssayError as exc:
            log.warning("ending the glass of %s: %s", glass.version, exc)


def _end_one(version: FeatureViewVersion, at: datetime) -> None:
    with epoch.change_view(version.feature_view):
        version.hold()
        glass = BrokenGlass.objects.get(version=version)
        if version.state != State.APPROVED or not (glass.is_unlooked and at >= glass.ends_at):
            return
        back = _default_before(version, at)
        steps.note(
            version, ENDED, None, before=State.APPROVED, after=State.DEPRECATED, at=at,
            comment="nobody confirmed it in its time", **_default_said(version, back),
        )  # fmt: skip
        version.move(expected=State.APPROVED, to=State.DEPRECATED)
        if back is not None:
            note_default(back, was=version, at=at, comment=f"the glass of {version} ended")


#: What a sweep sees to.
DUTIES = (end_glasses,)
