"""A table that is another one when a run comes than when the version was submitted."""

from __future__ import annotations

import pytest

from materialization.models import MaterializationRun
from tests.materialization.run_world import AT, DRIVERS, HOUR, committed, materialize, online
from tests.materialization.table_world import approved

pytestmark = pytest.mark.django_db
COLUMN = "avg_daily_trips"


def drifted(version) -> MaterializationRun:
    with committed():
        return materialize(version)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (f"ALTER TABLE driver_stats DROP COLUMN {COLUMN}",
         [f"no column '{COLUMN}' any more, which the version reads.",
          "Bring it back, or submit a version without it"]),
        (f"ALTER TABLE driver_stats RENAME COLUMN {COLUMN} TO avg_daily_trip",
         [f"no column '{COLUMN}' any more", "Did you mean 'avg_daily_trip'"]),
        (f"ALTER TABLE driver_stats ALTER {COLUMN} TYPE text",
         [f"column '{COLUMN}' is VARCHAR; it was INTEGER when the version was submitted. Give"]),
        (f"ALTER TABLE driver_stats ALTER {COLUMN} TYPE timestamptz USING now()",
         [f"column '{COLUMN}' is TIMESTAMP WITH TIME ZONE; it was INTEGER"]),
        ("ALTER TABLE driver_stats DROP COLUMN event_timestamp",
         ["event_timestamp"]),
        ("ALTER TABLE driver_stats DROP COLUMN driver_id",
         ["no column 'driver_id' any more"]),
        (f"ALTER TABLE driver_stats ALTER {COLUMN} TYPE interval USING interval '1 day'",
         [f"column '{COLUMN}' is interval"]),
        ("ALTER TABLE driver_stats RENAME TO drivers_stats",
         ["there is no such table"]),
    ],
)  # fmt: skip
def test_a_table_that_lost_or_changed_a_column_is_told_before_anything_is_stored(
    table, cast, change, said
):
    version = approved(cast)
    table.run(change)

    run = drifted(version)

    assert (run.status, run.rows_offline, run.rows_online) == ("failed", 0, 0)
    for each in said:
        assert each in run.error
    assert "driver_stats" in run.error
    assert "temporary" not in run.error


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE driver_stats ADD COLUMN other text NOT NULL DEFAULT 'x'",
        "ALTER TABLE driver_stats ADD COLUMN unread interval",
        f"ALTER TABLE driver_stats ALTER {COLUMN} TYPE bigint",
        f"ALTER TABLE driver_stats ALTER {COLUMN} TYPE smallint",
    ],
)
def test_a_column_that_came_and_numbers_of_another_width_are_no_matter(table, cast, change):
    version = approved(cast)
    table.run(change)

    run = drifted(version)

    assert (run.status, run.error) == ("succeeded", "")
    assert online(version, DRIVERS, at=AT)[COLUMN] == [11, 20, 30, None]


def test_what_a_run_stored_stays_when_the_next_finds_another_table(table, cast):
    version = approved(cast)
    with committed():
        materialize(version)
    table.run(f"ALTER TABLE driver_stats DROP COLUMN {COLUMN}")
    with committed():
        run = materialize(version, end=AT + HOUR)

    assert run.status == "failed"
    assert online(version, DRIVERS, at=AT)[COLUMN] == [11, 20, 30, None]


def test_a_number_that_the_narrower_type_does_not_hold_is_named(table, cast):
    version = approved(cast)
    table.run(
        f"ALTER TABLE driver_stats ALTER {COLUMN} TYPE bigint",
        f"UPDATE driver_stats SET {COLUMN} = 3000000000 WHERE driver_id = 1001",
    )

    run = drifted(version)

    assert (run.status, run.rows_offline) == ("failed", 0)
    assert COLUMN in run.error
