"""Views that join rows of an HTTP server to others, and others to them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.factories import ENTITY
from tests.materialization.run_world import AT, HOUR, committed, materialize, offline, online
from tests.materialization.runner.test_joined_tables import DRIVERS, FILE, TABLE, VIEW
from tests.materialization.table_world import approved
from tests.sites import Asked, Said, Site

pytestmark = pytest.mark.django_db
SITE = """
kind: DataSource
name: {name}
type: http
connection: shop
path: {name}
parameters: {{since: "{{since}}"}}
paging: {{by: page, parameter: page}}
schema: SCHEMA
event_timestamp: event
"""
KNOWN = "event: timestamp, known: timestamp, brand"
SCHEMAS = {
    "trips": "{driver_id: int64, event: timestamp, car: int64, km: float64}",
    "cars": "{car: int64, event: timestamp, brand: string, rate: float64}",
}


def text(trips: str, cars: str) -> str:
    made = []
    for name, kind in (("trips", trips), ("cars", cars)):
        made.append(kind.format(name=name).replace("SCHEMA", SCHEMAS[name]))
    return "\n---\n".join((ENTITY, *made, VIEW))


@pytest.fixture
def everywhere(sources, site: Site, warehouse, settings, tmp_path: Path):
    """The same rows as files, as a table and on a server, which gives one a page."""
    path = tmp_path / "connections.toml"
    path.write_text(site.toml + warehouse.toml)
    path.chmod(0o600)
    settings.CONNECTIONS_FILE = str(path)
    rows: dict[str, list[dict[str, Any]]] = {
        "trips": [
            {"driver_id": 1, "event": AT - 9 * HOUR, "car": 7, "km": 2.0},
            {"driver_id": 2, "event": AT - 2 * HOUR, "car": 8, "km": 3.0},
        ],
        "cars": [
            {"car": 7, "event": AT - 200 * HOUR, "brand": "Volvo", "rate": 1.5},
            {"car": 7, "event": AT - 8 * HOUR, "brand": "Saab", "rate": 9.0},
            {"car": 8, "event": AT - 500 * HOUR, "brand": "Ford", "rate": 1.0},
        ],
    }
    for name, given in rows.items():
        said = [{**row, "event": row["event"].isoformat()} for row in given]
        lines = [",".join(said[0]), *(",".join(map(str, row.values())) for row in said)]
        (sources / f"{name}.csv").write_text("\n".join(lines) + "\n")
        site.put(f"/v1/{name}", partial(page_of, said))
    warehouse.run(
        "CREATE TABLE cars (car bigint, event timestamptz, brand text, rate float8)",
        *(f"INSERT INTO cars VALUES ({r['car']}, '{r['event']}', '{r['brand']}', {r['rate']})"
          for r in rows["cars"]),
    )  # fmt: skip
    return site


def page_of(said: list[dict[str, Any]], asked: Asked) -> Said:
    since = datetime.fromisoformat(asked.query["since"])
    found = [row for row in said if datetime.fromisoformat(row["event"]) >= since]
    place = int(asked.query["page"])
    return Said(found[place - 1 : place])


@pytest.mark.parametrize(
    "kinds", [(FILE.replace("parquet", "csv"), SITE), (SITE, TABLE), (SITE, SITE)]
)
def test_what_a_server_gives_joins_as_files_do(everywhere, cast, kinds):
    trips, cars = kinds
    as_text = VIEW.replace("cars.rate * km", "CAST(cars.rate AS DOUBLE) * CAST(km AS DOUBLE)")
    definition = text(trips, cars).replace(VIEW, as_text) if "csv" in trips else text(trips, cars)
    version = approved(cast, definition)

    with committed():
        run = materialize(version)

    assert (run.status, run.error, run.rows_offline) == ("succeeded", "", 2)
    now = online(version, DRIVERS, at=AT)
    assert now == offline(version, DRIVERS, at=AT)
    assert now["brand"] == ["Volvo", None]  # the Ford is older than the ttl
    assert now["fare"] == [3.0, None]


def test_rows_that_are_asked_for_by_when_they_were_known_are_all_asked_for(
    everywhere, warehouse, cast
):
    """What was known long before the window may be true in it, and no run has kept it."""
    cars = [
        {
            "car": 8,
            "event": AT + 0.25 * HOUR,
            "known": AT - 900 * HOUR,
            "brand": "Ford",
            "rate": 1.0,
        }
    ]
    said = [
        {**row, "event": row["event"].isoformat(), "known": row["known"].isoformat()}
        for row in cars
    ]

    def by_known(asked: Asked) -> Said:
        since = datetime.fromisoformat(asked.query["since"])
        found = [row for row in said if datetime.fromisoformat(row["known"]) >= since]
        place = int(asked.query["page"])
        return Said(found[place - 1 : place])

    everywhere.put("/v1/cars", by_known)
    warehouse.run(
        "CREATE TABLE trips (driver_id bigint, event timestamptz, car bigint, km float8)",
        f"INSERT INTO trips VALUES (1, '{AT - HOUR}', 7, 2), (2, '{AT + 0.5 * HOUR}', 8, 3)",
    )
    by_known_text = SITE + "created_timestamp: known\nasks_by: created_timestamp\n"
    definition = text(TABLE, by_known_text).replace("event: timestamp, brand", KNOWN)
    version = approved(cast, definition)
    with committed():
        materialize(version)
        run = materialize(version, end=AT + HOUR)

    assert (run.status, run.error, run.rows_offline) == ("succeeded", "", 1)
    assert online(version, DRIVERS, at=AT + HOUR)["brand"] == [None, "Ford"]
