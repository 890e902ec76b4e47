"""Who is asked to review: by name or as owner, only who could; and when that is overdue."""

from __future__ import annotations

from datetime import timedelta

import pytest

from registry import reviewers
from registry.access import ActionNotPermitted
from registry.choices import Role, State
from registry.models import AuditEntry, FeatureViewVersion
from registry.operations.lifecycle import submissions
from registry.operations.lifecycle.asking import CannotReview, NothingToAsk, ask_reviewers
from registry.operations.people import members
from registry.operations.people.projects import BadPolicy, change_project
from tests import factories
from tests.factories import AT, VIEW, make_version

pytestmark = pytest.mark.django_db


def waiting(cast, **changes) -> FeatureViewVersion:
    text = VIEW
    for old, new in changes.items():
        text = text.replace(old, new)
    make_version(cast, state=State.DRAFT)
    return make_version(cast, state=State.IN_REVIEW, text=text)


def ask(version, names, actor):
    return ask_reviewers(version=version, reviewers=names, actor=actor, at=AT)


def asked(version) -> list[str]:
    return reviewers.names_asked([version]).get(version.pk, [])


def turn(user, cast):
    return list(reviewers.asked_of(reviewers.undecided(user, [cast.project]), user))


def test_asked_of_nobody_it_is_of_all_who_may(cast):
    version = waiting(cast)

    assert asked(version) == []
    assert turn(cast.steward, cast) == turn(cast.second_steward, cast) == [version]


def test_asked_of_one_it_is_not_of_others(cast):
    version = waiting(cast)
    ask(version, ["steward"], cast.author)

    assert asked(version) == ["steward"]
    assert turn(cast.steward, cast) == [version]
    assert turn(cast.second_steward, cast) == []
    entry = AuditEntry.objects.latest("id")
    assert entry.verb == "feature_view_version.asked"
    assert entry.after == {"reviewers": [cast.steward.pk]}


def test_the_owner_of_the_view_is_asked_where_they_may(cast):
    version = waiting(cast, **{"owner: rides": "owner: second_steward"})

    assert asked(version) == ["second_steward"]
    assert turn(cast.steward, cast) == []


def test_whom_somebody_named_is_asked_again_at_the_next_submission(cast):
    version = waiting(cast, **{"owner: rides": "owner: second_steward"})
    ask(version, ["steward"], cast.author)
    submissions.withdraw_version(version=version, actor=cast.author, at=AT)
    submissions.submit_version(version=version, actor=cast.author, at=AT, look=factories.look)

    assert asked(version) == ["steward"]


def test_a_submission_may_say_whom_it_asks(cast):
    make_version(cast, state=State.DRAFT)
    draft = FeatureViewVersion.objects.get()
    submissions.submit_version(
        version=draft, actor=cast.author, at=AT, look=factories.look, reviewers=["steward"]
    )

    assert asked(draft) == ["steward"]


@pytest.mark.parametrize("name", ["author", "consumer", "outsider", "nobody", "x" * 5000])
def test_only_who_could_decide_is_asked(cast, name):
    version = waiting(cast)

    with pytest.raises(CannotReview, match="that is owner, second_steward, steward") as refused:
        ask(version, ["steward", name], cast.author)

    assert len(refused.value.message) < 500
    assert asked(version) == []


def test_nobody_is_asked_by_who_may_neither_write_nor_decide(cast):
    version = waiting(cast)

    with pytest.raises(ActionNotPermitted):
        ask(version, ["steward"], cast.consumer)


def test_what_is_decided_is_asked_of_nobody(cast):
    version = make_version(cast)

    with pytest.raises(NothingToAsk, match="approved"):
        ask(version, ["steward"], cast.author)


def test_a_member_removed_in_mid_review_is_asked_no_more(cast):
    version = waiting(cast)
    ask(version, ["steward"], cast.author)
    gone = {"user": cast.steward, "role": Role.STEWARD, "actor": cast.owner, "at": AT}
    members.revoke_role(project=cast.project, **gone)

    assert asked(version) == []
    assert turn(cast.second_steward, cast) == [version]
    with pytest.raises(ActionNotPermitted):
        factories.approve(version, cast.steward)


def test_who_edited_it_since_is_asked_no_more(cast):
    version = waiting(cast)
    ask(version, ["steward"], cast.author)
    version.editors.create(user=cast.steward, first_at=AT)

    assert asked(version) == []
    assert turn(cast.second_steward, cast) == [version]


def test_what_waits_longer_than_the_project_gives_is_overdue(cast):
    version = waiting(cast)
    rows = FeatureViewVersion.objects.all()
    policy = {"title": "", "approvals_required": 1, "approvals_required_sensitive": 2}

    assert list(reviewers.overdue(rows, at=AT + timedelta(hours=48))) == []
    assert list(reviewers.overdue(rows, at=AT + timedelta(hours=48, seconds=1))) == [version]

    change_project(project=cast.project, actor=cast.owner, at=AT, review_hours=4, **policy)
    assert list(reviewers.overdue(rows, at=AT + timedelta(hours=5))) == [version]
    with pytest.raises(BadPolicy, match="1 to 8760"):
        change_project(project=cast.project, actor=cast.owner, at=AT, review_hours=0, **policy)
