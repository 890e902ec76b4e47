"""Rows that checks refuse: held, superseded, released; and what a death in between leaves."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from materialization.edges.stores import offline_store
from materialization.models import Alert, MaterializationRun, Quarantine
from materialization.queries import table_at
from materialization.requests.losses import accept_loss
from materialization.requests.quarantine import (
    QuarantineOver,
    discard_rows,
    expire_held,
    release_rows,
    remove_files,
)
from materialization.requests.refused_rows import failing_rows
from materialization.requests.runs import RunInProgress
from registry.models import AuditEntry, FeatureTable
from tests.factories import AT, DEFINITIONS, make_version
from tests.materialization.run_world import (
    DRIVERS,
    HOUR,
    ROWS,
    ask,
    committed,
    fresh,
    marker,
    materialize,
    nothing_recorded,
    offline,
    online,
    perform,
    snapshot,
    write_rows,
)

pytestmark = pytest.mark.django_db
BAD = [
    (1001, AT - 2 * HOUR, AT - 2 * HOUR, 0.5, 12),
    (1002, AT - 2 * HOUR, AT - 2 * HOUR, 0.5, 99),
    (1003, AT - HOUR, AT - HOUR, 0.5, 98),
]
CHECKED = DEFINITIONS.replace("type: int32,", "type: int32, checks: {max: 50},")


@pytest.fixture
def version(cast, sources):
    """An approved version that was served once, whose next rows a check refuses."""
    write_rows(sources, ROWS)
    with committed():
        version = make_version(cast, text=CHECKED)
    assert materialize(version, end=AT - 3 * HOUR, at=AT - 3 * HOUR).status == "succeeded"
    write_rows(sources, ROWS + BAD)
    return version


@pytest.fixture
def held(version):
    """The quarantine of a run that was blocked."""
    run = materialize(version)
    assert run.error_code == "checks_failed"
    return Quarantine.objects.get(run=run)


def kept_files(version):
    place = Path(table_at(fresh(version).table).uri) / "_quarantine"
    return sorted(each.name for each in place.glob("*"))


def state(held):
    held.refresh_from_db()
    return held.state


def test_giving_up_stored_data_discards_what_is_held_and_removes_it(cast, version, held):
    table = held.table
    FeatureTable.objects.filter(pk=table.pk).update(stored_version=99)  # a store that is behind
    old = Path(table_at(table).uri) / "_quarantine"
    assert [each.name for each in old.glob("*")] == [held.stored_as]

    with committed():
        accept_loss(table=table, actor=cast.operator, reason="disk died", at=AT)

    assert (state(held), held.stored_as, held.reason) == ("discarded", "", "disk died")
    assert list(old.glob("*")) == []
    entry = AuditEntry.objects.get(verb="quarantine.discarded")
    assert (entry.actor_name, entry.data["rows"], entry.data["reason"]) == (
        "operator", 3, "disk died"
    )  # fmt: skip
    assert not Alert.objects.open().filter(kind="blocked").exists()


def release(held, who, at=AT):
    with committed():
        return release_rows(quarantine=held, actor=who, reason="seen and right", at=at)


def test_refused_rows_are_held_where_no_reader_looks(version, held):
    before = snapshot(version)

    assert (held.state, held.rows, held.size_bytes > 0) == ("held", 3, True)
    assert kept_files(version) == [held.stored_as]
    assert "Its 3 rows are in quarantine" in held.run.error
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30, None]
    offline_store().clear_staging(table_at(fresh(version).table))
    assert (snapshot(version), kept_files(version)) == (before, [held.stored_as])


def test_the_rows_that_fail_are_listed_by_key_page_by_page(held):
    first, second = failing_rows(held, limit=10)

    assert (first.keys, first.failed) == ({"driver_id": 1002}, ["avg_daily_trips: max"])
    assert (first.values, first.event_timestamp) == (
        {"avg_daily_trips": 99},
        "2026-03-01T10:00:00Z",
    )
    assert failing_rows(held, limit=1) == [first]
    assert failing_rows(held, limit=5, after=first.place) == [second]
    assert failing_rows(held, limit=5, after=second.place) == []


def test_released_rows_are_served_as_a_runs_own(version, held, cast):
    run = perform(release(held, cast.steward))

    assert (run.kind, run.status, run.rows_offline) == ("release", "succeeded", 3)
    assert (state(held), held.ended_by) == ("released", run)
    assert held.run.alerts.open().count() == 0
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [12, 99, 98, None]
    assert offline(version, DRIVERS, at=AT) == online(version, DRIVERS, at=AT)
    assert marker(version).sequence == run.sequence
    assert materialize(version, end=AT + HOUR, at=AT + HOUR).rows_offline == 0
    assert snapshot(version).rows == 7
    entry = AuditEntry.objects.get(verb="quarantine.released")
    assert (entry.actor_name, entry.data["reason"]) == ("steward", "seen and right")


def test_a_later_run_that_stores_their_time_stands_in_their_place(version, held, cast, sources):
    write_rows(sources, ROWS)
    later = materialize(version, end=AT + HOUR, at=AT + HOUR)

    assert later.status == "succeeded"
    assert (state(held), held.ended_by) == ("superseded", later)
    with pytest.raises(QuarantineOver, match="is superseded by"):
        release(held, cast.steward)
    remove_files(at=AT)
    assert (kept_files(version), Quarantine.objects.get().stored_as) == ([], "")


def test_of_one_time_only_the_latest_refused_rows_are_held(version, held):
    again = materialize(version, end=AT + HOUR, at=AT + HOUR)

    assert (state(held), held.ended_by) == ("superseded", again)
    assert Quarantine.objects.get(state="held").run == again


def test_of_two_decisions_the_first_counts_and_a_run_is_waited_for(version, held, cast):
    stale = Quarantine.objects.get(pk=held.pk)
    run = release(held, cast.steward)

    with pytest.raises(QuarantineOver, match="is releasing"):
        release(stale, cast.second_steward)
    with pytest.raises(QuarantineOver, match="is releasing"):
        discard_rows(quarantine=stale, actor=cast.owner, reason="no", at=AT)
    with pytest.raises(RunInProgress):
        ask(version, end=AT + HOUR, at=AT + HOUR)
    assert perform(run).status == "succeeded"


def test_who_asks_while_another_run_is_live_waits(version, held, cast):
    ask(version, end=AT + HOUR, at=AT + HOUR)

    with pytest.raises(RunInProgress):
        release(held, cast.steward)
    assert state(held) == "held"


def test_a_release_that_ends_undone_holds_them_again(version, held, cast):
    run = release(held, cast.steward)
    offline_store().remove_aside(table_at(fresh(version).table), held.stored_as)

    assert perform(run).error_code == "nothing_to_release"
    assert state(held) == "held"


def test_discarded_rows_are_gone_and_their_alert_closes(version, held, cast):
    assert held.run.alerts.open().count() == 1

    discard_rows(quarantine=held, actor=cast.steward, reason="a test's rows", at=AT)
    remove_files(at=AT)

    assert (state(held), held.decided_by, held.reason) == (
        "discarded",
        cast.steward,
        "a test's rows",
    )
    assert (kept_files(version), held.run.alerts.open().count()) == ([], 0)


def test_what_nobody_decides_on_expires_and_so_does_what_has_no_room(version, held, settings):
    expire_held(at=held.held_at + timedelta(days=30))
    assert state(held) == "held"

    expire_held(at=held.held_at + timedelta(days=30, seconds=1))

    assert (state(held), held.decided_by) == ("expired", None)
    assert held.run.alerts.open().count() == 0
    assert AuditEntry.objects.get(verb="quarantine.expired").actor_name == "system"
    materialize(version, end=AT + HOUR, at=AT + HOUR)
    newest = Quarantine.objects.get(state="held")
    Quarantine.objects.filter(pk=newest.pk).update(size_bytes=2_000_000)
    settings.QUARANTINE_MAX_MB = 1
    expire_held(at=AT + HOUR)
    assert "QUARANTINE_MAX_MB" in Quarantine.objects.get(pk=newest.pk).reason


def test_files_of_a_run_that_died_before_it_said_so_are_removed_by_the_next(version, held):
    Quarantine.objects.all().delete()

    run = materialize(version, end=AT + HOUR, at=AT + HOUR)

    assert kept_files(version) == [Quarantine.objects.get(run=run).stored_as]


def test_rows_that_were_released_and_not_recorded_are_found_and_never_doubled(version, held, cast):
    run = release(held, cast.steward)
    with nothing_recorded():
        perform(run)
    # As the sweep leaves a run whose worker died once too often.
    MaterializationRun.objects.filter(pk=run.pk).update(status="errored", step="reading")
    Quarantine.objects.filter(pk=held.pk).update(state="held")

    with pytest.raises(QuarantineOver, match="may have published them"):
        discard_rows(quarantine=held, actor=cast.steward, reason="no", at=AT)
    second = perform(release(held, cast.steward))

    assert (second.status, second.rows_offline) == ("succeeded", 0)
    assert (state(held), snapshot(version).rows) == ("released", 7)
    assert materialize(version, end=AT + HOUR, at=AT + HOUR).rows_offline == 0
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [12, 99, 98, None]


def test_a_run_that_died_when_it_had_held_its_rows_supersedes_them_itself(version, held, sources):
    write_rows(sources, ROWS)
    MaterializationRun.objects.filter(pk=held.run_id).update(status="queued", enqueued_at=AT)

    run = perform(held.run)

    assert run.status == "succeeded"
    assert (state(held), held.ended_by) == ("superseded", run)


def test_what_was_compared_and_refused_is_superseded_by_the_next_comparison(
    version, held, cast, sources
):
    """And of two refused comparisons of one range each is released for itself."""
    perform(release(held, cast.steward))
    since = {"window_start": AT - 9 * HOUR, "end": AT, "actor": cast.owner}
    for number in (1, 2):
        worse = (1001, AT - 2 * HOUR, AT - HOUR, 0.5, 60 + number)
        write_rows(sources, [*ROWS, *BAD, worse])
        assert materialize(version, **since).error_code == "checks_failed"
        newest = Quarantine.objects.get(state="held")
        assert perform(release(newest, cast.steward)).rows_offline > 0
        assert state(newest) == "released"
    write_rows(sources, [*ROWS, *BAD, (1001, AT - 2 * HOUR, AT, 0.5, 70)])
    assert materialize(version, **since).error_code == "checks_failed"
    last = Quarantine.objects.get(state="held")
    write_rows(sources, [*ROWS, *BAD])

    again = materialize(version, **since)

    assert again.status == "succeeded"
    assert (state(last), last.ended_by) == ("superseded", again)
