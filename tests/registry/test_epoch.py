"""A project's epoch: another one once facts have changed, the same when nothing did."""

from __future__ import annotations

import time

import pytest
from django.db import transaction

from registry import epoch
from registry.choices import Role
from registry.models import Membership, Project
from registry.operations.lifecycle import releases
from registry.operations.people import members, tokens, users
from registry.reading.parsing import InvalidDefinitions
from tests.factories import AT, DEFINITIONS, apply, make_project, make_ready, make_version


@pytest.fixture
def cast(committed_cast):
    """Epochs follow commits, so these transactions are real ones."""
    return committed_cast


def titled(project: Project, title: str) -> None:
    Project.objects.filter(pk=project.pk).update(title=title)


def title(project: Project) -> str:
    return Project.objects.get(pk=project.pk).title


def epochs(project: Project) -> tuple[bytes | None, str]:
    """Return what Redis and what the registry says."""
    return epoch.current(project.pk), Project.objects.get(pk=project.pk).epoch


def are_others(project: Project, before: tuple[bytes | None, str]) -> tuple[bool, bool]:
    now = epochs(project)
    return now[0] != before[0], now[1] != before[1]


class Mishap(Exception):
    pass


def test_there_is_none_until_somebody_asks(cast, online_redis):
    online_redis.flushall()

    assert epoch.current(cast.project.pk) is None
    made = epoch.ensure(cast.project.pk)
    assert made == epoch.ensure(cast.project.pk) == epoch.current(cast.project.pk)


def test_both_are_others_after_a_change_and_not_before_its_commit(cast):
    before = (epoch.ensure(cast.project.pk), epochs(cast.project)[1])

    with epoch.change(cast.project.pk):
        assert epoch.current(cast.project.pk) == before[0]

    assert are_others(cast.project, before) == (True, True)


def test_a_change_touches_its_own_projects_only(cast):
    other, third = make_project("trips", cast.owner), make_project("food", cast.owner)
    before = {each: epochs(each) for each in (cast.project, other, third)}

    with epoch.change(cast.project.pk, other.pk):
        pass

    assert are_others(cast.project, before[cast.project]) == (True, True)
    assert are_others(other, before[other]) == (True, True)
    assert are_others(third, before[third]) == (False, False)
    with epoch.change():
        pass


def test_inside_a_transaction_they_change_when_that_commits(cast):
    before = epochs(cast.project)
    with transaction.atomic():
        with epoch.change(cast.project.pk):
            titled(cast.project, "new")
        assert epoch.current(cast.project.pk) == before[0]

    assert are_others(cast.project, before) == (True, True)
    assert title(cast.project) == "new"


def test_changes_inside_changes_are_one(cast):
    other = make_project("trips", cast.owner)
    before = epochs(cast.project), epochs(other)
    with epoch.change(cast.project.pk):
        with epoch.change(cast.project.pk):
            titled(cast.project, "inner")
        with epoch.change(cast.project.pk, other.pk):
            titled(other, "inner too")
        assert epoch.current(cast.project.pk) == before[0][0]
        titled(cast.project, "outer")

    assert are_others(cast.project, before[0]) == are_others(other, before[1]) == (True, True)
    assert title(cast.project) == "outer"


def test_an_inner_change_that_fails_does_not_end_the_outer_one(cast):
    before = epochs(cast.project)

    with epoch.change(cast.project.pk):
        with pytest.raises(Mishap), epoch.change(cast.project.pk):
            titled(cast.project, "inner")
            raise Mishap
        assert epoch.current(cast.project.pk) == before[0]
        titled(cast.project, "outer")

    assert are_others(cast.project, before) == (True, True)
    assert title(cast.project) == "outer"


def test_a_change_that_fails_leaves_nothing(cast):
    before = epochs(cast.project)

    with pytest.raises(Mishap), epoch.change(cast.project.pk):
        titled(cast.project, "new")
        raise Mishap

    assert title(cast.project) == "rides"
    assert epochs(cast.project) == before


@pytest.mark.parametrize("options", [{"dry_run": True}, {"dry_run": True, "submit": True}])
def test_a_plan_leaves_both_as_they_were(cast, options):
    """Its submissions are rolled back with it: readers keep their plans."""
    epoch.ensure(cast.project.pk)
    before = epochs(cast.project)

    apply(DEFINITIONS, cast, **options)

    assert epochs(cast.project) == before


def test_a_refused_registration_leaves_both_as_they_were(cast):
    before = epochs(cast.project)

    with pytest.raises(InvalidDefinitions):
        apply(DEFINITIONS.replace("source: driver_stats", "source: nothing"), cast)

    assert epochs(cast.project) == before


def test_what_an_outer_transaction_rolls_back_nobody_is_told(cast):
    before = epochs(cast.project)

    with pytest.raises(Mishap), transaction.atomic():
        with epoch.change(cast.project.pk):
            titled(cast.project, "new")
        raise Mishap

    assert epochs(cast.project) == before


def test_with_redis_away_the_change_stands_and_returns_when_readers_know(cast, settings):
    settings.PLAN_CONFIRM_SECONDS = 0.2
    here, before = settings.REDIS_URL, epochs(cast.project)
    settings.REDIS_URL = "unix:///nowhere/redis.sock"

    started = time.monotonic()
    members.grant_role(
        project=cast.project, user=cast.outsider, role=Role.OWNER, actor=cast.owner, at=AT
    )
    waited = time.monotonic() - started

    settings.REDIS_URL = here
    assert Membership.objects.filter(user=cast.outsider).exists()
    assert are_others(cast.project, before) == (False, True)
    assert waited >= 0.4


def test_with_redis_emptied_in_the_middle_there_is_a_fresh_one(cast, online_redis):
    with epoch.change(cast.project.pk):
        online_redis.flushall()

    assert epoch.current(cast.project.pk) is not None


def test_a_full_redis_has_none_after_a_change(cast, online_redis):
    epoch.ensure(cast.project.pk)
    online_redis.config_set("maxmemory", "1")
    try:
        with epoch.change(cast.project.pk):
            titled(cast.project, "new")
        assert epoch.current(cast.project.pk) is None
    finally:
        online_redis.config_set("maxmemory", "0")

    assert title(cast.project) == "new"


def test_every_change_of_a_right_or_a_version_shows(cast):
    first = make_version(cast)
    token, _ = tokens.issue_token(user=cast.consumer, name="x", actor=cast.consumer, at=AT)
    who = {"project": cast.project, "user": cast.outsider, "role": Role.CONSUMER}
    steward = {"version": first, "actor": cast.steward, "at": AT}
    changes = [
        lambda: members.grant_role(**who, actor=cast.owner, at=AT),
        lambda: members.revoke_role(**who, actor=cast.owner, at=AT),
        lambda: tokens.revoke_token(token=token, actor=cast.consumer, at=AT),
        lambda: users.set_active(user=cast.author, active=False, actor=cast.superuser, at=AT),
        lambda: make_ready(first),
        lambda: releases.promote_version(**steward),
        lambda: releases.deprecate_version(**steward),
        lambda: releases.restore_version(**steward),
        lambda: releases.retire_version(**steward, force=True, comment="wrong"),
    ]

    seen = [epoch.ensure(cast.project.pk)]
    for change in changes:
        change()
        seen.append(epoch.current(cast.project.pk))

    assert len(set(seen)) == len(changes) + 1
