"""Delta tables as sources: what of a log decides which rows there are, and what is refused."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from lib.errors import Invalid
from materialization.compute.session import open_session
from materialization.errors import (
    SourceDrifted,
    SourceFileMissing,
    SourceFileUnsupported,
    SourceOutsideRoots,
    SourceUnreadable,
)
from materialization.finding.kinds import find_source
from materialization.sources.files import Whereabouts
from materialization.sources.kinds import open_source
from registry.spec.sources.base import SourceColumn, SourceSchema, TimeColumn
from registry.spec.sources.delta import DeltaSource
from registry.spec.sources.files import FileSource
from tests.delta_tables import actions_of, commit, delete_by_vector, live_adds
from tests.materialization.engine_cases import LIMITS, make_spec

GOLDEN = Path(__file__).parent / "delta_tables"
EVENT = datetime(2024, 1, 1, tzinfo=UTC)


def source(path="t", **more):
    return DeltaSource(name="rows", path=path, event_timestamp=TimeColumn(column="event"), **more)


def find(root, path="t", **more):
    return find_source(source(path, **more), Whereabouts(root=str(root)))


def read(root, tmp, *columns, path="t", schema=None, **more):
    """Read columns of a table as the sandbox does; returns the rows, sorted."""
    features = [(f"f{number}", "string", name) for number, name in enumerate(columns)]
    spec = make_spec(features=features, keys=[(columns[0], "string")], event=columns[0])
    given = msgspec.structs.replace(
        source(path, **more), event_timestamp=TimeColumn(column=columns[0])
    )
    spec = msgspec.structs.replace(spec, source=given, schema=schema)
    found = find(root, path, **more)
    with open_session(LIMITS, directory=str(tmp), only=found.paths) as connection:
        opened = open_source(connection, spec, found)
        chosen = ", ".join(f'"{name}"' for name in columns)
        rows = connection.execute(f"SELECT {chosen} FROM {opened.relation}").fetchall()
    return sorted(rows, key=str), opened


def write(table, *rows, mode="append", **options):
    columns = {"k": [k for k, _ in rows], "x": [x for _, x in rows]}
    write_deltalake(
        table,
        pa.table({**columns, "event": pa.array([EVENT] * len(rows), pa.timestamp("us", "UTC"))}),
        mode=mode,
        **options,
    )


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "root" / "t"
    path.parent.mkdir()
    write(path, (1, "a"), (2, "b"))
    write(path, (3, "c"))
    return path


@pytest.fixture
def root(table):
    return table.parent


@pytest.fixture
def tmp(tmp_path):
    made = tmp_path / "temp"
    made.mkdir()
    return made


# --- Tables of others -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir() if path.is_dir()))
def test_tables_of_others_have_the_rows_that_their_library_reads(name, tmp):
    table = DeltaTable(str(GOLDEN / name))
    columns = [field.name for field in table.schema().fields]
    wanted = QueryBuilder().register("t", table).execute("SELECT * FROM t").read_all()
    expected = [tuple(row.values()) for row in pa.table(wanted).to_pylist()]

    rows, _ = read(GOLDEN, tmp, *columns, path=name)

    assert rows == sorted(expected, key=str)
    assert rows


def test_a_deletion_vector_leaves_its_rows_out(tmp):
    rows, _ = read(GOLDEN, tmp, "value", path="table-with-dv-small")

    assert rows == [(value,) for value in range(1, 9)]


def test_columns_are_called_as_the_table_calls_them_whatever_files_do(tmp):
    rows, opened = read(GOLDEN, tmp, "Super Name", path="table_with_column_mapping")

    assert ("Timothy Lamb",) in rows
    assert opened.found == {"Company Very Short": "VARCHAR", "Super Name": "VARCHAR"}


# --- Which snapshot -------------------------------------------------------------------------------


def test_the_newest_version_is_read_or_the_one_that_is_named(table, root, tmp):
    assert read(root, tmp, "k")[0] == [(1,), (2,), (3,)]
    assert read(root, tmp, "k", table_version=0)[0] == [(1,), (2,)]


def test_a_version_is_named_by_an_instant(table, root, tmp):
    for number in (0, 1):
        at = (EVENT + timedelta(days=number)).timestamp()
        os.utime(table / "_delta_log" / f"{number:020d}.json", (at, at))

    assert read(root, tmp, "k", as_of=EVENT + timedelta(hours=1))[0] == [(1,), (2,)]
    assert read(root, tmp, "k", as_of=EVENT + timedelta(days=2))[0] == [(1,), (2,), (3,)]
    with pytest.raises(SourceFileMissing, match=r"its oldest there is from 2024-01-01 00:00:00"):
        find(root, as_of=EVENT - timedelta(hours=1))
    with pytest.raises(SourceFileMissing, match=r"is not over"):
        find(root, as_of=datetime(2999, 1, 1, tzinfo=UTC))


def test_instants_that_are_kept_in_the_log_are_not_guessed_from_files(table, root):
    metadata = {"configuration": {"delta.enableInCommitTimestamps": "true"}}
    (found,) = (each["metaData"] for each in actions_of(table) if "metaData" in each)
    commit(table, {"metaData": {**found, **metadata}})

    with pytest.raises(SourceFileUnsupported, match=r"name a table_version instead"):
        find(root, as_of=datetime.now(UTC))


@pytest.mark.parametrize(
    ("version", "said"), [(7, r"has no version 7; its newest is 1"), (2**62, r"has no version")]
)
def test_a_version_that_is_not_there_is_told_with_those_that_are(root, version, said):
    with pytest.raises(SourceFileMissing, match=said):
        find(root, table_version=version)


def test_a_version_whose_log_was_cleaned_up_is_told(table, root):
    DeltaTable(table).create_checkpoint()
    write(table, (4, "d"))
    for number in (0, 1):
        (table / "_delta_log" / f"{number:020d}.json").unlink()

    with pytest.raises(SourceFileMissing, match=r"no version 0 any more: its log was cleaned up"):
        find(root, table_version=0)
    assert len(find(root).files) == 3


def test_what_was_vacuumed_is_told_by_its_name(table, root):
    DeltaTable(table).optimize.compact()
    DeltaTable(table).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)

    assert len(find(root).files) == 1
    with pytest.raises(SourceFileMissing, match=r"version 0 of .* which is not there: a vacuum"):
        find(root, table_version=0)


# --- Which rows, and what is a part ---------------------------------------------------------------


def test_rows_that_were_deleted_are_gone_and_removed_files_are_not_read(table, root, tmp):
    before = find(root)
    DeltaTable(table).delete("k = 1")

    after = find(root)

    assert read(root, tmp, "k")[0] == [(2,), (3,)]
    assert len(after.paths) == 2
    assert len(set(before.paths) & set(after.paths)) == 1
    assert len(list(table.glob("*.parquet"))) == 3, "the folder has the removed one still"


def test_a_vector_changes_the_identity_of_its_file_and_of_no_other(table, root, tmp):
    before = find(root).parts()
    (path,) = [p for p, add in live_adds(table).items() if '"numRecords":2' in add["stats"]]
    delete_by_vector(table, path, [0])

    after = find(root).parts()

    assert read(root, tmp, "k")[0] == [(2,), (3,)]
    assert [part.name for part in before] == [part.name for part in after]
    changed = [a.name for b, a in zip(before, after, strict=True) if a != b]
    assert [Path(name).name for name in changed] == [path]
    delete_by_vector(table, path, [0, 1])
    assert len({before, after, find(root).parts()}) == 3
    assert read(root, tmp, "k")[0] == [(3,)]


def test_a_table_without_rows_is_one(table, root, tmp):
    DeltaTable(table).delete()

    rows, opened = read(root, tmp, "k", "x")

    assert rows == []
    assert opened.found == {"k": "BIGINT", "x": "VARCHAR", "event": "TIMESTAMP WITH TIME ZONE"}


def test_a_column_that_came_later_is_null_in_older_files(table, root, tmp):
    later = pa.table({"k": [4], "x": ["d"], "more": pa.array([1.5], pa.float32())})
    write_deltalake(table, later, mode="append", schema_mode="merge")

    rows, opened = read(root, tmp, "k", "more")

    assert rows == [(1, None), (2, None), (3, None), (4, 1.5)]
    assert opened.found["more"] == "FLOAT"


def test_a_field_that_came_later_is_null_in_older_files(tmp_path, tmp):
    inside = [{"x": 1}, {"x": 2, "y": "q"}]
    for number, value in enumerate(inside):
        kinds = [("x", pa.int32()), ("y", pa.string())][: len(value)]
        rows = {"k": [number], "s": pa.array([value], pa.struct(kinds)), "l": [[value]]}
        write_deltalake(tmp_path / "t", pa.table(rows), mode="append", schema_mode="merge")

    rows, opened = read(tmp_path, tmp, "k", "s", "l")

    first = {"x": 1, "y": None}
    assert rows == [(0, first, [first]), (1, inside[1], [inside[1]])]
    assert opened.found["s"] == "STRUCT(x INTEGER, y VARCHAR)"


def test_partitions_have_the_types_of_the_log(tmp_path, tmp):
    days = [date(2024, 1, 1), date(2024, 1, 2), None]
    data = pa.table(
        {
            "k": [1, 2, 3],
            "day": days,
            "n": pa.array([1, None, 3], pa.int32()),
            "name": ["a/b", "50% off", "ä ö"],
            "at": pa.array([EVENT, None, EVENT], pa.timestamp("us", "UTC")),
            "ok": [True, False, None],
        }
    )
    partitions = ["day", "n", "name", "at", "ok"]
    write_deltalake(tmp_path / "t", data, partition_by=partitions)

    rows, opened = read(tmp_path, tmp, "k", *partitions)

    assert rows == [tuple(row.values()) for row in data.to_pylist()]
    assert opened.found["day"] == "DATE"
    assert opened.found["at"] == "TIMESTAMP WITH TIME ZONE"


def test_a_checkpoint_alone_is_enough(table, root, tmp):
    DeltaTable(table).create_checkpoint()
    for entry in (table / "_delta_log").glob("*.json"):
        entry.unlink()

    assert read(root, tmp, "k")[0] == [(1,), (2,), (3,)]


# --- Drift ----------------------------------------------------------------------------------------


def taken(**types):
    columns = tuple(SourceColumn(name=name, type=kind) for name, kind in sorted(types.items()))
    return SourceSchema(format="delta", columns=columns)


def test_a_column_that_left_the_table_is_told(root, tmp):
    with pytest.raises(SourceDrifted, match=r"no column 'gone' any more, which was VARCHAR"):
        read(root, tmp, "k", "gone", schema=taken(k="BIGINT", gone="VARCHAR"))


def test_a_column_of_another_type_is_told(root, tmp):
    with pytest.raises(SourceDrifted, match=r"column 'x' is VARCHAR there and BIGINT"):
        read(root, tmp, "k", "x", schema=taken(k="BIGINT", x="BIGINT"))


# --- Refused --------------------------------------------------------------------------------------


def add(path):
    return {
        "add": {
            "path": path, "size": 1, "partitionValues": {}, "modificationTime": 1,
            "dataChange": True,
        }
    }  # fmt: skip


@pytest.mark.parametrize(
    "path", ["../../secret.parquet", "/etc/hosts", "file:///etc/hosts", "s3://b/x.parquet"]
)
def test_a_log_leads_nowhere_beside_the_root(table, root, path):
    (root.parent / "secret.parquet").write_bytes(b"PAR1")
    commit(table, add(path))

    with pytest.raises(SourceOutsideRoots, match="copy the whole table"):
        find(root)


@pytest.mark.parametrize("path", ["..", "../root/t", "/etc", "~", "t/../../root/t"])
def test_a_path_leads_nowhere_beside_the_root(root, path):
    with pytest.raises(SourceOutsideRoots):
        find(root, path)


def test_links_lead_nowhere_beside_the_root(table, root, tmp_path):
    shutil.move(table, tmp_path / "elsewhere")
    (root / "t").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceOutsideRoots, match="is a link that leaves"):
        find(root)

    (root / "u").mkdir()
    (root / "u" / "_delta_log").symlink_to(tmp_path / "elsewhere" / "_delta_log")
    with pytest.raises(SourceOutsideRoots, match="is a link that leaves"):
        find(root, "u")


def test_our_own_stores_are_no_source(table, root):
    with pytest.raises(SourceOutsideRoots, match="Assay's own stores"):
        find_source(source(), Whereabouts(root=str(root), forbidden=(str(table),)))


@pytest.mark.parametrize(
    ("features", "said"),
    [(["variantShredding"], r"variantShredding"), (["fancyThing"], r"fancyThing")],
)
def test_what_a_table_asks_of_its_readers_is_done_or_refused(table, root, features, said):
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7}
    named = {"readerFeatures": features, "writerFeatures": features}
    commit(table, {"protocol": {**protocol, **named}})

    with pytest.raises(Invalid, match=said):
        find(root)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda log: (log / f"{1:020d}.json").write_text("not json"),
        lambda log: (log / f"{0:020d}.json").unlink(),
        lambda log: (log / f"{1:020d}.json").write_bytes(b"\xff\xfe\x00"),
    ],
    ids=["no JSON", "a gap", "no text"],
)
def test_a_log_that_cannot_be_read_is_told_in_words(table, root, spoil):
    write(table, (4, "d"))
    spoil(table / "_delta_log")

    with pytest.raises(SourceUnreadable, match=r"the log of the Delta table 't' .* cannot be read"):
        find(root)


@pytest.mark.parametrize("path", ["nowhere", "t/_delta_log", "file.parquet"])
def test_no_table_is_told_as_that(table, root, path):
    (root / "file.parquet").write_bytes(b"PAR1")

    with pytest.raises(SourceFileMissing, match=r"there is no Delta table at"):
        find(root, path)


def test_the_files_of_a_table_are_no_files_of_a_source(table, root):
    files = FileSource(name="s", path="t/*.parquet", event_timestamp=TimeColumn(column="event"))

    with pytest.raises(SourceFileUnsupported, match=r"say `type: delta` and `path: t`"):
        find_source(files, Whereabouts(root=str(root)))
