"""What every kind of source has to keep; each kind brings a small world of its own.

Not for what one kind does beside: ``tests/materialization/sources`` has that.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb
import msgspec
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lib.errors import Invalid
from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.jobs import ComputeJob, Envelope
from materialization.compute.session import open_session
from materialization.compute.staging import staged
from materialization.finding.fetching import no_fetch
from materialization.finding.kinds import FINDERS, find_rows, find_source
from materialization.finding.links import Link
from materialization.sources.files import Whereabouts
from materialization.sources.kinds import KINDS, open_source
from materialization.sources.where import Wheres
from materialization.stores.columns import INSTANT
from registry.spec.joins import JoinedSource, SourceJoin
from registry.spec.model import FeatureSpec
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.delta import DeltaSource
from registry.spec.sources.files import BucketSource, FileSource
from registry.spec.sources.http import HttpSource
from registry.spec.sources.postgres import PostgresSource
from registry.spec.sources.push import PushSource
from registry.spec.sources.streams import KafkaSource, RedisStreamSource
from tests.buckets import Bucket, storage_that_answers
from tests.buckets import make_source as make_bucket_source
from tests.materialization.engine_cases import END, LIMITS, computed_rows, make_spec, write_parquet
from tests.postgres import make_source
from tests.sites import Said
from tests.sites import make_source as make_http_source
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

    def add_column(self, name: str) -> None:
        file = self.root / "rows.csv"
        head, *rows = file.read_text().splitlines()
        file.write_text(
            "".join(f"{row}\n" for row in (f"{head},{name}", *(f"{r},new" for r in rows)))
        )

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
        self.where: Whereabouts | Link = Whereabouts(root=str(self.root))
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

    def add_column(self, name: str) -> None:
        table = DeltaTable(self.root / "rows").to_pyarrow_table()
        table = table.append_column(name, pa.array(["new"] * len(table)))
        write_deltalake(self.root / "rows", table, mode="overwrite", schema_mode="overwrite")

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

    def add_column(self, name: str) -> None:
        self.database.run(f"ALTER TABLE rows ADD COLUMN \"{name}\" text DEFAULT 'new'")

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

    def add_column(self, name: str) -> None:
        lines = "".join(f"{','.join(row)},new\n" for row in ROWS)
        self.bucket.put("lake/rows.csv", f"k,event,x,{name}\n{lines}")

    @contextmanager
    def closed(self) -> Iterator[str]:
        with storage_that_answers(403, "AccessDenied") as url:
            self.where = self.bucket.link(endpoint=url)
            yield "its keys may not do that"

    def take_away(self) -> None:
        self.bucket.remove("lake/rows.csv")


class BucketTableWorld(DeltaWorld):
    """The same table in a bucket, below the prefix that the connection leads to."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self.bucket = Bucket(request.getfixturevalue("storage"))
        self.bucket.put("beside/secret.csv", self.secret.read_text())
        self.where, self.fetch = self.bucket.link(), self.bucket.fetch
        source = msgspec.structs.replace(self.spec.source, connection="lake")
        self.spec = msgspec.structs.replace(self.spec, source=source)

    def _write(self, rows: list[tuple[str, str, str]], mode: Mode) -> None:
        super()._write(rows, mode)
        self.bucket.put_folder(self.root / "rows", "lake/rows")

    def add_column(self, name: str) -> None:
        super().add_column(name)
        self.bucket.put_folder(self.root / "rows", "lake/rows")

    closed = BucketWorld.closed

    def take_away(self) -> None:
        for key in self.bucket.keys("lake/rows"):
            self.bucket.remove(key)


class HttpWorld:
    """Rows that a server gives below where the connection leads, and others beside them."""

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self.secret = folder / "secret.csv"
        self.secret.write_text("k,event,x\ns,2024-01-01,secret\n")
        self.site = request.getfixturevalue("site")
        self.where, self.fetch = self.site.link(), self.site.fetch
        spec = make_spec(keys=[("k", "string")], features=[("x", "string")])
        self.spec = msgspec.structs.replace(spec, source=make_http_source())

    def write(self, rows: list[tuple[str, str, str]]) -> None:
        self.rows = list(rows)
        self._put()

    def add_rows(self, rows: list[tuple[str, str, str]]) -> None:
        self.rows += rows
        self._put()

    def _put(self) -> None:
        said = [dict(zip(("k", "event", "x"), row, strict=True)) for row in self.rows]
        tag = f'"{hash(tuple(self.rows))}"'
        self.site.put("/v1/rows", Said(said, headers={"ETag": tag}))

    def add_column(self, name: str) -> None:
        said = [dict(zip(("k", "event", "x", name), (*row, "new"), strict=True)) for row in ROWS]
        self.site.put("/v1/rows", Said(said))

    @contextmanager
    def closed(self) -> Iterator[str]:
        self.site.put("/v1/rows", Said({"error": "no"}, 403))
        yield "does not let the connection read that"

    def take_away(self) -> None:
        self.site.put("/v1/rows", Said({"error": "none"}, 404))


WORLDS = {
    FileSource: (FileWorld,),
    DeltaSource: (DeltaWorld, BucketTableWorld),
    PostgresSource: (PostgresWorld,),
    BucketSource: (BucketWorld,),
    HttpSource: (HttpWorld,),
}


@pytest.fixture(
    params=[each for worlds in WORLDS.values() for each in worlds], ids=lambda world: world.__name__
)
def world(request, tmp_path):
    made = request.param(tmp_path, request)
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
    # Nothing is read of rows that arrive: the tests of ingest and of streams have them.
    assert {*WORLDS, PushSource, KafkaSource, RedisStreamSource} == set(KINDS) == set(FINDERS)


def test_its_rows_join_those_of_a_file(world, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    event = datetime(2024, 1, 3, 12, tzinfo=UTC)
    rows = [{"k": key, "event": event, "by": key} for key in ("a", "b", "c", "d")]
    schema = pa.schema([("k", pa.string()), ("event", INSTANT), ("by", pa.string())])
    write_parquet(own, rows, schema)
    spec = make_spec(
        keys=[("k", "string")],
        features=[("x", "string")],
        sql="SELECT k, event, joined.x FROM rows",
        sources=(SourceJoin(name="joined", on={"k": "by"}),),
    )
    spec = msgspec.structs.replace(spec, joined=(JoinedSource(source=world.spec.source),))
    where = Wheres(Whereabouts(root=str(own)), (world.where,))
    engine = DuckDBEngine(LIMITS, fetch=world.fetch)

    table, _ = computed_rows(engine, ComputeJob(spec, find_rows(spec, where), END))
    (look,) = engine.look([spec], find_rows(spec, where))

    assert look.problems == []
    view = msgspec.structs.replace(spec.view, sql='SELECT k, event, joined."X" AS x FROM rows')
    other = msgspec.structs.replace(spec, view=view)
    (refused,) = engine.look([other], find_rows(other, where))
    assert "no column 'X'. Did you mean 'x'?" in str(refused.problems)
    assert "/assay-" not in str(refused.problems)
    found = {row["k"]: row["x"] or "" for row in table.to_pylist()}
    assert found == {"a": "1.10", "b": "x", "c": "", "d": ""}
    taken = msgspec.structs.replace(spec.joined[0], schema=look.joined[0])
    spec = msgspec.structs.replace(spec, joined=(taken,))
    assert computed_rows(engine, ComputeJob(spec, find_rows(spec, where), END))[0] == table


OTHER_CASE = {
    "by another name": 'SELECT k, event, lower("X") AS x FROM rows',
    "as it is": 'SELECT k, event, "X" FROM rows',
    "a condition": "SELECT k, event, k AS x FROM rows WHERE \"X\" <> ''",
    "beside all others": "SELECT *, \"X\" || '!' AS y FROM rows",
    "without SQL": None,
    "a name given to another": 'SELECT k, event, k AS "X", "X" || \'!\' AS y FROM rows',
}


def looked(world, spec):
    engine = DuckDBEngine(LIMITS, fetch=world.fetch)
    (look,) = engine.look([spec], find_rows(spec, world.where))
    return look


@pytest.mark.parametrize("sql", OTHER_CASE.values(), ids=OTHER_CASE)
def test_a_column_named_in_another_case_is_refused_looked_at_and_read(world, sql):
    features = (FeatureSpec(name="x", type="string", column=None if sql else "X"),)
    view = msgspec.structs.replace(world.spec.view, sql=sql, features=features)
    spec = msgspec.structs.replace(world.spec, view=view)

    told = [said for _, said in looked(world, spec).problems]
    assert any("no column 'X'. Did you mean 'x'?" in said for said in told), told
    assert "/assay-" not in str(told)
    with pytest.raises(Invalid, match="no column '[Xx]'.* Did you mean"):
        computed_rows(DuckDBEngine(LIMITS, fetch=world.fetch), job_of_spec(world, spec))


def job_of_spec(world, spec):
    return ComputeJob(spec=spec, source=find_rows(spec, world.where), window_end=END)


def test_a_name_that_sql_gives_is_used_again_where_the_source_has_none_of_it(world):
    sql = "SELECT k, event, x || '!' AS y, y || '?' AS x2 FROM rows"
    spec = make_spec(keys=[("k", "string")], features=[("x2", "string")], sql=sql)
    spec = msgspec.structs.replace(spec, source=world.spec.source)

    look = looked(world, spec)
    assert look.problems == []
    taken = msgspec.structs.replace(spec, schema=look.schema)
    table, _ = computed_rows(DuckDBEngine(LIMITS, fetch=world.fetch), job_of_spec(world, taken))

    assert "1.10!?" in table["x2"].to_pylist()


@pytest.mark.parametrize("name", ["y", "Y"])
@pytest.mark.parametrize("every", ["", "*, "], ids=["named", "all"])
def test_a_column_that_comes_later_changes_nothing_of_a_version(world, name, every):
    """Its SQL gives that name to something else, and uses it again."""
    sql = f"SELECT {every or 'k, event, '}lower(x) AS y, y || '?' AS made FROM rows"
    spec = make_spec(keys=[("k", "string")], features=[("made", "string")], sql=sql)
    spec = msgspec.structs.replace(spec, source=world.spec.source)
    taken = msgspec.structs.replace(spec, schema=looked(world, spec).schema)
    engine = DuckDBEngine(LIMITS, fetch=world.fetch)
    before, _ = computed_rows(engine, job_of_spec(world, taken))

    world.add_column(name)

    assert "1.10?" in before["made"].to_pylist()
    assert computed_rows(engine, job_of_spec(world, taken))[0] == before
