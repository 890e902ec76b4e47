"""Files in S3-compatible storage: which objects a path names, and what of a connection is told."""

from __future__ import annotations

import errno
import gzip
import socket
import time
from pathlib import Path

import msgspec
import pytest

from lib.errors import Invalid, Unavailable
from materialization.compute.jobs import ComputeJob
from materialization.compute.session import open_session
from materialization.compute.staging import staged
from materialization.errors import (
    SourceFileEmpty,
    SourceFileGone,
    SourceFileMissing,
    SourceFileUnsupported,
    SourceFolderTooLarge,
    SourceRefused,
    SourceTooLarge,
    SourceUnavailable,
)
from materialization.finding import bucket as bucket_module
from materialization.finding import bucket_listing
from materialization.finding.bucket import BucketFinder
from materialization.finding.fetching import Wanted
from materialization.sources.kinds import open_source
from tests.buckets import KEY, SECRET, Bucket, make_source, storage_that_answers
from tests.materialization.engine_cases import END, LIMITS, make_spec

ROWS = "k,event,x\na,2024-01-01T10:00:00,1\n"


@pytest.fixture
def bucket(storage):
    return Bucket(storage)


def names(bucket, path):
    found = BucketFinder().find(make_source(path), bucket.link())
    return [part.name for part in found.parts()]


def read(bucket, tmp_path, path, columns="k, x"):
    spec = make_spec(keys=[("k", "string")], features=[("x", "string")])
    spec = msgspec.structs.replace(spec, source=make_source(path))
    found = BucketFinder().find(spec.source, bucket.link())
    job = ComputeJob(spec=spec, source=found, window_end=END)
    with (
        staged(job, LIMITS, bucket.fetch, lambda: None) as here,
        open_session(LIMITS, directory=str(tmp_path), only=here.job.source.paths) as connection,
    ):
        relation = open_source(connection, spec, here.job.source).relation
        return sorted(connection.execute(f"SELECT {columns} FROM {relation}").fetchall())


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("*.csv", ["lake/a.csv", "lake/b.csv"]),
        ("a.csv", ["lake/a.csv"]),
        ("deep/*/*.csv", ["lake/deep/x/c.csv"]),
        ("deep/x/c.csv", ["lake/deep/x/c.csv"]),
        ("**/*.csv", ["lake/a.csv", "lake/b.csv", "lake/deep/x/c.csv"]),
        ("deep/**/c.csv", ["lake/deep/x/c.csv"]),
        ("[a].csv", ["lake/a.csv"]),
    ],
)
def test_a_path_names_objects_as_it_names_files(bucket, path, found):
    for key in ("a.csv", "b.csv", "deep/x/c.csv", "_hidden.csv", ".x/d.csv", "c.txt"):
        bucket.put(f"lake/{key}", ROWS)
    bucket.put("elsewhere/a.csv", ROWS)

    assert names(bucket, path) == found


def test_rows_come_as_they_were_written_also_compressed_and_with_what_folders_say(bucket, tmp_path):
    bucket.put("lake/day=1/rows.csv.gz", gzip.compress(ROWS.encode()))
    bucket.put("lake/day=2%2F3/rows.csv.gz", gzip.compress(ROWS.replace("a,", "b,").encode()))

    rows = read(bucket, tmp_path, "*/rows.csv.gz", "k, x, day")

    assert rows == [("a", "1", "1"), ("b", "1", "2/3")]


def test_an_object_that_is_written_again_is_another_part(bucket):
    bucket.put("lake/a.csv", ROWS)
    before = BucketFinder().find(make_source(), bucket.link()).parts()
    bucket.put("lake/a.csv", ROWS + ROWS)

    (after,) = BucketFinder().find(make_source(), bucket.link()).parts()

    assert (after.name, before[0].name) == ("lake/a.csv", "lake/a.csv")
    assert after.identity != before[0].identity
    assert not after.grows


def test_what_goes_or_changes_while_it_is_read_is_told(bucket, tmp_path):
    bucket.put("lake/a.csv", ROWS)
    found = BucketFinder().find(make_source(), bucket.link())
    bucket.put("lake/a.csv", ROWS + ROWS)

    with pytest.raises(SourceUnavailable, match=r"lake/a\.csv changed while it was read"):
        bucket.fetch(found, Wanted(), str(tmp_path), lambda: None)

    bucket.remove("lake/a.csv")
    with pytest.raises((SourceFileGone, SourceUnavailable), match="gone"):
        bucket.fetch(found, Wanted(), str(tmp_path), lambda: None)


def test_whoever_waits_may_stop_it(bucket, tmp_path):
    bucket.put("lake/a.csv", ROWS)
    found = BucketFinder().find(make_source(), bucket.link())

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bucket.fetch(found, Wanted(), str(tmp_path), stop)


def test_a_plan_copies_some_whole_objects_and_says_so(bucket, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        bucket.put(f"lake/{name}.csv", ROWS)
    found = BucketFinder().find(make_source(), bucket.link())
    monkeypatch.setattr(bucket_module, "LOOK_BYTES", 2 * len(ROWS))

    fetched = bucket.fetch(found, Wanted(most_rows=10), str(tmp_path), lambda: None)

    assert list(fetched.files) == ["lake/a.csv", "lake/b.csv"]
    assert fetched.is_part
    assert not bucket.fetch(found, Wanted(), str(tmp_path), lambda: None).is_part


@pytest.mark.parametrize(("most", "copied"), [(150, ["lake/b.csv"]), (1, ["lake/b.csv"])])
def test_a_plan_copies_no_large_object_where_there_is_a_smaller_one(
    bucket, tmp_path, monkeypatch, most, copied
):
    for name, times in (("a", 100), ("b", 1), ("c", 50)):
        bucket.put(f"lake/{name}.csv", ROWS * times)
    found = BucketFinder().find(make_source(), bucket.link())
    monkeypatch.setattr(bucket_module, "LOOK_BYTES", most)

    fetched = bucket.fetch(found, Wanted(most_rows=10), str(tmp_path), lambda: None)

    assert (list(fetched.files), fetched.is_part) == (copied, True)


def test_more_than_one_reading_may_take_is_refused_before_it_is_copied(bucket, tmp_path):
    bucket.put("lake/a.csv", ROWS)
    found = BucketFinder().find(make_source(), bucket.link())

    with pytest.raises(SourceTooLarge, match="SOURCE_STAGING_MB"):
        BucketFinder().fetch(
            found, Wanted(), str(tmp_path), lambda: None, bucket.link(limits={"most_bytes": 3})
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keys", "path", "error", "says"),
    [
        ([], "*.csv", SourceFileMissing, r"no object matches '\*\.csv' by the connection lake"),
        (["_a.csv"], "*.csv", SourceFileMissing, r"Hidden names match no wildcard, as lake/_a"),
        (["a.csv", "a.json"], "a.*", SourceFileUnsupported, r"these end in \.csv, \.json"),
    ],
)
def test_nothing_to_read_is_told_by_names_of_definitions(bucket, keys, path, error, says):
    for key in keys:
        bucket.put(f"lake/{key}", ROWS)

    with pytest.raises(error, match=says) as caught:
        names(bucket, path)
    assert bucket.name not in caught.value.message


@pytest.mark.parametrize("path", ["t/*.csv", "**/*.csv", "t/day=1/a.csv", "*/day=*/*.csv"])
@pytest.mark.parametrize(
    ("log", "name"),
    [
        ("_delta_log/00000000000000000000.json", "a Delta"),
        (".hoodie/hoodie.properties", "a Hudi"),
        ("metadata/v1.metadata.json", "an Iceberg"),
    ],
)
def test_the_files_of_a_table_are_not_its_rows(bucket, path, log, name):
    for key in ("t/a.csv", "t/day=1/a.csv"):
        bucket.put(f"lake/{key}", ROWS)
    assert names(bucket, path)
    bucket.put(f"lake/t/{log}", "{}")
    bucket.put("lake/metadata/of_another_kind.csv", ROWS)

    with pytest.raises(SourceFileUnsupported, match=f"lake/t is {name} table") as caught:
        names(bucket, path)
    assert bucket.name not in caught.value.message


def test_a_connection_that_leads_to_a_table_is_refused_too(bucket):
    bucket.put("lake/a.csv", ROWS)
    bucket.put("lake/_delta_log/00000000000000000000.json", "{}")

    with pytest.raises(SourceFileUnsupported, match="^lake is a Delta table"):
        names(bucket, "a.csv")


def test_what_is_called_as_an_error_is_changes_no_words(bucket, tmp_path, monkeypatch):
    """Names of buckets and keys are in what the client says."""
    monkeypatch.setattr(Bucket, "name", "far-bucket")
    named = Bucket(bucket.url)
    named.put("lake/bucket-ACCESS_DENIED.csv", ROWS)
    found = BucketFinder().find(make_source(), named.link())
    named.remove("lake/bucket-ACCESS_DENIED.csv")

    with pytest.raises(SourceFileGone, match=r"lake/bucket-ACCESS_DENIED\.csv"):
        named.fetch(found, Wanted(), str(tmp_path), lambda: None)

    key = "lake/INVALID_ACCESS_KEY_ID.csv"
    with (
        storage_that_answers(500, "InternalError") as url,
        pytest.raises(SourceUnavailable, match="does not answer"),
    ):
        BucketFinder().find(make_source(Path(key).name), named.link(endpoint=url))


def test_a_disk_without_room_is_no_fault_of_the_storage(bucket, tmp_path):
    bucket.put("lake/a.csv", ROWS)
    found = BucketFinder().find(make_source(), bucket.link())
    (tmp_path / "000000.csv").symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space left") as caught:
        bucket.fetch(found, Wanted(), str(tmp_path), lambda: None)
    assert caught.value.errno == errno.ENOSPC


def test_an_object_that_grew_is_not_copied_to_its_end(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(bucket_module, "_CHUNK", 100)
    bucket.put("lake/a.csv", ROWS)
    found = BucketFinder().find(make_source(), bucket.link())
    bucket.put("lake/a.csv", ROWS * 1000)

    with pytest.raises(SourceUnavailable, match="changed while it was read"):
        bucket.fetch(found, Wanted(), str(tmp_path), lambda: None)
    assert (tmp_path / "000000.csv").stat().st_size <= 100


def test_an_empty_object_is_named(bucket):
    bucket.put("lake/a.csv", "")

    with pytest.raises(SourceFileEmpty, match=r"lake/a\.csv has 0 bytes"):
        names(bucket, "*.csv")


def test_looking_has_an_end(bucket, monkeypatch):
    for name in ("a", "b", "c"):
        bucket.put(f"lake/{name}.csv", ROWS)
    monkeypatch.setattr(bucket_listing, "MAX_ENTRIES", 2)

    with pytest.raises(SourceFolderTooLarge, match="met too many names"):
        names(bucket, "*.csv")


@pytest.mark.parametrize(
    ("status", "code", "kind", "says"),
    [
        (403, "AccessDenied", Invalid, "its keys may not read that"),
        (403, "InvalidAccessKeyId", Invalid, "the storage does not know its access key"),
        (403, "SignatureDoesNotMatch", Invalid, "its secret key is not that of its access key"),
        (404, "NoSuchBucket", Invalid, "there is no such bucket"),
        (503, "SlowDown", Unavailable, "asked too much"),
        (500, "InternalError", Unavailable, "does not answer"),
    ],
)
def test_what_the_storage_refuses_is_told_without_secrets(bucket, status, code, kind, says):
    with (
        storage_that_answers(status, code) as url,
        pytest.raises(kind, match=says) as caught,
    ):
        BucketFinder().find(make_source(), bucket.link(endpoint=url))

    assert caught.value.message.startswith("connection lake: ")
    for secret in (KEY, SECRET, bucket.name, url):
        assert secret not in str(caught.value)


def test_a_server_that_is_not_there_is_told(bucket):
    with pytest.raises(SourceUnavailable, match="does not answer"):
        BucketFinder().find(make_source(), bucket.link(endpoint="http://127.0.0.1:9"))


def test_a_bucket_that_is_not_there_is_told(bucket):
    with pytest.raises((SourceRefused, SourceFileMissing)):
        BucketFinder().find(make_source(), bucket.link(bucket="nowhere"))


def test_a_connection_is_tried_by_its_bucket(bucket):
    BucketFinder().try_link(bucket.link())

    with pytest.raises(SourceRefused, match="there is no such bucket"):
        BucketFinder().try_link(bucket.link(bucket="nowhere"))


def test_a_try_waits_no_longer_than_it_may(bucket):
    """The storage takes the call and says nothing: it is asked once, and not four times."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        link = bucket.link(
            endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", limits={"timeout_s": 2.0}
        )
        begun = time.monotonic()
        with pytest.raises(SourceUnavailable, match="does not answer"):
            BucketFinder().try_link(link)

    assert time.monotonic() - begun < 10


def test_keys_may_be_those_of_the_environment(bucket, monkeypatch):
    bucket.put("lake/a.csv", ROWS)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    found = BucketFinder().find(make_source(), bucket.link(access_key_id=""))

    assert [Path(part.name).name for part in found.parts()] == ["a.csv"]
