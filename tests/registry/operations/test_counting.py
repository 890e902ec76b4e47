"""Which approvals count while a version waits: of people who may, each a voice of their own."""

from __future__ import annotations

import pytest

from registry import reviewers
from registry.approval import agreed, approvals_given, standing
from registry.choices import Role, State
from registry.models import FeatureViewVersion
from registry.operations.people import members
from tests.factories import AT, DEFINITIONS, approve, give_role, make_user, make_version

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


def test_an_approval_counts_again_with_a_right_by_others(cast, waiting):
    take_role(cast, cast.steward)
    give_role(cast.project, cast.steward, Role.STEWARD, cast.owner, accepted_by=cast.superuser)

    assert approve(waiting, cast.second_steward).state == State.APPROVED
