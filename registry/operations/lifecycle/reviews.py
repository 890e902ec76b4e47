"""Submit, withdraw, approve, reject: the four steps by which a draft becomes a version.

Each checks, changes by conditional update and writes its audit entry in one transaction. Not for
who may approve and how many have to: ``registry.approval`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lib.errors import Conflict, Invalid
from registry import access
from registry.approval import (
    approvals_given,
    approvals_required,
    evidence_wanted,
    require_person,
    require_reviewer,
    reviewers_of,
    wanted_now,
)
from registry.choices import Action, Right, State, Verdict
from registry.elsewhere import told_elsewhere
from registry.evidence import ask_for_evidence, evidence_of, require_evidence
from registry.fittings import assigned
from registry.grants import Grants
from registry.looking import NothingSeen, under_rights
from registry.models import FeatureTable, FeatureViewVersion, VersionEditor
from registry.operations.lifecycle import steps
from registry.operations.lifecycle.asking import ask, ask_owner
from registry.operations.lifecycle.commenting import said_on
from registry.operations.lifecycle.numbers import assign_number, give_number, taken_numbers
from registry.operations.lifecycle.packets import check_base, check_files, make_packet
from registry.operations.lifecycle.releases import default_if_none
from registry.operations.lifecycle.voices import require_first_voice, require_seen, store_review
from registry.queries import base_version, relatives
from registry.remembered import held_to, lowered
from registry.spec.change import classify, with_guards
from registry.spec.encodes import not_over
from registry.spec.fingerprints import (
    canonical_json,
    data_fingerprint,
    fingerprint,
    metadata_fingerprint,
)
from registry.told import require_draft_as_told

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.looking import Look, Looking
    from registry.models import ApiToken, AuditEntry
    from registry.spec.change import Change
    from registry.spec.model import VersionSpec
    from registry.spec.versions import Version


class NothingToReview(Conflict):
    code = "nothing_to_review"


class SourceProblems(Invalid):
    code = "source_problems"


class FitAhead(Invalid):
    code = "fit_ahead"


def submit_version(
    *,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    look: Looking,
    comment: str = "",
    editor_ids: frozenset[int] = frozenset(),
    reviewers: Sequence[str] | None = None,
) -> FeatureViewVersion:
    """Freeze a draft: classify it anew, give it its number and its packet of evidence.

    ``editor_ids`` count as its editors beside the actor: whoever made the token they came with.
    ``reviewers`` are asked to decide, None: those asked before, else the owner of the view.
    :raises TransitionNotAllowed: it is not a draft.
    :raises CannotReview: one of the reviewers is nobody who could; names those who could.
    :raises VersionTaken, VersionTooLow: the number it asks for cannot be had; says which can.
    :raises SourceProblems: the files no longer carry what it declares.
    """
    steps.permit(version, Action.SUBMIT, actor)
    # Reading files takes its time, so it happens before anything is locked.
    report = _look(version, under_rights(look, actor, at=at))
    with steps.taking(version, Action.SUBMIT, actor, comment=comment) as transition:
        require_draft_as_told(version)
        _require_sound(version, report, actor, at=at)
        VersionEditor.note(version, {actor.pk, *editor_ids}, at=at)
        _freeze(version, transition.target, actor, at, report)
        ask_owner(version, at) if reviewers is None else ask(version, reviewers, actor, at)
        _record(Action.SUBMIT, version, actor, State.DRAFT, at, comment)
    return version


def check_submission(
    version: FeatureViewVersion,
    *,
    base: FeatureViewVersion | None,
    taken: set[Version],
    look: Looking,
    actor: User,
    at: datetime,
) -> Version:
    """Return the number that submitting this draft would give; it may be stored or not.

    :raises SourceProblems, NothingToReview, VersionTaken, VersionTooLow: as ``submit_version``.
    """
    seeing = under_rights(look, actor, at=at)
    _require_sound(version, _look(version, seeing), actor, at=at)
    return assign_number(version, base, _change(version, base), taken=taken)


def _require_sound(version: FeatureViewVersion, report: Look, actor: User, *, at: datetime) -> None:
    """Refuse what a look found; with values of the source where the actor may read them."""
    if ahead := [said for _, said in not_over(version.spec.features, at)]:
        raise FitAhead(f"{version}: {'; '.join(ahead)}")
    if not report.problems:
        return
    messages = "; ".join(message for _, message in report.problems)
    error = SourceProblems(f"{version}: {messages}")
    project = version.feature_view.project
    may_read = report.examples and access.can(actor, Right.READ_OFFLINE, project)
    if may_read and Grants(actor, at=at).shows(project, version.spec):
        error.data["examples"] = list(report.examples.values())
    raise error


def _change(version: FeatureViewVersion, base: FeatureViewVersion | None) -> Change:
    change = classify(base.spec if base else None, version.spec)
    if change.classification is None:
        raise NothingToReview(f"{version} says the same as {base}; there is nothing to review.")
    return change


def looked_at(version: FeatureViewVersion) -> VersionSpec:
    """Return what a plan looks at as well: what was taken before is not what there is now."""
    return version.spec.untaken


def _look(version: FeatureViewVersion, look: Looking) -> Look:
    if version.spec.transform.is_stored:
        (report,) = look(specs=[looked_at(version)], project=version.feature_view.project)
        return report
    return NothingSeen(warnings=("computed at the request: there are no rows to look at",))


def _freeze(
    version: FeatureViewVersion, to: State, actor: User, at: datetime, report: Look
) -> None:
    _embed(version, report, at)
    base = base_version(version.feature_view, version.spec)
    change = _change(version, base)
    number = assign_number(version, base, change, taken=taken_numbers(by_others_than=version))
    known = relatives(version.feature_view, base, number)
    change = with_guards(change, {str(each.number): each.spec for each in known}, version.spec)
    weaker = lowered(version.feature_view.project, version.spec)
    change = held_to(change, weaker)
    change = told_elsewhere(
        change, version.feature_view.project, base.spec if base else None, version.spec
    )
    packet = make_packet(
        version, number=number, base=base, change=change, report=report, actor=actor, at=at,
        required=wanted_now(version, known), reviewers=reviewers_of(version.feature_view),
    )  # fmt: skip
    table = _table(version, at) if version.spec.transform.is_stored else None
    give_number(version, number)
    version.move(
        expected=State.DRAFT, to=to, submitted_by=actor, submitted_at=at, based_on=base,
        major=number.major, minor=number.minor, patch=number.patch, table=table,
        change_class=change.classification, packet=packet, packet_hash=fingerprint(packet),
    )  # fmt: skip
    ask_for_evidence(version, at=at)


def _embed(version: FeatureViewVersion, report: Look, at: datetime) -> None:
    """Embed what the source is now, so that later reads do not depend on the rows of their day.

    And what names the parameters of its encodings, which a worker finds out.
    """
    spec = version.spec.taken(schema=report.schema, code=report.code)
    spec = msgspec.structs.replace(spec, fittings=assigned(version, spec, at=at))
    version.move(
        expected=State.DRAFT, to=State.DRAFT, spec_json=canonical_json(spec),
        data_fingerprint=data_fingerprint(spec), metadata_fingerprint=metadata_fingerprint(spec),
    )  # fmt: skip


def _table(version: FeatureViewVersion, at: datetime) -> FeatureTable:
    table, _ = FeatureTable.objects.get_or_create(
        feature_view=version.feature_view,
        fingerprint=version.data_fingerprint,
        defaults={"created_at": at},
    )
    return table


def withdraw_version(
    *, version: FeatureViewVersion, actor: User, at: datetime, comment: str = ""
) -> FeatureViewVersion:
    """Take a version back from review, to edit it further; it keeps its number."""
    with steps.taking(version, Action.WITHDRAW, actor, comment=comment) as transition:
        version.move(expected=State.IN_REVIEW, to=transition.target)
        _record(Action.WITHDRAW, version, actor, State.IN_REVIEW, at, comment)
    return version


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
    """
    with steps.taking(version, Action.APPROVE, actor, comment=comment) as transition:
        require_person(version, actor, token)
        require_reviewer(version, actor)
        evidence = evidence_of(version)
        decided = require_seen(version, evidence, packet_hash)
        check_base(version)
        check_files(version)
        require_evidence(version, evidence, evidence_wanted(version))
        require_first_voice(version, actor, decided)
        enough = approvals_given(version) + 1 >= approvals_required(version)
        after = transition.target if enough else State.IN_REVIEW
        entry = _record(
            Action.APPROVE, version, actor, State.IN_REVIEW, at, comment, decided, after=after
        )
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
        entry = _record(
            Action.REJECT, version, actor, State.IN_REVIEW, at, comment, decided,
            after=transition.target,
        )  # fmt: skip
        store_review(Verdict.REJECTED, version, actor, entry, comment, decided)
        version.move(expected=State.IN_REVIEW, to=transition.target)
    return version


def _record(
    action: Action,
    version: FeatureViewVersion,
    actor: User,
    before: State,
    at: datetime,
    comment: str,
    decided: str = "",
    *,
    after: State | None = None,
) -> AuditEntry:
    """Write the step's entry; ``after`` where the step itself is still to come."""
    return steps.record(
        version, action, actor, before=before, after=after or version.state, at=at,
        comment=comment, packet_hash=decided or version.packet_hash,
    )  # fmt: skip
