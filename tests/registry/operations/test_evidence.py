"""Deciding on evidence: what a decision binds, and what a project's policy wants before one."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from guardian.shortcuts import assign_perm

from registry.choices import EvidencePart, EvidenceStatus, State
from registry.evidence import (
    EvidenceMissing,
    computed,
    evidence_of,
    may_see_values,
    not_applicable,
    not_computed,
    sealed,
)
from registry.models import Evidence, Review
from registry.models.feature_view_version import StateChanged
from registry.operations.lifecycle import reviews, submissions
from registry.operations.lifecycle.voices import PacketHashMissing
from registry.operations.people import projects
from registry.operations.people.projects import BadPolicy
from tests import factories
from tests.factories import AT, DEFINITIONS, make_version, seen
from tests.registry.test_on_demand import RISK

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(cast):
    return make_version(cast, state=State.IN_REVIEW)


def arrive(version, **parts) -> str:
    """Have a worker's evidence come in; return its hash."""
    found = {part: computed({}, {}) for part in EvidencePart} | parts
    seal = sealed(version.packet_hash, found)
    done = Evidence.objects.filter(version=version, packet_hash=version.packet_hash).update(
        status=EvidenceStatus.COMPUTED, parts=found, hash=seal, computed_at=AT
    )
    assert done == 1
    return seal


def want(cast, *parts):
    projects.change_project(
        project=cast.project, actor=cast.owner, at=AT, title="", approvals_required=1,
        approvals_required_sensitive=2, evidence_required=parts,
    )  # fmt: skip


def approve(version, cast, **quoted):
    return factories.approve(version, cast.steward, **quoted)


def test_a_submission_waits_for_its_evidence(waiting):
    evidence = evidence_of(waiting)

    assert (evidence.status, evidence.packet_hash) == ("waiting", waiting.packet_hash)


def test_a_decision_binds_the_evidence(cast, waiting):
    seal = arrive(waiting)

    approve(waiting, cast, packet_hash=seal)

    review = Review.objects.get(version=waiting)
    assert (review.decided_on, review.packet_hash) == (seal, waiting.packet_hash)


def test_a_decision_says_what_was_looked_at(cast, waiting):
    with pytest.raises(PacketHashMissing, match="send the packet_hash that its review shows"):
        approve(waiting, cast, packet_hash="")


def test_evidence_that_came_in_since_is_looked_at_first(cast, waiting):
    arrive(waiting)

    with pytest.raises(StateChanged, match="got its evidence since you looked"):
        approve(waiting, cast, packet_hash=waiting.packet_hash)
    with pytest.raises(StateChanged, match="was submitted anew since you looked"):
        approve(waiting, cast, packet_hash="f00")


def test_a_decision_before_the_evidence_binds_the_packet(cast, waiting):
    approve(waiting, cast, packet_hash=waiting.packet_hash)

    assert Review.objects.get(version=waiting).decided_on == waiting.packet_hash


def test_another_submission_has_evidence_of_its_own(cast, waiting):
    arrive(waiting)
    submissions.withdraw_version(version=waiting, actor=cast.author, at=AT)
    again = make_version(cast, state=State.IN_REVIEW, text=DEFINITIONS.replace("2d", "3d"))

    assert again.pk == waiting.pk
    assert evidence_of(again).status == "waiting"
    assert again.evidence.count() == 2


def test_what_the_policy_wants_has_to_be_there(cast, waiting):
    want(cast, EvidencePart.LEAKAGE)

    with pytest.raises(EvidenceMissing, match="wants leakage before an approval"):
        approve(waiting, cast)
    arrive(waiting, leakage=not_computed("the source is gone."))
    with pytest.raises(EvidenceMissing, match="leakage: the source is gone"):
        approve(waiting, cast)


def test_what_the_policy_does_not_want_may_lack(cast, waiting):
    want(cast, EvidencePart.PROFILE)
    arrive(waiting, leakage=not_computed("the source is gone."))

    assert approve(waiting, cast).state == State.APPROVED


def test_what_there_is_nothing_to_compute_of_lacks_nothing(cast, waiting):
    want(cast, *EvidencePart)
    arrive(waiting, comparison=not_applicable("it is the first version."))

    assert approve(waiting, cast).state == State.APPROVED


def test_values_of_what_is_not_approved_are_for_those_who_may_read_all(cast, waiting):
    assign_perm("read_offline", cast.auditor, waiting.feature_view)

    assert not may_see_values(cast.auditor, waiting)
    assert may_see_values(cast.consumer, waiting)
    approve(waiting, cast)
    waiting.refresh_from_db()
    assert may_see_values(User.objects.get(pk=cast.auditor.pk), waiting)


def test_a_rejection_needs_no_evidence(cast, waiting):
    want(cast, *EvidencePart)

    reviews.reject_version(
        version=waiting, packet_hash=seen(waiting), actor=cast.steward, at=AT, comment="No."
    )

    assert waiting.state == State.DRAFT


def test_a_policy_names_parts_that_there_are(cast):
    with pytest.raises(BadPolicy, match="no evidence luck; valid: profile, comparison"):
        want(cast, "luck")


def test_what_is_computed_at_the_request_says_that_it_has_no_rows(cast):
    make_version(cast)
    version = make_version(cast, state=State.IN_REVIEW, text=RISK)

    evidence = evidence_of(version)

    assert evidence.is_computed
    assert "no rows to look at" in evidence.parts["profile"]["why"]
    assert evidence.hash == sealed(version.packet_hash, evidence.parts)


def test_values_are_for_those_who_may_read_them(api, cast, waiting):
    arrive(waiting, profile=computed({"rows": 3}, {"sample": [{"conv_rate": 0.123}]}))
    url = "/api/v1/projects/rides/feature-views/driver_hourly/versions/1.0.0/review"

    seen = {who: api(getattr(cast, who)).get(url).json() for who in ("owner", "auditor")}

    assert seen["owner"]["evidence"]["parts"]["profile"]["values"]["sample"]
    assert seen["auditor"]["evidence"]["parts"]["profile"]["facts"] == {"rows": 3}
    assert "0.123" not in str(seen["auditor"])
    assert seen["auditor"]["packet_hash"] == evidence_of(waiting).hash


@pytest.mark.parametrize(
    "change",
    [
        {"parts": {}},
        {"hash": "f00"},
        {"status": EvidenceStatus.WAITING},
        {"packet_hash": "f00"},
    ],
)
def test_the_database_keeps_what_was_found_out(waiting, change):
    arrive(waiting)

    with pytest.raises(Exception, match="evidence that is in never changes"), transaction.atomic():
        Evidence.objects.filter(version=waiting).update(**change)


def test_the_database_keeps_evidence_from_being_removed(waiting):
    arrive(waiting)

    with pytest.raises(Exception, match="evidence that is in never changes"), transaction.atomic():
        Evidence.objects.filter(version=waiting).delete()
