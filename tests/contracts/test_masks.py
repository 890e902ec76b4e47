"""What every engine stores of a masked feature: Python's own HMAC and bisection say it too."""

from __future__ import annotations

import bisect
import hashlib
import hmac
import json
import math
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pyarrow as pa
import pytest

from materialization.compute.engine import ENGINES
from materialization.compute.jobs import ComputeJob
from materialization.compute.limits import EngineLimits
from materialization.errors import MaskKeyMissing, SourceUnreadable, SourceValueInvalid
from materialization.sources.files import resolve_source
from materialization.stores.columns import INSTANT
from registry.spec.masks import HASH, MaskSpec, labels
from tests.materialization.engine_cases import END, at, computed_rows, make_spec, write_parquet

LIMITS = EngineLimits(memory_limit_mb=256, threads=1, timeout_s=30)
T = at("2024-03-01T12:00")
KEY = bytes(range(32))
DICE = random.Random(42)


@pytest.fixture(params=list(ENGINES))
def engine(request):
    return ENGINES[request.param](LIMITS, lambda spec: {"m": KEY})


def masked(mask, kind="string", *, column="x", **view):
    spec = make_spec(features=[("m", kind, column)], **view)
    (feature,) = spec.view.features
    view = msgspec.structs.replace(
        spec.view, features=(msgspec.structs.replace(feature, mask=mask),)
    )
    return msgspec.structs.replace(spec, view=view, mask_key="0123456789abcdef")


def written(root, values, arrow):
    schema = pa.schema([("k", pa.int64()), ("event", INSTANT), ("x", arrow)])
    rows = [{"k": n, "event": T, "x": value} for n, value in enumerate(values)]
    write_parquet(root, rows, schema)


def stored(engine, root, spec):
    """Return the stored values of ``m`` in the order of their keys."""
    source = resolve_source(spec.source, root=str(root))
    table, _ = computed_rows(engine, ComputeJob(spec, source, END))
    return [row["m"] for row in sorted(table.to_pylist(), key=lambda row: row["k"])]


def digest(message, key=KEY):
    return None if message is None else hmac.new(key, message, hashlib.sha256).hexdigest()


def texts():
    letters = "aé😀 '\\\0\n{}%"
    return ["".join(DICE.choices(letters, k=DICE.randrange(90))) for _ in range(200)]


def doubles():
    return [DICE.uniform(-1e6, 1e6) for _ in range(50)] + [0.5, math.nan, math.inf, -math.inf]


def instants():
    return [T + timedelta(microseconds=DICE.randrange(-(10**16), 10**15)) for _ in range(50)]


def instant_text(value):
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


#: Name → values, their Arrow type, and the text of one that is hashed.
HASHED = {
    "texts": (texts, pa.string(), str),
    "bytes": (lambda: [DICE.randbytes(n) for n in range(90)], pa.binary(), None),
    "int64": (lambda: [0, -1, 2**63 - 1, -(2**63)], pa.int64(), str),
    "int32": (lambda: [DICE.randrange(-(2**31), 2**31) for _ in range(50)], pa.int32(), str),
    "bool": (lambda: [True, False], pa.bool_(), lambda value: str(value).lower()),
    "float64": (lambda: [0.5, math.nan, math.inf, -2.0], pa.float64(),
                lambda value: "nan" if math.isnan(value) else repr(value)),
    "float32": (lambda: [0.5, 0.25], pa.float32(), repr),
    "decimal": (lambda: [Decimal("1.10"), Decimal("-0.01")], pa.decimal128(10, 2), str),
    "date": (lambda: [date(2024, 2, 29), date(1999, 1, 1)], pa.date32(), str),
    "instants": (instants, INSTANT, instant_text),
    "naive": (lambda: [each.replace(tzinfo=None) for each in instants()], pa.timestamp("us"),
              lambda value: instant_text(value.replace(tzinfo=UTC))),
    "list": (lambda: [[1, None], []], pa.list_(pa.int64()),
             lambda value: json.dumps(value, separators=(",", ":"))),
    "nested": (lambda: [{"a": "b"}], pa.struct([("a", pa.string())]),
               lambda value: json.dumps(value, separators=(",", ":"))),
}  # fmt: skip


@pytest.mark.parametrize("name", HASHED)
def test_a_hash_is_the_hmac_of_the_values_text(engine, tmp_path, name):
    make, arrow, text_of = HASHED[name]
    values = [*make(), None]
    written(tmp_path, values, arrow)

    found = stored(engine, tmp_path, masked(HASH))

    messages = [
        value if value is None or text_of is None else text_of(value).encode() for value in values
    ]
    assert found == [digest(message) for message in messages]


def test_equal_values_of_other_kinds_of_file_hash_alike(engine, tmp_path):
    written(tmp_path, [7, 8], pa.int64())
    (tmp_path / "rows.csv").write_text(
        "k,event,x\n0,2024-03-01T12:00:00Z,7\n1,2024-03-01T12:00:00Z,8\n"
    )

    assert stored(engine, tmp_path, masked(HASH)) == stored(
        engine, tmp_path, masked(HASH, path="rows.csv")
    )


def test_another_key_makes_another_hash(engine, tmp_path):
    written(tmp_path, ["a"], pa.string())
    other = ENGINES["duckdb"](LIMITS, lambda spec: {"m": b"\xff" * 32})

    assert stored(other, tmp_path, masked(HASH)) == [digest(b"a", b"\xff" * 32)]
    assert stored(engine, tmp_path, masked(HASH)) == [digest(b"a")]


def test_without_its_key_nothing_is_hashed(tmp_path):
    written(tmp_path, ["a"], pa.string())

    with pytest.raises(MaskKeyMissing, match="0123456789abcdef"):
        stored(ENGINES["duckdb"](LIMITS), tmp_path, masked(HASH))


def buckets(values, edges, *, nan):
    return [
        None if value is None else nan if value != value else bisect.bisect_right(edges, value)
        for value in values
    ]


#: Name → values, their Arrow type, edges.
BUCKETED = {
    "ages": (lambda: [*range(-5, 130), 18, 30, 65], pa.int32(), (18, 30, 65)),
    "int64": (lambda: [2**63 - 1, -(2**63), 17, 18, 2**53 + 1], pa.int64(), (-0.5, 17.5, 10**15)),
    "uint64": (lambda: [2**64 - 1, 0, 17, 18], pa.uint64(), (-1, 17.2, 18)),
    "int8": (lambda: [-128, 127], pa.int8(), (-1000, 0, 1000)),
    "float64": (doubles, pa.float64(), (-5e5, -0.0, 0.5, 1e5)),
    "float32": (lambda: [0.5, math.nan, 2.0, -1.5], pa.float32(), (0.5, 1.75)),
    "decimal": (lambda: [Decimal(n) / 100 for n in range(-300, 300, 7)], pa.decimal128(10, 2),
                (-1.005, 0.1, 0.105, 2)),
    "wide decimal": (lambda: [Decimal("9.5"), Decimal("-9.5")],
                     pa.decimal128(38, 37), (-1000, 0.5, 10**15)),
}  # fmt: skip


@pytest.mark.parametrize("name", BUCKETED)
def test_a_bucket_is_where_bisection_puts_the_value(engine, tmp_path, name):
    make, arrow, edges = BUCKETED[name]
    values = [*make(), None]
    written(tmp_path, values, arrow)
    mask = MaskSpec(bucket=edges)
    exact = [Decimal(str(edge)) for edge in edges] if name.endswith("decimal") else edges

    numbers = stored(engine, tmp_path, masked(mask, "int32"))
    called = stored(engine, tmp_path, masked(mask))

    wanted = buckets(values, exact, nan=-1)
    assert numbers == wanted
    named = [*labels(edges), "NaN"]
    assert called == [None if number is None else named[number] for number in wanted]


def test_numbers_that_are_written_as_texts_have_buckets(engine, tmp_path):
    lines = ["17", "18.0", "", "nan", "1e3"]
    body = "".join(f"{n},2024-03-01T12:00:00Z,{line}\n" for n, line in enumerate(lines))
    (tmp_path / "rows.csv").write_text("k,event,x\n" + body)

    found = stored(engine, tmp_path, masked(MaskSpec(bucket=(18, 30)), path="rows.csv"))

    assert found == ["<18", "[18, 30)", None, "NaN", ">=30"]


@pytest.mark.parametrize("arrow", [pa.date32(), INSTANT, pa.timestamp("us"), pa.string()])
def test_days_and_instants_have_buckets(engine, tmp_path, arrow):
    days = [date(1999, 12, 31), date(2000, 1, 1), date(2010, 1, 1), None]
    values = [
        day if day is None or pa.types.is_date(arrow)
        else day.isoformat() if pa.types.is_string(arrow)
        else datetime(day.year, day.month, day.day, tzinfo=UTC if arrow.tz else None)
        for day in days
    ]  # fmt: skip
    written(tmp_path, values, arrow)
    mask = MaskSpec(bucket=("2000-01-01", "2010-01-01T00:00:00Z"))

    found = stored(engine, tmp_path, masked(mask))

    assert found == [
        "<2000-01-01", "[2000-01-01, 2010-01-01T00:00:00Z)", ">=2010-01-01T00:00:00Z", None,
    ]  # fmt: skip


# --- what is said of a value that cannot be masked ------------------------------------------------


def whole(error):
    return f"{error.value} {error.value.message} {error.value.example} {error.value.data}"


def test_an_error_of_a_masked_column_tells_no_value(engine, tmp_path):
    written(tmp_path, ["secret-17"], pa.string())
    spec = masked(MaskSpec(bucket=(18,)))

    with pytest.raises(SourceValueInvalid, match="column 'x'") as error:
        stored(engine, tmp_path, spec)
    source = resolve_source(spec.source, root=str(tmp_path))
    (look,) = engine.look([spec], source)

    assert "secret" not in whole(error)
    assert "secret" not in str(look)
    assert any("1 of 1 values is not a float64" in message for _, message in look.problems)


def test_an_error_of_sql_below_a_mask_tells_no_value(engine, tmp_path):
    written(tmp_path, ["secret-17"], pa.string())
    spec = masked(HASH, sql="SELECT k, event, CAST(x AS INT) AS x FROM rows")

    with pytest.raises(SourceUnreadable) as error:
        stored(engine, tmp_path, spec)
    (look,) = engine.look([spec], resolve_source(spec.source, root=str(tmp_path)))

    assert "secret" not in whole(error)
    assert "secret" not in str(look)


def test_a_line_of_csv_below_a_mask_is_not_told(engine, tmp_path):
    (tmp_path / "rows.csv").write_text("k,event,x\n0,2024-03-01T12:00:00Z,secret-17,more\n")

    with pytest.raises(SourceUnreadable) as error:
        stored(engine, tmp_path, masked(HASH, path="rows.csv"))

    assert "secret" not in whole(error)
