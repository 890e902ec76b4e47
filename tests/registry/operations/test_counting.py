"""Which approvals count while a version waits: of people who may, each a voice of their own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from registry import reviewers
from registry.accounts.hands import HandMayNotDecide
from registry.approval import agreed, approvals_given, standing
from registry.choices import AccountKind, Role, State
from registry.models import FeatureViewVersion
from registry.operations.lifecycle import submissions
from registry.operations.people import members, users
from tests.factories import (
    AT,
    DEFINITIONS,
    apply,
    approve,
    give_role,
    look,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db

RESTRICTED = DEFINITIONS.replace("sensitivity: internal", "sensitivity: restricted")
REVIEW = "/api/v1/projects/rides/feature-views/driver_hourly/versions/1.0.0/review"


@pytest.fixture
def waiting(cast):
    """What wants two approvals, and has the steward's."""
    version = make_version(cast, state=State.IN_REVIEW, text=RESTRICTED)
    return approve(version, cast.steward)


def take_role(cast, user):
    members.revoke_role(project=cast.project, user=user, role=Role.STEWARD, actor=cast.owner, at=AT)


def listed(version):
    """Return how many the lists say there are."""
    return agreed(reviewers.with_agreed(FeatureViewVersion.objects).get(pk=version.pk))


def test_an_approval_does_not_count_while_its_giver_may_not_approve(api, as_, cast, waiting):
    assert (approvals_given(waiting), listed(waiting)) == (1, 1)

    take_role(cast, cast.steward)

    assert (approvals_given(waiting), listed(waiting)) == (0, 0)
    review = api(cast.second_steward).get(REVIEW).json()
    assert (review["given"], review["approvals"][0]["current"]) == (0, False)
    assert review["approvals"][0]["why_not"] == "may not approve any more"
    page = as_("second_steward").get(f"/admin/registry/featureviewversion/{waiting.pk}/change/")
    assert "does not count: may not approve any more" in page.text


def test_an_approval_that_counts_again_is_a_voice_of_its_own(cast, waiting):
    """The steward comes back by the word of somebody who approved meanwhile."""
    other = make_user("other", is_staff=True)
    for role in (Role.STEWARD, Role.OWNER):
        give_role(cast.project, other, role, cast.owner, accepted_by=cast.superuser)
    take_role(cast, cast.steward)
    assert approve(waiting, other).state == State.IN_REVIEW
    give_role(cast.project, cast.steward, Role.STEWARD, other)

    assert [why != "" for _, why in standing(waiting)] == [False, True]
    assert approve(waiting, cast.second_steward).state == State.APPROVED


@pytest.mark.parametrize("is_vouched", [False, True])
def test_nobody_approves_what_a_puppet_of_theirs_wrote(cast, is_vouched):
    """A superuser makes an account with a password, gives it a role, and writes as it."""
    puppet = User(username="puppet")
    puppet.set_password("typed by the superuser")
    users.add_user(user=puppet, kind=AccountKind.PERSON, actor=cast.superuser, at=AT)
    who = cast.owner if is_vouched else cast.superuser
    give_role(cast.project, puppet, Role.AUTHOR, who, at=AT + timedelta(hours=1))
    version = next(each.draft for each in apply(DEFINITIONS, cast, actor=puppet) if each.draft)
    version = submissions.submit_version(version=version, actor=puppet, at=AT, look=look)

    if is_vouched:
        assert approve(version, cast.superuser).state == State.APPROVED
        return
    with pytest.raises(HandMayNotDecide, match="could be behind both"):
        approve(version, cast.superuser)
    assert approve(version, cast.steward).state == State.APPROVED


def test_an_approval_counts_again_with_a_right_by_others(cast, waiting):
    take_role(cast, cast.steward)
    give_role(cast.project, cast.steward, Role.STEWARD, cast.owner, accepted_by=cast.superuser)

    assert approve(waiting, cast.second_steward).state == State.APPROVED
