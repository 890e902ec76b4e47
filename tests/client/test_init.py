"""``assay init``: first definitions from data files, which the server reads as they are."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from assay.authoring.initial import first_definitions
from assay.cli import main
from assay.errors import Invalid
from registry.reading.parsing import parse_files

INT128 = (
    Path(__file__).parents[1] / "materialization" / "sources" / "parquet" / "polars_int128.parquet"
)
PURCHASES = (
    "ts,purchase_id,user_id,Product Name,price,paid\n"
    "1699874292000,A-1,007,tea,1.50,true\n"
    "1699874293000,A-2,008,,2,false\n"
    "1699874294000,A-3,007,milk,3,TRUE\n"
    "1699874295000,A-4,007,milk,3,true\n"
)


def read(text):
    """Return the specs by kind, as the server reads them."""
    return {str(each.kind): each.spec for each in parse_files([("init.yaml", text)])}


def proposed(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(first_definitions([path]))


def test_keys_times_types_and_checks_come_from_the_rows(tmp_path):
    found = proposed(tmp_path, "purchases.csv", PURCHASES)

    (key,) = found["Entity"].join_keys
    assert (found["Entity"].name, key.name, key.type) == ("user", "user_id", "string")
    source = found["DataSource"]
    assert (source.event_timestamp.column, source.event_timestamp.unit) == ("ts", "ms")
    assert (source.path, source.created_timestamp) == ("purchases.csv", None)
    features = {each.name: each for each in found["FeatureView"].features}
    assert {name: each.type for name, each in features.items()} == {
        "product_name": "string",
        "price": "float64",
        "paid": "bool",
    }
    assert features["product_name"].column == "Product Name"
    assert (features["price"].checks.not_null, features["price"].checks.min) == (0.99, 0)
    assert features["product_name"].checks.not_null is None, "one of its values is null"


def test_what_is_doubted_stands_there_as_a_comment(tmp_path):
    (tmp_path / "purchases.csv").write_text(PURCHASES)

    text = first_definitions([tmp_path / "purchases.csv"])

    assert "# - {name: purchase_id, type: string}  # 4 different; every row has another" in text
    assert "# user_id" not in text.splitlines()
    assert "2 different values in 4 rows; also possible: purchase_id (4)" in text
    assert "user_id: digits with leading zeros" in text
    assert "#   - {column: price, functions: [sum, count], windows: [7d, 30d]}" in text


def test_days_written_as_numbers_are_no_seconds_since_1970(tmp_path):
    text = "day,driver_id,trips\n19970101,1,2\n20260131,2,3\n"
    path = tmp_path / "trips.csv"
    path.write_text(text)

    said = first_definitions([path])

    assert "event_timestamp: TODO" in said
    assert "day has days written as numbers" in said
    assert """strptime(CAST("day" AS VARCHAR), '%Y%m%d') AS "day\"""" in said
    assert "unit" not in said


@pytest.mark.parametrize(
    ("factor", "unit"), [(1, "s"), (10**3, "ms"), (10**6, "us"), (10**9, "ns")]
)
def test_the_unit_of_numbers_since_1970_is_told_by_their_size(tmp_path, factor, unit):
    rows = "".join(f"{n},{(1_700_000_000 + n) * factor},{n}\n" for n in range(3))
    found = proposed(tmp_path, "x.csv", f"id,at,amount\n{rows}")

    assert found["DataSource"].event_timestamp.unit == unit


def test_a_created_timestamp_comes_after_the_event(tmp_path):
    rows = "".join(
        f"1,2026-01-0{n}T10:00:00Z,2026-01-0{n + 1} 10:00:00,2025-01-01\n" for n in (1, 2)
    )
    found = proposed(tmp_path, "x.csv", f"id,event_time,loaded_at,created_on\n{rows}")

    assert found["DataSource"].event_timestamp.column == "event_time"
    assert found["DataSource"].created_timestamp.column == "loaded_at"


def test_parquet_says_its_types_itself(tmp_path):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    table = pa.table(
        {
            "customer_id": pa.array([1, 1, 2], pa.int32()),
            "event_timestamp": pa.array([at, at + timedelta(1), at], pa.timestamp("ns")),
            "small": pa.array([1, 2, None], pa.uint8()),
            "large": pa.array([1, 2, 3], pa.uint64()),
            "money": pa.array([Decimal("1.50"), None, None], pa.decimal128(9, 2)),
            "tags": pa.array([["a"], [], None], pa.list_(pa.string())),
            "pair": pa.array([[0.1, 0.2]] * 3, pa.list_(pa.float32(), 2)),
            "who": pa.array([{"a": 1}] * 3),
            "word": pa.array(["x", "y", "x"]).dictionary_encode(),
            "born": pa.array([date(2000, 1, 1)] * 3),
            "email": pa.array(["a@b.c"] * 3),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")

    found = read(first_definitions([tmp_path / "x.parquet"]))

    features = {each.name: each for each in found["FeatureView"].features}
    assert {name: each.type for name, each in features.items()} == {
        "small": "int32",
        "large": "decimal(20,0)",
        "money": "decimal(9,2)",
        "tags": "list<string>",
        "pair": "vector<2>",
        "who": "json",
        "word": "string",
        "born": "date",
        "email": "string",
    }
    assert features["email"].sensitivity == "restricted"
    assert found["Entity"].join_keys[0].type == "int32"


@pytest.mark.parametrize("form", ["lines", "list", "spread"])
def test_json_in_its_forms(tmp_path, form):
    rows = [
        {"userId": n % 3, "at": f"2026-01-01T0{n % 9}:00:00Z", "n": n / 2, "b": {"c": 1}, "s": "1"}
        for n in range(1000)
    ]
    rows[7]["extra"] = "late"
    text = {
        "lines": "\n".join(map(json.dumps, rows)),
        "list": json.dumps(rows),
        "spread": json.dumps(rows, indent=2),
    }[form]
    name = "x.jsonl" if form == "lines" else "x.json"

    found = proposed(tmp_path, name, text)

    assert (found["Entity"].name, found["Entity"].join_keys[0].name) == ("user", "userId")
    types = {each.name: each.type for each in found["FeatureView"].features}
    assert types == {"n": "float64", "b": "json", "s": "string", "extra": "string"}


def test_a_row_that_lies_across_what_is_read_at_once(tmp_path):
    row = json.dumps({"id": 1, "ts": "2026-01-01", "text": "x" * 700_000})

    found = proposed(tmp_path, "x.jsonl", f"{row}\n{row}\n{row}\n")

    assert [each.name for each in found["FeatureView"].features] == ["text"]


def test_a_folder_of_files_alike_is_one_source_and_of_others_one_each(tmp_path):
    for day in ("2026-01-01", "2026-01-02"):
        (tmp_path / "events" / f"day={day}").mkdir(parents=True)
        (tmp_path / "events" / f"day={day}" / "a.csv").write_text(PURCHASES)
    (tmp_path / "events" / "_SUCCESS.csv").write_text("")

    found = read(first_definitions([tmp_path / "events"], tmp_path))
    assert found["DataSource"].path == "events/**/*.csv"

    (tmp_path / "events" / "users.jsonl").write_text('{"id": 1, "at": "2026-01-01"}\n')
    with pytest.raises(Invalid, match="two of the paths would be called 'a'"):
        first_definitions([tmp_path / "events"])


def test_a_delta_table_is_a_source_of_its_own_kind(tmp_path):
    at = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2)]
    table = pa.table({"customer_id": [1, 1], "ts": at, "amount": [1.5, 2.5]})
    write_deltalake(tmp_path / "lake" / "purchases", table)
    write_deltalake(tmp_path / "lake" / "purchases", table, mode="append")

    text = first_definitions([tmp_path / "lake" / "purchases"], tmp_path)

    found = read(text)
    assert (found["DataSource"].type, found["DataSource"].path) == ("delta", "lake/purchases")
    assert "the newest of 2 files" in text


def test_two_files_about_one_thing_have_one_entity(tmp_path):
    (tmp_path / "a.csv").write_text("customer_id,ts,n\n1,2026-01-01,1\n1,2026-01-02,2\n")
    (tmp_path / "b.csv").write_text(
        "customer_id,ts,m\n1,2026-01-01,1\n2,2026-01-02,2\n1,2026-01-03,1\n"
    )
    (tmp_path / "c.csv").write_text("customer_id,ts,o\nx,2026-01-01,1\nx,2026-01-02,2\n")

    text = first_definitions([tmp_path / name for name in ("a.csv", "b.csv", "c.csv")])

    parsed = [each.spec for each in parse_files([("init.yaml", text)])]
    keys = {spec.name: spec.join_keys[0].type for spec in parsed if hasattr(spec, "join_keys")}
    assert keys == {"customer": "int64", "customer_of_c": "string"}
    of = {spec.name: spec.entities for spec in parsed if hasattr(spec, "entities")}
    assert of == {"a": ("customer",), "b": ("customer",), "c": ("customer_of_c",)}


def test_no_value_of_a_personal_column_is_written_down(tmp_path):
    rows = "".join(f"{n % 2},2026-01-0{n},{n}70101{n},{n}\n" for n in range(1, 5))
    (tmp_path / "a.csv").write_text(f"customer_id,ts,ssn,n\n{rows}")

    text = first_definitions([tmp_path / "a.csv"])

    assert "name: ssn, type: int64, sensitivity: restricted" in text
    assert "170101" not in text
    assert "1 to 4" in text, "of other columns it is said"


def test_packed_text_is_unpacked(tmp_path):
    found = proposed(tmp_path, "purchases.csv.gz", gzip.compress(PURCHASES.encode()))
    again = pa.compress(PURCHASES.encode(), codec="zstd", asbytes=True)
    (tmp_path / "b").mkdir()

    assert found["DataSource"].path == "purchases.csv.gz"
    assert proposed(tmp_path / "b", "purchases.csv.zst", again)["FeatureView"].features


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "ts;user_id;n\n1;2;3\n", "separated by semicolons"),
        ("a.csv", "ts user_id n\n1 2 3\n", "separated by spaces"),
        ("a.csv", b"a,b\n\xff,1\n", "UTF-8"),
        ("a.csv", 'a,b\n"open,1\n', "unexpected end"),
        ("a.csv.gz", b"no gzip", "cannot be read"),
        ("a.parquet", b"PAR1 not", "no Parquet file"),
        ("a.jsonl", "[1, 2]", "rows are objects"),
        ("a.jsonl", '{"a": ', "cannot be read"),
        ("a.txt", "x", "no data file"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(tmp_path, name, content, said, capsys):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    assert main(["init", str(path)]) == 1

    shown = capsys.readouterr()
    assert said in shown.err.replace("\n", " ")
    assert shown.out == ""


def test_a_type_that_arrow_does_not_have_is_not_a_broken_file():
    with pytest.raises(Invalid, match="type that Arrow does not read.*Write it as int64"):
        first_definitions([INT128])


@pytest.mark.parametrize("content", ["", "a,b\n"])
def test_a_file_without_rows_gives_what_can_be_filled_in(tmp_path, content):
    path = tmp_path / "empty.csv"
    path.write_text(content)

    assert "TODO" in first_definitions([path])


def test_no_file_is_written_over(tmp_path, capsys):
    (tmp_path / "purchases.csv").write_text(PURCHASES)
    out = tmp_path / "made" / "purchases.yaml"

    assert main(["init", str(tmp_path / "purchases.csv"), "-o", str(out)]) == 0
    before = out.read_text()
    assert main(["init", str(tmp_path / "purchases.csv"), "--out", str(out)]) == 1

    assert "is there already" in capsys.readouterr().err
    assert out.read_text() == before


def test_no_server_and_no_token_is_needed(tmp_path, monkeypatch, capsys):
    """Not even one that can be looked for."""
    (tmp_path / "purchases.csv").write_text(PURCHASES)
    monkeypatch.setenv("ASSAY_TOKEN_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("ASSAY_URL", "no address")

    assert main(["init", str(tmp_path / "purchases.csv")]) == 0
    assert main(["whoami"]) == 2
    assert "the token file" in capsys.readouterr().err
