"""Submit, withdraw, approve, reject: the four steps by which a draft becomes a version.

Each checks, changes by conditional update and writes its audit entry in one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from registry import access, audit, lifecycle
from registry.change import Change, classify, differences
from registry.choices import SENSITIVITY_ORDER, Action, ChangeClass, Sensitivity, State, Verdict
from registry.errors import Conflict, Forbidden, Invalid
from registry.models import FeatureTable, FeatureViewVersion, Review, VersionEditor
from registry.operations.view_drafts import base_version, needed_version
from registry.queries import services_using
from registry.spec import content_fingerprint, fingerprint
from registry.versions import parse_version

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.probe import Probe, ProbeReport
    from registry.versions import Version


class VersionTaken(Conflict):
    code = "version_taken"


class VersionTooLow(Conflict):
    code = "version_too_low"


class NothingToReview(Conflict):
    code = "nothing_to_review"


class SourceProblems(Invalid):
    code = "source_problems"


class AlreadyReviewed(Conflict):
    code = "already_reviewed"


class ServiceAccountMayNotDecide(Forbidden):
    code = "service_account_may_not_decide"


@transaction.atomic
def submit_version(
    *,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    probe: Probe,
    comment: str = "",
    editor_ids: frozenset[int] = frozenset(),
) -> FeatureViewVersion:
    """Freeze a draft: classify it anew, give it its number and its packet of evidence.

    :raises TransitionNotAllowed: it is not a draft.
    :raises VersionTaken, VersionTooLow: the number it asks for cannot be had; says which can.
    :raises SourceProblems: the files no longer carry what it declares.
    """
    access.require(actor, lifecycle.PERMISSION[Action.SUBMIT], version.feature_view)
    transition = lifecycle.check(
        State(version.state), Action.SUBMIT, has_edited=True, comment=comment
    )
    base = base_version(version.feature_view, version.spec)
    change = classify(base.spec if base else None, version.spec)
    if change.classification is None:
        raise NothingToReview(f"{version} says the same as {base}; there is nothing to review.")
    report = probe(spec=version.spec, project=version.feature_view.project)
    if report.problems:
        raise SourceProblems(f"{version}: {'; '.join(message for _, message in report.problems)}")
    number = _free_number(version, base, change)
    packet = _packet(version, base, change, report)
    table, _ = FeatureTable.objects.get_or_create(
        feature_view=version.feature_view,
        fingerprint=version.data_fingerprint,
        defaults={"created_at": at},
    )
    VersionEditor.note(version, {actor.pk, *editor_ids}, at=at)
    try:
        with transaction.atomic():
            version.move(
                expected=State.DRAFT, to=transition.target, submitted_by=actor, submitted_at=at, based_on=base,
                major=number.major, minor=number.minor, patch=number.patch, table=table, packet=packet,
                change_class=change.classification, packet_hash=fingerprint(packet),
            )  # fmt: skip
    except IntegrityError as exc:
        raise VersionTaken(
            f"{number} was taken a moment ago; submit again to get the next number."
        ) from exc
    _record(Action.SUBMIT, version, actor, State.DRAFT, at, comment)
    return version


@transaction.atomic
def withdraw_version(
    *, version: FeatureViewVersion, actor: User, at: datetime, comment: str = ""
) -> FeatureViewVersion:
    """Take a version back from review, to edit it further; it keeps its number."""
    return _back_to_draft(Action.WITHDRAW, version, actor, at, comment)


@transaction.atomic
def approve_version(
    *, version: FeatureViewVersion, actor: User, at: datetime, comment: str = ""
) -> FeatureViewVersion:
    """Record an approval; with as many as the policy wants the version becomes approved.

    :raises ActionNotPermitted: the actor may not approve this feature view.
    :raises EditorMayNotDecide: the actor created, edited or submitted any of it.
    :raises TransitionNotAllowed, StateChanged: it is not (or no longer) in review.
    """
    _review(Action.APPROVE, Verdict.APPROVED, version, actor, at, comment)
    before = State(version.state)
    if approvals(version) >= approvals_required(version):
        version.move(expected=State.IN_REVIEW, to=State.APPROVED, approved_at=at)
    _record(Action.APPROVE, version, actor, before, at, comment)
    return version


@transaction.atomic
def reject_version(
    *, version: FeatureViewVersion, actor: User, at: datetime, comment: str = ""
) -> FeatureViewVersion:
    """Send a version back to its authors with a comment; who edited it stays known."""
    _review(Action.REJECT, Verdict.REJECTED, version, actor, at, comment)
    return _back_to_draft(Action.REJECT, version, actor, at, comment)


def approvals(version: FeatureViewVersion) -> int:
    """Return how many people approved exactly this packet."""
    return version.reviews.filter(verdict=Verdict.APPROVED, packet_hash=version.packet_hash).count()


def approvals_required(version: FeatureViewVersion) -> int:
    """Return how many approvals the project's policy wants for this version.

    Lowering a sensitivity is judged by the higher of old and new.
    """
    project = version.feature_view.project
    sensitivities = [
        version.sensitivity,
        *([version.based_on.sensitivity] if version.based_on else []),
    ]
    highest = max(sensitivities, key=SENSITIVITY_ORDER.index)
    if highest in (Sensitivity.CONFIDENTIAL, Sensitivity.RESTRICTED):
        return max(project.approvals_required, project.approvals_required_sensitive)
    return project.approvals_required


def _review(
    action: Action,
    verdict: Verdict,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    comment: str,
) -> None:
    access.require(actor, lifecycle.PERMISSION[action], version.feature_view)
    if not actor.has_usable_password():
        raise ServiceAccountMayNotDecide(
            f"{actor} is a service account; a person with a login has to {action}."
        )
    lifecycle.check(
        State(version.state), action, has_edited=version.has_edited(actor.pk), comment=comment
    )
    try:
        with transaction.atomic():
            Review.objects.create(
                version=version,
                reviewer=actor,
                verdict=verdict,
                comment=comment,
                packet_hash=version.packet_hash,
                created_at=at,
            )
    except IntegrityError as exc:
        raise AlreadyReviewed(
            f"{actor} has reviewed this submission of {version} already."
        ) from exc


def _back_to_draft(
    action: Action, version: FeatureViewVersion, actor: User, at: datetime, comment: str
) -> FeatureViewVersion:
    access.require(actor, lifecycle.PERMISSION[action], version.feature_view)
    before = State(version.state)
    transition = lifecycle.check(
        before, action, has_edited=version.has_edited(actor.pk), comment=comment
    )
    version.move(expected=before, to=transition.target)
    _record(action, version, actor, before, at, comment)
    return version


def _free_number(
    version: FeatureViewVersion, base: FeatureViewVersion | None, change: Change
) -> Version:
    """Return the number the version gets; its own from an earlier submission when still high enough."""
    classification = change.classification or ChangeClass.PATCH
    least = base.version.after(classification) if base and base.version else None
    taken = {
        other.version
        for other in version.feature_view.versions.exclude(pk=version.pk)
        if other.version
    }
    requested = version.spec.view.version
    if requested is None:
        number = (
            version.version
            if version.version and version.version >= (least or version.version)
            else None
        )
        number = number or needed_version(base, change, version.spec)
        while number in taken:
            number = number.after(classification)
        return number
    wanted = parse_version(requested)
    if wanted in taken:
        raise VersionTaken(
            f"{version.feature_view}@{wanted} exists already; use {max(v for v in taken if v).after(classification)}."
        )
    if least is not None and wanted < least:
        raise VersionTooLow(
            f"{wanted} is too low for a {classification} change of {base}; use {least}."
        )
    return wanted


def _packet(
    version: FeatureViewVersion,
    base: FeatureViewVersion | None,
    change: Change,
    report: ProbeReport,
) -> dict[str, Any]:
    """Return the evidence a reviewer decides on, computed once."""
    return {
        "content": content_fingerprint(version.spec),
        "based_on": base.number if base else None,
        "class": change.classification,
        "guard": change.is_guard,
        "reasons": list(change.reasons),
        "diff": [
            difference._asdict()
            for difference in differences(base.spec if base else None, version.spec)
        ],
        "impact": services_using(version.feature_view),
        "source": {
            "rows": report.rows,
            "first_event": report.first_event.isoformat() if report.first_event else None,
            "last_event": report.last_event.isoformat() if report.last_event else None,
            "warnings": list(report.warnings),
        },
    }


def _record(
    action: Action,
    version: FeatureViewVersion,
    actor: User,
    before: State,
    at: datetime,
    comment: str,
) -> None:
    audit.record(
        actor=actor,
        verb=lifecycle.VERB[action],
        subject=version,
        before=before,
        after=version.state,
        data={"comment": comment, "packet_hash": version.packet_hash},
        at=at,
    )
