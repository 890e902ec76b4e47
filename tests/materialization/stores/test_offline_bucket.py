"""The offline store in a bucket, beside what any store promises: machines, keys, and what is told.

What any offline store promises is in ``contracts``.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import duckdb
import msgspec
import pytest
from botocore.config import Config  # type: ignore[import-untyped]

from lib import sent_files
from materialization.errors import EngineLimitExceeded
from materialization.stores import delta_care
from materialization.stores import mirror as mirror_module
from materialization.stores import offline as offline_module
from materialization.stores.kept_files import KeptFileUnavailable
from materialization.stores.kept_objects import BucketFileKeeper
from materialization.stores.objects import Objects, StoreWay
from materialization.stores.offline_bucket import BucketOfflineStore, OfflineStoreUnsafe
from materialization.stores.offline_protocol import OfflineStoreBehind, OfflineStoreUnavailable
from materialization.stores.offline_values import TableAt
from materialization.stores.signing import signed_url
from registry.spec.connections import S3Connection
from tests.buckets import (
    KEY,
    SECRET,
    Bucket,
    storage_that_answers,
    storage_that_is_slow_with,
)
from tests.materialization.store_cases import batch, commit, row

TABLE = "rides/driver_stats/abc"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def bucket(storage):
    return Bucket(storage)


def way(bucket, *, timeout_s=8.0, **changed):
    to = msgspec.convert(bucket.as_store | changed, S3Connection)
    return StoreWay(to, lambda: to.secret_access_key, timeout_s=timeout_s)


@pytest.fixture
def machine(bucket, tmp_path):
    """Give the store as a machine has it, and where a table is there."""

    def made(name="one", **changed):
        root = tmp_path / name
        limits = {"most_bytes": changed.pop("most_bytes", 1 << 30)}
        if "in_use_s" in changed:
            limits["in_use_s"] = changed.pop("in_use_s")
        store = BucketOfflineStore(root, way(bucket, **changed), **limits)
        return store, TableAt(str(root / TABLE))

    return made


def values(files):
    return sorted(
        r[0] for r in duckdb.sql("SELECT x FROM read_parquet(?)", params=[list(files)]).fetchall()
    )


def test_what_one_machine_stores_another_reads_after_it_was_brought(machine):
    store, place = machine("one")
    commit(store, place, [batch(row(x=1.0), row(x=2.0))])
    other, there = machine("two")

    found = other.snapshot(there)
    assert (found.rows, [Path(file).exists() for file in found.files]) == (2, [False])
    other.bring(found.files)

    assert values(found.files) == [1.0, 2.0]
    commit(other, there, [batch(row(x=3.0))], sequence=2, transaction="run-2")
    again = store.snapshot(place)
    store.bring(again.files)
    assert values(again.files) == [1.0, 2.0, 3.0]


def test_nothing_of_a_table_is_in_the_bucket_but_its_files_and_its_log(machine, bucket):
    store, place = machine()
    commit(store, place, [batch(row())])

    keys = bucket.keys("store")

    assert all(key.startswith(f"store/{TABLE}/") for key in keys)
    assert sorted(Path(key).suffix for key in keys) == [".json", ".json", ".parquet"]


@pytest.mark.parametrize("when", ["_append", "_sink"])
def test_a_killed_commit_leaves_nothing_half(machine, bucket, when, tmp_path):
    """The process dies after its file was put and before the log has it, or while it is put."""
    store, place = machine()
    commit(store, place, [batch(row(x=1.0))])
    code = f"""
import os, signal
from tests.materialization.stores.test_offline_bucket import *
from materialization.stores import offline, objects
bucket = Bucket({bucket.url!r})
store = BucketOfflineStore({str(tmp_path / "two")!r}, way(bucket), most_bytes=1 << 30)
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if {when!r} == "_append":
    offline._append = die
else:
    objects.Objects._sink = die
place = TableAt({str(tmp_path / "two" / TABLE)!r})
commit(store, place, [batch(row(x=2.0))], sequence=2, transaction="run-2")
"""
    died = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()

    found = store.snapshot(place)
    assert (found.rows, store.committed(place, ["run-2"])) == (1, {})
    again = commit(store, place, [batch(row(x=2.0))], sequence=2, transaction="run-2")
    assert (again.already, values(store.snapshot(place).files)) == (False, [1.0, 2.0])


def test_a_commit_that_is_made_after_nobody_waits_for_it_has_its_files(machine, bucket):
    """The storage answers no attempt to write the log's entry, and writes it a moment later."""
    store, place = machine()
    commit(store, place, [batch(row(x=1.0))])
    with storage_that_is_slow_with(bucket.url, lambda path: path.endswith("2.json")) as slow:
        late, there = machine("two", endpoint=slow.url, timeout_s=2.0)
        with pytest.raises(OfflineStoreUnavailable, match="cannot be written"):
            commit(late, there, [batch(row(x=2.0))], sequence=2, transaction="run-2")
        assert store.snapshot(place).rows == 1

        assert slow.do_first() == 200

        found = store.snapshot(place)
        store.bring(found.files)
        assert values(found.files) == [1.0, 2.0]
        again = commit(store, place, [batch(row(x=2.0))], sequence=2, transaction="run-2")
        assert (again.already, again.rows) == (True, 1)


def test_a_file_whose_commit_failed_is_left_to_care(machine, bucket, monkeypatch):
    store, place = machine()
    commit(store, place, [batch(row())])
    before = bucket.keys("store")
    copies = set(Path(place.uri).glob("*.parquet"))

    def failed(*_args, **_more):
        raise OSError("the log cannot be written")

    monkeypatch.setattr(offline_module, "_append", failed)
    with pytest.raises(OfflineStoreUnavailable, match="cannot be written"):
        commit(store, place, [batch(row())], sequence=2, transaction="run-2")

    (left,) = set(bucket.keys("store")) - set(before)
    assert left.endswith(".parquet")
    assert set(Path(place.uri).glob("*.parquet")) == copies
    store.care(place, keep=timedelta(0))
    assert left in bucket.keys("store")
    monkeypatch.setattr(delta_care, "YOUNG", timedelta(0))
    store.care(place, keep=timedelta(0))
    assert left not in bucket.keys("store")


def test_storage_that_would_lose_a_commit_is_refused_before_the_first(machine):
    with storage_that_answers(200, "OK") as url:
        store, place = machine(endpoint=url)
        for ask in (store.require_safe, lambda: commit(store, place, [batch(row())])):
            with pytest.raises(OfflineStoreUnsafe, match="overwrites an object") as caught:
                ask()
            assert SECRET not in str(caught.value)


def test_storage_that_refuses_what_is_there_is_safe_and_the_trial_leaves_nothing(machine, bucket):
    store, _ = machine()

    store.require_safe()

    assert bucket.keys() == []


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "AccessDenied", "its keys may not do that"),
        (503, "SlowDown", "asked too much"),
        (500, "InternalError", "does not answer"),
    ],
)
def test_what_the_storage_refuses_is_told_without_secrets(machine, status, code, says):
    with storage_that_answers(status, code) as url:
        store, place = machine(endpoint=url)
        for ask in (
            lambda: store.snapshot(place),
            lambda: store.require_safe(),
            lambda: store.aside(place, "1"),
            lambda: store.file_states(place, ["a.parquet"]),
        ):
            with pytest.raises(OfflineStoreUnavailable, match=says) as caught:
                ask()
            told = str(caught.value)
            assert not [each for each in (SECRET, KEY, url) if each in told]


def test_storage_that_is_not_there_is_told(machine):
    store, place = machine(endpoint="http://127.0.0.1:9")

    with pytest.raises(OfflineStoreUnavailable, match="does not answer"):
        store.snapshot(place)


def test_nothing_that_is_printed_has_a_secret(machine, bucket):
    store, _ = machine()

    assert SECRET not in f"{way(bucket)!r} {store.__dict__['_objects']!r}"


def test_a_copy_here_does_not_stand_for_a_file_that_is_gone(machine, bucket):
    store, place = machine()
    done = commit(store, place, [batch(row())])
    (key,) = [key for key in bucket.keys("store") if key.endswith(".parquet")]
    state = store.file_states(place, [Path(key).name])
    bucket.remove(key)

    assert Path(done.files[0]).exists()
    assert len(state[0].sha256) == 64
    for ask in (store.snapshot, store.list_files):
        with pytest.raises(OfflineStoreBehind, match="lacks its file"):
            ask(place)
    with pytest.raises(OfflineStoreBehind, match="lacks its file"):
        store.file_states(place, [Path(key).name])


def test_a_file_that_goes_before_it_is_brought_is_told(machine, bucket):
    store, place = machine("one")
    commit(store, place, [batch(row())])
    other, there = machine("two")
    files = other.snapshot(there).files
    store.delete_table(place)

    with pytest.raises(OfflineStoreUnavailable, match="not in the offline store"):
        other.bring(files)


def test_what_is_set_aside_by_one_machine_is_released_by_another(machine):
    store, place = machine("one")
    commit(store, place, [batch(row())])
    with store.staging(place, "7") as folder:
        Path(folder, "events").mkdir()
        for name in ("a.parquet", "events/b.parquet"):
            Path(folder, name).write_bytes(name.encode())
        store.set_aside(place, folder)
    other, there = machine("two")

    found = other.aside(there, "7")
    other.bring([*found.files, *found.events])

    assert [Path(file).read_text() for file in (*found.files, *found.events)] == [
        "a.parquet", "events/b.parquet",
    ]  # fmt: skip
    other.remove_aside(there, "7")
    assert store.aside(place, "7") == ((), 0, ())


# --- What a machine has of it ---------------------------------------------------------------------


def test_copies_that_were_not_used_for_longest_make_room_and_come_again(machine, monkeypatch):
    store, place = machine("one")
    for number in range(1, 5):
        rows = [batch(row(x=float(number)))]
        commit(store, place, rows, sequence=number, transaction=f"run-{number}")
    files = sorted(store.snapshot(place).files)
    size = Path(files[0]).stat().st_size
    other, there = machine("two", most_bytes=3 * size + 10)
    mirrored = sorted(other.snapshot(there).files)
    other.bring(mirrored[:3])
    old = time.time() - mirror_module.IN_USE_SECONDS - 60
    for number, file in enumerate(mirrored[:3]):
        os.utime(file, (old + number, old + number))

    other.bring(mirrored[3:])

    assert [Path(file).exists() for file in mirrored] == [False, False, True, True]
    other.bring(mirrored[:1])
    assert values(mirrored[:1]) == [1.0]


def test_a_copy_of_another_size_is_brought_again(machine):
    store, place = machine("one")
    commit(store, place, [batch(row(x=1.0))])
    other, there = machine("two")
    (file,) = other.snapshot(there).files
    asks = {
        "snapshot": lambda: other.snapshot(there),
        "list_files": lambda: other.list_files(there),
        "find_files": lambda: other.find_files(there, [Path(file).name]),
    }
    for name, ask in asks.items():
        other.bring([file])
        os.truncate(file, 100)

        ask()
        other.bring([file])

        assert values([file]) == [1.0], name


def test_a_copy_of_other_content_is_brought_again_after_the_file_was_hashed(machine):
    store, place = machine("one")
    commit(store, place, [batch(row(x=1.0))])
    other, there = machine("two")
    (file,) = other.snapshot(there).files
    other.bring([file])
    whole = Path(file).read_bytes()
    Path(file).write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])

    state = other.file_states(there, [Path(file).name])[0]
    other.bring([file])

    assert Path(file).read_bytes() == whole
    assert state.sha256 == hashlib.sha256(whole).hexdigest()


def test_what_is_set_aside_is_brought_again_where_its_copy_is_of_another_size(machine):
    store, place = machine()
    with store.staging(place, "7") as folder:
        Path(folder, "a.parquet").write_bytes(b"whole")
        store.set_aside(place, folder)
    (file,) = store.aside(place, "7").files
    os.truncate(file, 1)

    store.bring(store.aside(place, "7").files)

    assert Path(file).read_bytes() == b"whole"


def test_what_nobody_used_for_a_week_goes_and_what_a_dead_process_was_copying(
    machine, monkeypatch, tmp_path
):
    store, place = machine()
    for number in (1, 2):
        commit(store, place, [batch(row())], sequence=number, transaction=f"run-{number}")
    old, used = sorted(map(Path, store.snapshot(place).files))
    draft = old.with_name(".a.parquet.0123")
    with store.staging(place, "7") as folder:
        kept = Path(folder, "a.parquet")
        for path in (draft, kept):
            path.write_bytes(b"half")
        week_ago = time.time() - mirror_module.UNUSED_SECONDS - 60
        for path in (old, draft, kept):
            os.utime(path, (week_ago, week_ago))

        store.tidy_copies()

        assert [path.exists() for path in (old, draft, used, kept)] == [False, False, True, True]
    store.bring([str(old)])
    assert values(map(str, (old, used))) == [1.0, 1.0]


def test_copies_that_may_be_being_read_stay_whatever_room_there_is(machine):
    store, place = machine("one")
    for number in (1, 2):
        commit(store, place, [batch(row())], sequence=number, transaction=f"run-{number}")
    files = store.snapshot(place).files
    most = Path(files[0]).stat().st_size + 10
    for name, in_use_s, there in (("two", 60.0, [True, True]), ("three", 0.0, [False, True])):
        other, table = machine(name, most_bytes=most, in_use_s=in_use_s)
        files = other.snapshot(table).files
        for file in files:
            other.bring([file])

        assert [Path(file).exists() for file in files] == there


def test_what_somebody_asks_brings_no_more_than_a_bound_seen_before_a_byte_is_copied(machine):
    store, place = machine("one")
    for number in (1, 2, 3):
        commit(store, place, [batch(row())], sequence=number, transaction=f"run-{number}")
    size = Path(store.snapshot(place).files[0]).stat().st_size
    other, there = machine("two", most_bytes=2 * size + 10)
    files = other.snapshot(there).files

    for brought in ([], files[:1]):  # what is here already counts as well
        other.bring(brought)
        with pytest.raises(EngineLimitExceeded, match="OFFLINE_CACHE_MB"):
            other.bring(files, bounded=True)
        assert [Path(file).exists() for file in files] == [bool(brought), False, False]
    other.bring(files[:2], bounded=True)
    other.bring(files)  # who cannot ask for less has them all
    assert all(Path(file).exists() for file in files)


def test_copies_of_what_is_gone_go_wherever_it_was_removed(machine, bucket, keeper, tmp_path):
    store, place = machine("one")
    commit(store, place, [batch(row())])
    other, there = machine("two")
    theirs = BucketFileKeeper(
        Objects(way(bucket)),
        mirror_module.Mirror(Objects(way(bucket)), tmp_path / "two", 1 << 30),
        "_datasets",
        tmp_path / "drafts",
    )
    for name in ("ab/rows-1.parquet", "cd/rows-1.parquet"):
        with keeper.writing(name) as path:
            Path(path).write_bytes(b"rows")
        theirs.open(name).close()
    files = other.snapshot(there).files
    other.bring(files)
    keeper.remove("ab/rows-1.parquet")
    copies = tmp_path / "two/_datasets"

    other.tidy_copies()
    assert not (copies / "ab/rows-1.parquet").exists()
    assert [(copies / "cd/rows-1.parquet").exists(), Path(files[0]).exists()] == [True, True]

    store.delete_table(place)
    other.tidy_copies()
    assert Path(files[0]).exists()  # it was looked a moment ago
    hour_ago = time.time() - 3601
    os.utime(tmp_path / "two/.looked", (hour_ago, hour_ago))
    other.tidy_copies()
    assert not Path(files[0]).exists()


# --- Addresses for others -------------------------------------------------------------------------


def test_an_address_is_read_by_whoever_has_it_and_ends(machine):
    store, place = machine()
    commit(store, place, [batch(row())])
    files = store.list_files(place).files
    at = datetime.now(UTC)

    found = store.addresses(files, at=at)

    assert found.expires_at == at + timedelta(hours=1)
    with urllib.request.urlopen(found.uris[0]) as answer:  # noqa: S310 - our own server
        assert answer.read() == Path(files[0].uri).read_bytes()
    assert SECRET not in found.uris[0]


@pytest.mark.parametrize("path_style", [True, False])
@pytest.mark.parametrize("endpoint", ["", "https://minio.example.com:9000"])
@pytest.mark.parametrize("key", ["store/a/b.parquet", "store/__part=rows/ä b+c.parquet"])
def test_addresses_are_signed_as_amazons_own_client_signs_them(
    monkeypatch, path_style, endpoint, key
):
    class Clock(datetime):
        @classmethod
        def utcnow(cls):
            return NOW.replace(tzinfo=None)

        @classmethod
        def now(cls, tz=None):
            return NOW if tz else NOW.replace(tzinfo=None)

    monkeypatch.setattr(
        "botocore.auth.get_current_datetime", lambda *_, **__: Clock.utcnow(), raising=False
    )
    style = "path" if path_style else "virtual"
    client = boto3.client(
        "s3", region_name="eu-west-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET,
        endpoint_url=endpoint or "https://s3.eu-west-1.amazonaws.com",
        config=Config(signature_version="s3v4", s3={"addressing_style": style}),
    )  # fmt: skip
    theirs = client.generate_presigned_url("get_object", {"Bucket": "far", "Key": key}, 600)
    to = S3Connection(
        bucket="far", region="eu-west-1", endpoint=endpoint, path_style=path_style,
        access_key_id=KEY,
    )  # fmt: skip

    ours = signed_url(to, SECRET, key, method="GET", at=NOW, seconds=600)

    assert sorted(ours.partition("?")[2].split("&")) == sorted(theirs.partition("?")[2].split("&"))
    assert ours.partition("?")[0] == theirs.partition("?")[0]


# --- Single files ---------------------------------------------------------------------------------


@pytest.fixture
def keeper(bucket, tmp_path):
    objects = Objects(way(bucket))
    mirror = mirror_module.Mirror(objects, tmp_path / "copies", 1 << 30)
    return BucketFileKeeper(objects, mirror, "_datasets", tmp_path / "drafts")


def test_a_file_is_kept_when_its_block_ends_and_not_before(keeper, bucket, tmp_path):
    with keeper.writing("ab/rows.parquet") as path:
        Path(path).write_bytes(b"rows")
        assert bucket.keys() == []

    kept = keeper.state("ab/rows.parquet")
    assert (kept.size, len(kept.sha256)) == (4, 64)
    with keeper.open("ab/rows.parquet") as opened:
        opened.seek(2)
        assert opened.read() == b"ws"
    bucket.put("store/_datasets/ab/rows.parquet", b"other rows")
    with keeper.open("ab/rows.parquet") as opened:
        assert opened.read() == b"other rows"
        assert sent_files.named(opened)  # a server sends it from the disk
    keeper.remove("ab/rows.parquet")
    keeper.remove("ab/rows.parquet")
    assert not list((tmp_path / "copies").rglob("*.parquet"))
    assert bucket.keys() == []
    for ask in (keeper.state, keeper.open):
        with pytest.raises(KeptFileUnavailable, match="Restore it"):
            ask("ab/rows.parquet")


def test_of_a_block_that_raises_nothing_is_kept(keeper, bucket, tmp_path):
    with pytest.raises(KeyError), keeper.writing("ab/rows.parquet") as path:
        Path(path).write_bytes(b"half")
        raise KeyError

    assert (bucket.keys(), list((tmp_path / "drafts").iterdir())) == ([], [])


def test_files_that_nobody_wrote_to_since_are_named(keeper):
    with keeper.writing("ab/rows.parquet") as path:
        Path(path).write_bytes(b"rows")

    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert keeper.unchanged_since(soon) == ["ab/rows.parquet"]
    assert keeper.unchanged_since(soon - timedelta(minutes=2)) == []
