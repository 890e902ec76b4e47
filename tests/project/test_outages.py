"""What passes by itself is said to: databases that are busy or away, disks that are full."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError
from django.db import OperationalError
from django.test import RequestFactory

from featurestore_project.problem import respond, server_error
from lib.outages import outage
from materialization.errors import from_report, to_report
from materialization.failures import translate


def raised(call, *arguments) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, is the question
        call(*arguments)
    return caught.value


def sqlite_locked(tmp_path: Path) -> Exception:
    one, other = (sqlite3.connect(tmp_path / "db", timeout=0) for _ in range(2))
    one.execute("CREATE TABLE t (a)")
    one.execute("BEGIN IMMEDIATE")
    return raised(other.execute, "BEGIN IMMEDIATE")


def sqlite_full(tmp_path: Path) -> Exception:
    small = sqlite3.connect(tmp_path / "db")
    small.execute("PRAGMA max_page_count = 2")
    small.execute("CREATE TABLE t (a)")
    return raised(small.execute, "INSERT INTO t VALUES (zeroblob(100000))")


def sqlite_read_only(tmp_path: Path) -> Exception:
    sqlite3.connect(tmp_path / "db").execute("CREATE TABLE t (a)")
    reader = sqlite3.connect(f"file:{tmp_path}/db?mode=ro", uri=True)
    return raised(reader.execute, "INSERT INTO t VALUES (1)")


def sqlite_missing(tmp_path: Path) -> Exception:
    return raised(sqlite3.connect, tmp_path / "none" / "db")


def postgres_away(tmp_path: Path) -> Exception:
    return raised(psycopg.connect, f"host={tmp_path} dbname=none")


def disk_full(tmp_path: Path) -> Exception:
    return raised(lambda: Path("/dev/full").write_bytes(b"x"))


def no_memory(tmp_path: Path) -> Exception:
    return raised(lambda: bytes(1 << 60))


def no_memory_for_arrow(tmp_path: Path) -> Exception:
    return raised(pa.allocate_buffer, 1 << 60)


def in_duckdb(tmp_path: Path) -> Exception:
    return raised(duckdb.sql, "COPY (SELECT range FROM range(10)) TO '/dev/full' (FORMAT csv)")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (sqlite_locked, "database_busy"),
        (sqlite_full, "disk_unavailable"),
        (sqlite_read_only, "disk_unavailable"),
        (sqlite_missing, "database_unavailable"),
        (postgres_away, "database_unavailable"),
        (disk_full, "disk_unavailable"),
        (in_duckdb, "disk_unavailable"),
        (no_memory, "memory_unavailable"),
        (no_memory_for_arrow, "memory_unavailable"),
    ],
)
def test_each_door_answers_503_and_when_to_ask_again(tmp_path, fault, code):
    error = fault(tmp_path)
    assert outage(error).code == code

    wrapped = OperationalError("as Django wraps it")
    wrapped.__cause__ = error
    answer = respond(wrapped)

    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert f'"code":"{code}"' in answer.content.decode()


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("57P01", "database_unavailable"),
        ("53300", "database_unavailable"),
        ("53100", "disk_unavailable"),
        ("40P01", "database_busy"),
        ("57014", "database_busy"),
    ],
)
def test_what_postgresql_says_of_itself(state, code):
    error = psycopg.errors.lookup(state)("as it says")

    assert outage(error).code == code


@pytest.mark.parametrize(
    "said", ["No space left on device (os error 28)", "Read-only file system (os error 30)"]
)
def test_what_delta_says_of_a_disk(said):
    assert outage(DeltaError(f"Generic LocalFileSystem error: {said}")).code == "disk_unavailable"


def test_what_is_no_outage_stays_what_it_is():
    no_table = raised(sqlite3.connect(":memory:").execute, "SELECT * FROM nothing")
    unique = psycopg.errors.UniqueViolation("twice")
    parameter = psycopg.ProgrammingError("no such parameter")
    missing = OSError(errno.ENOENT, "no such file")
    text = ValueError("No space left on device")

    assert [outage(each) for each in (no_table, unique, parameter, missing, text)] == [None] * 5


def test_the_sandbox_hands_it_over_as_an_outage(tmp_path):
    handed = from_report(to_report(translate(in_duckdb(tmp_path))))

    assert (handed.code, type(handed).__name__) == ("disk_unavailable", "DiskUnavailable")


@pytest.mark.parametrize(
    ("path", "kind"), [("/api/v1/x", "application/problem+json"), ("/admin/", "text/html")]
)
def test_what_leaves_a_middleware_is_answered_so_too(tmp_path, path, kind):
    try:
        raise OperationalError("database is locked") from sqlite_locked(tmp_path)
    except OperationalError:
        answer = server_error(RequestFactory().get(path))

    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert answer["Content-Type"].startswith(kind)
