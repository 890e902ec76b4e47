"""A log of pushed rows that nobody drains: told to people and to monitors, and over by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from materialization.ingest.targets import targets_of_source
from materialization.models import Alert
from materialization.requests.draining import watch_logs
from materialization.runner.draining import drain_logs
from materialization.standing import figures
from registry import access
from tests.materialization.ingest.push_world import ready
from tests.materialization.ingest.test_push_schedules import push
from tests.materialization.run_world import AT, table_of

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def target(cast, online_redis):
    ready(cast)
    (found,) = targets_of_source("trips", cast.project, access.Rights(cast.owner))
    return found


def opened():
    return list(Alert.objects.open().filter(kind="undrained"))


def told(at):
    return {each.name: each.value for each in figures(at=at) if each.name.startswith("assay_push_")}


def test_a_log_that_stands_for_a_minute_is_told_of_until_it_does_not(target):
    row = {"driver_id": 1, "event_timestamp": AT, "fare": 1.0}
    push(target, [row], AT)
    push(target, [row], AT + MINUTE)

    watch_logs(at=AT + MINUTE)
    assert opened() == []
    watch_logs(at=AT + MINUTE + timedelta(seconds=1))

    (alert,) = opened()
    assert alert.project == target.table.feature_view.project
    assert "2 pushes, the first of 2026-03-01 12:00:00 UTC" in alert.words
    drain_logs()
    watch_logs(at=AT + 2 * MINUTE)
    assert opened() == []


def test_a_monitor_sees_what_waits(target):
    assert told(AT) == {"assay_push_later_rows": 0}
    later = {"driver_id": 1, "event_timestamp": AT + MINUTE, "fare": 1.0}
    push(target, [later], AT)

    assert told(AT + MINUTE) == {
        "assay_push_later_rows": 1,
        "assay_push_log_entries": 1,
        "assay_push_log_age_seconds": 60.0,
    }
    assert table_of(target.table.versions.get()).uid == target.table.uid
