"""Files in S3-compatible storage: which objects a path names, and what of a connection is told."""

from __future__ import annotations

import errno
import gzip
import socket
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FileInfo, FileSelector, FileType

from lib.errors import Invalid, Unavailable
from materialization.compute.jobs import ComputeJob, LookJob
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
from materialization.finding import bucket_listing, bucket_pages, copying, pieces
from materialization.finding.bucket import BucketFinder
from materialization.finding.bucket_storage import opened
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
    monkeypatch.setattr(copying, "LOOK_BYTES", 2 * len(ROWS))

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
    monkeypatch.setattr(copying, "LOOK_BYTES", most)

    fetched = bucket.fetch(found, Wanted(most_rows=10), str(tmp_path), lambda: None)

    assert (list(fetched.files), fetched.is_part) == (copied, True)


def big_text(rows):
    lines = (f'{number},2024-01-01T10:00:00,"{number}\n"\n' for number in range(rows))
    return f"k,event,x\n{''.join(lines)}"


def big_json(rows):
    return "".join(f'{{"k":"{n}","event":"2024-01-01","x":"1"}}\n' for n in range(rows)).encode()


def big_parquet(rows):
    sink = pa.BufferOutputStream()
    given = {"k": [str(n) for n in range(rows)], "event": ["2024-01-01"] * rows, "x": ["1"] * rows}
    pq.write_table(pa.table(given), sink, row_group_size=500)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", lambda: big_text(5000)),
        ("a.csv.gz", lambda: gzip.compress(big_text(5000).encode())),
        ("a.jsonl", lambda: big_json(5000)),
        ("a.jsonl.zst", lambda: pa.compress(big_json(5000), "zstd", asbytes=True)),
        ("a.parquet", lambda: big_parquet(5000)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_plan_looks_at_the_beginning_where_every_object_is_large(
    bucket, tmp_path, monkeypatch, name, content
):
    bucket.put(f"lake/{name}", content())
    monkeypatch.setattr(copying, "LOOK_BYTES", 100)
    monkeypatch.setattr(copying, "HEAD_BYTES", 20_000)
    monkeypatch.setattr(pieces, "_CHUNK", 10_000)
    spec = make_spec(keys=[("k", "string")], features=[("x", "string")])
    spec = msgspec.structs.replace(spec, source=make_source(name))
    job = LookJob((spec,), BucketFinder().find(spec.source, bucket.link()))
    temp = tmp_path / "temp"
    temp.mkdir()

    with (
        staged(job, LIMITS, bucket.fetch, lambda: None) as here,
        open_session(LIMITS, directory=str(temp), only=here.job.source.paths) as connection,
    ):
        relation = open_source(connection, spec, here.job.source).relation
        rows = connection.execute(f"SELECT k FROM {relation}").fetchall()
        size = sum(Path(path).stat().st_size for path in here.job.source.paths)

    assert 100 < len(rows) < 4000
    assert sorted(int(k) for (k,) in rows) == list(range(len(rows)))
    assert size <= 20_000 + 5_000  # and a footer, of Parquet


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
    monkeypatch.setattr(copying, "_CHUNK", 100)
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


def test_a_folder_is_seen_a_page_at_a_time_and_its_names_are_those_of_the_client(
    bucket, monkeypatch
):
    keys = ["a.csv", "b c+d.csv", "ä&<.csv", "deep/x.csv", "deeper/x/y.csv", "%41.csv"]
    for key in keys:
        bucket.put(f"lake/{key}", ROWS)
    link, storage = bucket.link(), opened(bucket.link())
    theirs = storage.get_file_info(FileSelector("far/lake"))
    monkeypatch.setattr(bucket_pages, "PAGE", 2)

    ours = list(bucket_pages.names_in(storage, link, "far/lake", watch=bool))

    wanted = {(i.path, i.type, i.size) for i in theirs if i.base_name}
    assert {(i.path, i.type, i.size) for i in ours} == wanted
    assert [i.path for i in bucket_pages.names_in(storage, link, "far", watch=bool)] == ["far/lake"]
    assert list(bucket_pages.names_in(storage, link, "far/lake/nowhere", watch=bool)) == []


def test_names_that_xml_cannot_say_are_names(bucket):
    bucket.put("lake/a\x01b.csv", ROWS)
    bucket.put("lake/c.csv", ROWS)
    link = bucket.link()

    found = bucket_pages.names_in(opened(link), link, "far/lake", watch=bool)

    assert [info.base_name for info in found] == ["a\x01b.csv", "c.csv"]


def test_pages_without_names_end_as_well(bucket, monkeypatch):
    page = ET.Element("ListBucketResult")
    ET.SubElement(page, "NextContinuationToken").text = "on"
    asked = []

    def without_end(*of):
        asked.append(of)
        assert len(asked) < 9
        return page

    monkeypatch.setattr(bucket_pages, "_asked", without_end)
    monkeypatch.setattr(bucket_listing, "_LISTING_SECONDS", 0.0)

    with pytest.raises(SourceFolderTooLarge, match="took too long"):
        names(bucket, "*.csv")


def test_a_bound_is_seen_before_all_names_of_a_folder_are_here(bucket, monkeypatch):
    for number in range(9):
        bucket.put(f"lake/{number}.csv", ROWS)
    asked = []
    real = bucket_pages._asked
    monkeypatch.setattr(bucket_pages, "_asked", lambda *of: asked.append(of) or real(*of))
    monkeypatch.setattr(bucket_pages, "PAGE", 2)
    monkeypatch.setattr(bucket_listing, "MAX_ENTRIES", 3)

    with pytest.raises(SourceFolderTooLarge, match="met too many names"):
        names(bucket, "*.csv")
    assert len(asked) == 2

    monkeypatch.setattr(bucket_listing, "MAX_ENTRIES", 100)
    monkeypatch.setattr(bucket_listing, "_LISTING_SECONDS", 0.0)
    with pytest.raises(SourceFolderTooLarge, match="took too long.* answers slowly.* try again"):
        names(bucket, "*.csv")
    assert len(asked) == 3


def test_a_connection_without_a_key_takes_that_of_the_environment(bucket, monkeypatch):
    bucket.put("lake/a.csv", ROWS)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    found = BucketFinder().find(make_source(), bucket.link(access_key_id=""))

    assert [part.name for part in found.parts()] == ["lake/a.csv"]


def test_a_list_that_tells_milliseconds_is_of_the_same_object(bucket, tmp_path, monkeypatch):
    """As MinIO does, whose answers about one object have whole seconds."""
    bucket.put("lake/a.csv", ROWS)
    real = bucket_pages._infos

    def with_milliseconds(page, folder):
        for info in real(page, folder):
            shift = 123 * 10**6 if info.type == FileType.File else 0
            kept = info.mtime_ns + shift if shift else None
            yield FileInfo(info.path, info.type, mtime_ns=kept, size=info.size)

    monkeypatch.setattr(bucket_pages, "_infos", with_milliseconds)
    found = BucketFinder().find(make_source(), bucket.link())

    assert bucket.fetch(found, Wanted(), str(tmp_path), lambda: None).files


@pytest.mark.parametrize(
    ("status", "code", "kind", "says"),
    [
        (403, "AccessDenied", Invalid, "its keys may not do that"),
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
