"""What every kind of source has to keep; each kind brings a small world of its own.

Not for what one kind does beside: ``tests/materialization/sources`` has that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import duckdb
import msgspec
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lib.errors import Invalid
from materialization.compute.jobs import ComputeJob, Envelope
from materialization.compute.session import open_session
from materialization.errors import SourceFileUnreadable
from materialization.finding.kinds import FINDERS, find_source
from materialization.sources.files import Whereabouts
from materialization.sources.kinds import KINDS, open_source
from registry.spec.sources import DeltaSource, FileSource, TimeColumn
from tests.materialization.engine_cases import END, LIMITS, make_spec
from tests.unreadable import entered, unreadable

Mode = Literal["append", "overwrite"]
ROWS = [("a", "2024-01-01", "1.10"), ("b", "2024-01-02", "x"), ("c", "2024-01-03", "")]


class FileWorld:
    """Rows in a folder that the project may read, and a file beside them that it may not."""

    def __init__(self, folder: Path) -> None:
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


class DeltaWorld:
    """A table in a folder that the project may read, and a file beside it that it may not."""

    def __init__(self, folder: Path) -> None:
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


WORLDS = {FileSource: FileWorld, DeltaSource: DeltaWorld}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__struct_config__.tag)
def world(request, tmp_path):
    made = WORLDS[request.param](tmp_path)
    made.write(ROWS)
    return made


def found(world):
    return find_source(world.spec.source, world.where)


def rows_of(world, tmp_path):
    """Read the source as the sandbox does; returns the rows and the columns it said it has."""
    temp = tmp_path / "temp"
    temp.mkdir(exist_ok=True)
    source = found(world)
    with open_session(LIMITS, directory=str(temp), only=source.paths) as connection:
        opened = open_source(connection, world.spec, source)
        rows = connection.execute(f"SELECT k, event, x FROM {opened.relation}").fetchall()
        return sorted(rows), opened.columns


def test_every_row_comes_as_it_was_written(world, tmp_path):
    rows, columns = rows_of(world, tmp_path)

    assert [(key, x or "") for key, _, x in rows] == [(key, x) for key, _, x in ROWS]
    assert list(columns) == ["k", "event", "x"]


def test_it_may_be_sent_to_another_process(world):
    job = ComputeJob(spec=world.spec, source=found(world), window_end=END)
    sent = msgspec.json.encode(Envelope(job, LIMITS, "/tmp"))  # noqa: S108 - not opened

    assert msgspec.json.decode(sent, type=Envelope).job == job


def test_its_identity_changes_with_the_data_and_with_nothing_else(world):
    before = found(world).parts()
    assert found(world).parts() == before

    world.add_rows([("d", "2024-01-04", "2")])
    more = found(world).parts()
    world.write([*ROWS, ("e", "2024-01-05", "3")])

    assert len({before, more, found(world).parts()}) == 3


def test_the_sandbox_opens_what_was_found_and_nothing_beside_it(world, tmp_path):
    temp = tmp_path / "temp"
    temp.mkdir()
    connection = open_session(LIMITS, directory=str(temp), only=found(world).paths)
    with pytest.raises(duckdb.PermissionException):
        connection.execute(f"SELECT * FROM read_csv('{world.secret}')").fetchall()


def test_what_may_not_be_read_is_said_to_be_closed_and_not_broken(world, tmp_path):
    first, *_ = found(world).paths
    connection = duckdb.connect()
    said = rf"{Path(first).name} cannot be read \(Permission denied"

    with (
        entered(tmp_path),
        unreadable(Path(first)),
        pytest.raises(SourceFileUnreadable, match=said),
    ):
        open_source(connection, world.spec, found(world))


def test_nothing_to_read_says_where_it_looked(world, tmp_path):
    nowhere = Whereabouts(root=str(tmp_path / "empty"))

    with pytest.raises(Invalid) as caught:
        find_source(world.spec.source, nowhere)
    assert len(caught.value.message) > 40


def test_every_kind_has_its_world():
    assert set(WORLDS) == set(KINDS) == set(FINDERS)
