"""Every type Arrow can write into Parquet: kept as it is, or refused by file, column and type.

Not for what each declared type takes (``tests/materialization/transforms/test_type_pairs``).
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import pandas.core.arrays.arrow.extension_types  # noqa: F401 - makes its types known
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.errors import AssayError
from tests.materialization.engine_cases import at, compute_here, make_spec

DAY = at("2024-05-01T00:00")
LATER = datetime(2024, 5, 1, 13, 30, tzinfo=UTC)
BIG = 2**53 + 1


def of(kind, value):
    return pa.array([value, None], kind)


def extension(name, storage):
    """A column of an extension type that pandas makes known, and fails over what is said of it."""
    return storage, {"ARROW:extension:name": name, "ARROW:extension:metadata": "{}"}


INTEGERS = {
    f"{sign}int{bits}": 2 ** (bits if sign else bits - 1) - 1
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
#: Type → the column, the type it is declared as, and what it is then.
KEPT = {
    **{
        name: (of(getattr(pa, name)(), most), "decimal(38,0)", Decimal(most))
        for name, most in INTEGERS.items()
    },
    "bool": (of(pa.bool_(), True), "bool", True),
    "float16": (of(pa.float16(), 0.1), "float64", 0.0999755859375),
    "float32": (of(pa.float32(), 0.5), "float32", 0.5),
    "float64": (of(pa.float64(), 0.1), "float64", 0.1),
    "decimal32": (of(pa.decimal32(9, 2), Decimal("1.10")), "json", "1.10"),
    "decimal64": (of(pa.decimal64(18, 2), Decimal("1.10")), "json", "1.10"),
    "decimal128": (of(pa.decimal128(38, 2), Decimal("1.10")), "json", "1.10"),
    "string": (of(pa.string(), "1.10"), "string", "1.10"),
    "large_string": (of(pa.large_string(), "1.10"), "string", "1.10"),
    "string_view": (of(pa.string_view(), "1.10"), "string", "1.10"),
    "binary": (of(pa.binary(), b"\xff"), "bytes", b"\xff"),
    "large_binary": (of(pa.large_binary(), b"\xff"), "bytes", b"\xff"),
    "binary_view": (of(pa.binary_view(), b"\xff"), "bytes", b"\xff"),
    "fixed binary": (of(pa.binary(2), b"\xff\x00"), "bytes", b"\xff\x00"),
    "dictionary of text": (of(pa.string(), "a").dictionary_encode(), "string", "a"),
    "dictionary of int64": (of(pa.int64(), BIG).dictionary_encode(), "int64", BIG),
    "date32": (of(pa.date32(), DAY.date()), "date", DAY.date()),
    "date64": (of(pa.date64(), DAY.date()), "date", DAY.date()),
    "year 9999": (of(pa.date32(), date(9999, 12, 31)), "date", date(9999, 12, 31)),
    **{
        f"timestamp {unit} {zone}": (of(pa.timestamp(unit, zone), LATER), "timestamp", LATER)
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Europe/Berlin")
    },
    "time s": (of(pa.time32("s"), 3661), "string", "01:01:01"),
    "time us": (of(pa.time64("us"), 3661000001), "string", "01:01:01.000001"),
    "time ns": (of(pa.time64("ns"), 3661000000001), "string", "01:01:01.000000001"),
    "list": (of(pa.list_(pa.int64()), [BIG]), "list<int64>", [BIG]),
    "large_list": (of(pa.large_list(pa.int64()), [BIG]), "list<int64>", [BIG]),
    "fixed list": (of(pa.list_(pa.float32(), 2), [1, 2]), "vector<2>", [1.0, 2.0]),
    "struct": (of(pa.struct([("a", pa.int64())]), {"a": BIG}), "json", f'{{"a":{BIG}}}'),
    "map": (of(pa.map_(pa.string(), pa.int64()), [("a", BIG)]), "json", f'{{"a":{BIG}}}'),
    "null": (pa.nulls(2), "int64", None),
    "uuid": (
        pa.ExtensionArray.from_storage(pa.uuid(), of(pa.binary(16), b"\0" * 15 + b"\1")),
        "string",
        "00000000-0000-0000-0000-000000000001",
    ),
    "json": (
        pa.ExtensionArray.from_storage(pa.json_(), of(pa.string(), '{"b":1.10,"a":"12"}')),
        "json",
        '{"b":1.10,"a":"12"}',
    ),
}
DURATION = of(pa.duration("us"), 5)
#: Type → the column, and what it is called in the refusal, whatever it is declared as.
REFUSED = {
    **{
        f"duration {unit}": (of(pa.duration(unit), 5), f"duration ({unit})")
        for unit in ("s", "ms", "us", "ns")
    },
    "duration in a list": (of(pa.list_(pa.duration("us")), [5]), "duration (us)"),
    "duration in a struct": (of(pa.struct([("a", pa.duration("us"))]), {"a": 5}), "duration (us)"),
    "duration in a map": (
        of(pa.map_(pa.string(), pa.duration("us")), [("a", 5)]), "duration (us)",
    ),
    "bool8": (
        pa.ExtensionArray.from_storage(pa.bool8(), of(pa.int8(), 5)), "extension (arrow.bool8)",
    ),
    "opaque": (
        pa.ExtensionArray.from_storage(pa.opaque(pa.binary(), "geo", "pg"), of(pa.binary(), b"x")),
        "extension (arrow.opaque)",
    ),
    "tensor": (
        pa.ExtensionArray.from_storage(
            pa.fixed_shape_tensor(pa.int32(), [2, 1]), of(pa.list_(pa.int32(), 2), [1, 2])
        ),
        "extension (arrow.fixed_shape_tensor)",
    ),
    "pandas period": (
        extension("pandas.period", of(pa.int64(), 650)), "extension (pandas.period)",
    ),
    "pandas interval": (
        extension("pandas.interval", of(pa.struct([("left", pa.int64())]), {"left": 1})),
        "extension (pandas.interval)",
    ),
    "decimal256": (of(pa.decimal256(50, 2), Decimal("1.10")), "DECIMAL(50,2)"),
    "decimal256 in a struct": (
        of(pa.struct([("a", pa.decimal256(50, 2))]), {"a": Decimal("1.10")}), "DECIMAL(50,2)",
    ),
}  # fmt: skip


def write(path, column):
    array, metadata = column if isinstance(column, tuple) else (column, None)
    fields = [
        pa.field("k", pa.string()),
        pa.field("event", pa.timestamp("us", "UTC")),
        pa.field("x", array.type, metadata=metadata),
    ]
    pq.write_table(pa.table([["a", "b"], [DAY, DAY], array], schema=pa.schema(fields)), path)


def read(root, declared, **view):
    spec = make_spec("a.parquet", keys=[("k", "string")], features=[("x", declared)], **view)
    table = compute_here(spec, root)[0]
    return dict(zip(table["k"].to_pylist(), table["x"].to_pylist(), strict=True))


@pytest.mark.parametrize("name", KEPT)
def test_a_value_is_kept_with_its_null(tmp_path, name):
    column, declared, kept = KEPT[name]
    write(tmp_path / "a.parquet", column)

    assert read(tmp_path, declared) == {"a": kept, "b": None}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("declared", ["int64", "string", "json", "bytes"])
@pytest.mark.parametrize("sql", [None, "SELECT k, event, x FROM rows"], ids=["columns", "sql"])
def test_what_has_another_meaning_than_its_storage_is_refused(tmp_path, name, declared, sql):
    column, called = REFUSED[name]
    write(tmp_path / "a.parquet", column)

    with pytest.raises(AssayError) as caught:
        read(tmp_path, declared, sql=sql)
    assert f"/a.parquet: column 'x' is {called}; " in caught.value.message
    assert " Write " in caught.value.message


@pytest.mark.parametrize("name", REFUSED)
def test_beside_the_columns_that_are_read_it_is_left_alone(tmp_path, name):
    write(tmp_path / "a.parquet", REFUSED[name][0])

    spec = make_spec("a.parquet", keys=[("k", "string")], features=[("y", "string", "k")])
    assert compute_here(spec, tmp_path)[0]["y"].to_pylist() == ["a", "b"]


#: What DuckDB alone writes → what it is declared as, and what is refused or kept.
BY_DUCKDB = {
    "TIMESTAMP 'infinity'": ("timestamp", "a value is not a timestamp"),
    "TIMESTAMPTZ '-infinity'": ("timestamp", "a value is not a timestamp"),
    "DATE 'infinity'": ("date", "a value is not a date"),
    "INTERVAL 1 DAY": ("string", "holds INTERVAL, which cannot become string"),
    "[INTERVAL 1 DAY]": ("json", r"holds INTERVAL\[\], which cannot become json"),
    "9007199254740993::HUGEINT": ("int64", "a value is not an int64"),  # it is written as a double
    "TIMETZ '01:02:03+02'": ("string", "23:02:03+00"),
    "'x'::ENUM('x', 'y')": ("string", "x"),
    "'101'::BIT": ("string", "101"),
    "MAP {1: 1.10::DECIMAL(4,2)}": ("json", '{"1":1.10}'),
    "'{\"a\":1.10}'::JSON": ("json", '{"a":1.10}'),
}


@pytest.mark.parametrize("value", BY_DUCKDB)
def test_what_duckdb_writes_is_kept_or_refused(tmp_path, value):
    declared, outcome = BY_DUCKDB[value]
    row = f"SELECT 'a' AS k, TIMESTAMPTZ '2024-05-01' AS event, {value} AS x"
    duckdb.execute(f"COPY ({row}) TO '{tmp_path / 'a.parquet'}' (FORMAT parquet)")

    if "not" in outcome:
        with pytest.raises(AssayError, match=f"/a.parquet.*: column 'x'.* {outcome}"):
            read(tmp_path, declared)
    else:
        assert read(tmp_path, declared) == {"a": outcome}


#: The schema of one column of integers of 128 bits, as polars writes it.
INT128 = (
    "/////3kAAAAEAAAA8v///xQAAAAEAAEAAAAKAAsACAAKAAQA+P///wwAAAAIAAgAAAAEAAEAAAAEAAAA7P///zgAAAAgAAAA"
    "GAAAAAECAAAQABIABAAQABEACAAAAAwAAAAAAPT///+AAAAAAQAAAAgACQAEAAgABAAAAGkxMjgA"
)


def test_a_type_that_only_its_writer_knows_names_the_file(tmp_path):
    row = "SELECT 'a' AS k, TIMESTAMPTZ '2024-05-01' AS event, 1 AS x"
    options = f"FORMAT parquet, KV_METADATA {{'ARROW:schema': '{INT128}'}}"
    duckdb.execute(f"COPY ({row}) TO '{tmp_path / 'a.parquet'}' ({options})")

    with pytest.raises(AssayError, match="/a.parquet has a column of a type that cannot be read"):
        read(tmp_path, "int64")
