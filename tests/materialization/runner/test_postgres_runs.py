"""Runs over a PostgreSQL table: what is read of it again, and what is said without it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from materialization.edges.looks import look_at_sources
from materialization.errors import SourceUnavailable
from registry.reading.parsing import InvalidDefinitions
from tests.factories import apply
from tests.materialization.run_world import (
    AT,
    DRIVERS,
    HOUR,
    ROWS,
    committed,
    materialize,
    offline,
    online,
)
from tests.materialization.table_world import TEXT, approved, insert

pytestmark = pytest.mark.django_db
WITHOUT_CREATED = TEXT.replace("created_timestamp: created\n", "")


def test_a_table_is_read_into_both_stores(table, cast):
    version = approved(cast)

    with committed():
        run = materialize(version)

    assert (run.status, run.error, run.rows_read) == ("succeeded", "", 4)
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30, None]
    early = offline(version, DRIVERS, at=AT - 8.5 * HOUR)
    assert early["avg_daily_trips"] == [10, None, None, None]


def test_the_next_run_reads_what_became_known_since_and_in_the_lookback(table, cast):
    version = approved(cast)
    with committed():
        materialize(version)
        insert(table, [
            (1002, AT - 60 * HOUR, AT + 0.5 * HOUR, 0.5, 77),  # late by its event, and known now
            (1003, AT + 0.5 * HOUR, AT + 0.5 * HOUR, 0.5, 31),
            (1001, AT - 60 * HOUR, AT - 60 * HOUR, 0.5, 1),  # beyond the lookback: nobody looks
        ])  # fmt: skip
        run = materialize(version, end=AT + HOUR)

    assert (run.status, run.error) == ("succeeded", "")
    # The two new ones, and the four that the lookback of a day reaches.
    assert (run.rows_read, run.source_counts["already_stored"]) == (6, 4)
    assert online(version, DRIVERS, at=AT + HOUR)["avg_daily_trips"] == [11, 20, 31, None]
    long_ago = offline(version, DRIVERS, at=AT - 59 * HOUR)
    assert long_ago["avg_daily_trips"] == [None] * 4  # nothing leaks backwards


def test_without_created_a_late_row_is_known_from_the_run_that_found_it(table, cast):
    version = approved(cast, WITHOUT_CREATED)
    with committed():
        materialize(version)
        insert(table, [(4711, AT - 3 * HOUR, None, 0.5, 5)])
        run = materialize(version, end=AT + HOUR)

    assert (run.status, run.source_counts["late"]) == ("succeeded", 1)
    assert online(version, DRIVERS, at=AT + HOUR)["avg_daily_trips"][3] == 5
    assert offline(version, DRIVERS, at=AT)["avg_daily_trips"][3] is None


def test_a_table_that_was_filled_anew_is_compared_whole(table, cast):
    version = approved(cast)
    with committed():
        materialize(version)
        table.run("TRUNCATE driver_stats")
        insert(table, [*ROWS, (4711, AT - 72 * HOUR, AT - 72 * HOUR, 0.5, 5)])
        run = materialize(version, end=AT + HOUR)

    assert (run.status, run.source_counts["late"]) == ("succeeded", 1)


def test_a_connection_that_leads_elsewhere_is_refused_by_name(table, cast, connections):
    version = approved(cast)
    connections.write_text(table.toml.replace(f'"{table.name}"', '"postgres"'))

    run = materialize(version)

    assert (run.status, run.error_code, run.rows_read) == ("failed", "connection_moved", 0)
    assert "connection 'warehouse' leads elsewhere than when this version was" in run.error


def test_another_password_of_the_same_place_is_no_other_place(table, cast, connections):
    version = approved(cast)
    table.run("ALTER ROLE reader PASSWORD 'changed'")
    try:
        connections.write_text(table.toml.replace("Tr0ub4dor-and-3", "changed"))
        assert materialize(version).status == "succeeded"
    finally:
        table.run("ALTER ROLE reader PASSWORD 'Tr0ub4dor-and-3'")


def test_a_log_in_that_is_refused_is_tried_again_and_said_in_words(table, cast, connections):
    version = approved(cast)
    connections.write_text(table.toml.replace("Tr0ub4dor-and-3", "not-the-pass-word"))

    with pytest.raises(Exception, match="takes no log-in of its user") as caught:
        materialize(version)

    assert caught.value.code == "source_unavailable"
    assert "not-the-pass-word" not in str(caught.value)


def test_a_plan_without_an_answer_is_an_outage_and_no_mistake_of_the_definition(
    table, cast, connections
):
    connections.write_text(table.toml.replace(table.server.socket, "/nowhere"))

    with pytest.raises(SourceUnavailable, match="connection warehouse: the server does not answer"):
        apply(TEXT, cast, look=look_at_sources)


def test_what_a_definition_has_wrong_is_said_where_it_stands(table, cast):
    for before, after, said in (
        ("connection: warehouse", "connection: warehose", "connection: project rides has no conn"),
        ("table: driver_stats", "table: driver_stat", "connection: connection warehouse: there"),
        ("table: driver_stats", "query: select now() as x", "query: 'CURRENT_TIMESTAMP' is not on"),
        ("event_timestamp: event_timestamp", "event_timestamp: internal", "'internal' is point"),
    ):
        with pytest.raises(InvalidDefinitions, match=said):
            apply(TEXT.replace(before, after), cast, look=look_at_sources)


def test_an_index_is_enough_for_an_increment(table, cast):
    """The condition is one that the server can look up."""
    version = approved(cast)
    with committed():
        materialize(version)
    table.run(
        "INSERT INTO driver_stats SELECT 9, timestamptz '2020-01-01' + g * interval '1 minute',"
        " timestamptz '2020-01-01' + g * interval '1 minute', 1, 1, 1"
        " FROM generate_series(1, 20000) g",
        "CREATE INDEX ON driver_stats (event_timestamp)",
        "CREATE INDEX ON driver_stats (created)",
        "ANALYZE driver_stats",
    )
    table.run("SELECT pg_stat_reset()")
    with committed():
        run = materialize(version, end=AT + timedelta(hours=1))

    assert (run.status, run.source_counts["late"]) == ("succeeded", 0)
    scanned, looked_up = table.run(
        "SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relname = 'driver_stats'"
    )[0]
    assert (scanned, looked_up > 0) == (0, True)
