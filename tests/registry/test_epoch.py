"""A project's epoch: pending while facts change, fresh once they have, whatever goes wrong."""

from __future__ import annotations

import time

import pytest
from django.db import transaction

from lib.connections import RedisUnreachable
from registry import epoch
from registry.choices import Role
from registry.models import AuditEntry, Membership, Project
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


def pending(project: Project) -> bool:
    return (epoch.current(project.pk) or b"").startswith(epoch.PENDING)


class Mishap(Exception):
    pass


def test_there_is_none_until_somebody_asks(cast, online_redis):
    online_redis.flushall()

    assert epoch.current(cast.project.pk) is None
    made = epoch.ensure(cast.project.pk)
    assert made == epoch.ensure(cast.project.pk) == epoch.current(cast.project.pk)


def test_it_is_pending_during_a_change_and_another_one_after(cast):
    before = epoch.ensure(cast.project.pk)

    with epoch.change(cast.project.pk):
        assert pending(cast.project)

    after = epoch.current(cast.project.pk)
    assert after != before
    assert not pending(cast.project)


def test_a_change_touches_its_own_projects_only(cast):
    other, third = make_project("trips", cast.owner), make_project("food", cast.owner)
    untouched = epoch.ensure(third.pk)

    with epoch.change(cast.project.pk, other.pk):
        assert (pending(cast.project), pending(other)) == (True, True)

    assert (pending(cast.project), pending(other)) == (False, False)
    assert epoch.current(third.pk) == untouched
    with epoch.change():
        pass


def test_inside_a_transaction_it_is_pending_until_that_commits(cast):
    with transaction.atomic():
        with epoch.change(cast.project.pk):
            titled(cast.project, "new")
        assert pending(cast.project)

    assert not pending(cast.project)
    assert title(cast.project) == "new"


def test_changes_inside_changes_are_one(cast):
    with epoch.change(cast.project.pk):
        with epoch.change(cast.project.pk):
            titled(cast.project, "inner")
        assert pending(cast.project)
        titled(cast.project, "outer")

    assert not pending(cast.project)
    assert title(cast.project) == "outer"


def test_a_change_that_fails_leaves_nothing_and_nothing_pending(cast):
    before = epoch.ensure(cast.project.pk)

    with pytest.raises(Mishap), epoch.change(cast.project.pk):
        titled(cast.project, "new")
        raise Mishap

    assert title(cast.project) == "rides"
    assert not pending(cast.project)
    assert epoch.current(cast.project.pk) != before


def test_a_refused_registration_leaves_nothing_pending(cast):
    with pytest.raises(InvalidDefinitions):
        apply(DEFINITIONS.replace("source: driver_stats", "source: nothing"), cast)

    assert not pending(cast.project)


def test_what_an_outer_rollback_leaves_pending_the_sweep_ends(cast):
    with pytest.raises(Mishap), transaction.atomic():
        with epoch.change(cast.project.pk):
            titled(cast.project, "new")
        raise Mishap
    assert pending(cast.project)

    ids, now = [cast.project.pk], time.time()
    assert epoch.clear_stuck(ids, now_seconds=now) == 0
    assert epoch.clear_stuck(ids, now_seconds=now + epoch.STUCK_AFTER_SECONDS + 1) == 1
    assert not pending(cast.project)


def test_with_redis_down_nothing_is_changed(cast, settings):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    entries = AuditEntry.objects.count()

    with pytest.raises(RedisUnreachable, match="resume by themselves"):
        members.grant_role(
            project=cast.project, user=cast.outsider, role=Role.OWNER, actor=cast.owner, at=AT
        )

    assert not Membership.objects.filter(user=cast.outsider).exists()
    assert AuditEntry.objects.count() == entries


def test_with_redis_gone_in_the_middle_the_change_stands_and_stays_pending(cast, settings):
    here = settings.REDIS_URL

    with epoch.change(cast.project.pk):
        titled(cast.project, "new")
        settings.REDIS_URL = "unix:///nowhere/redis.sock"
    settings.REDIS_URL = here

    assert title(cast.project) == "new"
    assert pending(cast.project)


def test_with_redis_emptied_in_the_middle_there_is_a_fresh_one(cast, online_redis):
    with epoch.change(cast.project.pk):
        online_redis.flushall()

    assert epoch.current(cast.project.pk) is not None
    assert not pending(cast.project)


def test_another_change_under_way_is_not_called_over(cast, online_redis):
    key, others = epoch.epoch_key(cast.project.pk), epoch.PENDING + b"other:1"

    with epoch.change(cast.project.pk):
        online_redis.set(key, others)

    assert epoch.current(cast.project.pk) == others


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
    assert not any(each.startswith(epoch.PENDING) for each in seen)
