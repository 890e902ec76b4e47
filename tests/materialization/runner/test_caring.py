"""Tables are seen to when they are due, one at a time, and what they take is written down."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.urls import reverse

from featurestore_project.celery import app
from lib.connections import get_redis
from materialization.growth import Growth, days_until, growth_by_view, together
from materialization.models import TableCare, TableSize
from materialization.queries import CARE_EVERY, MANY_COMMITS, tables_to_care_for
from materialization.requests import care, sweep
from materialization.runner.caring import care_for_tables
from materialization.sizes import COUNT_AGAIN_AFTER, note_online, sizes_to_count
from materialization.stores.inspecting import taken_by_tables
from materialization.stores.layout import value_prefix
from registry.models import FeatureTable
from registry.operations.lifecycle.releases import deprecate_version, retire_version
from tests.materialization.run_world import (
    AT,
    HOUR,
    ROWS,
    ask,
    committed,
    fresh,
    materialize,
    snapshot,
    table_of,
    write_rows,
)

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def ran_often(version, sources, times: int) -> None:
    """Store one more row by each of so many runs."""
    rows = list(ROWS)
    for number in range(times):
        end = AT + number * HOUR
        rows.append((1003, end - MINUTE, end - MINUTE, 0.5, number))
        write_rows(sources, rows)
        with committed():
            assert materialize(version, end=end).status == "succeeded"


def seen_to(at) -> int:
    return care_for_tables(clock=lambda: at)


def test_many_runs_leave_few_files_and_what_the_table_takes_is_known(version, sources):
    ran_often(version, sources, 20)
    before = snapshot(version)
    at = AT + 20 * HOUR

    assert seen_to(at) == 1

    after, table = snapshot(version), FeatureTable.objects.get(pk=table_of(version).pk)
    assert (len(before.files), len(after.files), after.rows) == (20, 1, before.rows)
    assert table.stored_version == after.version
    row = TableCare.objects.get(table=table)
    assert (row.files, row.compacted, row.cared_at, row.lease_expires_at) == (1, 20, at, None)
    size = TableSize.objects.get(table=table)
    assert (size.day, size.online_keys) == (at.date(), 3)
    assert size.offline_bytes > 0
    assert 3 * 50 < (size.online_bytes or 0) < 3 * 1000
    assert seen_to(at) == 0

    write_rows(sources, [*ROWS, (1001, AT + 20 * HOUR, AT + 20 * HOUR, 0.5, 77)])
    with committed():
        assert materialize(version, end=AT + 21 * HOUR).status == "succeeded"
    assert snapshot(version).rows == before.rows + 1


def figures(version) -> tuple[int | None, bool]:
    """What is known of the table online: keys, and whether they take anything."""
    size = TableSize.objects.get(table=table_of(version))
    return size.online_keys, bool(size.online_bytes)


def test_keys_are_counted_again_after_a_load_and_count_no_more_once_dropped(version, sources, cast):
    ran_often(version, sources, 1)
    seen_to(AT)
    TableSize.objects.update(online_keys=2)  # as by a count that came by during the load
    later = AT + COUNT_AGAIN_AFTER
    version.table.runs.update(finished_at=AT + MINUTE)
    before = messages()

    care.care_due(at=later - MINUTE)
    assert messages() == before
    care.care_due(at=later)
    seen_to(later)
    assert (messages() - before, figures(version)) == (1, (3, True))
    care.care_due(at=later + HOUR)
    assert messages() - before == 1

    version.table.runs.update(kind="incremental", finished_at=later + MINUTE, rows_online=3)
    assert sizes_to_count(later + HOUR) == []
    version.table.runs.update(rows_online=4)
    assert len(sizes_to_count(later + HOUR)) == 1

    how = {"actor": cast.steward, "at": AT}
    with committed():
        deprecate_version(version=fresh(version), **how)
        retire_version(version=fresh(version), **how, force=True, comment="unused")
    sweep.drop_abandoned(at=later + HOUR)
    assert figures(version) == (0, False)
    note_online(table_of(version), keys=3, size=300, at=later + HOUR)  # of a walk before the drop
    assert figures(version) == (0, False)


def test_keys_of_a_small_table_take_something_beside_those_of_a_large_one(online_redis):
    client = get_redis()
    large, small = "a" * 8, "b" * 8
    client.mset({value_prefix(large) + b"{%d}" % n: b"x" for n in range(20_000)})
    client.mset({value_prefix(small) + b"{%d}" % n: b"x" for n in range(3)})

    taken = taken_by_tables(client, pace=1e9)

    assert (taken[large].keys, taken[small].keys) == (20_000, 3)
    assert 3 * 20 < taken[small].size < 3 * 500


def test_a_table_is_due_once_a_day_when_it_changed_and_sooner_after_very_many_commits(version):
    with committed():
        materialize(version)
    table = table_of(version)
    assert list(tables_to_care_for(AT)) == [table]
    seen_to(AT)
    FeatureTable.objects.filter(pk=table.pk).update(stored_version=table.stored_version)
    cared = TableCare.objects.get(table=table)

    def is_due(after, commits):
        stored = cared.stored_version + commits
        FeatureTable.objects.filter(pk=table.pk).update(stored_version=stored)
        return tables_to_care_for(AT + after).exists()

    assert not is_due(CARE_EVERY, 0)
    assert is_due(CARE_EVERY, 1)
    assert not is_due(CARE_EVERY - MINUTE, MANY_COMMITS - 1)
    assert is_due(HOUR, MANY_COMMITS)
    assert not is_due(HOUR - MINUTE, MANY_COMMITS)
    assert is_due(7 * CARE_EVERY, 0)
    assert is_due(-2 * CARE_EVERY, 0)  # by a clock that was set back


def test_nobody_sees_to_a_table_that_a_run_is_about_to_add_to(version):
    with committed():
        materialize(version)
        ask(version, end=AT + HOUR, at=AT + HOUR)

    assert seen_to(AT + HOUR) == 0


def test_one_worker_at_a_time_sees_to_a_table_and_another_when_it_died(version):
    with committed():
        materialize(version)
    TableCare.objects.create(table=table_of(version), lease_expires_at=AT + MINUTE)

    assert seen_to(AT) == 0
    assert seen_to(AT + MINUTE) == 1


def messages() -> int:
    with app.connection_for_write() as connection:
        return connection.default_channel.client.llen("certificates")


def test_the_sweep_wakes_one_worker_and_another_when_the_message_was_lost(version):
    before = messages()
    care.care_due(at=AT)
    assert messages() == before  # nothing is stored yet
    with committed():
        materialize(version)

    for after in (0, 1, 9, 11):
        care.care_due(at=AT + after * MINUTE)
    assert messages() - before == 2

    seen_to(AT + 12 * MINUTE)
    care.care_due(at=AT + 30 * MINUTE)
    assert messages() - before == 2


def test_a_store_that_cannot_be_cared_for_is_said_and_tried_again(version, settings):
    with committed():
        materialize(version)
    FeatureTable.objects.update(stored_as="another")

    assert seen_to(AT) == 1

    row = TableCare.objects.get()
    assert "another" in row.error or "not the one" in row.error
    assert seen_to(AT) == 0
    assert seen_to(AT + CARE_EVERY) == 1


def test_the_days_say_when_something_would_be_full(version):
    table, today = table_of(version), AT.date()
    for ago, offline, online in ((40, 0, 0), (20, 1000, 100), (10, 1500, None), (0, 3000, 100)):
        day = today - timedelta(days=ago)
        keys = online and 2 * online + ago
        TableSize.objects.create(
            table=table, day=day, offline_bytes=offline, online_bytes=online, online_keys=keys
        )

    growths = growth_by_view(at=AT)

    assert growths == {version.feature_view_id: (100.0, -1.0, 0.0)}
    assert growth_by_view([version.feature_view_id], at=AT) == growths
    assert growth_by_view([], at=AT) == {}
    assert [days_until(8000, 5000, growth) for growth in growths[version.feature_view_id]] == [
        30, None, None,
    ]  # fmt: skip
    assert days_until(10, 20, 1.0) == 0
    assert together([*growths.values(), Growth(50.0, None, None)]) == (150.0, -1.0, 0.0)


def test_of_one_day_nothing_is_foretold(version):
    TableSize.objects.create(table=table_of(version), day=AT.date(), offline_bytes=5)

    assert growth_by_view(at=AT) == {version.feature_view_id: (None, None, None)}
    assert days_until(8, 5, None) is None


@pytest.mark.parametrize(
    ("values", "tied"),
    [
        ([(0.5, 7), (0.5, 8)], True),
        ([(0.0, 7), (-0.0, 7)], True),
        ([(float("nan"), None), (float("nan"), None)], False),
    ],
)
def test_rows_that_only_their_place_tells_apart_keep_it(version, sources, values, tied):
    """Two rows of one driver, one event and one created time: a compaction might swap them."""
    ran_often(version, sources, 17)
    end = AT + 17 * HOUR
    twins = [(1001, end - MINUTE, end - MINUTE, *each) for each in values]
    write_rows(sources, [*ROWS, *twins])
    with committed():
        assert materialize(version, end=end).status == "succeeded"
    before = snapshot(version)

    assert seen_to(end) == 1

    assert (snapshot(version).files == before.files) is tied
    said = "not compacted: rows of one run share" if tied else ""
    assert TableCare.objects.get().error.startswith(said)
    assert bool(TableCare.objects.get().error) is tied


def test_one_table_that_is_damaged_does_not_keep_the_others_from_their_turn(cast, version, sources):
    ran_often(version, sources, 17)
    for name in snapshot(version).files[:3]:
        Path(name).write_bytes(b"PAR1 no more PAR1")

    assert seen_to(AT + 17 * HOUR) == 1

    row = TableCare.objects.get()
    assert row.error
    assert (row.cared_at, row.lease_expires_at) == (AT + 17 * HOUR, None)


def test_the_command_says_what_it_did_to_each_table_and_sees_to_all_when_asked(
    version, sources, capsys
):
    ran_often(version, sources, 20)
    name = str(table_of(version))

    call_command("care_for_tables")
    call_command("care_for_tables")
    call_command("care_for_tables", "--all")

    first, again, everything = capsys.readouterr().out.split("\n", 5)[0:5:2]
    assert first == f"{name}: 20 small files compacted, 0 unused ones removed (0 bytes); 1 in use"
    assert again.startswith("No table is due: each is seen to a day after")
    assert everything == "All that were due are done."


def test_a_versions_page_says_what_was_done_to_its_files(as_, version, sources):
    ran_often(version, sources, 20)
    seen_to(AT + 20 * HOUR)
    TableCare.objects.update(removed=3, freed=2048, error="not compacted: rows share keys.")

    page = reverse("admin:registry_featureviewversion_change", args=[version.pk])
    text = as_("steward").get(page).text

    assert "20 small ones became fewer; 3 unused ones removed (2.0\xa0KB);" in text
    assert "unused ones stay for 24 hours" in text
    assert "not compacted: rows share keys." in text
