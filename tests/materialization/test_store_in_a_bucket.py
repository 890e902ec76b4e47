"""Runs over an offline store in a bucket: what they store, and that any machine reads it.

What the store itself promises is in ``contracts``.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from featurestore_project import copies
from materialization.edges import stores
from materialization.edges.engines import engine
from materialization.edges.sources import try_connection
from materialization.errors import EngineLimitExceeded, SourceOutsideRoots
from materialization.models import Alert, Quarantine
from materialization.requests.quarantine import release_rows
from materialization.requests.refused_rows import failing_rows
from materialization.stores.offline_protocol import OfflineStoreBehind
from registry.models import AuditEntry, Project
from serving.datasets.edges import dataset_stores
from serving.jobs.edges import job_stores
from tests.buckets import KEY, SECRET, Bucket
from tests.factories import AT, DEFINITIONS, make_version
from tests.materialization.run_world import (
    DRIVERS,
    HOUR,
    ROWS,
    committed,
    differences,
    materialize,
    offline,
    online,
    perform,
    snapshot,
    write_rows,
)

pytestmark = pytest.mark.django_db
CHECKED = DEFINITIONS.replace("type: int32,", "type: int32, checks: {max: 50},")
BAD = (1001, AT - 2 * HOUR, AT - 2 * HOUR, 0.5, 99)


@pytest.fixture
def bucket(storage, settings):
    made = Bucket(storage)
    settings.OFFLINE_BUCKET = made.as_store
    return made


@pytest.fixture
def version(bucket, cast, sources):
    write_rows(sources, ROWS)
    with committed():
        made = make_version(cast, text=CHECKED)
    assert materialize(made, end=AT - HOUR, at=AT - HOUR).status == "succeeded"
    return made


@pytest.fixture
def another_machine(settings, tmp_path):
    """Have what follows done by one that has nothing of the store yet."""

    def begin(name="another"):
        settings.OFFLINE_STORE = tmp_path / name

    return begin


def test_both_stores_answer_alike_on_any_machine(version, another_machine):
    asked = online(version, DRIVERS, at=AT)

    another_machine()

    assert offline(version, DRIVERS, at=AT) == asked
    assert asked["avg_daily_trips"] == [11, 20, 30, None]
    assert differences(version, at=AT) == (3, [])


def test_the_next_run_goes_on_wherever_it_is_performed(version, sources, another_machine):
    write_rows(sources, [*ROWS, (1001, AT - HOUR, AT - HOUR, 0.5, 12)])
    another_machine()

    run = materialize(version)

    assert (run.error, run.rows_offline) == ("", 1)
    assert offline(version, DRIVERS, at=AT)["avg_daily_trips"] == [12, 20, 30, None]


def test_runs_copy_tables_that_are_larger_than_what_people_may_bring(
    version, sources, another_machine, settings, monkeypatch
):
    write_rows(sources, [*ROWS, (1001, AT - HOUR, AT - HOUR, 0.5, 12)])
    assert materialize(version).status == "succeeded"
    to, _, _ = stores.offline_bucket()
    monkeypatch.setattr(stores, "offline_bucket", lambda: (to, str(settings.OFFLINE_STORE), 10))
    another_machine()
    write_rows(sources, [*ROWS, (1001, AT - HOUR, AT - HOUR, 0.5, 13)])

    run = materialize(version, end=AT + HOUR)

    assert (run.error, run.status, run.rows_offline) == ("", "succeeded", 1)
    another_machine("third")
    files = snapshot(version).files
    for asked in (dataset_stores().engine, job_stores().engine(60.0)):
        with pytest.raises(EngineLimitExceeded, match="OFFLINE_CACHE_MB"):
            asked.has_ties(files, version.spec)
    engine().has_ties(files, version.spec)


def test_refused_rows_are_shown_and_released_by_any_machine(
    version, sources, cast, another_machine
):
    write_rows(sources, [*ROWS, BAD])
    run = materialize(version)
    assert run.status == "failed", run.error
    another_machine()
    held = Quarantine.objects.get(run=run)

    with committed():
        (shown,) = failing_rows(held, limit=10)
        released = release_rows(quarantine=held, actor=cast.steward, at=AT, reason="is right")
    perform(released)

    assert shown.keys == {"driver_id": 1001}
    assert snapshot(version).rows == 5


def test_a_connection_to_our_own_store_is_read_by_nobody(bucket, cast, settings, tmp_path):
    by_name = bucket.url.replace("127.0.0.1", "localhost")
    for prefix, url in product(("", "store", "store/rides"), (bucket.url, by_name)):
        path = tmp_path / f"{prefix.replace('/', '-')}.toml"
        path.unlink(missing_ok=True)
        written = bucket.toml.replace('prefix = "lake"', f'prefix = "{prefix}"')
        path.write_text(written.replace(bucket.url, url))
        path.chmod(0o600)
        settings.CONNECTIONS_FILE = str(path)

        with pytest.raises(SourceOutsideRoots, match="Assay's own offline store"):
            try_connection(name="lake", project=Project.objects.get(name="rides"))


def test_each_process_sees_to_the_copies_of_its_machine(version, bucket, settings, caplog):
    (file,) = map(Path, snapshot(version).files)
    (key,) = (key for key in bucket.keys("store") if key.endswith(file.name))
    assert file.exists()
    bucket.remove(key)
    looked = Path(settings.OFFLINE_STORE) / ".looked"

    settings.OFFLINE_BUCKET = bucket.as_store | {"endpoint": "http://127.0.0.1:9"}
    copies.tidy_once()
    assert (file.exists(), "does not answer" in caplog.text) == (True, True)

    looked.unlink()
    settings.OFFLINE_BUCKET = bucket.as_store
    copies.tidy_once()
    assert not file.exists()


def test_a_bucket_that_lost_its_tables_is_told_by_its_own_name_and_without_a_key(
    version, bucket, sources
):
    for key in bucket.keys("store"):
        bucket.remove(key)
    write_rows(sources, [*ROWS, (1001, AT - HOUR, AT - HOUR, 0.5, 12)])

    with pytest.raises(OfflineStoreBehind, match="s3://far/store/rides/driver_hourly") as caught:
        materialize(version)

    entries, alerts = AuditEntry.objects.values(), Alert.objects.values()
    told = [str(caught.value), *map(str, entries), *map(str, alerts)]
    assert not [each for each in told if SECRET in each or KEY in each.split('"')]
