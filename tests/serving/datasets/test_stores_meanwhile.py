"""Datasets that are verified while their stores change or fail: equal, or not said at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.edges.stores import offline_store
from materialization.queries import held_files, table_at
from serving.datasets import joining, verifying
from serving.datasets.edges import dataset_stores
from serving.datasets.verifying import verify_dataset
from serving.models import DatasetCheck
from serving.working import MOST_ATTEMPTS
from tests.buckets import Bucket, storage_with_faults
from tests.serving.datasets.test_datasets import ASKED, row
from tests.serving.datasets_world import Caller, make, verify
from tests.serving.historical_world import commit, stored_view
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: Where the table is cared for: before its files are looked at, found, joined, and after.
STEPS = {
    "looked at": (verifying, "held_states"),
    "found": (verifying, "join_again"),
    "joined": (DuckDBEngine, "point_in_time_joins"),
    "asked for the rows": (verifying, "read_rows"),
    "viewed": (joining, "_view"),
}


@pytest.fixture(params=["folder", "bucket"])
def version(cast, request, settings):
    """A view of one table in many small files: enough to be compacted."""
    if request.param == "bucket":
        settings.OFFLINE_BUCKET = Bucket(request.getfixturevalue("storage")).as_store
    made = stored_view(cast, [row(1001, NOON, 3), row(1002, NOON, 7)], at=NOON)
    for number in range(2, 20):
        commit(made, [row(2000 + number, NOON, number)], sequence=number)
    return made


@pytest.mark.parametrize("step", STEPS)
def test_a_check_is_equal_whenever_its_table_is_compacted(client, cast, version, monkeypatch, step):
    caller = Caller(client, cast.consumer)
    caller.post(body=ASKED)
    make(NOON + DAY)
    store, place = offline_store(), table_at(version.table)
    old = store.snapshot(place)
    home, name = STEPS[step]
    do = getattr(home, name)

    def care(now):
        store.care(place, keep=timedelta(0), compact=now, held=held_files(version.table))

    def meanwhile(*args, **how):
        care(old.version)
        commit(version, [row(1001, NOON + HOUR, 99, created=NOON + HOUR)], sequence=20)
        care(store.snapshot(place).version)
        try:
            return do(*args, **how)
        finally:
            monkeypatch.setattr(home, name, do)
            care(store.snapshot(place).version)

    monkeypatch.setattr(home, name, meanwhile)
    check = verify(caller, NOON + 2 * DAY)

    assert (check["status"], check["verdict"]) == ("done", "equal"), check
    assert set(store.snapshot(place).names).isdisjoint(old.names)
    assert verify(caller, NOON + 2 * DAY)["verdict"] == "equal"


def checked(check, at):
    with committed():
        verify_dataset(check_id=check, worker="w1", stores=dataset_stores(), clock=lambda: at)
    return DatasetCheck.objects.get(pk=check)


@pytest.mark.parametrize(
    ("fault", "says"), [("busy", "asked too much"), ("cut", ""), ("drips", "")]
)
def test_a_bucket_that_fails_makes_no_dataset_differ(
    client, cast, storage, settings, tmp_path, fault, says
):
    with storage_with_faults(storage) as faults:
        settings.OFFLINE_BUCKET = Bucket(storage).as_store | {"endpoint": faults.url}
        rows = [row(each, NOON, each % 97) for each in range(1000, 4000)]
        stored_view(cast, rows, at=NOON)
        caller = Caller(client, cast.consumer)
        caller.post(body=ASKED)
        make(NOON + DAY)
        settings.OFFLINE_STORE = tmp_path / "another"  # a machine that has no copy of it
        check = caller.post("/churn/1/verify").json()["id"]
        faults.fault = fault

        found = checked(check, NOON + DAY)

        assert faults.count > 0
        if fault == "drips":
            assert (found.status, found.verdict) == ("done", "equal")
            return
        assert (found.status, found.verdict) == ("queued", "")
        faults.fault = ""
        assert checked(check, NOON + 2 * DAY).verdict == "equal"

        settings.OFFLINE_STORE = tmp_path / "a third"
        faults.fault = fault
        check = caller.post("/churn/1/verify").json()["id"]
        for attempt in range(MOST_ATTEMPTS):
            found = checked(check, NOON + (3 + attempt) * DAY)
        assert (found.status, found.verdict) == ("failed", "")
        assert found.error_code == "offline_store_unavailable"
        assert "of the offline store s3://far/store" in found.error
        assert says in found.error
        assert "see" in found.error or "ask" in found.error  # what to do
