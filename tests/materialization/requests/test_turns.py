"""Whose turn it is to sweep, whatever messages and clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from materialization import tasks
from materialization.beat import sweep as sweep_task
from materialization.clocks import clocks_apart, note_clock
from materialization.models import MaterializationRun, ProcessClock, SweepTurn
from materialization.requests.runs import request_run
from materialization.requests.turns import end_turn, last_turn, take_turn
from materialization.windows import BadWindow
from tests.materialization.run_world import fresh

pytestmark = pytest.mark.django_db
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVERY = timedelta(seconds=10)
SECOND = timedelta(seconds=1)


def take(at: datetime) -> bool:
    return take_turn(every=EVERY, at=at)


def test_the_first_sweep_goes_on_and_one_beside_it_does_not():
    assert take(AT)
    assert not take(AT + EVERY)


def test_of_a_heap_of_old_messages_one_is_worked_off():
    assert take(AT)
    end_turn(began=AT, at=AT)

    assert [take(AT + n * SECOND / 10) for n in range(20)] == [False] * 20
    assert take(AT + EVERY)


def test_a_sweep_that_died_is_followed_by_another():
    assert take(AT)

    assert not take(AT + 59 * SECOND)
    assert take(AT + 60 * SECOND)


def test_an_end_that_comes_too_late_does_not_end_another_turn():
    take(AT)
    later = AT + 60 * SECOND
    take(later)

    end_turn(began=AT, at=later + SECOND)

    assert SweepTurn.objects.get().finished_at is None
    assert last_turn() == later


@pytest.mark.parametrize("back", [timedelta(seconds=6), timedelta(hours=1), timedelta(days=400)])
def test_a_clock_that_is_set_back_does_not_stop_the_sweep(back):
    take(AT)
    end_turn(began=AT, at=AT)

    assert take(AT - back)


def test_the_task_sweeps_by_the_clock_of_the_database(version, monkeypatch):
    def ten_minutes_ahead():
        return real() + timedelta(minutes=10)

    real = tasks.database_now
    if connection.vendor == "postgresql":
        monkeypatch.setattr("django.utils.timezone.now", ten_minutes_ahead)

    sweep_task()

    run = MaterializationRun.objects.get()
    assert run.window_end <= real()
    assert last_turn() <= real()


def test_who_is_off_is_kept_and_who_is_not_is_not_shown(settings):
    note_clock("worker@a")
    ProcessClock.objects.create(
        process="worker@b", measured_at=AT, ahead=timedelta(minutes=10), redis_ahead=None
    )

    assert [clock.process for clock in clocks_apart()] == ["worker@b"]
    note_clock("worker@a")  # what was measured long ago is of a process that is gone
    assert [clock.process for clock in ProcessClock.objects.all()] == ["worker@a"]


def test_a_window_that_ends_after_now_is_refused_whoever_asks(version):
    with pytest.raises(BadWindow, match="in the future"):
        request_run(version=fresh(version), window_end=AT + SECOND, at=AT, actor=None)
