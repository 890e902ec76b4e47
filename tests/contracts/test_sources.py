"""What every kind of source has to keep; each kind brings a small world of its own.

Not for what one kind does beside: ``tests/materialization/sources`` has that.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb
import msgspec
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lib.errors import Invalid
from materialization.compute.jobs import ComputeJob, Envelope
from materialization.compute.session import open_session
from materialization.compute.staging import staged
from materialization.finding.fetching import no_fetch
from materialization.finding.kinds import FINDERS, find_source
from materialization.sources.files import Whereabouts
from materialization.sources.kinds import KINDS, open_source
from registry.spec.sources import BucketSource, DeltaSource, FileSource, PostgresSource, TimeColumn
from tests.buckets import Bucket, storage_that_answers
from tests.buckets import make_source as make_bucket_source
from tests.materialization.engine_cases import END, LIMITS, make_spec
from tests.postgres import make_source
from tests.unreadable import entered, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

Mode = Literal["append", "overwrite"]
ROWS = [("a", "2024-01-01", "1.10"), ("b", "2024-01-02", "x"), ("c", "2024-01-03", "")]


class FileWorld:
    """Rows in a folder that the project may read, and a file beside them that it may not."""

    fetch = staticmethod(no_fetch)

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.root.mkdir()
        self.secret = folder / "secret.csv"
        self.secret.write_text("k,event,x\ns,2024-01-01,secret\n")
        self.where = Whereabouts(root=str(self.root))
        self.spec = make_spec("*.csv", keys=[("k", "string")], features=[("x", "string")])

    def write(self, rows: list[tuple[str, str, str]]) -> None:
        lines = "".join(",".join(row) + "\n" for row in rows)
        (self.root / "rows.csv").write_text(f"k,event,x\n{lines}")

    def add_rows(self, rows: list[tuple[str, str, str]]) -> None:
        lines = "".join(",".join(row) + "\n" for row in rows)
        (self.root / "more.csv").write_text(f"k,event,x\n{lines}")

    @contextmanager
    def closed(self) -> Iterator[str]:
        """Let nobody read the rows any more; give what is said then."""
        with entered(self.folder), unreadable(self.root / "rows.csv"):
            yield r"rows.csv cannot be read \(Permission denied"

    def take_away(self) -> None:
        (self.root / "rows.csv").unlink()


class DeltaWorld:
    """A table in a folder that the project may read, and a file beside it that it may not."""

    fetch = staticmethod(no_fetch)

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.root.mkdir()
        self.secret = folder / "secret.csv"
        self.secret.write_text("k,event,x\ns,2024-01-01,secret\n")
        self.where = Whereabouts(root=str(self.root))
        spec = make_spec("rows", keys=[("k", "string")], features=[("x", "string")])
        source = DeltaSource(name="rows", path="rows", event_timestamp=TimeColumn(column="event"))
        self.spec = msgspec.structs.replace(spec, source=source)

    def write(self, rows: list[tuple[str, str, str]]) -> None:
        self._write(rows, "overwrite")

    def add_rows(self, rows: list[tuple[str, str, str]]) -> None:
        self._write(rows, "append")

    def _write(self, rows: list[tuple[str, str, str]], mode: Mode) -> None:
        lines = [dict(zip(("k", "event", "x"), row, strict=True)) for row in rows]
        write_deltalake(self.root / "rows", pa.Table.from_pylist(lines), mode=mode)

    @contextmanager
    def closed(self) -> Iterator[str]:
        first, *_ = find_source(self.spec.rows_from, self.where).paths
        with entered(self.folder), unreadable(Path(first)):
            yield rf"{Path(first).name} cannot be read \(Permission denied"

    def take_away(self) -> None:
        shutil.rmtree(self.root / "rows")


class PostgresWorld:
    """Rows in a table that the connection's user may read, and one beside it that it may not."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self.secret = folder / "secret.csv"
        self.secret.write_text("k,event,x\ns,2024-01-01,secret\n")
        self.database = request.getfixturevalue("warehouse")
        self.database.run("CREATE TABLE rows (k text, event date, x text)")
        self.where, self.fetch = self.database.link(), self.database.fetch
        spec = make_spec(keys=[("k", "string")], features=[("x", "string")])
        self.spec = msgspec.structs.replace(spec, source=make_source(table="rows"))

    def write(self, rows: list[tuple[str, str, str]]) -> None:
        self.database.run("TRUNCATE rows")
        self.add_rows(rows)

    def add_rows(self, rows: list[tuple[str, str, str]]) -> None:
        values = ", ".join(f"('{k}', '{event}', nullif('{x}', ''))" for k, event, x in rows)
        self.database.run(f"INSERT INTO rows VALUES {values}")

    @contextmanager
    def closed(self) -> Iterator[str]:
        self.database.run("REVOKE SELECT ON rows FROM reader")
        yield "its user may not read that"

    def take_away(self) -> None:
        self.database.run("DROP TABLE rows")


class BucketWorld:
    """Rows in objects below the prefix that the connection leads to, and a file beside them."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self.secret = folder / "secret.csv"
        self.secret.write_text("k,event,x\ns,2024-01-01,secret\n")
        self.bucket = Bucket(request.getfixturevalue("storage"))
        self.bucket.put("beside/secret.csv", self.secret.read_text())
        self.where, self.fetch = self.bucket.link(), self.bucket.fetch
        spec = make_spec(keys=[("k", "string")], features=[("x", "string")])
        self.spec = msgspec.structs.replace(spec, source=make_bucket_source())

    def write(self, rows: list[tuple[str, str, str]]) -> None:
        self._put("rows", rows)

    def add_rows(self, rows: list[tuple[str, str, str]]) -> None:
        self._put("more", rows)

    def _put(self, name: str, rows: list[tuple[str, str, str]]) -> None:
        lines = "".join(",".join(row) + "\n" for row in rows)
        self.bucket.put(f"lake/{name}.csv", f"k,event,x\n{lines}")

    @contextmanager
    def closed(self) -> Iterator[str]:
        with storage_that_answers(403, "AccessDenied") as url:
            self.where = self.bucket.link(endpoint=url)
            yield "its keys may not read that"

    def take_away(self) -> None:
        self.bucket.remove("lake/rows.csv")


WORLDS = {
    FileSource: FileWorld,
    DeltaSource: DeltaWorld,
    PostgresSource: PostgresWorld,
    BucketSource: BucketWorld,
}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__struct_config__.tag)
def world(request, tmp_path):
    made = WORLDS[request.param](tmp_path, request)
    made.write(ROWS)
    return made


def found(world):
    return find_source(world.spec.source, world.where)


def job_of(world):
    return ComputeJob(spec=world.spec, source=found(world), window_end=END)


def rows_of(world, tmp_path):
    """Read the source as the sandbox does; returns the rows and the columns it said it has."""
    temp = tmp_path / "temp"
    temp.mkdir(exist_ok=True)
    with (
        staged(job_of(world), LIMITS, world.fetch, lambda: None) as here,
        open_session(LIMITS, directory=str(temp), only=here.job.source.paths) as connection,
    ):
        opened = open_source(connection, world.spec, here.job.source)
        rows = connection.execute(f"SELECT k, event, x FROM {opened.relation}").fetchall()
        return sorted(rows), opened.columns


def test_every_row_comes_as_it_was_written(world, tmp_path):
    rows, columns = rows_of(world, tmp_path)

    assert [(key, x or "") for key, _, x in rows] == [(key, x) for key, _, x in ROWS]
    assert list(columns) == ["k", "event", "x"]


def test_it_may_be_sent_to_another_process(world):
    job = job_of(world)
    sent = msgspec.json.encode(Envelope(job, LIMITS, "/tmp"))  # noqa: S108 - not opened

    assert msgspec.json.decode(sent, type=Envelope).job == job


def test_its_identity_changes_with_the_data_and_with_nothing_else(world):
    before = found(world).parts()
    assert found(world).parts() == before

    world.add_rows([("d", "2024-01-04", "2")])
    more = found(world).parts()
    world.write([*ROWS, ("e", "2024-01-05", "3")])

    last = found(world).parts()

    if all(part.grows for part in before):  # what is the same may have other rows, and says so
        assert before[0].identity == more[0].identity != last[0].identity
    else:
        assert len({before, more, last}) == 3


def test_the_sandbox_opens_what_was_found_and_nothing_beside_it(world, tmp_path):
    temp = tmp_path / "temp"
    temp.mkdir()
    with staged(job_of(world), LIMITS, world.fetch, lambda: None) as here:
        connection = open_session(LIMITS, directory=str(temp), only=here.job.source.paths)
        with pytest.raises(duckdb.PermissionException):
            connection.execute(f"SELECT * FROM read_csv('{world.secret}')").fetchall()


def test_what_may_not_be_read_is_said_to_be_closed_and_not_broken(world):
    connection = duckdb.connect()
    with (
        world.closed() as said,
        pytest.raises(Invalid, match=said),
        staged(job_of(world), LIMITS, world.fetch, lambda: None) as here,
    ):
        open_source(connection, world.spec, here.job.source)


def test_nothing_to_read_says_where_it_looked(world):
    world.take_away()

    with pytest.raises(Invalid) as caught:
        found(world)
    assert len(caught.value.message) > 40


def test_every_kind_has_its_world():
    assert set(WORLDS) == set(KINDS) == set(FINDERS)
