"""Bringing logs into the offline store beside others who do, beside pushes, and past trouble."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from materialization.edges import stores
from materialization.edges.stores import push_log
from materialization.ingest.targets import targets_of_source
from materialization.requests.sweep import remove_staged
from materialization.runner import draining
from materialization.runner.draining import drain, drain_logs
from materialization.stores.layout import log_key
from materialization.stores.offline import DeltaOfflineStore
from registry import access
from tests.materialization.ingest.push_world import DEFINITIONS, ready
from tests.materialization.ingest.test_push_schedules import push
from tests.materialization.run_world import AT, fresh, snapshot, staging_of, table_of

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


class Meanwhile(DeltaOfflineStore):
    """The real store; something happens before its commits."""

    happens: Callable[[], None] = staticmethod(lambda: None)
    commits = 0

    def commit(self, *args: Any, **options: Any) -> Any:
        type(self).commits += 1
        type(self).happens()
        return super().commit(*args, **options)


@pytest.fixture
def version(cast):
    return ready(cast)


@pytest.fixture
def more(cast, version):
    """Push rows to the table: so many pushes of one row."""
    (target,) = targets_of_source("trips", cast.project, access.Rights(cast.owner))

    def more(count: int = 1) -> None:
        for _ in range(count):
            row = {"driver_id": 1, "event_timestamp": AT, "fare": 1.0}
            push(target, [row], AT + timedelta(seconds=1))

    return more


@pytest.fixture
def meanwhile(monkeypatch, settings):
    made = type("Made", (Meanwhile,), {"commits": 0})
    monkeypatch.setitem(stores.OFFLINE, "folder", lambda: made(settings.OFFLINE_STORE))
    return made


def test_one_that_was_overtaken_forgets_nothing_that_nobody_stored(
    version, more, meanwhile, online_redis
):
    more(3)
    table = table_of(version)

    def overtaken() -> None:
        meanwhile.happens = staticmethod(lambda: None)
        online_redis.delete(f"a:draining:{table.uid}")  # it took longer than its claim
        draining._drain(table_of(fresh(version)), version.spec, until=2_000_000_000)
        more(2)

    meanwhile.happens = staticmethod(overtaken)
    more(2)
    drain(table)
    drain_logs()

    assert snapshot(version).rows == 7
    assert push_log().lag(table.uid) == 0


def test_two_do_not_drain_one_log_at_once(version, more):
    more()
    with push_log().draining(table_of(version).uid) as is_ours:
        assert is_ours
        assert drain_logs() == 0
    assert drain_logs() == 1


def test_what_is_pushed_meanwhile_is_the_next_ones(version, more, meanwhile):
    more()
    meanwhile.happens = staticmethod(lambda: more(1))

    assert drain_logs() == 1
    assert meanwhile.commits == 1
    assert push_log().lag(table_of(version).uid) == 1


def test_large_entries_are_read_a_few_at_a_time(version, more, monkeypatch, meanwhile):
    monkeypatch.setattr(draining, "_BYTES", 1)
    more(12)

    assert drain_logs() == 12
    assert meanwhile.commits == 3


def test_one_table_that_cannot_be_drained_holds_up_no_other(cast, version, online_redis):
    text = DEFINITIONS.replace("name: last_trip", "name: another_trip")
    other = ready(cast, text, at=AT + timedelta(hours=1))
    for target in targets_of_source("trips", cast.project, access.Rights(cast.owner)):
        row = {"driver_id": 1, "event_timestamp": AT, "fare": 1.0}
        push(target, [row], AT + timedelta(seconds=1))
    first, second = sorted((table_of(version).uid, table_of(other).uid))
    online_redis.delete(log_key(first))
    online_redis.xadd(log_key(first), {"n": 1, "d": b"no Arrow"}, id="999999999-0")

    assert drain_logs() == 1
    assert (push_log().lag(first), push_log().lag(second)) == (1, 0)


def test_the_sweep_leaves_alone_what_a_drain_has_staged(version, more, meanwhile):
    more()
    meanwhile.happens = staticmethod(lambda: remove_staged(at=AT))

    assert drain_logs() == 1
    assert snapshot(version).rows == 1


def test_what_a_drain_that_died_has_staged_is_removed_by_the_next(version, more):
    folder = staging_of(version) / "pushed-dead"
    folder.mkdir(parents=True)
    more()

    drain_logs()

    assert not folder.exists()
