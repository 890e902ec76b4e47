"""Four eyes, at every door that leads to an approval."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from registry import lifecycle
from registry.access import ActionNotPermitted
from registry.choices import Role, State
from registry.errors import AssayError
from registry.lifecycle import CommentNeeded, EditorMayNotDecide, TransitionNotAllowed
from registry.models import AuditEntry, FeatureViewVersion
from registry.models.feature_view import StateChanged
from registry.operations import members, reviews
from tests.factories import AT, DEFINITIONS, VIEW, apply, make_version, probe

pytestmark = pytest.mark.django_db


def verbs(version):
    entries = AuditEntry.objects.filter(subject_type="featureviewversion", subject_id=str(version.pk))
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
        reviews.approve_version(version=version, actor=getattr(cast, who), at=AT)
    else:
        with pytest.raises(error):
            reviews.approve_version(version=version, actor=getattr(cast, who), at=AT)
    version.refresh_from_db()
    assert version.state == (State.APPROVED if error is None else State.IN_REVIEW)


@pytest.mark.parametrize("who", ["owner", "superuser"])
def test_whoever_edited_it_cannot_approve_it_whatever_their_rights(cast, who):
    apply(DEFINITIONS, cast)
    apply(VIEW.replace("Conversion rate", "x"), cast, actor=getattr(cast, who))
    version = FeatureViewVersion.objects.get()
    reviews.submit_version(version=version, actor=cast.author, at=AT, probe=probe)

    with pytest.raises(EditorMayNotDecide):
        reviews.approve_version(version=version, actor=getattr(cast, who), at=AT)


def test_whoever_made_the_token_that_wrote_it_cannot_approve_it(cast):
    apply(DEFINITIONS, cast, editor_ids=frozenset({cast.steward.pk}))
    version = FeatureViewVersion.objects.get()
    reviews.submit_version(version=version, actor=cast.author, at=AT, probe=probe)

    with pytest.raises(EditorMayNotDecide):
        reviews.approve_version(version=version, actor=cast.steward, at=AT)


def test_rejecting_does_not_wipe_the_list_of_editors(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    reviews.reject_version(version=version, actor=cast.steward, at=AT, comment="Say what it is.")
    members.grant_role(project=cast.project, user=cast.author, role=Role.STEWARD, actor=cast.owner, at=AT)
    author = User.objects.get(pk=cast.author.pk)
    reviews.submit_version(version=version, actor=cast.owner, at=AT, probe=probe)

    with pytest.raises(EditorMayNotDecide):
        reviews.approve_version(version=version, actor=author, at=AT)


def test_a_rejection_needs_a_comment(cast):
    version = make_version(cast, state=State.IN_REVIEW)

    with pytest.raises(CommentNeeded):
        reviews.reject_version(version=version, actor=cast.steward, at=AT, comment=" ")


def test_a_rejected_version_keeps_its_number(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    reviews.reject_version(version=version, actor=cast.steward, at=AT, comment="no")
    reviews.submit_version(version=version, actor=cast.author, at=AT, probe=probe)

    assert version.number == "1.0.0"


def test_a_service_account_cannot_approve(cast):
    robot = User.objects.create_user("robot")
    members.grant_role(project=cast.project, user=robot, role=Role.STEWARD, actor=cast.owner, at=AT)
    version = make_version(cast, state=State.IN_REVIEW)

    with pytest.raises(reviews.ServiceAccountMayNotDecide):
        reviews.approve_version(version=version, actor=robot, at=AT)


def test_confidential_features_need_two_people(cast):
    text = DEFINITIONS.replace("sensitivity: internal", "sensitivity: confidential")
    version = make_version(cast, state=State.IN_REVIEW, text=text)

    reviews.approve_version(version=version, actor=cast.steward, at=AT)
    assert version.state == State.IN_REVIEW
    with pytest.raises(reviews.AlreadyReviewed):
        reviews.approve_version(version=version, actor=cast.steward, at=AT)
    reviews.approve_version(version=version, actor=cast.second_steward, at=AT)
    assert version.state == State.APPROVED


def test_the_losing_racer_is_told(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    stale = FeatureViewVersion.objects.get(pk=version.pk)
    reviews.approve_version(version=version, actor=cast.steward, at=AT)

    with pytest.raises((StateChanged, TransitionNotAllowed)):
        reviews.approve_version(version=stale, actor=cast.second_steward, at=AT)
    assert FeatureViewVersion.objects.get(pk=version.pk).reviews.count() == 1


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("action", list(lifecycle.PERMISSION))
def test_every_step_not_in_the_table_is_refused(state, action):
    allowed = (state, action) in lifecycle.TRANSITIONS

    if allowed:
        assert lifecycle.check(state, action, has_edited=False, comment="why")
    else:
        with pytest.raises(TransitionNotAllowed, match=f"cannot {action} a version that is {state}"):
            lifecycle.check(state, action, has_edited=False, comment="why")


def test_a_number_once_taken_is_never_given_again(cast):
    make_version(cast, state=State.IN_REVIEW)
    second = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("acc_rate", "accept"))
    reviews.withdraw_version(version=second, actor=cast.author, at=AT)
    reviews.submit_version(version=second, actor=cast.author, at=AT, probe=probe)

    assert second.number == "2.0.0"
    assert issubclass(reviews.VersionTaken, AssayError)
