"""Views that make rows of pushed ones: as a run makes them of a file, to the bit."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.utils import timezone

from materialization.compute import warm
from materialization.edges.engines import transforms
from materialization.edges.looks import look_at_sources
from materialization.edges.stores import offline_store
from materialization.queries import table_at
from materialization.runner.draining import drain_logs
from registry.choices import Role, State
from tests import factories
from tests.distributions import install
from tests.factories import make_version
from tests.materialization.ingest.push_world import DEFINITIONS, SOURCE, ready
from tests.materialization.run_world import committed, fresh, materialize, online, table_of

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db
INSTANT = pa.timestamp("us", tz="UTC")
COLUMNS = {
    "driver_id": pa.int64(),
    "at": INSTANT,
    "known": INSTANT,
    "fare": pa.float64(),
    "city": pa.string(),
    "seats": pa.int32(),
}
PUSHED = """
kind: DataSource
name: rides
type: push
schema:
  {driver_id: int64, at: timestamp, known: timestamp, fare: float64, city: string, seats: int32}
event_timestamp: at
created_timestamp: known
"""
FILES = """
kind: DataSource
name: rides_of_files
type: file
path: rides.parquet
event_timestamp: at
created_timestamp: known
"""
PLAIN = """
  - {name: fare, type: float64}
  - name: logged
    column: fare
    type: float64
    encode: {steps: [{step: clip, min: 0, max: 100}, {step: log, plus: 1}]}
  - name: stretch
    column: fare
    type: int64
    encode: {steps: [{step: bucketize, edges: [10, 20, 30]}]}
  - {name: city_at, column: city, type: "vector<8>", encode: {steps: [{step: hashed, width: 8}]}}
  - name: city_or_none
    column: city
    type: list<float64>
    encode: {steps: [{step: impute, value: none}, {step: hashed, width: 4}]}
  - {name: city_hash, column: city, type: string, mask: {hash: city}}
  - {name: fare_band, column: fare, type: string, mask: {bucket: [10, 50]}}
"""
VIEWS = {
    "encodings and masks": f"features:{PLAIN}",
    "where": f'where: "seats IS NULL OR seats < 5"\nfeatures:{PLAIN}',
    "sql": (
        "sql: SELECT driver_id, at, known, fare, city, fare * 2 AS doubled, upper(city) AS town,"
        " coalesce(seats, 0) + 1 AS places FROM {source} WHERE fare IS NULL OR fare < 60\n"
        f"features:{PLAIN}  - {{name: doubled, type: float64}}\n"
        "  - {name: town, type: string}\n  - {name: places, type: int64}\n"
    ),
    "python": "python: {function: 'rides:made'}\n"
    f"features:{PLAIN}  - {{name: doubled, type: float64}}\n"
    "  - {name: letters, type: int32}\n  - {name: seen, type: string}\n",
    "all columns": f"sql: SELECT *, fare + seats AS both FROM {{source}}\nfeatures:{PLAIN}"
    "  - {name: both, type: float64}\n",
}


#: What is given is told, so that nothing else is; a fare of 666 is not borne, and one of 667 never
#: ends.
FUNCTIONS = """
import pyarrow as pa, pyarrow.compute as pc

def made(batch):
    fares = batch["fare"].to_pylist()
    if 666.0 in fares:
        raise ValueError("no such fare")
    while 667.0 in fares:
        pass
    return pa.table({
        "fare": batch["fare"],
        "city": batch["city"],
        "doubled": pc.multiply(batch["fare"], 2.0),
        "letters": pc.utf8_length(batch["city"]),
        "seen": [",".join(batch.schema.names)] * batch.num_rows,
    })
"""


def view(name: str, source: str, body: str) -> str:
    body = body.replace("{source}", source)
    return f"kind: FeatureView\nname: {name}\nentities: [driver]\nsource: {source}\n{body}"


def random_rows(seed: int, until: Any) -> list[dict[str, Any]]:
    """Rows of distinct moments: of equal ones a run keeps one, and a push each."""
    chance = random.Random(seed)
    fares = [None, 0.0, -0.0, float("nan"), float("inf"), -3.5, 10, 20, 29.999999999, 1e300, 5e-324]
    cities = [None, "", "Bern", "ZÜRICH", "straße", "\U0001f600", "none", "unseen nowhere"]
    rows = []
    for place in range(200):
        at = until - timedelta(seconds=1000 - place, microseconds=chance.randrange(1_000_000))
        rows.append(
            {
                "driver_id": chance.randrange(20),
                "at": at,
                "known": at + timedelta(microseconds=chance.randrange(1_000_000)),
                "fare": chance.choice([*fares, chance.uniform(-5, 120)]),
                "city": chance.choice(cities),
                "seats": chance.choice([None, 0, 4, 5, 7, -(2**31)]),
            }
        )
    return rows


def stored(version: FeatureViewVersion) -> list[str]:
    files = offline_store().snapshot(table_at(table_of(fresh(version)))).files
    table = pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])
    names = [name for name in table.column_names if name != "__sequence"]
    rows = table.select(sorted(names)).to_pylist()
    return sorted(repr(tuple(row.items())) for row in rows)


def materialized(cast, text, until):
    """Return a ready version; two masks of one column want two approvals."""
    with committed():
        version = make_version(cast, text=text, look=look_at_sources)
        if version.state == State.IN_REVIEW:
            version = factories.approve(version, cast.second_steward)
    with committed():
        run = materialize(version, end=until)
    assert run.status == "succeeded", run.error
    return version


def of_files(cast, sources, text, rows, until):
    table = pa.Table.from_pylist(rows, schema=pa.schema(COLUMNS))
    pq.write_table(table, sources / "rides.parquet")
    return materialized(cast, text, until)


@pytest.fixture
def send(client, cast):
    token = factories.token_for(factories.make_service_account("stream", cast, Role.PRODUCER))

    def call(path: str, body: dict[str, Any], *, by: str = token) -> Any:
        headers = {"Authorization": f"Bearer {by}"}
        return client.post(
            f"/api/v1/projects/rides/{path}",
            data=json.dumps(body),
            content_type="application/json",
            headers=headers,
        )

    return call


@pytest.fixture(autouse=True)
def packages(tmp_path, settings):
    settings.PYTHON_FOLDER = install(tmp_path / "packages", name="rides", rides=FUNCTIONS)
    settings.PYTHON_DISTRIBUTIONS = ["rides"]


@pytest.fixture(autouse=True)
def ended():
    yield
    transforms().end()


def as_json(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    def ready_for(value: Any) -> Any:
        if isinstance(value, float) and (value != value or abs(value) == float("inf")):
            return "NaN" if value != value else "Infinity"
        return value.isoformat() if hasattr(value, "isoformat") else value

    return {name: [ready_for(row[name]) for row in rows] for name in rows[0]}


@pytest.mark.parametrize("kind", list(VIEWS))
def test_pushed_rows_become_what_a_run_makes_of_them(cast, sources, send, kind):
    until = timezone.now() - timedelta(minutes=1)
    rows = random_rows(list(VIEWS).index(kind), until)
    files = (factories.ENTITY, FILES, view("of_files", "rides_of_files", VIEWS[kind]))
    pushes = (factories.ENTITY, PUSHED, view("of_pushes", "rides", VIEWS[kind]))
    filed = of_files(cast, sources, "\n---\n".join(files), rows, until)
    version = materialized(cast, "\n---\n".join(pushes), until)

    for at in range(0, len(rows), 50):
        df = as_json(rows[at : at + 50])
        answer = send("push", {"push_source_name": "rides", "df": df})
        assert answer.status_code == 200, answer.content
    drain_logs()

    assert stored(version) == stored(filed)
    keys = {"driver_id": list(range(21))}
    now = timezone.now()
    assert repr(online(version, keys, at=now)) == repr(online(filed, keys, at=now))


WRITTEN = """
kind: OnDemandFeatureView
name: paid
inputs: {request: {fare: float32, city: string, seats: int32}}
features:
  - {name: much, type: int64, sql: "seats * 1000000"}
  - {name: part, type: float64, sql: "fare * 3"}
  - {name: twice, type: float64, sql: "CASE WHEN city LIKE 'B%' THEN fare * 2 ELSE fare END"}
write: {source: trips, entities: [driver]}
"""


def test_an_on_demand_view_is_written_as_rows_are_pushed(cast, send):
    narrow = SOURCE.replace("fare: float64", "fare: float32")
    version = ready(cast, "\n---\n".join((factories.ENTITY, narrow, WRITTEN)))

    rows = trips(2, city=["Bern", "Genf"], fare=[1.5, 0.1], seats=[3000, None])
    answer = send("push", rows)

    assert answer.status_code == 200, answer.content
    found = online(version, {"driver_id": [0, 1]}, at=timezone.now())
    tenth = 0.10000000149011612  # the nearest of the numbers of 32 bits
    assert found == {
        "much": [3_000_000_000, None],
        "part": [4.5, tenth * 3],
        "twice": [3.0, tenth],
    }


WHERE = DEFINITIONS + "where: \"city IS NULL OR city <> 'Genf'\"\n"
CASTING = DEFINITIONS.replace(
    "features:",
    "sql: SELECT driver_id, at, fare, city, CAST(city AS INTEGER) AS seats FROM trips\nfeatures:",
)


def trips(count: int, **changed: Any) -> dict[str, Any]:
    now = timezone.now()
    df = {
        "driver_id": list(range(count)),
        "at": [(now - timedelta(seconds=count - n)).isoformat() for n in range(count)],
        "fare": [float(n) for n in range(count)],
        "city": ["7"] * count,
    }
    return {"push_source_name": "trips", "df": df | changed}


def test_what_a_view_leaves_out_is_counted_and_is_nowhere(cast, send):
    version = ready(cast, WHERE)

    said = send("push", trips(3, city=["Bern", "Genf", None])).json()

    assert (said["taken"], said["left_out"]) == (3, {"last_trip@1.0.0": 1})
    read = online(version, {"driver_id": [0, 1, 2]}, at=timezone.now())
    assert read["fare"] == [0.0, None, 2.0]
    assert drain_logs() == 2
    none = send("push", trips(2, city=["Genf", "Genf"])).json()
    assert (none["taken"], none["left_out"]) == (2, {"last_trip@1.0.0": 2})
    assert drain_logs() == 0


def test_rows_that_the_sql_fails_on_are_told_one_by_one(cast, send):
    version = ready(cast, CASTING)
    body = trips(40, city=["x" if n in (3, 17) else "7" for n in range(40)])

    refused = send("push", body)

    assert (refused.status_code, refused.json()["code"]) == (422, "rows_refused")
    told = refused.json()["refused"]
    assert [each["row"] for each in told] == [3, 17]
    assert "INT" in told[0]["valid"], told[0]
    assert online(version, {"driver_id": [1]}, at=timezone.now())["fare"] == [None]
    taken = send("push", body | {"partial": True}).json()
    assert (taken["taken"], taken["refused_count"]) == (38, 2)
    read = online(version, {"driver_id": [2, 3, 4]}, at=timezone.now())
    assert (read["fare"], read["seats"]) == ([2.0, None, 4.0], [7, None, 7])


def test_a_check_names_the_row_that_was_sent_behind_rows_that_are_left_out(cast, send):
    ready(cast, WHERE)

    refused = send("push", trips(3, city=["Genf", "Genf", "Bern"], fare=[1, 2, -1])).json()

    assert [(each["row"], each["column"]) for each in refused["refused"]] == [(2, "fare")]


def test_a_row_that_cannot_be_read_is_not_given_to_the_sql(cast, send):
    ready(cast, CASTING)

    refused = send("push", trips(3, fare=["x", 1, 2], city=["x", "7", "7"])).json()

    assert [(each["row"], each["column"]) for each in refused["refused"]] == [(0, "fare")]


def test_a_process_that_dies_is_begun_anew(cast, send):
    version = ready(cast, WHERE)
    assert send("push", trips(1)).status_code == 200
    (held,) = transforms()._held.values()
    os.kill(held.warm.pid, signal.SIGKILL)

    assert send("push", trips(1, fare=[5.0])).status_code == 200
    assert online(version, {"driver_id": [0]}, at=timezone.now())["fare"] == [5.0]
    # What is planned is planned for columns as they came, and they may come otherwise.
    values = [[7], [timezone.now()], [6.0], ["Bern"], [4]]
    kinds = [COLUMNS[name] for name in ("driver_id", "at", "fare", "city", "seats")]
    arrays = [pa.array(value, kind) for value, kind in zip(values, kinds, strict=True)]
    sent = pa.record_batch(arrays, names=["driver_id", "at", "fare", "city", "seats"])
    (held,) = transforms()._held.values()
    made = [held.warm.rows(sent.select(order)).rows for order in ([0, 1, 2, 3, 4], [4, 2, 3, 1, 0])]
    assert made[0].equals(made[1])
    assert (made[0]["driver_id"].to_pylist(), made[0]["fare"].to_pylist()) == ([7], [6.0])


def test_a_function_that_fails_is_told_and_the_next_rows_are_made(cast, send, settings):
    settings.TRANSFORM_SECONDS = 5
    body = (
        "python: {function: 'rides:made'}\nfeatures:\n"
        "  - {name: fare, type: float64, checks: {min: 0}}\n"
        "  - {name: doubled, type: float64}\n  - {name: seen, type: string}\n"
    )
    text = (factories.ENTITY, PUSHED, view("of_pushes", "rides", body))
    version = materialized(cast, "\n---\n".join(text), timezone.now())

    def sent(*fares: float, **more: Any) -> Any:
        rows = random_rows(1, timezone.now())[: len(fares)]
        made = [row | {"driver_id": n, "fare": fare} for n, (row, fare) in
                enumerate(zip(rows, fares, strict=True))]  # fmt: skip
        if more.pop("is_computed", False):
            asked = {"feature_view": "of_pushes", "df": as_json(made)}
            return send("compute", asked, by=factories.token_for(cast.consumer))
        return send("push", {"push_source_name": "rides", "df": as_json(made), **more})

    assert sent(1.0, 2.0).status_code == 200
    failed = sent(3.0, 666.0, partial=True)
    assert (failed.status_code, failed.json()["code"]) == (422, "python_failed")
    assert "rides:made: it raised ValueError" in failed.json()["detail"]
    assert sent(3.0).status_code == 200
    began = time.monotonic()
    endless = sent(667.0)
    assert (endless.status_code, endless.json()["code"]) == (422, "python_failed")
    assert "longer than 5 s for a batch of 1 rows" in endless.json()["detail"]
    assert "(TRANSFORM_SECONDS)" in endless.json()["detail"]
    # Once, also after rows at which it did well: meanwhile those of others wait.
    assert time.monotonic() - began < 10
    checked = sent(4.0, -1.0).json()
    assert [(each["row"], each["column"]) for each in checked["refused"]] == [(1, "fare")]
    assert sent(4.0, 5.0).status_code == 200
    computed = sent(6.0, 7.0, is_computed=True).json()
    assert [each["values"] for each in computed["results"]][1:3] == [[6.0, 7.0], [12.0, 14.0]]
    read = online(version, {"driver_id": [0, 1]}, at=timezone.now())
    assert read["doubled"] == [8.0, 10.0]
    assert sorted(read["seen"][0].split(",")) == sorted(COLUMNS)


def test_features_that_are_made_are_not_written(cast, send):
    ready(cast, WHERE)
    df = {"driver_id": [1], "fare": [3.5], "town": ["Chur"], "seats": [1]}
    df["event_timestamp"] = [timezone.now().isoformat()]

    refused = send("write-to-online-store", {"feature_view_name": "last_trip", "df": df})

    assert (refused.status_code, refused.json()["code"]) == (422, "features_are_made")
    assert "push rows to 'trips'" in refused.json()["detail"]


def test_no_more_processes_are_kept_than_may_be(cast, send, monkeypatch):
    monkeypatch.setattr(transforms(), "_most", 1)
    ready(cast, WHERE)
    other = WHERE.replace("name: last_trip", "name: other_trip").replace("Genf", "Chur")
    ready(cast, other)

    assert send("push", trips(2)).status_code == 200
    assert len(transforms()._held) == 1
    assert SOURCE in other


def test_who_waits_too_long_for_others_rows_is_told(cast, send, monkeypatch):
    monkeypatch.setattr(warm, "PATIENCE_S", 0.01)
    ready(cast, WHERE)
    assert send("push", trips(1)).status_code == 200
    (held,) = transforms()._held.values()

    with held.lock:
        busy = send("push", trips(1))

    assert (busy.status_code, busy.json()["code"]) == (503, "transform_busy")
    assert busy["Retry-After"]
    assert send("push", trips(1)).status_code == 200
