"""The numbers of a table's rows: each drawn once, whoever asks; they settle ties in both stores."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pyarrow as pa
import pytest
from django.db import connection, connections, transaction

from lib.errors import Unavailable
from materialization.edges.engines import engine
from materialization.edges.stores import offline_store, online_store
from materialization.models import MaterializationRun, TableSequence
from materialization.queries import table_at
from materialization.runner import run as runner
from materialization.runner import storing
from materialization.runner.heartbeat import Heartbeat, LeaseLost
from materialization.sequences import draw_sequence
from materialization.stores.columns import computed_schema
from materialization.stores.layout import layout_of
from tests.factories import DEFINITIONS, make_ready, make_version
from tests.materialization.run_world import (
    AT,
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
    table_of,
    write_rows,
)
from tests.materialization.store_cases import commit

pytestmark = pytest.mark.django_db

ONE = {"driver_id": [1001]}
OTHER_TABLE = DEFINITIONS.replace("name: driver_hourly", "name: driver_daily")


def sequences(version) -> set[int]:
    """Return the sequences that the latest stored rows of the version's keys carry."""
    with engine().latest_rows(snapshot(version).files, version.spec) as reader:
        return set(reader.read_all()["__sequence"].to_pylist())


# --- Drawing -------------------------------------------------------------------------------------


def test_each_table_counts_for_itself(cast, version):
    other = make_version(cast, text=OTHER_TABLE)
    one, two = table_of(version), table_of(other)

    assert [draw_sequence(table) for table in (one, one, two, one, two)] == [1, 2, 1, 3, 2]


def test_a_number_that_was_rolled_back_was_never_drawn(version):
    table = table_of(version)

    with pytest.raises(Unavailable), transaction.atomic():
        draw_sequence(table)
        raise Unavailable("the database went away")

    assert draw_sequence(table) == 1


@pytest.fixture
def shared_database(transactional_db, tmp_path, monkeypatch):
    """Let other threads meet in one database: SQLite's in memory refuses instead of waiting."""
    if connection.vendor == "sqlite":
        file = tmp_path / "shared.sqlite3"

        def share() -> None:
            with closing(sqlite3.connect(file)) as copy:
                connection.connection.backup(copy)
            monkeypatch.setitem(connections.settings["default"], "NAME", str(file))

        return share
    return lambda: None


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_of_many_who_draw_at_once_no_two_get_the_same(shared_database, version, first):
    table, together, each = table_of(version), Barrier(4), 25
    if not first:
        assert draw_sequence(table) == 1
    shared_database()

    def draw() -> list[int]:
        together.wait(60)
        try:
            return [draw_sequence(table) for _ in range(each)]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        drawn = [future.result(60) for future in [pool.submit(draw) for _ in range(4)]]

    start = 1 if first else 2
    assert sorted(sum(drawn, [])) == list(range(start, start + 4 * each))
    assert all(numbers == sorted(numbers) for numbers in drawn)


# --- Runs ----------------------------------------------------------------------------------------


def test_rows_carry_their_tables_sequence_and_not_the_runs_id(cast, version):
    other = make_version(cast, text=OTHER_TABLE)
    first, second = materialize(version), materialize(other)

    assert (first.sequence, second.sequence) == (1, 1)
    assert second.pk != second.sequence
    assert sequences(version) == sequences(other) == {1}
    assert (marker(other).sequence, marker(other).generation) == (1, second.pk)


def test_later_runs_draw_later_and_a_reload_draws_nothing(version):
    runs = [materialize(version, end=AT - 6 * HOUR), materialize(version)]
    reload = materialize(version)

    assert [run.sequence for run in runs] == [1, 2]
    assert (reload.kind, reload.sequence, marker(version).sequence) == ("reload", None, 2)
    assert TableSequence.objects.get(table=version.table).last == 2


def test_a_later_attempt_keeps_the_sequence_and_repeats_no_commit(version, sources):
    run = ask(version)
    died = runner.claim(run.pk, worker="a", at=AT)
    with nothing_recorded(), Heartbeat(died, clock=lambda: AT) as heartbeat:
        storing.store_missing(died, heartbeat)
    stored = snapshot(version)
    MaterializationRun.objects.filter(pk=run.pk).update(status="queued")
    write_rows(sources, [*ROWS, (1001, AT - HOUR, AT - HOUR, 0.9, 99)])

    again = perform(run)

    assert (again.status, again.attempt, again.sequence) == ("succeeded", 2, died.sequence)
    assert snapshot(version) == stored
    assert TableSequence.objects.get(table=version.table).last == died.sequence


def test_a_run_that_was_committed_and_recorded_writes_nothing_when_replayed(version):
    run = materialize(version)
    stored = snapshot(version)
    MaterializationRun.objects.filter(pk=run.pk).update(status="queued")

    again = perform(run)

    assert (again.status, again.sequence, again.rows_offline) == ("succeeded", 1, 4)
    assert snapshot(version) == stored
    assert online(version, ONE, at=AT) == offline(version, ONE, at=AT)


def test_an_attempt_without_a_lease_draws_nothing(version):
    run = ask(version)
    stale = runner.claim(run.pk, worker="a", at=AT)
    MaterializationRun.objects.filter(pk=run.pk).update(attempt=2)

    with pytest.raises(LeaseLost), Heartbeat(stale, clock=lambda: AT) as heartbeat:
        storing.store_missing(stale, heartbeat)

    assert MaterializationRun.objects.get(pk=run.pk).sequence is None
    assert not TableSequence.objects.exists()


# --- Ties ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(5, 7), (7, 5)])
def test_of_equal_times_the_later_sequence_answers_in_both_stores(cast, sources, order):
    write_rows(sources, ROWS)
    with committed():
        version = fresh(make_version(cast))
    table, spec = table_of(version), version.spec
    layout = layout_of(spec, uid=table.uid)
    ticket = online_store().begin_load(table.uid)
    for sequence in order:
        row = {
            "driver_id": 1001,
            "event_timestamp": AT - HOUR,
            "created_timestamp": AT - HOUR,
            "avg_daily_trips": sequence,
        }
        (batch,) = pa.Table.from_pylist([row], computed_schema(spec)).to_batches()
        commit(
            offline_store(),
            table_at(table),
            [batch],
            sequence=sequence,
            transaction=f"commit-{sequence}",
            spec=spec,
        )
        numbered = batch.append_column("__sequence", pa.array([sequence], pa.int64()))
        online_store().write(layout, [numbered], ttl=spec.ttl, at=AT)
    facts = {"generation": 1, "as_of": AT, "sequence": 7, "ttl": spec.ttl}
    assert online_store().finish_load(table.uid, ticket, **facts)
    with committed():
        make_ready(version)

    assert online(version, ONE, at=AT)["avg_daily_trips"] == [7]
    assert offline(version, ONE, at=AT)["avg_daily_trips"] == [7]
