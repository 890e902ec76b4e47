"""Epochs of projects and views: others once facts have changed, the same when nothing did."""

from __future__ import annotations

import time

import pytest
from django.db import transaction

from registry import epoch
from registry.choices import Role
from registry.models import FeatureView, Membership, Project
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


Epochs = tuple[tuple[bytes | None, ...], epoch.Registered]


def epochs(project: Project) -> Epochs:
    """Return what Redis and what the registry says of a project and its views, by name."""
    names = sorted(FeatureView.objects.filter(project=project).values_list("name", flat=True))
    return epoch.current(project.pk, names), epoch.registered(project.pk)


def are_others(project: Project, before: Epochs) -> tuple[bool, bool]:
    now = epochs(project)
    return now[0] != before[0], now[1] != before[1]


class Mishap(Exception):
    pass


def test_there_is_none_until_somebody_asks(cast, online_redis):
    online_redis.flushall()

    assert epoch.current(cast.project.pk) == (None,)
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
        project=cast.project, user=cast.outsider, role=Role.AUTHOR, actor=cast.owner, at=AT
    )
    waited = time.monotonic() - started

    settings.REDIS_URL = here
    assert Membership.objects.filter(user=cast.outsider).exists()
    assert are_others(cast.project, before) == (False, True)
    assert waited >= 0.4


def test_with_redis_emptied_in_the_middle_there_is_a_fresh_one(cast, online_redis):
    with epoch.change(cast.project.pk):
        online_redis.flushall()

    assert epoch.current(cast.project.pk) != (None,)


def test_a_full_redis_has_none_after_a_change(cast, online_redis):
    epoch.ensure(cast.project.pk)
    online_redis.config_set("maxmemory", "1")
    try:
        with epoch.change(cast.project.pk):
            titled(cast.project, "new")
        assert epoch.current(cast.project.pk) == (None,)
    finally:
        online_redis.config_set("maxmemory", "0")

    assert title(cast.project) == "new"


def test_every_change_of_a_right_shows_in_the_project(cast):
    token, _ = tokens.issue_token(user=cast.consumer, name="x", actor=cast.consumer, at=AT)
    who = {"project": cast.project, "user": cast.outsider, "role": Role.CONSUMER}
    changes = [
        lambda: members.grant_role(**who, actor=cast.owner, at=AT),
        lambda: members.revoke_role(**who, actor=cast.owner, at=AT),
        lambda: tokens.revoke_token(token=token, actor=cast.consumer, at=AT),
        lambda: users.set_active(user=cast.author, active=False, actor=cast.superuser, at=AT),
    ]

    seen = [epoch.ensure(cast.project.pk)]
    for change in changes:
        change()
        seen.append(epoch.current(cast.project.pk))

    assert len(set(seen)) == len(changes) + 1


def test_what_happens_to_a_version_shows_in_its_view_and_nowhere_else(cast):
    first = make_version(cast)
    make_version(cast, text=DEFINITIONS.replace("driver_hourly", "driver_daily"))
    steward = {"version": first, "actor": cast.steward, "at": AT}
    changes = [
        lambda: make_ready(first),
        lambda: releases.promote_version(**steward),
        lambda: releases.deprecate_version(**steward),
        lambda: releases.restore_version(**steward),
        lambda: releases.retire_version(**steward, force=True, comment="wrong"),
    ]
    names = ["driver_hourly", "driver_daily"]

    stored = [epoch.ensure(cast.project.pk, names)]
    rows = [epoch.registered(cast.project.pk).of(names)]
    for change in changes:
        change()
        stored.append(epoch.current(cast.project.pk, names))
        rows.append(epoch.registered(cast.project.pk).of(names))

    for seen in (stored, rows):
        own, changed, untouched = map(set, zip(*seen, strict=True))
        assert (len(own), len(changed), len(untouched)) == (1, len(changes) + 1, 1)
    assert None not in stored[0]


def test_a_change_of_a_view_inside_one_of_its_project_is_the_project_s(cast):
    view = make_version(cast).feature_view
    before = epoch.ensure(cast.project.pk, [view.name])

    with epoch.change(cast.project.pk), epoch.change_view(view), epoch.change_view(view):
        pass

    after = epoch.current(cast.project.pk, [view.name])
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_a_change_of_a_project_inside_one_of_its_view_is_both(cast):
    view = make_version(cast).feature_view
    before = epochs(cast.project)
    epoch.ensure(cast.project.pk, [view.name])

    with epoch.change_view(view), epoch.change_view(view), epoch.change(cast.project.pk):
        titled(cast.project, "new")

    after = epochs(cast.project)
    assert not set(before[0]) & set(after[0])
    assert before[1].own != after[1].own
    assert before[1].views[view.name] != after[1].views[view.name]


def test_a_full_redis_has_no_epoch_of_a_view_that_changed(cast, online_redis):
    view = make_version(cast).feature_view
    before = epoch.ensure(cast.project.pk, [view.name])
    online_redis.config_set("maxmemory", "1")
    try:
        with epoch.change_view(view):
            pass
        assert epoch.current(cast.project.pk, [view.name]) == (before[0], None)
        assert epoch.ensure(cast.project.pk, [view.name]) == (before[0], None)
    finally:
        online_redis.config_set("maxmemory", "0")
    assert None not in epoch.ensure(cast.project.pk, [view.name])


def test_epochs_are_asked_for_by_name_or_all_where_there_are_too_many_names(cast):
    make_version(cast)
    make_version(cast, text=DEFINITIONS.replace("driver_hourly", "driver_daily"))

    assert epoch.registered(cast.project.pk, ["driver_daily", "none"]).views.keys() == {
        "driver_daily"
    }
    many = ["none"] * (epoch.MOST_NAMED + 1)
    assert epoch.registered(cast.project.pk, many).views.keys() == {"driver_daily", "driver_hourly"}
    assert epoch.registered(0, many) == (None, {})
