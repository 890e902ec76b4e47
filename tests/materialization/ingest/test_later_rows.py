"""Pushed rows of the future: in the log at once, online when their time has come and not before."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from materialization.edges.stores import later_rows
from materialization.ingest.targets import targets_of_source
from materialization.requests.draining import bring_due
from materialization.runner.draining import drain_logs
from materialization.stores.push_log import TooManyWait
from registry import access
from registry.models import FeatureViewVersion
from tests.materialization.ingest.push_world import DEFINITIONS, ready
from tests.materialization.ingest.test_push_schedules import push
from tests.materialization.run_world import AT, HOUR, committed, materialize, offline, online
from tests.oracle import latest_known

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)
ONE = {"driver_id": [1]}


def waiting():
    later = later_rows()
    return sum(map(later.waiting, later.tables()))


@pytest.fixture
def version(cast, online_redis):
    return ready(cast)


@pytest.fixture
def target(cast, version):
    (found,) = targets_of_source("trips", cast.project, access.Rights(cast.owner))
    return found


def row(fare, event, key=1):
    return {"driver_id": key, "event_timestamp": event, "fare": fare}


def fare(version, at):
    return online(version, ONE, at=at)["fare"][0]


def test_a_row_of_the_future_waits_and_is_there_when_its_time_comes(version, target):
    push(target, [row(1.0, AT), row(2.0, AT + HOUR)], AT)

    assert fare(version, AT) == 1.0
    assert waiting() == 1
    bring_due(at=AT + HOUR - timedelta(microseconds=1))
    assert fare(version, AT + HOUR) == 1.0
    bring_due(at=AT + HOUR)
    assert fare(version, AT + HOUR) == 2.0
    assert waiting() == 0
    bring_due(at=AT + HOUR)


def test_it_is_offline_at_once_as_its_time_says(version, target):
    push(target, [row(1.0, AT), row(2.0, AT + HOUR)], AT)

    assert drain_logs() == 2
    assert offline(version, ONE, at=AT + HOUR - SECOND)["fare"] == [1.0]
    assert offline(version, ONE, at=AT + HOUR)["fare"] == [2.0]


def test_what_was_pushed_since_for_a_later_time_stays(version, target):
    push(target, [row(2.0, AT + HOUR)], AT)
    push(target, [row(3.0, AT + 2 * HOUR)], AT + 2 * HOUR)

    bring_due(at=AT + 2 * HOUR)

    assert fare(version, AT + 2 * HOUR) == 3.0


def test_a_reload_has_them_wait_again(version, target, online_redis):
    push(target, [row(1.0, AT), row(2.0, AT + HOUR)], AT)
    drain_logs()
    online_redis.flushall()

    with committed():
        materialize(version, end=AT + SECOND)

    assert fare(version, AT + SECOND) == 1.0
    assert waiting() == 1
    bring_due(at=AT + HOUR)
    assert fare(version, AT + HOUR) == 2.0


def test_no_more_wait_than_may(version, target, settings):
    rows = [row(float(n), AT + (n + 1) * HOUR, key=n) for n in range(3)]
    push(target, rows, AT, later=3)

    with pytest.raises(TooManyWait):
        push(target, rows[:1], AT, later=3)

    # What a clock that is ahead says is true in a moment.
    push(target, [row(5.0, AT + SECOND, key=5)], AT, later=3)
    assert drain_logs() == 4


def test_what_waits_of_one_table_is_no_bound_of_anothers(cast, version, target):
    push(target, [row(1.0, AT + HOUR)], AT, later=1)
    other = ready(cast, DEFINITIONS.replace("last_trip", "other").replace("fare,", "fare, "))
    assert other.table_id != version.table_id

    found = targets_of_source("trips", cast.project, access.Rights(cast.owner))
    (second,) = [each for each in found if each.table.pk == other.table_id]
    push(second, [row(1.0, AT + HOUR)], AT, later=1)

    assert waiting() == 2


def test_rows_of_a_table_that_nobody_reads_are_let_go(version, target):
    push(target, [row(1.0, AT + HOUR)], AT)
    FeatureViewVersion.objects.filter(pk=version.pk).update(state="retired")

    bring_due(at=AT)

    assert waiting() == 0


@pytest.mark.parametrize("seed", range(4))
def test_any_history_is_online_as_the_loop_says(version, target, seed):
    chance = random.Random(seed)
    known = []
    at = AT
    for number in range(60):
        at += chance.choice([0, 1, 2, 7]) * SECOND
        rows = [
            {
                **row(float(10 * number + n), at + chance.randint(-9, 9) * SECOND),
                "driver_id": chance.choice([1, 2]),
                "created_timestamp": at,
            }
            for n in range(chance.randint(1, 3))
        ]
        push(target, rows, at)
        known += [{**each, "__sequence": len(known) + n} for n, each in enumerate(rows)]
        if chance.random() < 0.5:
            bring_due(at=at)
            drain_logs()
            rightly = [latest_known(known, {"driver_id": each}, at) for each in (1, 2)]
            fares = [found and found["fare"] for found in rightly]
            assert online(version, {"driver_id": [1, 2]}, at=at)["fare"] == fares
            assert offline(version, {"driver_id": [1, 2]}, at=at)["fare"] == fares
