"""offline-files over HTTP: who may list them, which files, refusals, the trail."""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from guardian.shortcuts import assign_perm

from assay import OfflinePaths
from materialization.queries import table_at
from materialization.stores.columns import stored_schema
from registry.choices import Right
from registry.models import AuditEntry
from registry.operations.lifecycle.releases import deprecate_version, retire_version
from tests import factories
from tests.buckets import SECRET, Bucket
from tests.serving.historical_world import commit, stored_view
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects/rides/offline-files"
VIEW = {"feature_view": "driver_hourly"}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MAY = {"consumer", "author", "owner", "superuser"}
EVERYBODY = sorted({*MAY, "anonymous", "outsider", "operator", "steward", "auditor"})


def row(event: datetime, driver: int = 1001) -> dict[str, object]:
    return {"driver_id": driver, "event": event, "avg_daily_trips": 3}


@pytest.fixture
def drivers(cast):
    """Two files: one of the first of March, one of the second."""
    version = stored_view(cast, [row(NOON), row(NOON + timedelta(hours=1), 1002)], at=NOON)
    commit(version, [row(NOON + DAY)], sequence=2)
    return version


def ask(client, token, **query):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.get(URL, query, headers=headers)


def listings() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(verb="offline_files.listed"))


@pytest.mark.parametrize("who", EVERYBODY)
def test_who_may_list_the_files_and_what_trace_it_leaves(client, cast, drivers, who):
    token = None if who == "anonymous" else factories.token_for(getattr(cast, who))

    response = ask(client, token, **VIEW)

    refusal = {"anonymous": 401, "outsider": 404}.get(who, 403)
    assert response.status_code == (200 if who in MAY else refusal)
    assert [(e.actor_name, e.subject_label, e.project_name) for e in listings()] == (
        [(who, "driver_hourly@1.0.0", "rides")] if who in MAY else []
    )


def test_the_right_on_the_one_view_is_enough(client, cast, drivers):
    assign_perm(Right.READ_OFFLINE, cast.operator, drivers.feature_view)

    assert ask(client, factories.token_for(cast.operator), **VIEW).status_code == 200


def test_the_answer_says_all_that_reading_by_oneself_takes(client, token, drivers):
    found = ask(client, token, **VIEW).json()

    files = found.pop("files")
    assert found == {
        "feature_view": "driver_hourly",
        "version": "1.0.0",
        "delta_version": 2,
        "rows": 3,
        "warnings": [],
        "expires_at": None,
        "columns": [
            {"name": "driver_id", "type": "int64"},
            {"name": "event_timestamp", "type": "timestamp"},
            {"name": "created_timestamp", "type": "timestamp"},
            {"name": "__sequence", "type": "int64"},
            {"name": "acc_rate", "type": "float32"},
            {"name": "avg_daily_trips", "type": "int32"},
            {"name": "conv_rate", "type": "float32"},
        ],
    }
    assert [(file["rows"], file["first_event"], file["last_event"]) for file in files] == [
        (2, "2026-03-01T12:00:00Z", "2026-03-01T13:00:00.000999Z"),
        (1, "2026-03-02T12:00:00Z", "2026-03-02T12:00:00.000999Z"),
    ]
    tables = [pq.ParquetFile(file["uri"]).read() for file in files]
    assert [table.num_rows for table in tables] == [2, 1]
    assert tables[0].column_names == stored_schema(drivers.spec).names
    assert Path(files[0]["uri"]).is_absolute()


def test_files_in_a_bucket_are_read_by_addresses_that_end(client, token, cast, storage, settings):
    settings.OFFLINE_BUCKET = Bucket(storage).as_store
    stored_view(cast, [row(NOON), row(NOON + timedelta(hours=1), 1002)], at=NOON)

    found = ask(client, token, **VIEW).json()

    (file,) = found["files"]
    with urllib.request.urlopen(file["uri"]) as answer:  # noqa: S310 - our own server's
        rows = pq.read_table(pa.BufferReader(answer.read()))
    assert rows.num_rows == found["rows"] == 2
    ends = datetime.fromisoformat(found["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < ends <= timedelta(hours=1)
    (entry,) = listings()
    assert not [each for each in (SECRET, "Signature") if each in str(entry.data)]


def test_readers_of_parquet_take_the_paths_as_they_are(client, token, drivers):
    commit(drivers, [{**row(NOON), "avg_daily_trips": 9}], sequence=3)
    paths = OfflinePaths(ask(client, token, **VIEW).json())

    frame = pandas.read_parquet(paths)
    newest = duckdb.sql(
        "FROM read_parquet($paths) QUALIFY row_number() OVER (PARTITION BY driver_id,"
        " event_timestamp ORDER BY created_timestamp DESC, __sequence DESC) = 1 ORDER BY ALL",
        params={"paths": paths},
    ).fetchall()

    assert len(frame) == paths.rows == 4
    assert list(frame.columns) == list(paths.columns)
    assert [each[-2] for each in newest] == [9, 3, 3]


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({}, [2, 1]),
        ({"start": "2026-03-02T00:00:00Z"}, [1]),
        ({"end": "2026-03-01T14:00:00+01:00"}, [2]),
        ({"start": "2026-03-01T13:00:00", "end": "2026-03-01T13:00:00"}, [2]),
        ({"start": "2026-03-01", "end": "2026-03-02T12:00:00Z"}, [2, 1]),
        ({"start": "2026-03-03"}, []),
        ({"start": "", "end": "", "version": ""}, [2, 1]),
        ({"version": "1.0.0"}, [2, 1]),
        ({"version": "v1"}, [2, 1]),
    ],
)
def test_only_files_that_may_hold_rows_of_the_range_are_listed(client, token, drivers, query, rows):
    found = ask(client, token, **VIEW, **query).json()

    assert [file["rows"] for file in found["files"]] == rows
    assert found["rows"] == sum(rows)
    (entry,) = listings()
    assert (entry.data["files"], entry.data["rows"], entry.data["table_version"]) == (
        len(rows),
        sum(rows),
        2,
    )


@pytest.mark.parametrize(
    ("query", "status", "code", "says"),
    [
        ({}, 422, "invalid_request", "send the name of a feature view"),
        ({"feature_view": "a\0b"}, 422, "invalid_request", "send the name of a feature view"),
        ({**VIEW, "begin": "2026-03-01"}, 422, "unknown_parameter", "Valid: end, feature_view"),
        ({**VIEW, "versions": "1.0.0"}, 422, "unknown_parameter", "Did you mean 'version'?"),
        ({**VIEW, "start": "yesterday"}, 422, "invalid_request", "start 'yesterday': write an"),
        ({**VIEW, "end": "2026-02-30"}, 422, "invalid_request", "end '2026-02-30': write an"),
        ({**VIEW, "end": "9999-12-31T23:00:00-23:00"}, 422, "invalid_request", "write an instant"),
        ({**VIEW, "start": "2026-03-02", "end": "2026-03-01"}, 422, "invalid_request", "swap them"),
        ({**VIEW, "version": "latest"}, 422, "invalid_version", "latest"),
        ({**VIEW, "version": "3.0.0"}, 404, "reference_not_found", "has no version '3.0.0'"),
        ({**VIEW, "version": "v7"}, 404, "reference_not_found", "has no version 'v7'"),
        ({"feature_view": "driver_hour"}, 404, "reference_not_found", "Did you mean 'driver_hour"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_words(
    client, token, drivers, query, status, code, says
):
    response = ask(client, token, **query)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert says in response.json()["detail"]
    assert listings() == []


def test_a_version_that_is_not_ready_is_not_read_around(client, token, cast):
    with committed():
        factories.make_version(cast)

    for query in ({}, {"version": "1.0.0"}):
        response = ask(client, token, **VIEW, **query)
        assert (response.status_code, response.json()["code"]) == (503, "not_ready")


def test_a_deprecated_version_warns_and_a_retired_one_is_gone(client, token, cast, drivers):
    with committed():
        deprecate_version(version=drivers, actor=cast.steward, at=NOON)
    assert ask(client, token, **VIEW).json()["warnings"] == ["driver_hourly@1.0.0 is deprecated."]

    with committed():
        retire_version(version=drivers, actor=cast.steward, at=NOON, comment="End.", force=True)
    response = ask(client, token, **VIEW, version="1.0.0")
    assert (response.status_code, response.json()["code"]) == (410, "version_retired")


def test_a_store_without_the_table_is_an_error_and_no_empty_list(client, token, drivers):
    Path(table_at(drivers.table).uri).rename(
        Path(table_at(drivers.table).uri).with_name("elsewhere")
    )

    response = ask(client, token, **VIEW)

    assert (response.status_code, response.json()["code"]) == (503, "offline_store_unavailable")
    assert listings() == []
