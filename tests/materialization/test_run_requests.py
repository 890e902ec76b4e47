"""What may be asked for, and what asking means while another run is under way."""

from __future__ import annotations

import pytest

from materialization.choices import RunKind
from materialization.edges import online_store
from materialization.operations import (
    BadSchedule,
    BadWindow,
    NotMaterializable,
    RunInProgress,
    change_schedule,
)
from materialization.sweep import add_schedules
from registry.choices import State
from registry.spec import ScheduleSpec
from tests.factories import DEFINITIONS, VIEW, make_version, verbs_of
from tests.materialization.run_world import (
    AT,
    HOUR,
    ROWS,
    ask,
    committed,
    fresh,
    materialize,
    table_of,
    write_rows,
)

pytestmark = pytest.mark.django_db


# --- Asking --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (None, AT + HOUR, "is in the future"),
        (AT, AT - HOUR, "is not before end"),
        (AT, AT, "is not before end"),
    ],
)
def test_windows_that_make_no_sense_are_refused(version, start, end, words):
    with pytest.raises(BadWindow, match=words):
        ask(version, window_start=start, end=end)


def test_only_approved_versions_are_materialized(cast, sources):
    write_rows(sources, ROWS)
    waiting = make_version(cast, state=State.IN_REVIEW)

    with pytest.raises(NotMaterializable, match="is in_review"):
        ask(waiting)


def test_asking_for_what_a_live_run_does_gives_that_run(version):
    live = ask(version)

    assert ask(version, end=AT - HOUR) == live
    assert ask(version, window_start=AT - 9 * HOUR) == live


def test_asking_for_more_than_a_live_run_does_is_refused_and_names_it(version):
    live = ask(version, window_start=AT - 5 * HOUR, end=AT - HOUR)

    for start, end in ((AT - 5 * HOUR, AT), (AT - 9 * HOUR, AT - HOUR), (None, AT - HOUR)):
        with pytest.raises(RunInProgress) as caught:
            ask(version, window_start=start, end=end)
        assert caught.value.data == {"run": live.pk}


def test_a_reload_under_way_does_not_stand_in_for_a_window(version):
    materialize(version, window_start=AT - 5 * HOUR)
    live = ask(version, kind=RunKind.RELOAD)

    assert ask(version, end=AT) == live
    with pytest.raises(RunInProgress):
        ask(version, window_start=AT - 9 * HOUR)


def test_a_schedule_is_changed_by_who_may_and_audited(cast, version):
    add_schedules(at=AT)
    schedule = version.materialization_schedule
    change = {"schedule": schedule, "enabled": True, "at": AT}

    change_schedule(**change, spec=ScheduleSpec(cron="15 * * * *"), actor=cast.operator)

    schedule.refresh_from_db()
    assert (schedule.every, schedule.cron, schedule.updated_by) == ("", "15 * * * *", cast.operator)
    assert verbs_of(schedule) == ["changed"]
    with pytest.raises(BadSchedule):
        change_schedule(**change, spec=ScheduleSpec(every="sometimes"), actor=cast.operator)


def test_a_view_that_is_not_served_online_needs_no_redis(cast, sources):
    write_rows(sources, ROWS)
    offline_only = DEFINITIONS.replace(VIEW, VIEW + "online: false\n")
    with committed():
        version = make_version(cast, text=offline_only)

    run = materialize(version)

    assert (run.status, run.rows_online) == ("succeeded", 0)
    assert online_store().marker(table_of(version).uid) is None
    assert fresh(version).is_ready
