"""What may be asked for, and what asking means while another run is under way."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from lib.seen import ChangedMeanwhile
from materialization.choices import RunKind
from materialization.edges.stores import online_store
from materialization.models import MaterializationRun, MaterializationSchedule
from materialization.requests.cancelling import cancel_run
from materialization.requests.due import add_schedules
from materialization.requests.runs import NotMaterializable, RunInProgress, request_run
from materialization.requests.schedules import BadSchedule, change_schedule
from materialization.windows import BadWindow
from registry.access import ActionNotPermitted
from registry.choices import State
from registry.models import AuditEntry
from registry.operations.lifecycle import releases
from registry.spec.model import ScheduleSpec
from tests.factories import DEFINITIONS, VIEW, make_version, verbs_of
from tests.materialization.run_world import (
    AT,
    HOUR,
    ROWS,
    ask,
    committed,
    fresh,
    marker,
    materialize,
    perform,
    snapshot,
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
    materialize(version)
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


def test_a_version_retired_since_it_was_loaded_gets_no_run(cast, version):
    loaded = fresh(version)
    retire(cast, version)

    with pytest.raises(NotMaterializable, match="is retired; only approved"):
        request_run(version=loaded, window_end=AT, at=AT, actor=cast.operator)
    assert not MaterializationRun.objects.exists()


def retire(cast, version) -> None:
    releases.retire_version(
        version=fresh(version), actor=cast.steward, at=AT, force=True, comment="wrong"
    )


@pytest.mark.parametrize("kind", [None, RunKind.RELOAD])
def test_a_run_whose_version_was_retired_meanwhile_computes_nothing(cast, version, kind):
    run = ask(version, kind=kind, actor=cast.operator)
    retire(cast, version)

    perform(run)

    assert (run.status, run.error_code) == ("cancelled", "version_not_served")
    assert "driver_hourly@1.0.0 is retired by now" in run.error
    assert (snapshot(version).rows, marker(version), run.rows_read) == (0, None, 0)
    assert verbs_of(run) == ["requested", "cancelled"]


def test_a_deprecated_version_is_still_materialized(cast, version):
    releases.deprecate_version(version=fresh(version), actor=cast.steward, at=AT)

    assert materialize(version).status == "succeeded"


@pytest.mark.parametrize("lost", ["is_superuser", "is_active"])
def test_a_right_lost_since_the_account_was_loaded_is_missed(cast, version, lost):
    add_schedules(at=AT)
    schedule = version.materialization_schedule
    run = ask(version)
    stale = User.objects.get(pk=cast.superuser.pk)
    User.objects.filter(pk=stale.pk).update(**{lost: False})

    with pytest.raises(ActionNotPermitted):
        cancel_run(run=run, actor=stale, at=AT)
    cancel_run(run=run, actor=cast.operator, at=AT)
    with pytest.raises(ActionNotPermitted):
        ask(version, actor=stale)
    with pytest.raises(ActionNotPermitted):
        change_schedule(schedule=schedule, spec=None, enabled=False, actor=stale, at=AT)
    assert verbs_of(schedule) == []


def test_of_two_changes_of_one_schedule_the_second_is_told_of_the_first(cast, version):
    add_schedules(at=AT)
    first, second = (MaterializationSchedule.objects.get() for _ in range(2))
    change = {"actor": cast.operator, "at": AT, "enabled": True}
    change_schedule(schedule=first, spec=ScheduleSpec(every="2h"), **change)

    with pytest.raises(ChangedMeanwhile, match="every is '2h' now, not '1h'"):
        change_schedule(schedule=second, spec=ScheduleSpec(every="3h"), **change)
    seen = {"every": "2h", "cron": "", "enabled": True}
    change_schedule(schedule=second, spec=ScheduleSpec(every="3h"), **change, seen=seen)

    told = AuditEntry.objects.filter(verb="schedule.changed").order_by("id")
    assert [(entry.before, entry.after) for entry in told] == [
        ("driver_hourly@1.0.0: every 1h", "driver_hourly@1.0.0: every 2h"),
        ("driver_hourly@1.0.0: every 2h", "driver_hourly@1.0.0: every 3h"),
    ]
    assert second.every == "3h"


def test_a_view_that_is_not_served_online_needs_no_redis(cast, sources):
    write_rows(sources, ROWS)
    offline_only = DEFINITIONS.replace(VIEW, VIEW + "online: false\n")
    with committed():
        version = make_version(cast, text=offline_only)

    run = materialize(version)

    assert (run.status, run.rows_online) == ("succeeded", 0)
    assert online_store().marker(table_of(version).uid) is None
    assert fresh(version).is_ready
