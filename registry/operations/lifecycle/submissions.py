"""Submit and withdraw: an author brings a draft before reviewers, or takes it back.

Each checks, changes by conditional update and writes its audit entry in one transaction. Not for
what a reviewer does: ``reviews`` has that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lib.errors import Conflict, Invalid
from registry import access
from registry.approval import reviewers_of, wanted_now
from registry.choices import Action, Right, State
from registry.elsewhere import told_elsewhere
from registry.evidence import ask_for_evidence
from registry.fittings import assigned, release
from registry.grants import Grants
from registry.looking import NothingSeen, under_rights
from registry.models import FeatureTable, FeatureViewVersion, VersionEditor
from registry.operations.lifecycle import steps
from registry.operations.lifecycle.asking import ask, ask_owner
from registry.operations.lifecycle.numbers import assign_number, give_number, taken_numbers
from registry.operations.lifecycle.packets import check_reads, make_packet
from registry.operations.registration.origins import note_settled
from registry.operations.registration.reads import settled
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
from registry.trail.told.versions import require_draft_as_told

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.looking import Look, Looking
    from registry.spec.change import Change
    from registry.spec.version_spec import VersionSpec
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
    """Freeze a draft: name what it reads, classify it anew, give it its number and its packet.

    ``editor_ids`` count as its editors beside the actor: whoever made the token they came with.
    ``reviewers`` are asked to decide, None: those asked before, else the owner of the view.
    :raises TransitionNotAllowed: it is not a draft.
    :raises CannotReview: one of the reviewers is nobody who could; names those who could.
    :raises VersionTaken, VersionTooLow: the number it asks for cannot be had; says which can.
    :raises SourceProblems: the files no longer carry what it declares.
    :raises WaitsForApproval, UnreadableView: what it reads is not approved, or not as it is read.
    """
    steps.permit(version, Action.SUBMIT, actor)
    # Reading files takes its time, so it happens before anything is locked.
    spec = settled(version)
    report = _look(version, spec, under_rights(look, actor, at=at))
    with steps.taking(version, Action.SUBMIT, actor, comment=comment) as transition:
        require_draft_as_told(version)
        _require_sound(version, report, actor, at=at)
        check_reads(version, spec.reads)
        VersionEditor.note(version, {actor.pk, *editor_ids}, at=at)
        note_settled(version, version.spec, spec)
        _embed(version, spec, report, at)
        _freeze(version, transition.target, actor, at, report)
        ask_owner(version, at) if reviewers is None else ask(version, reviewers, actor, at)
        steps.record(
            version, Action.SUBMIT, actor, before=State.DRAFT, after=version.state, at=at,
            comment=comment, packet_hash=version.packet_hash,
        )  # fmt: skip
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
    _require_sound(version, _look(version, version.spec, seeing), actor, at=at)
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


def _look(version: FeatureViewVersion, spec: VersionSpec, look: Looking) -> Look:
    if spec.transform.is_stored:
        (report,) = look(specs=[spec.untaken], project=version.feature_view.project)
        return report
    return NothingSeen(warnings=("computed at the request: there are no rows to look at",))


def _freeze(
    version: FeatureViewVersion, to: State, actor: User, at: datetime, report: Look
) -> None:
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


def _embed(version: FeatureViewVersion, spec: VersionSpec, report: Look, at: datetime) -> None:
    """Embed what the source is now, so that later reads do not depend on the rows of their day.

    And what names the parameters of its encodings, which a worker finds out.
    """
    spec = spec.taken(schema=report.schema, code=report.code, joined=report.joined)
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
        release(version.feature_view)
        steps.record(
            version, Action.WITHDRAW, actor, before=State.IN_REVIEW, after=version.state, at=at,
            comment=comment, packet_hash=version.packet_hash,
        )  # fmt: skip
    return version
