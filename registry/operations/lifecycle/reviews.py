"""Approve and reject: what a reviewer does to a version that was submitted.

Each checks, changes by conditional update and writes its audit entry in one transaction. Not for
who may approve and how many have to: ``registry.approval`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.approval import (
    approvals_given,
    approvals_required,
    evidence_wanted,
    require_person,
    require_reviewer,
)
from registry.choices import Action, State, Verdict
from registry.evidence import evidence_of, require_evidence
from registry.fittings import release
from registry.operations.lifecycle import steps
from registry.operations.lifecycle.commenting import said_on
from registry.operations.lifecycle.packets import check_base, check_files, check_reads
from registry.operations.lifecycle.releases import default_if_none
from registry.operations.lifecycle.voices import require_first_voice, require_seen, store_review

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import ApiToken, FeatureViewVersion


def approve_version(
    *,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    packet_hash: str,
    comment: str = "",
    token: ApiToken | None = None,
) -> FeatureViewVersion:
    """Record an approval; with as many as the policy wants the version becomes approved.

    Where an approved version has the same data, it is ready at once.
    ``token`` is the API token the actor came with, if they came with one; ``packet_hash`` is of
    the packet and evidence that the actor looked at.
    :raises ActionNotPermitted: the actor may not approve this feature view.
    :raises EvidenceMissing: the project's policy wants some that is not there.
    :raises EditorMayNotDecide: the actor created, edited or submitted any of it.
    :raises ServiceAccountMayNotDecide, TokenMayNotDecide, PasswordNotYourOwn: no person stands
        behind the actor, or another one may.
    :raises NotAskedAtSubmit, HandMayNotDecide: the actor could not approve at submit, or is the
        hand of somebody who edited it.
    :raises TransitionNotAllowed, StateChanged: it is not (or no longer) in review, or not what the
        actor looked at.
    :raises PacketHashMissing: the actor does not say what they looked at.
    :raises BaseNotApproved: what it was compared with is not approved itself.
    :raises SourceSwapped: files that were there at submit are others by now.
    :raises ReadNotApproved: it reads a version of another view that is retired by now.
    """
    with steps.taking(version, Action.APPROVE, actor, comment=comment) as transition:
        require_person(version, actor, token)
        require_reviewer(version, actor)
        evidence = evidence_of(version)
        decided = require_seen(version, evidence, packet_hash)
        check_base(version)
        check_files(version)
        check_reads(version, version.spec.reads)
        require_evidence(version, evidence, evidence_wanted(version))
        require_first_voice(version, actor, decided)
        enough = approvals_given(version) + 1 >= approvals_required(version)
        after = transition.target if enough else State.IN_REVIEW
        entry = steps.record(
            version, Action.APPROVE, actor, before=State.IN_REVIEW, after=after, at=at,
            comment=comment, packet_hash=decided,
        )  # fmt: skip
        store_review(Verdict.APPROVED, version, actor, entry, comment, decided)
        if enough:
            version.move(expected=State.IN_REVIEW, to=transition.target, approved_at=at)
        if enough and version.is_ready:
            default_if_none(version, at=at)
    return version


def reject_version(
    *,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    packet_hash: str,
    comment: str = "",
    token: ApiToken | None = None,
) -> FeatureViewVersion:
    """Send a version back to its authors with a comment; who edited it stays known.

    What the actor said of it on lines is comment enough, and stays with it.
    """
    comment = comment.strip() or said_on(version, actor)
    with steps.taking(version, Action.REJECT, actor, comment=comment) as transition:
        require_person(version, actor, token)
        decided = require_seen(version, evidence_of(version), packet_hash)
        require_first_voice(version, actor, decided)
        entry = steps.record(
            version, Action.REJECT, actor, before=State.IN_REVIEW, after=transition.target, at=at,
            comment=comment, packet_hash=decided,
        )  # fmt: skip
        store_review(Verdict.REJECTED, version, actor, entry, comment, decided)
        version.move(expected=State.IN_REVIEW, to=transition.target)
        release(version.feature_view)
    return version
