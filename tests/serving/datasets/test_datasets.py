"""A dataset from the asking to its proof: made once, downloaded, and equal months later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from materialization.edges.stores import offline_store
from materialization.models import FileHold
from materialization.queries import held_files, table_at
from registry.models import AuditEntry
from serving.datasets.manifest import hash_of
from serving.models import Dataset
from tests.buckets import Bucket
from tests.serving.datasets_world import Caller, make, verify
from tests.serving.historical_world import commit, stored_view

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ASKED = {
    "name": "churn",
    "description": "Who leaves",
    "features": ["driver_hourly:conv_rate", "driver_hourly:avg_daily_trips"],
    "entities": {
        "driver_id": [1002, 1001, 1001, 1003],
        "event_timestamp": ["2026-03-01T14:00:00Z"] * 2 + ["2026-03-01T12:30:00Z"] * 2,
        "label": [1, 0, 1, 0],
    },
}


def row(driver: int, event: datetime, trips: int, *, created: datetime | None = None):
    stamps = {"event": event, "created": created or event}
    return {"driver_id": driver, "conv_rate": 0.5, "avg_daily_trips": trips, **stamps}


@pytest.fixture
def drivers(cast):
    return stored_view(cast, [row(1001, NOON, 3), row(1002, NOON, 7)], at=NOON)


@pytest.fixture
def caller(client, cast, drivers):
    return Caller(client, cast.consumer)


def test_a_dataset_is_made_by_a_worker_and_its_rows_are_those_of_the_join(caller):
    asked = caller.post(body=ASKED)
    assert (asked.status_code, asked.json()["status"]) == (202, "queued")
    assert caller.get("/churn/1/download").json()["code"] == "dataset_not_made"

    made = make(NOON + DAY)

    assert caller.get("/churn/1").json()["status"] == "done"
    rows = caller.rows()
    assert rows.column_names == [
        "driver_id", "event_timestamp", "label", "conv_rate", "avg_daily_trips",
    ]  # fmt: skip
    assert rows["driver_id"].to_pylist() == [1002, 1001, 1001, 1003]
    assert rows["avg_daily_trips"].to_pylist() == [7, 3, 3, None]
    assert (made.number, made.rows, made.status) == (1, 4, "done")
    verbs = AuditEntry.objects.filter(verb__startswith="dataset.").order_by("pk")
    assert [(entry.verb, entry.subject_label) for entry in verbs] == [
        ("dataset.requested", "churn@1"),
        ("dataset.made", "churn@1"),
        ("dataset.downloaded", "churn@1"),
    ]


def test_a_dataset_in_a_bucket_is_made_downloaded_and_equal_on_any_machine(
    client, cast, storage, settings, tmp_path
):
    settings.OFFLINE_BUCKET = Bucket(storage).as_store
    version = stored_view(cast, [row(1001, NOON, 3), row(1002, NOON, 7)], at=NOON)
    caller = Caller(client, cast.consumer)
    caller.post(body=ASKED)
    made = make(NOON + DAY)
    commit(version, [row(1001, NOON + HOUR, 99, created=NOON + HOUR)], sequence=2)
    settings.OFFLINE_STORE = tmp_path / "another"

    assert caller.rows()["avg_daily_trips"].to_pylist() == [7, 3, 3, None]
    assert verify(caller, NOON + 2 * DAY)["verdict"] == "equal"
    assert made.rows == 4
    assert list((tmp_path / "another").rglob("rows-*.parquet"))  # copies, to be sent from there


def flip(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 3] ^= 1
    file.write_bytes(whole)


def test_no_dataset_is_made_of_a_copy_that_is_not_its_file(client, cast, storage, settings):
    settings.OFFLINE_BUCKET = Bucket(storage).as_store
    version = stored_view(cast, [row(1001, NOON, 3), row(1002, NOON, 7)], at=NOON)
    caller = Caller(client, cast.consumer)
    caller.post(body=ASKED)
    first = make(NOON + DAY)
    (copy,) = map(Path, offline_store().snapshot(table_at(version.table)).files)
    whole = copy.read_bytes()

    flip(copy)
    caller.post(body=ASKED)
    second = make(NOON + DAY)  # which finds what the file is in the first's hold

    assert (second.status, second.error) == ("done", "")
    assert (second.content_hash, copy.read_bytes()) == (first.content_hash, whole)
    flip(copy)
    Dataset.objects.filter(pk=second.pk).update(status="queued")
    third = make(NOON + DAY)  # an attempt that finds everything noted

    assert (third.status, third.attempt) == ("done", 2)
    assert (third.content_hash, copy.read_bytes()) == (first.content_hash, whole)


def test_the_rest_of_a_download_is_asked_for(caller, client):
    caller.post(body=ASKED)
    make(NOON + DAY)
    whole = caller.get("/churn/1/download")
    file, tag = whole.getvalue(), whole["ETag"]

    rest = caller.get("/churn/1/download", {"Range": "bytes=100-", "If-Range": tag})
    behind = caller.get("/churn/1/download", {"Range": f"bytes={len(file)}-"})
    same = caller.get("/churn/1/download", {"If-None-Match": tag})

    assert (rest.status_code, rest.getvalue()) == (206, file[100:])
    assert rest["Content-Range"] == f"bytes 100-{len(file) - 1}/{len(file)}"
    assert (behind.status_code, behind["Content-Range"]) == (416, f"bytes */{len(file)}")
    assert behind.json()["code"] == "range_not_satisfiable"
    assert same.status_code == 304
    told = AuditEntry.objects.filter(verb__startswith="dataset.download").order_by("pk")
    assert [(entry.verb.partition(".")[2], entry.data.get("from_byte")) for entry in told] == [
        ("downloaded", None), ("download_resumed", 100),
    ]  # fmt: skip


def test_the_manifest_says_what_the_rows_are_made_of(caller, cast, drivers):
    caller.post(body=ASKED)
    made = make(NOON + DAY)

    said = caller.get("/churn/1/manifest").json()

    manifest = said["manifest"]
    view = manifest["views"][0]
    snapshot = offline_store().snapshot(table_at(drivers.table))
    assert said["manifest_hash"] == made.manifest_hash
    assert manifest["features"] == [
        {"name": "conv_rate", "reference": "driver_hourly@1.0.0:conv_rate", "type": "float32"},
        {
            "name": "avg_daily_trips",
            "reference": "driver_hourly@1.0.0:avg_daily_trips",
            "type": "int32",
        },
    ]
    assert (view["version"], view["data_fingerprint"]) == ("1.0.0", drivers.data_fingerprint)
    assert (view["delta_version"], view["delta_table"]) == (snapshot.version, snapshot.identity)
    assert [file["name"] for file in view["files"]] == list(snapshot.names)
    assert (view["rows_matched"], view["rows_without"]) == (3, 1)
    assert manifest["engine"]["name"] == "duckdb"
    assert manifest["request"]["timing"] == "known"
    assert manifest["requested_by"].startswith("person-")
    assert cast.consumer.username not in str(manifest)
    assert [column["name"] for column in manifest["frame"]["columns"]] == [
        "driver_id", "event_timestamp", "label",
    ]  # fmt: skip


def test_it_is_equal_when_computed_again_although_late_rows_arrived(caller, drivers):
    caller.post(body=ASKED)
    make(NOON + DAY)
    before = caller.rows()
    # Known before the frame's times, and newer than what was there: a join now would take it.
    commit(drivers, [row(1001, NOON + timedelta(minutes=10), 99)], sequence=2)

    check = verify(caller, NOON + 2 * DAY)

    assert (check["status"], check["verdict"]) == ("done", "equal")
    assert check["found"]["rows_differing"] == 0
    assert caller.rows() == before
    caller.post(body=ASKED)  # a new version has the late row
    make(NOON + 2 * DAY)
    assert caller.rows(number=2)["avg_daily_trips"].to_pylist() == [7, 99, 99, None]
    assert caller.get("/churn/2").json()["content_hash"] != check["found"]["content_hash"]


def test_its_files_outlive_what_takes_their_place(caller, drivers):
    for number in range(2, 20):  # enough to be compacted
        commit(drivers, [row(2000 + number, NOON, number)], sequence=number)
    caller.post(body=ASKED)
    make(NOON + DAY)
    store, place = offline_store(), table_at(drivers.table)
    old = store.snapshot(place)

    store.care(place, keep=timedelta(0), compact=old.version, held=held_files(drivers.table))

    assert store.snapshot(place).names != old.names
    assert all(Path(file).exists() for file in old.files)
    assert verify(caller, NOON + 2 * DAY)["verdict"] == "equal"


def test_a_table_whose_old_file_was_changed_is_named_and_the_rows_that_differ_are_counted(
    caller, drivers
):
    caller.post(body=ASKED)
    make(NOON + DAY)
    stored = Path(offline_store().snapshot(table_at(drivers.table)).files[0])
    table = pa.parquet.read_table(stored)
    place = table.schema.get_field_index("avg_daily_trips")
    other = pa.array([3, 8], pa.int32())
    table = table.set_column(place, table.schema.field(place), other)
    pa.parquet.write_table(table, stored)

    check = verify(caller, NOON + 2 * DAY)

    found = check["found"]
    assert check["verdict"] == "different"
    assert found["changed"] == [
        f"{stored.name} of table {drivers.table} is another file than was read"
    ]
    assert (found["rows_differing"], found["columns"]) == (1, {"avg_daily_trips": 1})
    assert found["first"] == [0]  # the frame's first row, of driver 1002
    assert AuditEntry.objects.filter(verb="dataset.differed").count() == 1


def test_a_held_file_of_other_times_is_not_opened(caller, drivers):
    commit(drivers, [row(1001, NOON + 5 * DAY, 9)], sequence=2)
    caller.post(body=ASKED)
    make(NOON + 6 * DAY)
    known = offline_store().snapshot(table_at(drivers.table)).known
    [later] = [Path(file.uri) for file in known if file.first_event > NOON + DAY]
    later.write_bytes(b"no Parquet")

    check = verify(caller, NOON + 7 * DAY)

    assert (check["status"], check["verdict"]) == ("done", "different")
    assert check["found"]["changed"] == [
        f"{later.name} of table {drivers.table} is another file than was read"
    ]
    assert check["found"]["rows_differing"] == 0


@pytest.mark.parametrize("file", ["frame.parquet", "rows-1.parquet"])
def test_a_dataset_whose_own_files_were_changed_is_not_equal(caller, settings, file):
    caller.post(body=ASKED)
    made = make(NOON + DAY)
    kept = settings.OFFLINE_STORE / "_datasets" / made.uid / file
    table = pa.parquet.read_table(kept)
    pa.parquet.write_table(table, kept, compression="none")

    check = verify(caller, NOON + 2 * DAY)

    if file == "frame.parquet":
        assert (check["status"], check["error_code"]) == ("failed", "dataset_damaged")
    else:
        assert check["verdict"] == "different"
        assert check["found"]["changed"] == ["the file of its rows is not the one that was written"]
        assert check["found"]["rows_differing"] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"manifest": {}}, "the manifest is not the one that was hashed"),
        (
            {"manifest": {}, "manifest_hash": "own"},
            "the manifest's hash is not the one that the trail has",
        ),
    ],
)
def test_a_manifest_that_was_changed_past_us_is_found(caller, change, said):
    caller.post(body=ASKED)
    made = make(NOON + DAY)
    manifest = {**made.manifest, "description": "Something else"}
    again = {"manifest": manifest, "manifest_hash": hash_of(manifest)}
    Dataset.objects.update(**{name: again[name] for name in change})

    check = verify(caller, NOON + 2 * DAY)

    assert (check["verdict"], check["found"]["changed"]) == ("different", [said])


def test_what_fails_says_why_and_holds_nothing(caller, cast, drivers, settings):
    caller.post(body=ASKED)
    cast.consumer.is_active = False
    cast.consumer.save()

    made = make(NOON + DAY)

    assert (made.status, made.error_code) == ("failed", "asker_shut_out")
    assert FileHold.objects.count() == 0
    assert not (settings.OFFLINE_STORE / "_datasets" / made.uid).exists()
    assert AuditEntry.objects.filter(verb="dataset.failed").count() == 1


def test_a_view_under_two_names_has_a_key_of_its_own_for_each(caller):
    entities = {"driver_id": [1001], "boss_id": [1002], "event_timestamp": ["2026-03-01T14:00:00Z"]}
    asked = {
        "name": "pairs",
        "features": ["driver_hourly:avg_daily_trips", "boss:avg_daily_trips"],
        "full_feature_names": True,
        "views": {"boss": {"view": "driver_hourly", "join_keys": {"driver_id": "boss_id"}}},
        "entities": entities,
    }
    assert caller.post(body=asked).status_code == 202

    make(NOON + DAY)

    rows = caller.rows("pairs").to_pylist()[0]
    assert (rows["driver_hourly__avg_daily_trips"], rows["boss__avg_daily_trips"]) == (3, 7)
    assert verify(caller, NOON + 2 * DAY, "pairs")["verdict"] == "equal"
    assert FileHold.objects.count() == 1  # of the one table


def test_the_next_of_a_name_is_the_next_version(caller):
    numbers = [caller.post(body=ASKED).json()["version"] for _ in range(3)]

    assert numbers == [1, 2, 3]
    assert caller.post(body={**ASKED, "name": "other"}).json()["version"] == 1
    listed = caller.get(name="churn").json()
    assert [each["version"] for each in listed["results"]] == [3, 2, 1]
    assert Dataset.objects.count() == 4
