"""Files as the tools of the world write them: read exactly, or refused in words that name them.

Not for the kinds of source (``test_sources``) nor for what is declared of a value
(``tests/materialization/transforms``).
"""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import duckdb
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from lib.errors import AssayError
from materialization.sources.files import resolve_source
from materialization.sources.reading import open_files
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import ScheduleSpec
from registry.spec.sources.base import SourceColumn, SourceSchema
from tests.materialization.engine_cases import END, at, compute_here, make_spec
from tests.servers import ROOT

DAY = at("2024-05-01T00:00")
TEXT = (("x", "string"),)


def read(root, path, *, features=TEXT, key="string", end=END, **view):
    spec = make_spec(path, keys=[("k", key)], features=features, **view)
    return compute_here(spec, root, end=end)[0]


def values(table, name="x"):
    return dict(zip(table["k"].to_pylist(), table[name].to_pylist(), strict=True))


def parquet(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = len(next(iter(columns.values())))
    given = {"event": pa.array([DAY] * rows, pa.timestamp("us", "UTC"))} | columns
    pq.write_table(pa.table(given), path)


# -- by pandas -------------------------------------------------------------------------------------


def test_pandas_csv_with_a_mark_in_front_and_windows_line_ends(tmp_path):
    frame = pd.DataFrame({"k": ["a", "b"], "event": ["2024-05-01"] * 2, "x": ['é"q', "1.10"]})
    frame.to_csv(tmp_path / "a.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n")

    assert values(read(tmp_path, "*.csv")) == {"a": 'é"q', "b": "1.10"}


def test_pandas_days_on_which_an_integer_column_was_empty_or_all_null(tmp_path):
    for name, x in {"1": [1, 2], "2": [3.0, None], "3": [None, None]}.items():
        frame = pd.DataFrame({"k": [f"{name}a", f"{name}b"], "event": [DAY] * 2, "x": x})
        frame["x"] = frame["x"].astype(object) if name == "3" else frame["x"]
        frame.to_parquet(tmp_path / f"{name}.parquet")

    found = values(read(tmp_path, "*.parquet", features=[("x", "int64")]))
    assert found == {"1a": 1, "1b": 2, "2a": 3, "2b": None, "3a": None, "3b": None}


@pytest.mark.parametrize("order", ["123", "312"], ids=["typed first", "empty first"])
def test_pandas_days_on_which_all_lists_were_empty_or_of_another_width(tmp_path, order):
    lists = {"1": pa.array([[2**53 + 1], None]), "2": pa.array([[], [None]]),
             "3": pa.array([[1], []], pa.list_(pa.int8()))}  # fmt: skip
    for name, day in zip(order, "123", strict=True):
        parquet(tmp_path / f"{name}.parquet", k=[f"{day}a", f"{day}b"], x=lists[day])
    days = {"1a": [2**53 + 1], "1b": None, "2a": [], "2b": [None], "3a": [1], "3b": []}

    assert values(read(tmp_path, "*.parquet", features=[("x", "list<int64>")])) == days


def test_an_empty_day_of_lists_is_read_by_the_schema_that_was_taken(tmp_path):
    """A list in a list, and a day that alone says nothing of its items."""
    parquet(tmp_path / "1.parquet", k=["a"], x=pa.array([[[1]]]))
    spec = make_spec("*.parquet", keys=[("k", "string")], features=[("x", "list<list<int64>>")])
    with duckdb.connect() as connection:
        source = resolve_source(spec.source, root=str(tmp_path))
        schema = open_files(connection, spec, source).schema
    parquet(tmp_path / "1.parquet", k=["a", "b"], x=pa.array([[[]], []]))

    table = compute_here(msgspec.structs.replace(spec, schema=schema), tmp_path)[0]
    assert values(table) == {"a": [[]], "b": []}


def test_lists_of_different_things_are_refused(tmp_path):
    parquet(tmp_path / "1.parquet", k=["a"], x=pa.array([[1]]))
    parquet(tmp_path / "2.parquet", k=["a"], x=pa.array([["1"]]))

    with pytest.raises(
        AssayError, match=r"VARCHAR\[\] in .*2\.parquet and BIGINT\[\] in .*1\.parq"
    ):
        read(tmp_path, "*.parquet", features=[("x", "list<int64>")])


def test_pandas_json_lines_keep_every_digit_and_every_text(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"k":"a","event":"2024-05-01","big":9007199254740993,"money":12345678901234567.89,'
        '"day":"2024-05-01","hash":"1e10","tags":["1.10","007","2024-05-01"],"o":{"b":2,"a":1.10}}\n'
        '{"k":"b","event":"2024-05-01","o":{"c":"12"},"tags":[]}\n'
    )
    features = [
        ("big", "int64"), ("money", "decimal(19,2)"), ("day", "string"), ("hash", "string"),
        ("tags", "list<string>"), ("o", "json"),
    ]  # fmt: skip
    rows = {row["k"]: row for row in read(tmp_path, "a.jsonl", features=features).to_pylist()}

    assert rows["a"]["big"] == 2**53 + 1
    assert rows["a"]["money"] == Decimal("12345678901234567.89")
    assert (rows["a"]["day"], rows["a"]["hash"]) == ("2024-05-01", "1e10")
    assert rows["a"]["tags"] == ["1.10", "007", "2024-05-01"]
    assert rows["a"]["o"] == '{"b":2,"a":1.10}'
    assert (rows["b"]["o"], rows["b"]["tags"], rows["b"]["big"]) == ('{"c":"12"}', [], None)


def test_python_writes_nan_into_json_lines(tmp_path):
    row = {"k": "a", "event": "2024-05-01", "x": float("nan")}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")

    assert np.isnan(values(read(tmp_path, "a.jsonl", features=[("x", "float64")]))["a"])


def test_nan_is_found_where_the_statistics_of_a_parquet_file_have_none(tmp_path):
    """They never have: of this file they say 5 to 7."""
    parquet(tmp_path / "a.parquet", k=["a", "b", "c"], x=[5.0, 7.0, float("nan")])
    sql = "SELECT k, event, isnan(x) OR x <= 5 AS x FROM rows WHERE x > 6"

    assert values(read(tmp_path, "*.parquet", features=[("x", "bool")], sql=sql)) == {
        "b": False,
        "c": True,
    }


def test_the_greatest_of_floats_is_a_number_where_each_is(tmp_path):
    """DuckDB answers NaN for a column that may have it, asked of the files' statistics alone."""
    parquet(tmp_path / "a.parquet", k=["a", "b"], x=[5.0, 7.0])
    sql = "SELECT k, event, x / (SELECT max(x) FROM rows) AS x FROM rows"

    found = values(read(tmp_path, "*.parquet", features=[("x", "float64")], sql=sql))
    assert found == {"a": 5.0 / 7.0, "b": 1.0}


def test_parquet_files_are_read_by_one_function_alone():
    """Of others NaN would not be found; benchmarks read files that have none."""
    server = ("lib", "registry", "materialization", "serving", "featurestore_project")
    found = [
        str(path.relative_to(ROOT))
        for package in server
        for path in sorted((ROOT / package).rglob("*.py"))
        if "read_parquet(" in path.read_text() or "parquet_scan(" in path.read_text()
    ]
    assert found == ["lib/sql_text.py"]


def test_a_json_array_as_pandas_writes_one(tmp_path):
    frame = pd.DataFrame({"k": ["a", "b"], "event": ["2024-05-01"] * 2, "x": ["12", None]})
    frame.to_json(tmp_path / "a.json", orient="records", indent=1)

    assert values(read(tmp_path, "a.json")) == {"a": "12", "b": None}
    assert values(read(tmp_path, "a.json", features=[("x", "json")])) == {"a": '"12"', "b": None}


# -- by pyarrow ------------------------------------------------------------------------------------

EVERY = {
    "int8": -1, "uint8": 2**8 - 1, "int16": -1, "uint16": 2**16 - 1, "uint32": 2**32 - 1,
    "uint64": 2**63 - 1, "halffloat": 1.5, "float": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("kind", EVERY)
def test_pyarrow_numbers_of_every_width(tmp_path, kind):
    want = "float64" if "float" in kind else "int64"
    given = np.float16(EVERY[kind]) if kind == "halffloat" else EVERY[kind]
    parquet(tmp_path / "a.parquet", k=["a"], x=pa.array([given], kind))

    assert values(read(tmp_path, "a.parquet", features=[("x", want)])) == {"a": EVERY[kind]}


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["é"]).dictionary_encode(),
        pa.array(["é"], pa.large_string()),
        pa.array(["é"], pa.string_view()),
        pa.array(["é".encode()], pa.large_binary()),
    ],
    ids=["dictionary", "large", "view", "binary"],
)
def test_pyarrow_texts_of_every_layout(tmp_path, column):
    parquet(tmp_path / "a.parquet", k=["a"], x=column)

    assert values(read(tmp_path, "a.parquet")) == {"a": "é"}


def test_pyarrow_decimals_that_no_engine_of_ours_holds_are_named(tmp_path):
    parquet(tmp_path / "a.parquet", k=["a"], x=pa.array([Decimal(1)], pa.decimal256(60, 2)))

    with pytest.raises(AssayError, match=r"a\.parquet: column 'x' is DECIMAL\(60,2\)"):
        read(tmp_path, "a.parquet", features=[("x", "decimal(38,2)")])


def test_nanoseconds_stand_beside_the_year_9999(tmp_path):
    late = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    parquet(tmp_path / "a.parquet", k=["a"], x=pa.array([1_999], pa.timestamp("ns", "UTC")))
    parquet(tmp_path / "b.parquet", k=["b"], x=pa.array([late], pa.timestamp("us", "UTC")))
    parquet(tmp_path / "c.parquet", k=["c"], x=pa.array([-1], pa.timestamp("ns")))

    found = values(read(tmp_path, "*.parquet", features=[("x", "timestamp")]))
    epoch, microsecond = at("1970-01-01T00:00"), timedelta(microseconds=1)
    assert found == {"a": epoch + microsecond, "b": late, "c": epoch - microsecond}


@pytest.mark.parametrize("other", ["A", "K"])
def test_names_that_differ_in_case_alone_are_two_columns(tmp_path, other):
    mine = "a" if other == "A" else "k"
    parquet(tmp_path / "1.parquet", **{other: ["wrong"], mine: ["right"], "x": ["1"]} | _k(mine))
    parquet(tmp_path / "2.parquet", **{mine: ["right"], other: ["wrong"], "x": ["2"]} | _k(mine))

    found = read(tmp_path, "*.parquet", features=[("x", "string"), ("y", "string", mine)])
    assert found["y"].to_pylist() == ["right", "right"]


def _k(mine):
    return {} if mine == "k" else {"k": ["1"]}


def test_a_file_that_calls_a_column_in_another_case_lacks_it(tmp_path):
    parquet(tmp_path / "1.parquet", k=["a"], x=["1"])
    parquet(tmp_path / "2.parquet", k=["b"], X=["2"])

    with pytest.raises(AssayError, match=r"2\.parquet has no column 'x', .*1\.parquet has"):
        read(tmp_path, "*.parquet")
    sql = 'SELECT k, event, "X" AS x FROM rows'
    with pytest.raises(AssayError, match="no column 'X'"):
        read(tmp_path, "1.parquet", sql=sql)
    with pytest.raises(AssayError, match="differ in case alone, and the view reads both"):
        read(tmp_path, "*.parquet", features=[("x", "string"), ("y", "string", "X")])


def test_texts_in_one_file_and_numbers_in_another_are_named(tmp_path):
    parquet(tmp_path / "1.parquet", k=["a"], x=[1])
    parquet(tmp_path / "2.parquet", k=["b"], x=["1.10"])

    with pytest.raises(AssayError, match=r"'x' is VARCHAR in .*2\.parquet and BIGINT in .*1\.parq"):
        read(tmp_path, "*.parquet")


def test_a_file_without_rows_is_none_and_one_that_lacks_a_column_is_named(tmp_path):
    parquet(tmp_path / "1.parquet", k=["a"], x=["1"])
    parquet(tmp_path / "2.parquet", k=pa.array([], pa.string()), x=pa.array([], pa.string()))
    assert values(read(tmp_path, "*.parquet")) == {"a": "1"}

    parquet(tmp_path / "3.parquet", k=["b"])
    with pytest.raises(AssayError, match=r"3\.parquet has no column 'x'"):
        read(tmp_path, "*.parquet")


# -- partitions, by pyarrow, DuckDB and mkdir ------------------------------------------------------

FOLDERS = ["2024-05-01", "2024-1-1", "-0", " 5", "007", "2024-05-01 10:00:00", "1e3", "a%b"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_are_text_whoever_made_them(tmp_path, folder):
    (tmp_path / f"mkdir/p={folder.replace('%', '%25')}").mkdir(parents=True)
    parquet(tmp_path / f"mkdir/p={folder.replace('%', '%25')}/a.parquet", k=["a"])
    table = pa.table({"k": ["a"], "event": [DAY], "p": [folder]})
    ds.write_dataset(
        table, tmp_path / "arrow", format="parquet",
        partitioning=ds.partitioning(pa.schema([("p", pa.string())]), flavor="hive"),
    )  # fmt: skip
    out = tmp_path / "duck"
    duckdb.from_arrow(table).query("t", f"COPY t TO '{out}' (FORMAT parquet, PARTITION_BY (p))")

    for writer in ("mkdir", "arrow", "duck"):
        found = values(read(tmp_path, f"{writer}/**/*.parquet", features=[("x", "string", "p")]))
        assert found == {"a": folder}, writer


def test_what_files_say_themselves_is_read_and_not_their_folders(tmp_path):
    root = tmp_path / "tenant=eu"
    evening = DAY + timedelta(hours=20)
    folder = root / "rows/event=2024-05-01/k=z"
    parquet(folder / "a.parquet", k=["a"], x=["1"], event=pa.array([evening]))

    table = read(root, "rows/*/*/*.parquet")
    assert table.select(["k", "event_timestamp"]).to_pylist() == [
        {"k": "a", "event_timestamp": evening}
    ]
    with pytest.raises(AssayError, match="no column 'tenant'"):
        read(root, "rows/*/*/*.parquet", features=[("tenant", "string")])


def test_csv_and_json_lie_in_folders_too(tmp_path):
    for ending, text in {
        "csv": "k,event\na,2024-05-01\n",
        "jsonl": '{"k":"a","event":"2024-05-01"}',
    }.items():
        for value in ("x=1.10", "x=__HIVE_DEFAULT_PARTITION__"):
            (tmp_path / ending / value).mkdir(parents=True)
            (tmp_path / ending / value / f"a.{ending}").write_text(text)

        found = read(tmp_path, f"{ending}/*/*.{ending}")["x"].to_pylist()
        assert sorted(found, key=str) == ["1.10", None]


# -- a shell, and what lies about ------------------------------------------------------------------


def test_folders_called_as_files_are(tmp_path):
    parquet(tmp_path / "spark.parquet/part-0.parquet", k=["a"], x=["1"])
    (tmp_path / "spark.parquet/_SUCCESS").touch()
    (tmp_path / "spark.parquet/.part-0.parquet.crc").touch()

    for path in ("*.parquet/*", "**/*.parquet"):
        assert values(read(tmp_path, path)) == {"a": "1"}
    for path in ("*.parquet", "spark.parquet"):
        with pytest.raises(AssayError, match=r"spark\.parquet is a folder; name the files in it"):
            read(tmp_path, path)


def test_hidden_and_temporary_files_are_no_data(tmp_path):
    parquet(tmp_path / "a.parquet", k=["a"], x=["1"])
    for name in (".a.parquet", "_temporary/a.parquet", "~$a.parquet", ".trash/a.parquet"):
        parquet(tmp_path / name, k=["hidden"], x=["0"])

    assert values(read(tmp_path, "**/*.parquet")) == {"a": "1"}


def test_a_delta_table_is_more_than_its_files(tmp_path):
    rows = pa.table({"k": ["a"], "event": [DAY], "x": ["1"]})
    for _ in range(2):
        write_deltalake(tmp_path / "table", rows, mode="overwrite")

    for path in ("**/*.parquet", "table/*.parquet"):
        with pytest.raises(AssayError, match="table is a Delta table"):
            read(tmp_path, path)


@pytest.mark.parametrize("log", ["v2.metadata.json", "version-hint.text", "snap-1-1-a.avro"])
def test_an_iceberg_table_is_more_than_its_files(tmp_path, log):
    """Rows that were deleted or replaced are still in its folder, in partitions of it too."""
    parquet(tmp_path / "table/data/day=1/a.parquet", k=["a"], x=["1"])
    (tmp_path / "table/metadata").mkdir()
    (tmp_path / "table/metadata" / log).touch()

    for path in ("**/*.parquet", "table/data/*/*.parquet"):
        with pytest.raises(AssayError, match="table is an Iceberg table"):
            read(tmp_path, path)


def test_a_folder_called_metadata_makes_no_table(tmp_path):
    parquet(tmp_path / "rows/a.parquet", k=["a"], x=["1"])
    (tmp_path / "rows/metadata").mkdir()
    (tmp_path / "rows/metadata/readme.json").touch()

    assert values(read(tmp_path, "rows/*.parquet")) == {"a": "1"}


@pytest.mark.parametrize("to", ["gone.parquet", "b.parquet"])
def test_a_link_to_nothing_is_not_nothing(tmp_path, to):
    parquet(tmp_path / "a.parquet", k=["a"], x=["1"])
    (tmp_path / "b.parquet").symlink_to(tmp_path / to)

    with pytest.raises(AssayError, match=r"b\.parquet is a link to nothing"):
        read(tmp_path, "*.parquet")


# -- CSV as spreadsheets and shells write it -------------------------------------------------------

HEAD = b"k,event,x\n"
ROW = b"a,2024-05-01,1\n"
REFUSED = {
    "semicolons": (b"k;event;x\na;2024-05-01;1\n", r"a\.csv: .* is separated by semicolons"),
    "sep": (b"sep=;\nk;event;x\n", r"a\.csv begins with 'sep=;'"),
    "utf-16": ("k,event,x\na,2024-05-01,1\n".encode("utf-16"), r"a\.csv is UTF-16 text"),
    "utf-16 bare": ("k,event,x\n".encode("utf-16-le"), r"a\.csv has bytes of zero"),
    "zip": (b"PK\x03\x04...", r"a\.csv is a zip archive"),
    "gzip": (gzip.compress(HEAD + ROW), r"a\.csv is compressed by gzip"),
    "latin-1": ("k,event,é\n".encode("latin-1"), r"a\.csv, line 1: .*not UTF-8"),
    "blank": (b"\n" + HEAD + ROW, r"a\.csv, line 1: it is empty"),
    "mixed": (b"k,event,x\r\n" + ROW, r"a\.csv, line 2: it ends .*LF"),
    "mixed late": (HEAD + ROW * 3 + b"b,2024-05-01,1\r\n" + ROW, r"a\.csv, line 5: it ends .*CRLF"),
    "lone": (HEAD + b"a,2024-05-01,1\rz\n", r"a\.csv, line 2: .*CR"),
    "fields": (HEAD + b'b,2024-05-01,"q\nq"\n' + b"a,2024-05-01\n", r"a\.csv, line 4: .*2 fields"),
    "twice": (b"k,event,x,x\na,2024-05-01,1,2\n", r"a\.csv has two columns called 'x'"),
    "long": (
        HEAD + b'b,2024-05-01,"q\nq"\n' * 3 + b"a,2024-05-01," + b"y" * 3_000_000 + b"\n",
        r"a\.csv, line 8: .*2,000,000 bytes",
    ),
    "endless": (
        HEAD + ROW + b"a,2024-05-01," + b"y" * 40_000_000,
        r"a\.csv, line 3: .*2,000,000 bytes",
    ),
    "endless in the middle": (
        HEAD + ROW + b"a,2024-05-01," + b"y" * 40_000_000 + b"\n" + ROW,
        r"a\.csv, line 3: .*2,000,000 bytes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_csv_of_ours_is_refused_by_file_and_line(tmp_path, name):
    content, says = REFUSED[name]
    (tmp_path / "a.csv").write_bytes(content)

    with pytest.raises(AssayError, match=says) as caught:
        read(tmp_path, "a.csv")
    assert len(caught.value.message) < 700
    assert "strict_mode" not in caught.value.message


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (HEAD, {}),
        (HEAD + ROW.rstrip(b"\n"), {"a": "1"}),
        (HEAD + b'a,2024-05-01,"l1\nl2"\n', {"a": "l1\nl2"}),
        (b"\xef\xbb\xbf" + HEAD + ROW, {"a": "1"}),
        ((HEAD + ROW).replace(b"\n", b"\r"), {"a": "1"}),
        (HEAD + b"a,2024-05-01,1\x00z\n", {"a": "1\x00z"}),
        (HEAD + b"\n" + ROW + b"\n", {"a": "1"}),
        (b"k,event, x,x\na,2024-05-01,2,1\n", {"a": "1"}),
    ],
    ids=["header", "no end", "quoted end", "mark", "old mac", "zero", "blank", "spaces"],
)
def test_csv_that_is_sound_is_read_exactly(tmp_path, content, found):
    (tmp_path / "a.csv").write_bytes(content)

    assert values(read(tmp_path, "a.csv")) == found


NAMELESS = {
    "pandas.csv": b",k,event,x\n0,a,2024-05-01,1\n",
    "spreadsheet.csv": b"k,event,x,,\r\na,2024-05-01,1,,\r\n",
    "a.jsonl": b'{"":0,"k":"a","event":"2024-05-01","x":1}\n',
}


@pytest.mark.parametrize("name", [*NAMELESS, "a.parquet"])
@pytest.mark.parametrize("sql", [None, "SELECT * FROM rows"])
def test_columns_without_a_name_are_left_out_and_said(tmp_path, name, sql):
    if name == "a.parquet":
        parquet(tmp_path / name, **{"": ["0"], "k": ["a"], "x": ["1"]})
    else:
        (tmp_path / name).write_bytes(NAMELESS[name])
    spec = make_spec(name, keys=[("k", "string")], features=TEXT, sql=sql)

    assert values(compute_here(spec, tmp_path)[0]) == {"a": "1"}
    source = resolve_source(spec.source, root=str(tmp_path))
    with duckdb.connect() as connection:
        opened = open_files(connection, spec, source)
    assert "" not in opened.schema.types
    assert [note for note in opened.notes if "without a name" in note and name in note]


def test_a_header_with_spaces_after_its_commas_is_not_called_one_with_semicolons(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"k, event, x\na,2024-05-01,1\n")

    with pytest.raises(AssayError, match="no column 'event'.*' event'"):
        read(tmp_path, "a.csv")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"k":"\\ud800","event":"2024-05-01","x":1}\n', "line 1: its 'k' cannot be read"),
        (b'{"k":"a","event":"2024-05-01","x":1}\n{"k":"a",\n', r"a\.jsonl, line 2: it is no JSON"),
        (b'{"k":"a","event":"2024-05-01","x":1,"x":2}\n', r"line 1: it has the key 'x' twice"),
        (b'{"k":"a","event":"2024-05-01","x":{"y":1,"y":2}}\n', r"line 1: .* key 'y' twice"),
        (b'{"k":"a","event":"2024-05-01","x":1,"\\u0078":2}\n', r"line 1: .* key 'x' twice"),
        (b"[1]\n", r"a\.jsonl, line 1: it is no JSON object"),
        (b'{"k":"\xff"}\n', r"a\.jsonl, line 1: it has bytes that are not UTF-8"),
    ],
)
def test_what_is_no_json_object_is_refused_by_file_and_line(tmp_path, content, says):
    (tmp_path / "a.jsonl").write_bytes(content)

    with pytest.raises(AssayError, match=says):
        read(tmp_path, "a.jsonl")


# -- the schema a version took ---------------------------------------------------------------------


def taken(format="parquet", **columns):  # noqa: A002
    types = {"k": "VARCHAR", "event": "TIMESTAMP WITH TIME ZONE"} | columns
    listed = tuple(SourceColumn(name=name, type=kind) for name, kind in types.items())
    return SourceSchema(format=format, columns=listed)


def read_as(root, schema, **view):
    spec = make_spec("*.parquet", keys=[("k", "string")], **view)
    return compute_here(msgspec.structs.replace(spec, schema=schema), root)[0]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ({"x": ["1.10"]}, r"a\.parquet: column 'x' is VARCHAR; it was BIGINT when the version"),
        ({"X": [1]}, "no column 'x' any more, which was BIGINT"),
        ({"x": [1.5]}, "'x': a value is not an int64"),
    ],
)
def test_a_source_that_is_no_more_what_a_version_took_is_refused(tmp_path, column, says):
    parquet(tmp_path / "a.parquet", k=["a"], **column)

    with pytest.raises(AssayError, match=says):
        read_as(tmp_path, taken(x="BIGINT"))


def test_columns_more_and_wider_types_change_no_value(tmp_path):
    parquet(tmp_path / "a.parquet", k=["a"], x=pa.array([7], pa.int8()), more=["m"])

    assert values(read_as(tmp_path, taken(x="BIGINT"))) == {"a": 7.0}
    with pytest.raises(AssayError, match="was csv when the version was submitted and is parquet"):
        read_as(tmp_path, taken("csv", x="VARCHAR"))


DRAWN = "SELECT k, event, upper(note) AS tag, tag || '!' AS x FROM rows"
KEPT = {
    "a name the SQL gives": {"sql": DRAWN},
    "the same beside all": {"sql": DRAWN.replace("k, event", "*")},
    "a name it does not give": {"sql": "SELECT k, event, tag AS x FROM rows"},
    "a condition of SQL": {"sql": "SELECT k, event, 'x' AS x FROM rows WHERE tag = 'T'"},
    "without SQL": {"features": [("x", "string", "tag")]},
    "a condition": {"features": [("x", "string", "note")], "where": "tag = 'T'"},
}


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside another"])
@pytest.mark.parametrize("view", KEPT.values(), ids=KEPT)
def test_a_key_that_no_row_of_a_reading_has_is_null_to_a_version_that_took_it(
    tmp_path, view, alone
):
    """What a run stores of a file does not depend on which files are read together with it."""
    view = {"features": TEXT, **view}
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    rows = [{"k": "a", "event": "2024-05-01", "note": "n", "tag": "T"}]
    first.write_text(json.dumps(rows[0]))
    spec = make_spec("*.jsonl", keys=[("k", "string")], **view)
    with duckdb.connect() as connection:
        schema = open_files(
            connection, spec, resolve_source(spec.source, root=str(tmp_path))
        ).schema
    second.write_text('{"k": "b", "event": "2024-05-01", "note": "t"}')
    if alone:
        first.unlink()

    found = values(compute_here(msgspec.structs.replace(spec, schema=schema), tmp_path)[0])

    assert found.get("b") is None


@pytest.mark.parametrize("view", [KEPT["without SQL"], KEPT["a name it does not give"]])
def test_a_key_of_another_case_is_no_key_that_is_absent(tmp_path, view):
    (tmp_path / "a.jsonl").write_text('{"k": "b", "event": "2024-05-01", "Tag": "t"}')
    spec = make_spec("*.jsonl", keys=[("k", "string")], **{"features": TEXT, **view})

    with pytest.raises(AssayError, match="no column 'tag'.*Did you mean 'Tag'"):
        compute_here(msgspec.structs.replace(spec, schema=taken("jsonl", tag="JSON")), tmp_path)
    both = msgspec.structs.replace(spec, schema=taken("jsonl", tag="JSON", Tag="JSON"))
    assert values(compute_here(both, tmp_path)[0]) == {"b": None}


@pytest.mark.parametrize("gone", ["k", "event"])
@pytest.mark.parametrize("sql", [None, "SELECT k, event, x FROM rows", "SELECT * FROM rows"])
def test_a_key_or_a_time_that_no_row_has_any_more_is_refused(tmp_path, gone, sql):
    row = {"k": "b", "event": "2024-05-01", "x": "t"}
    (tmp_path / "a.jsonl").write_text(json.dumps({n: v for n, v in row.items() if n != gone}))
    spec = make_spec("*.jsonl", keys=[("k", "string")], features=TEXT, sql=sql)

    with pytest.raises(AssayError, match=f"no column '{gone}' any more"):
        compute_here(msgspec.structs.replace(spec, schema=taken("jsonl", x="JSON")), tmp_path)


@pytest.mark.parametrize(
    ("declared", "written", "total"),
    [
        ("int64", ["9007199254740993", "2"], 2**53 + 3),
        ("decimal(20,2)", ["123456789012345678.10", "0.05"], Decimal("123456789012345678.15")),
        ("float64", ["0.1", "0.2"], 0.1 + 0.2),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_sums_of_numbers_that_are_written_as_text_are_exact(
    tmp_path, ending, declared, written, total
):
    rows = [f"a,2024-05-01,{x}" for x in written]
    if ending == "jsonl":
        rows = [f'{{"k":"a","event":"2024-05-01","x":{x}}}' for x in written]
    head = ["k,event,x"] if ending == "csv" else []
    (tmp_path / f"a.{ending}").write_text("\n".join([*head, *rows]))

    table = read(
        tmp_path, f"a.{ending}", features=[("x_sum_1d", declared)],
        aggregations=(AggregationSpec(column="x", functions=("sum",), windows=("1d",)),),
        schedule=ScheduleSpec(every="1d"), end=at("2024-05-01T00:00"),
    )  # fmt: skip
    assert table["x_sum_1d"].to_pylist() == [total]
