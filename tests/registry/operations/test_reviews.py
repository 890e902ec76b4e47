"""Four eyes, at every door that leads to an approval."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from registry import approval, audit, lifecycle
from registry.access import ActionNotPermitted, ServiceAccountMayNotDecide
from registry.choices import Role, State
from registry.lifecycle import CommentNeeded, EditorMayNotDecide, TransitionNotAllowed
from registry.models import AuditEntry, FeatureViewVersion, Project
from registry.models.feature_view_version import StateChanged
from registry.operations.lifecycle import releases, reviews, submissions
from registry.operations.lifecycle.packets import BaseNotApproved
from registry.operations.lifecycle.voices import AlreadyReviewed
from registry.operations.people import members, projects, users
from tests.factories import (
    AT,
    DEFINITIONS,
    VIEW,
    Report,
    apply,
    give_role,
    look,
    make_ready,
    make_service_account,
    make_version,
    seen,
)

pytestmark = pytest.mark.django_db


RESTRICTED = DEFINITIONS.replace("sensitivity: internal", "sensitivity: restricted")


def verbs(version):
    entries = AuditEntry.objects.filter(
        subject_type="featureviewversion", subject_id=str(version.pk)
    )
    return [entry.verb.removeprefix("feature_view_version.") for entry in entries.order_by("id")]


def test_the_whole_way_leaves_its_trail(cast):
    version = make_version(cast)

    assert (version.state, version.number) == (State.APPROVED, "1.0.0")
    assert verbs(version) == ["drafted", "submitted", "approved"]


@pytest.mark.parametrize(
    ("who", "error"),
    [
        ("author", ActionNotPermitted),
        ("consumer", ActionNotPermitted),
        ("operator", ActionNotPermitted),
        ("auditor", ActionNotPermitted),
        ("outsider", ActionNotPermitted),
        ("steward", None),
        ("owner", None),
        ("superuser", None),
    ],
)
def test_who_may_approve(cast, who, error):
    version = make_version(cast, state=State.IN_REVIEW)

    if error is None:
        reviews.approve_version(
            version=version, packet_hash=seen(version), actor=getattr(cast, who), at=AT
        )
    else:
        with pytest.raises(error):
            reviews.approve_version(
                version=version, packet_hash=seen(version), actor=getattr(cast, who), at=AT
            )
    version.refresh_from_db()
    assert version.state == (State.APPROVED if error is None else State.IN_REVIEW)


@pytest.mark.parametrize("who", ["owner", "superuser"])
def test_whoever_edited_it_cannot_approve_it_whatever_their_rights(cast, who):
    apply(DEFINITIONS, cast)
    apply(VIEW.replace("Conversion rate", "x"), cast, actor=getattr(cast, who))
    version = FeatureViewVersion.objects.get()
    submissions.submit_version(version=version, actor=cast.author, at=AT, look=look)

    with pytest.raises(EditorMayNotDecide):
        reviews.approve_version(
            version=version, packet_hash=seen(version), actor=getattr(cast, who), at=AT
        )


def test_whoever_made_the_token_that_wrote_it_cannot_approve_it(cast):
    apply(DEFINITIONS, cast, editor_ids=frozenset({cast.steward.pk}))
    version = FeatureViewVersion.objects.get()
    submissions.submit_version(version=version, actor=cast.author, at=AT, look=look)

    with pytest.raises(EditorMayNotDecide):
        reviews.approve_version(
            version=version, packet_hash=seen(version), actor=cast.steward, at=AT
        )


def test_rejecting_does_not_wipe_the_list_of_editors(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    reviews.reject_version(
        version=version,
        packet_hash=seen(version),
        actor=cast.steward,
        at=AT,
        comment="Say what it is.",
    )
    give_role(cast.project, cast.author, Role.STEWARD, cast.owner)
    author = User.objects.get(pk=cast.author.pk)
    submissions.submit_version(version=version, actor=cast.owner, at=AT, look=look)

    with pytest.raises(EditorMayNotDecide):
        reviews.approve_version(version=version, packet_hash=seen(version), actor=author, at=AT)


def test_a_rejection_needs_a_comment(cast):
    version = make_version(cast, state=State.IN_REVIEW)

    with pytest.raises(CommentNeeded):
        reviews.reject_version(
            version=version, packet_hash=seen(version), actor=cast.steward, at=AT, comment=" "
        )


def test_a_service_account_cannot_approve(cast):
    robot = make_service_account("robot", cast, Role.STEWARD)
    version = make_version(cast, state=State.IN_REVIEW)

    with pytest.raises(ServiceAccountMayNotDecide):
        reviews.approve_version(version=version, packet_hash=seen(version), actor=robot, at=AT)


def test_confidential_features_need_two_people(cast):
    text = DEFINITIONS.replace("sensitivity: internal", "sensitivity: confidential")
    version = make_version(cast, state=State.IN_REVIEW, text=text)

    reviews.approve_version(version=version, packet_hash=seen(version), actor=cast.steward, at=AT)
    assert version.state == State.IN_REVIEW
    with pytest.raises(AlreadyReviewed):
        reviews.approve_version(
            version=version, packet_hash=seen(version), actor=cast.steward, at=AT
        )
    reviews.approve_version(
        version=version, packet_hash=seen(version), actor=cast.second_steward, at=AT
    )
    assert version.state == State.APPROVED


def test_the_losing_racer_is_told(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    stale = FeatureViewVersion.objects.get(pk=version.pk)
    reviews.approve_version(version=version, packet_hash=seen(version), actor=cast.steward, at=AT)

    with pytest.raises((StateChanged, TransitionNotAllowed)):
        reviews.approve_version(
            version=stale, packet_hash=seen(stale), actor=cast.second_steward, at=AT
        )
    assert FeatureViewVersion.objects.get(pk=version.pk).reviews.count() == 1


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("action", list(lifecycle.PERMISSION))
def test_every_step_not_in_the_table_is_refused(state, action):
    allowed = (state, action) in lifecycle.TRANSITIONS

    if allowed:
        assert lifecycle.check(state, action, has_edited=False, comment="why")
    else:
        with pytest.raises(
            TransitionNotAllowed, match=f"cannot {action} a version that is {state}"
        ):
            lifecycle.check(state, action, has_edited=False, comment="why")


def submit(version, actor):
    return submissions.submit_version(version=version, actor=actor, at=AT, look=look)


def approve(version, actor):
    return reviews.approve_version(version=version, packet_hash=seen(version), actor=actor, at=AT)


def loaded(version):
    return FeatureViewVersion.objects.select_related("feature_view__project").get(pk=version.pk)


def test_an_approval_is_of_what_was_looked_at(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    looked_at = loaded(version)
    submissions.withdraw_version(version=version, actor=cast.author, at=AT)
    apply(VIEW.replace("Conversion rate", "Something else"), cast, submit=True)

    with pytest.raises(StateChanged, match="changed since it was loaded"):
        approve(looked_at, cast.steward)
    assert loaded(version).state == State.IN_REVIEW


def test_a_submission_is_of_what_was_looked_at(cast):
    draft = loaded(make_version(cast, state=State.DRAFT))
    apply(VIEW.replace("Conversion rate", "Something else"), cast, actor=cast.owner)

    with pytest.raises(StateChanged):
        submit(draft, cast.author)
    assert loaded(draft).state == State.DRAFT


def test_submitting_again_unchanged_asks_everybody_again(cast):
    text = DEFINITIONS.replace("sensitivity: internal", "sensitivity: restricted")
    version = make_version(cast, state=State.IN_REVIEW, text=text)
    approve(version, cast.steward)
    reviews.reject_version(
        version=version, packet_hash=seen(version), actor=cast.second_steward, at=AT, comment="Why?"
    )
    later = AT.replace(hour=13)
    submissions.submit_version(version=version, actor=cast.author, at=later, look=look)

    approve(version, cast.second_steward)
    assert version.state == State.IN_REVIEW
    approve(version, cast.steward)
    assert version.state == State.APPROVED


def test_a_small_step_from_what_nobody_approved_does_not_carry_it_along(cast):
    make_version(cast)
    large = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("acc_rate", "accept"))
    words = VIEW.replace("acc_rate", "accept").replace("Conversion rate", "Share")
    small = make_version(cast, state=State.IN_REVIEW, text=words)
    assert (small.number, small.change_class) == ("2.0.1", "patch")

    with pytest.raises(BaseNotApproved, match="driver_hourly@2.0.0, which is in_review"):
        approve(small, cast.steward)
    reviews.reject_version(
        version=large, packet_hash=seen(large), actor=cast.steward, at=AT, comment="No."
    )
    with pytest.raises(BaseNotApproved, match="which is draft"):
        approve(small, cast.steward)

    submissions.withdraw_version(version=small, actor=cast.author, at=AT)
    submit(small, cast.author)
    assert (small.number, small.change_class) == ("2.0.1", "major")
    assert approve(small, cast.steward).state == State.APPROVED


def test_a_base_that_was_approved_with_another_content_does_not_count(cast):
    make_version(cast)
    large = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("acc_rate", "accept"))
    small = make_version(
        cast,
        state=State.IN_REVIEW,
        text=VIEW.replace("acc_rate", "accept").replace("Conversion rate", "Share"),
    )
    submissions.withdraw_version(version=large, actor=cast.author, at=AT)
    apply(VIEW.replace("acc_rate", "other") + 'based_on: "1.0.0"', cast)
    approve(submit(loaded(large), cast.author), cast.steward)

    with pytest.raises(BaseNotApproved, match="an earlier driver_hourly@2.0.0"):
        approve(small, cast.steward)


def test_an_old_base_does_not_lower_the_number_of_eyes(cast):
    make_version(cast)
    restricted = VIEW.replace("sensitivity: internal", "sensitivity: restricted")
    second = make_version(cast, state=State.IN_REVIEW, text=restricted)
    approve(second, cast.steward)
    approve(second, cast.second_steward)
    releases.promote_version(version=make_ready(loaded(second)), actor=cast.steward, at=AT)

    text = VIEW.replace("Conversion rate", "Share") + 'based_on: "1.0.0"'
    third = make_version(cast, state=State.IN_REVIEW, text=text)

    assert approval.approvals_required(third) == 2


def test_a_change_based_on_what_came_before_a_protection_is_measured_by_it(cast):
    make_ready(make_version(cast))
    restricted = VIEW.replace("sensitivity: internal", "sensitivity: restricted")
    second = make_version(cast, state=State.IN_REVIEW, text=restricted)
    for steward in (cast.steward, cast.second_steward):
        approve(second, steward)

    text = VIEW.replace("owner: rides", 'owner: other\nbased_on: "1.0.0"\nversion: "1.9.0"')
    third = make_version(cast, state=State.IN_REVIEW, text=text)

    assert (third.packet["based_on"], third.packet["guard"]) == ("1.0.0", True)
    assert "lowered from restricted to internal, against 1.0.1" in str(third.packet["reasons"])
    assert approval.approvals_required(third) == 2


def change_policy(cast, *, usual: int, sensitive: int) -> None:
    projects.change_project(
        project=Project.objects.get(pk=cast.project.pk), actor=cast.owner, at=AT, title="Rides",
        approvals_required=usual, approvals_required_sensitive=sensitive,
    )  # fmt: skip


def test_who_waits_for_review_cannot_make_it_easier(cast):
    version = make_version(cast, state=State.IN_REVIEW, text=RESTRICTED)
    change_policy(cast, usual=1, sensitive=1)

    assert approve(loaded(version), cast.steward).state == State.IN_REVIEW


def test_a_policy_made_stricter_counts_at_once(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    change_policy(cast, usual=2, sensitive=2)

    assert approve(loaded(version), cast.steward).state == State.IN_REVIEW


@pytest.mark.parametrize("lost", ["role", "account"])
def test_an_approval_counts_while_its_reviewer_may_approve(cast, lost):
    version = make_version(cast, state=State.IN_REVIEW, text=RESTRICTED)
    approve(version, cast.steward)
    if lost == "role":
        members.revoke_role(
            project=cast.project, user=cast.steward, role=Role.STEWARD, actor=cast.owner, at=AT
        )
    else:
        users.set_active(user=cast.steward, active=False, actor=cast.superuser, at=AT)

    assert approve(loaded(version), cast.second_steward).state == State.IN_REVIEW
    assert approval.approvals_given(version) == 1


def test_rights_taken_while_a_step_waits_for_its_turn_are_gone(cast):
    version = make_version(cast, state=State.DRAFT)

    def slow(**_: object) -> list[Report]:
        members.revoke_role(
            project=cast.project, user=cast.author, role=Role.AUTHOR, actor=cast.owner, at=AT
        )
        return [Report()]

    with pytest.raises(ActionNotPermitted):
        submissions.submit_version(version=version, actor=cast.author, at=AT, look=slow)
    assert loaded(version).state == State.DRAFT


def test_lowering_a_sensitivity_is_a_guard_and_takes_as_many(cast):
    text = DEFINITIONS.replace("sensitivity: internal", "sensitivity: confidential")
    first = make_version(cast, state=State.IN_REVIEW, text=text)
    approve(first, cast.steward)
    approve(first, cast.second_steward)

    lowered = make_version(cast, state=State.IN_REVIEW, text=VIEW)

    assert (lowered.change_class, lowered.packet["guard"]) == ("guard", True)
    assert approval.approvals_required(lowered) == 2


def test_what_says_the_same_has_nothing_to_review(cast):
    draft = make_version(cast, state=State.DRAFT)
    other = FeatureViewVersion.objects.create(
        feature_view=draft.feature_view,
        spec_json=draft.spec_json,
        data_fingerprint=draft.data_fingerprint,
        metadata_fingerprint=draft.metadata_fingerprint,
        created_by=cast.author,
        created_at=AT,
    )
    told = {"verb": "feature_view_version.drafted", "after": other.spec_json}
    with transaction.atomic():
        audit.record(actor=cast.author, subject=other, at=AT, **told)
    submit(draft, cast.author)

    with pytest.raises(submissions.NothingToReview):
        submit(other, cast.author)


def test_files_that_no_longer_fit_are_found_at_submit(cast):
    draft = make_version(cast, state=State.DRAFT)

    def broken(*, specs, project, unseen=()):
        return [Report(problems=[(("source", "path"), "nothing matches driver_stats.parquet.")])]

    with pytest.raises(submissions.SourceProblems, match="nothing matches"):
        submissions.submit_version(version=draft, actor=cast.author, at=AT, look=broken)
    assert loaded(draft).state == State.DRAFT


def test_who_may_not_submit_makes_nobody_read_files(cast):
    draft = make_version(cast, state=State.DRAFT)

    with pytest.raises(ActionNotPermitted):
        submissions.submit_version(version=draft, actor=cast.consumer, at=AT, look=None)


def test_an_editor_of_the_withdrawn_version_stays_one(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    submissions.withdraw_version(version=version, actor=cast.author, at=AT)
    apply(VIEW.replace("Conversion rate", "Share"), cast, actor=cast.owner)
    submit(loaded(version), cast.author)

    with pytest.raises(EditorMayNotDecide):
        approve(loaded(version), cast.owner)


def test_a_draft_shows_no_evidence_of_what_it_said_before(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    reviews.reject_version(
        version=version, packet_hash=seen(version), actor=cast.steward, at=AT, comment="No."
    )
    assert loaded(version).packet["class"] == "first"

    apply(VIEW.replace("Conversion rate", "Share"), cast)

    assert loaded(version).packet == {}
