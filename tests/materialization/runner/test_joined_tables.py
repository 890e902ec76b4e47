"""Views that join tables of PostgreSQL to files, files to tables, and tables to each other."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.edges.looks import look_at_sources
from registry.reading.parsing import InvalidDefinitions
from tests.factories import ENTITY, apply
from tests.materialization.run_world import AT, HOUR, committed, materialize, offline, online
from tests.materialization.table_world import approved

pytestmark = pytest.mark.django_db
INSTANT = pa.timestamp("us", tz="UTC")
FILE = """
kind: DataSource
name: {name}
type: file
path: {name}.parquet
event_timestamp: event
"""
TABLE = """
kind: DataSource
name: {name}
type: postgres
connection: warehouse
table: {name}
event_timestamp: event
"""
VIEW = """
kind: FeatureView
name: fares
entities: [driver]
source: trips
sources: [{name: cars, on: [car], ttl: 10d}]
sql: SELECT driver_id, event, cars.brand, cars.rate * km AS fare FROM trips
features: [{name: brand, type: string}, {name: fare, type: float64}]
schedule: {every: 1h}
"""
DRIVERS = {"driver_id": [1, 2]}


def text(trips: str, cars: str) -> str:
    return "\n---\n".join((ENTITY, trips.format(name="trips"), cars.format(name="cars"), VIEW))


@pytest.fixture
def both(sources, warehouse, connections):
    """The same rows as files and as tables."""
    trips = [
        {"driver_id": 1, "event": AT - 9 * HOUR, "car": 7, "km": 2.0},
        {"driver_id": 2, "event": AT - 2 * HOUR, "car": 8, "km": 3.0},
    ]
    cars = [
        {"car": 7, "event": AT - 200 * HOUR, "brand": "Volvo", "rate": 1.5},
        {"car": 7, "event": AT - 8 * HOUR, "brand": "Saab", "rate": 9.0},
        {"car": 8, "event": AT - 500 * HOUR, "brand": "Ford", "rate": 1.0},
    ]
    for name, rows in (("trips", trips), ("cars", cars)):
        table = pa.Table.from_pylist(rows)
        place = table.schema.get_field_index("event")
        table = table.set_column(place, "event", table["event"].cast(INSTANT))
        pq.write_table(table, sources / f"{name}.parquet")
    warehouse.run(
        "CREATE TABLE trips (driver_id bigint, event timestamptz, car bigint, km float8)",
        "CREATE TABLE cars (car bigint, event timestamptz, brand text, rate float8, inside point)",
        *(f"INSERT INTO trips VALUES ({r['driver_id']}, '{r['event']}', {r['car']}, {r['km']})"
          for r in trips),
        *(f"INSERT INTO cars VALUES ({r['car']}, '{r['event']}', '{r['brand']}', {r['rate']})"
          for r in cars),
    )  # fmt: skip
    return warehouse


@pytest.mark.parametrize("kinds", [(FILE, TABLE), (TABLE, FILE), (TABLE, TABLE)])
def test_what_is_read_by_a_connection_joins_as_files_do(both, cast, kinds):
    version = approved(cast, text(*kinds))

    with committed():
        run = materialize(version)

    assert (run.status, run.error, run.rows_offline) == ("succeeded", "", 2)
    now = online(version, DRIVERS, at=AT)
    assert now == offline(version, DRIVERS, at=AT)
    assert now["brand"] == ["Volvo", None]  # the Ford is older than the ttl
    assert now["fare"] == [3.0, None]


def test_the_next_run_reads_the_table_as_it_is_then(both, cast):
    version = approved(cast, text(TABLE, TABLE))
    with committed():
        materialize(version)
        both.run(f"INSERT INTO cars VALUES (8, '{AT - HOUR}', 'Seat', 2)")
        both.run(f"INSERT INTO trips VALUES (2, '{AT + 0.5 * HOUR}', 8, 1)")
        run = materialize(version, end=AT + HOUR)

    assert (run.status, run.error) == ("succeeded", "")
    assert online(version, DRIVERS, at=AT + HOUR)["brand"] == ["Volvo", "Seat"]


def test_the_look_says_what_a_joined_table_lacks(both, cast):
    both.run("ALTER TABLE cars DROP COLUMN rate")

    with pytest.raises(InvalidDefinitions, match=r"joined source cars: .*'rate'"):
        approved(cast, text(FILE, TABLE))


def test_a_joined_table_of_another_place_is_refused_by_name(both, cast, connections):
    version = approved(cast, text(FILE, TABLE))
    connections.write_text(both.toml.replace(f'"{both.name}"', '"postgres"'))

    run = materialize(version)

    assert (run.status, run.error_code) == ("failed", "connection_moved")
    assert run.error.startswith("joined source cars: connection 'warehouse' leads elsewhere")


def test_a_connection_that_is_none_of_the_projects_is_told_where_it_is_named(both, cast):
    other = TABLE.replace("warehouse", "lake")
    with pytest.raises(InvalidDefinitions) as refused:
        apply(text(FILE, other), cast, look=look_at_sources)

    keys = {problem.key: problem.message for problem in refused.value.problems}
    assert "joined source cars: project rides has no connection 'lake'" in keys["sources[0].name"]


def test_a_joined_table_that_changed_is_told_of_before_a_row_is_stored(both, cast):
    version = approved(cast, text(FILE, TABLE))
    both.run("ALTER TABLE cars ALTER COLUMN rate TYPE text")

    run = materialize(version)

    assert run.status == "failed"
    assert "joined source cars: " in run.error and "'rate'" in run.error
    assert "it was DOUBLE when the version was submitted" in run.error


MOVED = """
kind: FeatureView
name: fares
entities: [driver]
source: trips
sql: SELECT driver_id, event - INTERVAL 2 HOURS AS event, km FROM trips
features: [{name: km, type: float64}]
schedule: {every: 1h}
"""


def test_a_table_is_read_by_the_time_that_the_sql_gives(both, cast):
    """The row of two hours ago is stored as of four hours ago: in a window of its own time."""
    version = approved(cast, "\n---\n".join((ENTITY, TABLE.format(name="trips"), MOVED)))

    with committed():
        first = materialize(version, end=AT - 3 * HOUR)

    assert (first.status, first.rows_offline) == ("succeeded", 2)
    assert online(version, DRIVERS, at=AT - 3 * HOUR)["km"] == [2.0, 3.0]


def test_what_is_stored_at_another_zones_time_is_read_by_that(both, cast):
    """The row of nine hours ago is stored as of an hour ago, and no window of its own has it."""
    moved = MOVED.replace("- INTERVAL 2 HOURS", "AT TIME ZONE 'Asia/Manila'")
    table = TABLE.format(name="trips") + "lookback: 1h\n"
    version = approved(cast, "\n---\n".join((ENTITY, table, moved)))

    with committed():
        both.run(f"INSERT INTO trips VALUES (3, '{AT - 40 * HOUR}', 7, 1)")
        first = materialize(version, end=AT - 3 * HOUR)
        second = materialize(version)

    assert (first.status, first.rows_offline) == ("succeeded", 1)
    assert (second.status, second.rows_offline) == ("succeeded", 1)
    assert online(version, DRIVERS, at=AT)["km"] == [2.0, None]


@pytest.mark.parametrize(
    ("made", "is_told"),
    [
        ("event - INTERVAL 2 HOURS AS event", True),
        ("event::TIMESTAMP AS event", False),
        ("event", False),
    ],
)
def test_a_plan_says_that_each_run_reads_all_of_a_table(both, cast, made, is_told):
    view = MOVED.replace("event - INTERVAL 2 HOURS AS event", made)
    table, file = (
        apply("\n---\n".join((ENTITY, kind.format(name="trips"), view)), cast,
              look=look_at_sources, dry_run=True)[-1].warnings
        for kind in (TABLE, FILE)
    )  # fmt: skip

    said = "the SQL gives event as something else than the source's event"
    assert (said in str(table), said in str(file)) == (is_told, False)
    assert ("each run reads all of them" in str(table)) is is_told
