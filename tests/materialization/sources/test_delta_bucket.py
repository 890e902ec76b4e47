"""Delta tables in a bucket: the same rows as under a root, and what is told where they cannot be.

What a log decides of the rows is told by ``test_delta``; here it is read elsewhere.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import msgspec
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lib.errors import Invalid, Unavailable
from materialization.compute.jobs import ComputeJob
from materialization.compute.session import open_session
from materialization.compute.staging import staged
from materialization.errors import (
    SourceFileGone,
    SourceFileMissing,
    SourceFileUnsupported,
    SourceOutsideRoots,
    SourceRefused,
    SourceTooLarge,
    SourceUnavailable,
    SourceUnreadable,
)
from materialization.finding.fetching import Wanted
from materialization.finding.kinds import FETCHERS, find_source
from materialization.sources.files import Whereabouts
from materialization.sources.kinds import open_source
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.delta import DeltaSource
from tests.buckets import KEY, SECRET, Bucket, storage_that_answers
from tests.delta_tables import actions_of, commit, delete_by_vector, live_adds
from tests.materialization.engine_cases import END, LIMITS, make_spec
from tests.materialization.sources.test_delta import GOLDEN, write

EVENT = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def bucket(storage):
    return Bucket(storage)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t"
    write(path, (1, "a"), (2, "b"))
    write(path, (3, "c"))
    return path


def source(path="t", **more):
    time = TimeColumn(column="event")
    return DeltaSource(name="rows", path=path, event_timestamp=time, connection="lake", **more)


def find(bucket, path="t", **more):
    return find_source(source(path, **more), bucket.link())


def read(bucket, folder, *columns, path="t", under=None, **more):
    """Read columns of a table as the sandbox does, in the bucket or under a root."""
    features = [(f"f{number}", "string", name) for number, name in enumerate(columns)]
    spec = make_spec(features=features, keys=[(columns[0], "string")], event=columns[0])
    given = source(path, **more)
    if under is not None:
        given = msgspec.structs.replace(given, connection="")
    given = msgspec.structs.replace(given, event_timestamp=TimeColumn(column=columns[0]))
    spec = msgspec.structs.replace(spec, source=given)
    found = find_source(given, bucket.link() if under is None else Whereabouts(root=str(under)))
    job = ComputeJob(spec=spec, source=found, window_end=END)
    with (
        staged(job, LIMITS, bucket.fetch, lambda: None) as here,
        open_session(LIMITS, directory=str(folder), only=here.job.source.paths) as connection,
    ):
        opened = open_source(connection, spec, here.job.source)
        chosen = ", ".join(f'"{name}"' for name in columns)
        rows = connection.execute(f"SELECT {chosen} FROM {opened.relation}").fetchall()
    return sorted(rows, key=str)


@pytest.fixture
def temp(tmp_path):
    made = tmp_path / "temp"
    made.mkdir()
    return made


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir() if path.is_dir()))
def test_tables_of_others_have_the_same_rows_as_under_a_root(bucket, temp, name):
    columns = [field.name for field in DeltaTable(str(GOLDEN / name)).schema().fields]
    bucket.put_folder(GOLDEN / name, f"lake/of_others/{name}")

    rows = read(bucket, temp, *columns, path=f"of_others/{name}")

    assert rows == read(bucket, temp, *columns, path=name, under=GOLDEN)
    assert rows


def test_the_newest_version_is_read_or_the_one_that_is_named(bucket, table, temp):
    bucket.put_folder(table, "lake/t")

    assert read(bucket, temp, "k") == [(1,), (2,), (3,)]
    assert read(bucket, temp, "k", table_version=0) == [(1,), (2,)]
    with pytest.raises(SourceFileMissing, match=r"connection lake has no version 7; its newest is"):
        find(bucket, table_version=7)


def test_a_version_is_named_by_an_instant(bucket, table, temp):
    log = "_delta_log/00000000000000000001.json"
    newest = (table / log).read_bytes()
    bucket.put_folder(table, "lake/t")
    bucket.remove(f"lake/t/{log}")
    time.sleep(1.1)  # the storage's clock has seconds, and is nobody's to set
    between = datetime.now(UTC)
    time.sleep(1.1)
    bucket.put(f"lake/t/{log}", newest)
    time.sleep(1.1)

    assert read(bucket, temp, "k", as_of=between) == [(1,), (2,)]
    assert read(bucket, temp, "k", as_of=datetime.now(UTC)) == [(1,), (2,), (3,)]
    with pytest.raises(SourceFileMissing, match=r"its oldest there is from 20"):
        find(bucket, as_of=EVENT - timedelta(days=9))


def test_rows_that_were_deleted_are_gone_by_vectors_too(bucket, table, temp):
    bucket.put_folder(table, "lake/t")
    before = find(bucket).parts()
    (path,) = [p for p, add in live_adds(table).items() if '"numRecords":2' in add["stats"]]
    delete_by_vector(table, path, [0])
    bucket.put_folder(table, "lake/t")

    after = find(bucket).parts()

    assert read(bucket, temp, "k") == [(2,), (3,)]
    assert [part.name for part in before] == [part.name for part in after]
    assert len({part.identity for part in before} & {part.identity for part in after}) == 1


def test_what_was_compacted_has_the_same_rows(bucket, table, temp):
    DeltaTable(table).optimize.compact()
    DeltaTable(table).create_checkpoint()
    bucket.put_folder(table, "lake/t")

    assert read(bucket, temp, "k") == [(1,), (2,), (3,)]
    assert len(find(bucket).parts()) == 1


def test_a_part_is_called_after_the_connection_and_its_identity_is_the_logs(bucket, table):
    bucket.put_folder(table, "lake/t")
    before = find(bucket).parts()
    bucket.put_folder(table, "lake/t")

    assert find(bucket).parts() == before
    assert all(part.name.startswith("lake/t/part-") for part in before)
    assert not any(part.grows for part in before)


def test_only_the_parts_that_are_read_are_copied(bucket, table, temp):
    bucket.put_folder(table, "lake/t")
    found = find(bucket)
    first = found.parts()[0].name

    fetched = bucket.fetch(found.only([first]), Wanted(), str(temp), lambda: None)

    assert list(fetched.files) == [first]
    assert len(list(temp.iterdir())) == 1


def test_a_vacuum_between_looking_and_reading_is_told_and_tried_again(bucket, table, temp):
    bucket.put_folder(table, "lake/t")
    found = find(bucket)
    bucket.remove(found.parts()[0].name)

    with pytest.raises((SourceFileGone, SourceUnavailable), match="gone"):
        bucket.fetch(found, Wanted(), str(temp), lambda: None)


def test_a_file_that_is_not_the_logs_is_not_read(bucket, table, temp):
    bucket.put_folder(table, "lake/t")
    found = find(bucket)
    bucket.put(found.parts()[0].name, b"PAR1")

    with pytest.raises(SourceUnavailable, match="changed while it was read"):
        bucket.fetch(found, Wanted(), str(temp), lambda: None)


def test_more_than_one_reading_may_take_is_refused_before_it_is_copied(bucket, table, temp):
    bucket.put_folder(table, "lake/t")
    found, link = find(bucket), bucket.link(limits={"most_bytes": 3})

    with pytest.raises(SourceTooLarge, match="SOURCE_STAGING_MB"):
        FETCHERS[DeltaSource].fetch(found, Wanted(), str(temp), lambda: None, link)
    assert not list(temp.iterdir())


@pytest.mark.parametrize(
    "path",
    [
        "../beside/x.parquet",
        "a/../../beside/x.parquet",
        "s3://far/beside/x.parquet",
        "s3://another/lake/t/x.parquet",
        "s3://far/lake/../beside/x.parquet",
        "%2E%2E/beside/x.parquet",
        "file:///etc/passwd",
        "/etc/passwd",
        "gs://far/lake/t/x.parquet",
    ],
)
def test_a_file_elsewhere_is_not_read(bucket, table, path):
    add = next(iter(live_adds(table).values()))
    commit(table, {"add": {**add, "path": path}})
    bucket.put_folder(table, "lake/t")
    bucket.put("beside/x.parquet", b"secret")

    with pytest.raises((SourceOutsideRoots, SourceUnreadable)):
        find(bucket)


def test_a_file_by_its_whole_address_is_read_where_the_connection_leads(bucket, table, temp):
    add = next(iter(live_adds(table).values()))
    other = {**add, "path": "s3://far/lake/copy%20of/x.parquet"}
    commit(table, {"remove": {"path": add["path"], "dataChange": True}}, {"add": other})
    bucket.put_folder(table, "lake/t")
    bucket.put("lake/copy of/x.parquet", (table / add["path"]).read_bytes())

    assert len(read(bucket, temp, "k")) == 3


def test_vectors_that_the_library_does_not_find_are_told(bucket):
    bucket.put_folder(GOLDEN / "table-with-dv-small", "lake/of others")

    with pytest.raises(SourceFileUnsupported, match="not found under a path with spaces"):
        find(bucket, "of others")


@pytest.mark.parametrize("path", ["t", "deep/t#1", "of others/t+1", "täble"])
def test_names_are_taken_as_they_are(bucket, table, temp, path):
    bucket.put_folder(table, f"lake/{path}")

    assert read(bucket, temp, "k", path=path) == [(1,), (2,), (3,)]


def test_no_table_is_told_with_what_a_table_is(bucket):
    bucket.put("lake/t/a.parquet", b"x")

    with pytest.raises(SourceFileMissing, match=r"no Delta table at 't' by the connection lake"):
        find(bucket)


def test_a_path_that_no_library_reads_is_refused(bucket):
    with pytest.raises(SourceFileUnsupported, match=r"'%41'"):
        find(bucket, "t%41")


def test_what_is_asked_of_readers_and_not_done_is_refused_as_under_a_root(bucket, table):
    (found,) = (each["metaData"] for each in actions_of(table) if "metaData" in each)
    mapped = {**found, "configuration": {"delta.columnMapping.mode": "id"}}
    commit(table, {"metaData": mapped})
    bucket.put_folder(table, "lake/t")

    with pytest.raises((SourceFileUnsupported, SourceUnreadable)) as caught:
        find(bucket)
    assert bucket.name not in caught.value.message


def test_a_broken_log_is_told_without_addresses(bucket, table):
    bucket.put_folder(table, "lake/t")
    bucket.put("lake/t/_delta_log/00000000000000000001.json", "{no json")

    with pytest.raises(SourceUnreadable, match="the log of the Delta table 't'") as caught:
        find(bucket)
    for secret in (KEY, SECRET, bucket.url, f"{bucket.name}/lake"):
        assert secret not in caught.value.message


@pytest.mark.parametrize(
    ("status", "code", "kind", "says"),
    [
        (403, "AccessDenied", Invalid, "its keys may not do that"),
        (404, "NoSuchBucket", Invalid, "there is no such bucket"),
        (503, "SlowDown", Unavailable, "asked too much"),
        (500, "InternalError", Unavailable, "does not answer"),
    ],
)
def test_what_the_storage_refuses_is_told_without_secrets(bucket, status, code, kind, says):
    with storage_that_answers(status, code) as url, pytest.raises(kind, match=says) as caught:
        find_source(source(), bucket.link(endpoint=url, limits={"timeout_s": 4.0}))

    for secret in (KEY, SECRET, bucket.name, url):
        assert secret not in str(caught.value)


def test_a_server_that_is_not_there_is_told(bucket):
    link = bucket.link(endpoint="http://127.0.0.1:9", limits={"timeout_s": 4.0})

    with pytest.raises(SourceUnavailable, match="does not answer"):
        find_source(source(), link)


def test_anothers_token_is_not_sent_with_the_connections_key(bucket, table, monkeypatch):
    bucket.put_folder(table, "lake/t")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-somebody-else")

    with pytest.raises(SourceRefused, match="AWS_SESSION_TOKEN"):
        find(bucket)


def test_the_environment_leads_nowhere_else(bucket, table, temp, monkeypatch):
    bucket.put_folder(table, "lake/t")
    for name, value in (
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"), ("AWS_REGION", "eu-west-9"),
        ("AWS_ACCESS_KEY_ID", "another"), ("AWS_SECRET_ACCESS_KEY", "another"),
        ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)

    assert read(bucket, temp, "k") == [(1,), (2,), (3,)]


def test_a_plan_copies_some_files_and_says_so(bucket, tmp_path, temp, monkeypatch):
    for number in range(3):
        rows = pa.table({"k": [number], "event": [EVENT]})
        write_deltalake(tmp_path / "t", rows, mode="append")
    bucket.put_folder(tmp_path / "t", "lake/t")
    found = find(bucket)
    monkeypatch.setattr("materialization.finding.copying.LOOK_BYTES", found.parts()[0].size)

    fetched = bucket.fetch(found, Wanted(most_rows=10), str(temp), lambda: None)

    assert fetched.is_part
    assert len(fetched.files) == 1
