"""Redis in every state it can be in: what is read stays right, and no right outlives itself.

Each test has a redis-server of its own, which it stops, starts, fills and freezes.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import ExitStack
from threading import get_ident
from typing import TYPE_CHECKING

import msgspec
import pytest

from lib.connections import _Silence, get_redis
from materialization.edges.stores import online_store
from registry import epoch
from registry.models import ApiToken
from registry.operations.people import tokens
from serving.online.door import OnlineFirst
from serving.online.rows import FEW
from tests import factories, servers
from tests.serving.online_world import ask, call, columns, committed, load, loaded_view

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db

REQUEST = {"features": ["driver_hourly:avg_daily_trips"], "entities": {"driver_id": [1001]}}
OTHER = {"features": ["driver_hourly:conv_rate"], "entities": {"driver_id": [1001]}}


class OwnRedis:
    """A redis-server of one test, at ``settings.REDIS_URL``; stopped, it comes back the same."""

    def __init__(self, state_dir: Path) -> None:
        self.dump = state_dir / "redis" / "dump.rdb"
        self._state_dir, self._running = state_dir, ExitStack()

    def start(self) -> str:
        return self._running.enter_context(servers.redis_server(self._state_dir))

    def kill(self) -> None:
        """End it without a last dump."""
        get_redis().config_set("save", "")
        self._running.close()

    @property
    def process(self) -> int:
        return int(get_redis().info("server")["process_id"])


@pytest.fixture
def redis_of_its_own(settings, tmp_path):
    own = OwnRedis(tmp_path / "r")
    settings.REDIS_URL = own.start()
    yield own
    own._running.close()


@pytest.fixture
def cast(db, redis_of_its_own):
    with committed():
        return factories.make_cast()


@pytest.fixture
def version(cast, now):
    return loaded_view(
        cast,
        factories.DEFINITIONS,
        [{"driver_id": 1001, "event": now, "avg_daily_trips": 7}],
        at=now,
    )


@pytest.fixture
def door(behind):
    return OnlineFirst(behind)


def revoke(cast, now) -> None:
    with committed():
        token = ApiToken.objects.get(user=cast.consumer)
        tokens.revoke_token(token=token, actor=cast.consumer, at=now)


def status(door, token, body=REQUEST) -> int:
    return int(call(door, body=body, token=token)[0].split()[0])


# --- back from an older dump --------------------------------------------------------------------


def test_a_revoked_token_stays_revoked_on_a_redis_from_before(
    door, cast, token, version, redis_of_its_own, settings, now, tmp_path
):
    settings.PLAN_CONFIRM_SECONDS = 600  # what notices it here is the new server process
    assert status(door, token) == 200
    get_redis().save()
    shutil.copy(redis_of_its_own.dump, tmp_path / "older")
    before = epoch.current(cast.project.pk)

    revoke(cast, now)
    redis_of_its_own.kill()
    shutil.copy(tmp_path / "older", redis_of_its_own.dump)
    redis_of_its_own.start()

    assert epoch.current(cast.project.pk) == before
    assert status(door, token) == 401


def test_old_values_are_not_answered_from_a_redis_from_before(
    client, token, version, redis_of_its_own, settings, now, tmp_path
):
    settings.PLAN_CONFIRM_SECONDS = 600
    get_redis().save()
    shutil.copy(redis_of_its_own.dump, tmp_path / "older")
    load(
        version,
        [{"driver_id": 1001, "event": now, "avg_daily_trips": 8}],
        at=now,
        sequence=2,
        generation=2,
    )
    assert columns(ask(client, token, REQUEST))["avg_daily_trips"][0] == [8]
    redis_of_its_own.kill()
    shutil.copy(tmp_path / "older", redis_of_its_own.dump)
    redis_of_its_own.start()

    answer = ask(client, token, REQUEST)

    assert (answer.status_code, answer.json()["code"]) == (503, "not_loaded")


def test_what_is_broken_in_the_store_is_said_of_its_version_alone(door, token, version, now):
    row = b"r" + version.table.uid.encode() + b"{1001}"
    whole = get_redis().get(row)
    # As one bit in a row's first number makes it.
    late = msgspec.msgpack.encode([2**62, *msgspec.msgpack.decode(whole)[1:]])
    for broken in (b"", b"\xc1", whole[:-1], whole + b"\xc0", msgspec.msgpack.encode([1, 2]), late):
        get_redis().set(row, broken)
        said, _, body = call(door, body=REQUEST, token=token)
        answer = msgspec.json.decode(body)
        assert (said[:3], answer["code"]) == ("503", "rows_unreadable"), (broken, body)
        assert answer["version"] == "driver_hourly@1.0.0"
        assert status(door, token, REQUEST | {"entities": {"driver_id": [1002]}}) == 200
    assert status(door, token, REQUEST | {"entities": {"driver_id": [1001] * FEW}}) == 503
    get_redis().set(row, whole)
    assert status(door, token) == 200
    get_redis().set(b"n" + version.table.uid.encode(), b"\xc1")
    assert b'"not_loaded"' in call(door, body=REQUEST, token=token)[2]
    assert online_store().marker(version.table.uid) is None  # so that the sweep loads it again


def test_an_epoch_that_went_back_unnoticed_holds_no_longer_than_a_moment(
    door, cast, token, version, settings, now
):
    """A replica can take another's data over while its readers stay connected."""
    settings.PLAN_CONFIRM_SECONDS = 0
    assert status(door, token) == 200
    before = epoch.current(cast.project.pk)

    revoke(cast, now)
    get_redis().set(*epoch.epoch_keys(cast.project.pk), *before)

    assert status(door, token) == 401


# --- full, read-only, gone ----------------------------------------------------------------------


def fill() -> None:
    get_redis().config_set("maxmemory", "1")


def make_read_only() -> None:
    get_redis().config_set("min-replicas-to-write", "1")


def follow_nobody() -> None:
    get_redis().replicaof("127.0.0.1", "1")


@pytest.mark.parametrize(
    ("trouble", "seconds"), [(fill, 600), (make_read_only, 0), (follow_nobody, 0)]
)
def test_reads_go_on_and_rights_are_revoked_on_a_redis_that_takes_no_writes(
    door, client, cast, token, version, settings, now, trouble, seconds
):
    settings.PLAN_CONFIRM_SECONDS = seconds
    assert status(door, token) == 200
    trouble()

    assert columns(ask(client, token, REQUEST))["avg_daily_trips"][0] == [7]
    assert status(door, token, OTHER) == 200  # a question without a plan yet

    revoke(cast, now)

    assert status(door, token) == status(door, token, OTHER) == 401


@pytest.mark.parametrize("trouble", [fill, make_read_only, follow_nobody])
def test_a_new_process_reads_from_a_redis_that_lost_its_epoch_and_takes_no_other(
    door, cast, token, version, now, trouble
):
    get_redis().delete(*epoch.epoch_keys(cast.project.pk))
    trouble()

    assert status(door, token) == 200
    assert epoch.ensure(cast.project.pk) == (None,)

    revoke(cast, now)

    assert status(door, token) == 401


def test_a_right_is_revoked_while_redis_is_away_and_stays_so_when_it_is_back(
    door, cast, token, version, redis_of_its_own, settings, now
):
    settings.PLAN_CONFIRM_SECONDS = 0
    assert status(door, token) == 200
    here = settings.REDIS_URL
    settings.REDIS_URL = "unix:///nowhere.sock"  # for who revokes; readers still reach it

    revoke(cast, now)
    settings.REDIS_URL = here

    assert status(door, token) == 401


# --- hanging ------------------------------------------------------------------------------------


def test_a_redis_that_hangs_costs_one_time_out_and_then_none(
    door, client, token, version, redis_of_its_own, monkeypatch, settings
):
    settings.PLAN_CONFIRM_SECONDS = 600
    monkeypatch.setattr("lib.connections.TIMEOUT_SECONDS", 1.5)
    monkeypatch.setattr("lib.connections.PAUSE_SECONDS", 30.0)
    settings.REDIS_URL += "?"  # a client of the shorter time-out
    assert status(door, token) == 200
    process = redis_of_its_own.process
    os.kill(process, signal.SIGSTOP)
    try:
        started = time.monotonic()
        first = status(door, token)
        between = time.monotonic()
        rest = [status(door, token) for _ in range(5)]
        ended = time.monotonic()
    finally:
        os.kill(process, signal.SIGCONT)

    assert [first, *rest] == [503] * 6
    # A second time-out would take as long again.
    assert 1.5 <= between - started < 3.0
    assert ended - between < 1.5


def test_after_a_moment_one_finds_a_redis_that_hung_well_again(
    door, token, version, redis_of_its_own, monkeypatch, settings
):
    monkeypatch.setattr("lib.connections.TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr("lib.connections.PAUSE_SECONDS", 0.0)
    settings.REDIS_URL += "?"
    assert status(door, token) == 200
    process, waited = redis_of_its_own.process, []
    began = _Silence.began
    monkeypatch.setattr(_Silence, "began", lambda its: (waited.append(get_ident()), began(its)))
    os.kill(process, signal.SIGSTOP)
    try:
        assert status(door, token) == 503
        assert waited.count(get_ident()) == 1  # by the door, and not by the view behind it
    finally:
        os.kill(process, signal.SIGCONT)

    # What is asked within what is asked is not refused: the sweep begins with it, each time.
    assert online_store().unmark_evicted([version.table.uid]) == []
    assert status(door, token) == 200
