"""What is counted by who and period holds for all processes, and goes on while Redis is away."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from lib import rates
from lib.rates import Excess, Rate

RATE = Rate("attempts", most=3, seconds=60)
AT = datetime(2026, 3, 1, 12, 0, 20, tzinfo=UTC)
PERIOD_ENDS = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
AWAY = "unix:///nowhere/redis.sock"
COUNT_ONCE = """
import django
django.setup()
from datetime import UTC, datetime
from lib.rates import Rate, count
at = datetime(2026, 3, 1, 12, 0, 20, tzinfo=UTC)
print(count(Rate("attempts", 3, 60), ("ada",), at=at).number)
"""


def numbers(times, who=("ada",), at=AT):
    return [rates.count(RATE, who, at=at).number for _ in range(times)]


def ended(at):
    return list(rates.ended(at=at))


def test_each_has_a_number_of_its_own_in_each_period(online_redis):
    assert numbers(4) == [1, 2, 3, 4]
    assert numbers(2, who=("ben",)) == [1, 2]
    assert numbers(1, who=("ada", "ben")) == [1]
    assert numbers(1, at=PERIOD_ENDS - timedelta(microseconds=1)) == [5]
    assert numbers(1, at=PERIOD_ENDS) == [1]


def test_what_is_over_the_limit_is_known_with_the_time_to_wait(online_redis):
    counted = [rates.count(RATE, ("ada",), at=AT) for _ in range(4)]

    assert [each.is_over for each in counted] == [False, False, False, True]
    assert [each.is_last for each in counted] == [False, False, True, False]
    assert counted[0].wait_seconds(AT) == 40
    assert counted[0].wait_seconds(PERIOD_ENDS - timedelta(microseconds=1)) == 1


def test_what_is_added_up_outlives_whatever_meets_its_sending(online_redis, monkeypatch):
    who = {(RATE, ("ada",)): 5, (RATE, ("ben",)): 2}
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(rates, "get_redis", lambda: 1 / 0)
        rates.tally(who, at=AT)

    rates.tally({(RATE, ("ada",)): 1}, at=AT)

    assert {each.who: number for each, number in ended(AT + timedelta(minutes=2))} == {
        ("ada",): 6,
        ("ben",): 2,
    }


def test_one_that_was_none_is_taken_back(online_redis):
    numbers(3)

    rates.take_back(RATE, ("ada",), at=AT)

    assert numbers(2) == [3, 4]


def test_several_processes_count_together(online_redis):
    command = [sys.executable, "-c", COUNT_ONCE]

    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "featurestore_project.settings"}
    others = [subprocess.run(command, capture_output=True, check=True, env=env) for _ in range(2)]

    assert [int(each.stdout) for each in others] == [1, 2]
    assert numbers(2) == [3, 4]


def test_nothing_over_the_limit_is_lost_until_it_is_taken_up(online_redis):
    numbers(10)
    numbers(4, who=("ben",), at=PERIOD_ENDS)
    ada = Excess("attempts", ("ada",), int(PERIOD_ENDS.timestamp()), 60)

    assert ended(PERIOD_ENDS) == []  # another process's clock may still be in it
    assert ended(PERIOD_ENDS + timedelta(seconds=30)) == [(ada, 7)]
    assert ended(PERIOD_ENDS + timedelta(seconds=30)) == [(ada, 7)]

    rates.forget(ada)

    assert ended(PERIOD_ENDS + timedelta(seconds=30)) == []
    assert [more for _, more in ended(PERIOD_ENDS + timedelta(hours=1))] == [1]
    assert (ada.began_at, ada.ended_at) == (PERIOD_ENDS - timedelta(minutes=1), PERIOD_ENDS)


def test_counts_leave_redis_by_themselves(online_redis):
    numbers(1)

    (key,) = online_redis.keys("a:rate:*")
    assert 0 < online_redis.ttl(key) <= 60 + rates.SLACK_SECONDS


def test_while_redis_is_away_a_process_counts_and_tells_it_later(online_redis, settings):
    here, settings.REDIS_URL = settings.REDIS_URL, AWAY
    assert numbers(5, at=AT + timedelta(days=1)) == [1, 2, 3, 4, 5]
    rates.take_back(RATE, ("ada",), at=AT + timedelta(days=1))
    assert numbers(1, at=AT + timedelta(days=1)) == [5]
    settings.REDIS_URL = here

    assert numbers(1, who=("ben",)) == [1]

    assert [more for _, more in ended(AT + timedelta(days=2))] == [3]


def test_what_a_process_counts_by_itself_is_bounded(online_redis, settings, monkeypatch):
    monkeypatch.setattr(rates, "LOCAL_KEYS", 2)
    here, settings.REDIS_URL = settings.REDIS_URL, AWAY
    later = AT + timedelta(days=3)

    assert numbers(2, at=later) == [1, 2]
    numbers(1, who=("ben",), at=later)
    assert numbers(1, at=later) == [3]  # counted a moment ago, so it stays
    numbers(1, who=("cem",), at=later)
    assert numbers(1, who=("ben",), at=later) == [1]
    settings.REDIS_URL = here


@pytest.mark.parametrize("redis_url", [None, AWAY])
def test_going_over_the_limit_is_logged_once(online_redis, settings, caplog, redis_url):
    here = settings.REDIS_URL
    settings.REDIS_URL = redis_url or here

    numbers(6, who=("dora",), at=AT + timedelta(days=4))

    settings.REDIS_URL = here
    assert [line.message for line in caplog.records] == [
        "attempts of dora: 4 by 2026-03-05 12:01:00+00:00; more are only counted"
    ]
    numbers(1, who=("ben",))
