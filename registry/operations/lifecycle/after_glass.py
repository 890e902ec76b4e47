"""What comes of a broken glass: somebody else confirms it or objects to it, or its end comes.

Not for breaking it (``glass``), nor for who sees the mark (``registry.glass``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import F, Q

from lib.errors import AssayError, Conflict, Forbidden
from registry import access, epoch, lifecycle
from registry.accounts import hands
from registry.approval import (
    approvals_given,
    approvals_required,
    require_person,
    require_reviewer,
)
from registry.choices import SERVED_STATES, Action, Look, State, Verdict
from registry.evidence import evidence_of
from registry.glass import glass_of, mark_of, unlooked
from registry.models import AuditEntry, BrokenGlass, FeatureView, FeatureViewVersion
from registry.newest import NEWEST_FIRST
from registry.operations.lifecycle import steps
from registry.operations.lifecycle.releases import note_default
from registry.operations.lifecycle.voices import require_first_voice, require_seen, store_review

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import ApiToken

log = logging.getLogger(__name__)
#: Glasses whose end one sweep sees to.
MOST_ENDED = 200
#: Versions of a view that are looked through for one that was the default before.
MOST_TRIED = 200
ENDED = "feature_view_version.glass_ended"


class NothingToLookAt(Conflict):
    code = "nothing_to_look_at"


class GlassYourOwn(Forbidden):
    code = "glass_your_own"


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

    Who follows the default reads again what was the default before, or is told there is none.
    :raises NothingToLookAt, GlassYourOwn, CommentNeeded: as above; a reason is needed.
    """
    with steps.taking(version, Action.OBJECT, actor, comment=comment) as transition:
        glass = _looking(version, actor, token)
        decided = require_seen(version, evidence_of(version), packet_hash)
        back, before = _back(version), State(version.state)
        entry = steps.record(
            version, Action.OBJECT, actor, before=before, after=transition.target, at=at,
            comment=comment.strip(), packet_hash=decided, **back.said,
        )  # fmt: skip
        _settle(glass, Look.OBJECTED, actor, entry, comment.strip())
        since = version.deprecated_at or at
        version.move(expected=before, to=transition.target, deprecated_at=since)
        _go_back(version, back, at=at, why=f"somebody objected to {version}")
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
    # As it was when they broke it: taking a right away afterwards takes one person's word.
    if all(actor.pk in behind for behind in glass.hands):
        raise hands.HandMayNotDecide(
            f"{breaker} broke the glass of {version} by the word of {actor} alone: somebody else"
            " has to look at it.",
            project=version.feature_view.project.name,
        )


def _settle(
    glass: BrokenGlass, verdict: Look, actor: User, entry: AuditEntry, comment: str
) -> None:
    rows = unlooked().filter(pk=glass.pk)
    rows.update(
        verdict=verdict, looked_by=actor, looked_at=entry.at, look_entry=entry, comment=comment
    )


# --- The default of before -----------------------------------------------------------------------


class Back(NamedTuple):
    """What becomes of the default of a view: ``said`` in the entry, ``to`` none, or a version."""

    said: dict[str, str]
    to: FeatureViewVersion | None = None


def _back(version: FeatureViewVersion) -> Back:
    """Return what is the default instead of a version, if it is that now.

    What was promoted last before it and is ready, and needs no glass; else nothing.
    """
    if not FeatureView.objects.filter(default_version=version).exists():
        return Back({})
    served = version.feature_view.versions.filter(state__in=SERVED_STATES).exclude(pk=version.pk)
    others = served.filter(table__ready_at__isnull=False) | served.filter(table=None)
    known = {
        str(each.pk): each
        for each in others.select_related("table", "feature_view__project", "glass")
        .defer("packet")
        .order_by(*NEWEST_FIRST)[:MOST_TRIED]
        if each.is_ready and mark_of(each) is None
    }
    promoted = AuditEntry.objects.filter(
        verb=lifecycle.VERB[Action.PROMOTE],
        subject_type="featureviewversion",
        subject_id__in=known,
    )
    last = promoted.order_by("-id").values_list("subject_id", flat=True).first()
    return Back({"default": str(known[last])}, known[last]) if last else Back({"default": ""})


def _go_back(version: FeatureViewVersion, back: Back, *, at: datetime, why: str) -> None:
    if back.to is not None:
        note_default(back.to, was=version, at=at, comment=why)
    elif back.said:
        FeatureView.objects.filter(default_version=version).update(default_version=None)


# --- At the end ----------------------------------------------------------------------------------


def end_glasses(*, at: datetime) -> None:
    """Deprecate what nobody confirmed in its time, and have nobody follow it; each by itself."""
    leads = Q(version__state=State.APPROVED)
    leads |= Q(version=F("version__feature_view__default_version"))
    due = unlooked().filter(leads, ends_at__lte=at).order_by("ends_at")
    for glass in due.select_related("version__feature_view__project")[:MOST_ENDED]:
        try:
            _end_one(glass.version, at)
        except AssayError as exc:
            log.warning("ending the glass of %s: %s", glass.version, exc)


def _end_one(version: FeatureViewVersion, at: datetime) -> None:
    with epoch.change_view(version.feature_view):
        version.hold()
        glass = BrokenGlass.objects.get(version=version)
        back, before = _back(version), State(version.state)
        is_approved = before is State.APPROVED
        if not glass.leads_nowhere(at) or not (is_approved or back.said):
            return
        after = State.DEPRECATED if is_approved else before
        steps.note(
            version, ENDED, None, before=before, after=after, at=at,
            comment="nobody confirmed it in its time", **back.said,
        )  # fmt: skip
        version.move(expected=before, to=after, deprecated_at=version.deprecated_at or at)
        _go_back(version, back, at=at, why=f"the glass of {version} ended")


#: What a sweep sees to.
DUTIES = (end_glasses,)
