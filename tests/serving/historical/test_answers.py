"""Answers in every form from columns of every type: written, or refused by name."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from lib.media_types import ARROW, CSV, JSON, PARQUET
from serving.historical.answers import ANSWERS, UnwritableColumn, write_answer
from serving.historical.features import JoinedFeature
from serving.historical.plain_columns import decoded
from serving.historical.training_set import PartAnswer, TrainingSet
from tests.serving.historical_world import written

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID("12345678-1234-5678-1234-567812345678")
FAR = 2**62


def answer_of(column: pa.Array) -> TrainingSet:
    return TrainingSet(pa.table({"fine": [1] * len(column), "c": column}), (), (), ())


def extension(kind: pa.BaseExtensionType, values: list) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))


def runs(values: pa.Array) -> pa.Array:
    return pa.RunEndEncodedArray.from_arrays(range(1, len(values) + 1), values)


def dictionary(values: pa.Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(range(len(values)), pa.int32()), values)


AS_TEXT = [
    (pa.array(["a", None], pa.string_view()), ['"a"', ""]),
    (pa.array([b"\xff", None], pa.binary_view()), ['"/w=="', ""]),
    (pa.array([b"\xff\x00"], pa.binary(2)), ['"/wA="']),
    (pa.array([b"\xff", None]).dictionary_encode(), ['"/w=="', ""]),
    (dictionary(pa.array(["a", None], pa.string_view())), ['"a"', ""]),
    (dictionary(pa.array([[1], None])), ['"[1]"', ""]),
    (runs(pa.array([b"\xff", None])), ['"/w=="', ""]),
    (runs(pa.array([7, None])), ["7", ""]),
    (extension(pa.uuid(), [ID.bytes, None]), [f'"{ID}"', ""]),
    (extension(pa.json_(), ['{"a":1}', None]), ['"{""a"":1}"', ""]),
    (extension(pa.bool8(), [1, 0, None]), ["true", "false", ""]),
    (extension(pa.opaque(pa.int8(), "x", "y"), [1, None]), ["1", ""]),
    (extension(pa.fixed_shape_tensor(pa.int8(), [2]), [[1, 2]]), ['"[1,2]"']),
    (
        pa.array([[NOON], None], pa.list_(pa.timestamp("ns", "Nowhere/Land"))),
        ['"[""2026-03-01T12:00:00.000000Z""]"', ""],
    ),
    (
        pa.array([{"a": 1}, None], pa.struct([("a", pa.duration("ns"))])),
        ['"{""a"":""0:00:00""}"', ""],
    ),
    (pa.array([(1, 2, 3), None], pa.month_day_nano_interval()), ['"[1,2,3]"', ""]),
    (pa.array([FAR], pa.duration("s")), [str(FAR)]),
]


@pytest.mark.parametrize(("column", "cells"), AS_TEXT, ids=[str(one.type) for one, _ in AS_TEXT])
def test_csv_has_every_type_that_has_a_text(column, cells):
    lines = written(answer_of(column), CSV).decode().splitlines()[1:]

    assert lines == [f"1,{cell}" for cell in cells]


@pytest.mark.parametrize("encode", [runs, dictionary])
def test_json_says_null_of_a_null_behind_an_encoding(encode):
    column = encode(pa.array(["a", None]))

    result = msgspec.json.decode(written(answer_of(column), JSON))["results"][1]

    assert (result["values"], result["statuses"]) == (["a", None], ["PRESENT", "NULL_VALUE"])


BIG = 2**63 - 1
#: Columns with 64-bit whole numbers, and what they are as JSON with text in their place.
AS_DIGITS = [
    (pa.array([BIG, None]), [str(BIG), None]),
    (pa.array([2**64 - 1], pa.uint64()), [str(2**64 - 1)]),
    (pa.array([7], pa.int32()), [7]),
    (dictionary(pa.array([BIG, None])), [str(BIG), None]),
    (runs(pa.array([BIG])), [str(BIG)]),
    (pa.array([[BIG, None], None]), [[str(BIG), None], None]),
    (pa.array([[[BIG]]], pa.large_list(pa.list_(pa.int64()))), [[[str(BIG)]]]),
    (pa.array([[1, BIG], None], pa.list_(pa.int64(), 2)), [["1", str(BIG)], None]),
    (pa.array([{"a": BIG, "b": 0.5}, None]), [{"a": str(BIG), "b": 0.5}, None]),
    (pa.array([[{"a": BIG}]]), [[{"a": str(BIG)}]]),
    (pa.array([[("k", BIG)]], pa.map_(pa.string(), pa.int64())), None),
    (pa.array([[(BIG, "k")]], pa.map_(pa.int64(), pa.string())), [[[str(BIG), "k"]]]),
    (pa.ListArray.from_arrays([0, 2], dictionary(pa.array([BIG, None]))), [[str(BIG), None]]),
    (extension(pa.opaque(pa.int64(), "x", "y"), [BIG, None]), [str(BIG), None]),
    (extension(pa.fixed_shape_tensor(pa.int64(), [2]), [[BIG, 1]]), [[str(BIG), "1"]]),
    (pa.array([1.5, None]), [1.5, None]),
    (pa.array([["a"]]), [["a"]]),
    (pa.array([["a"], None], pa.list_view(pa.string())), [["a"], None]),
    (extension(pa.bool8(), [1, None]), [True, None]),
    (pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array(["a"])]), ["a"]),
]


@pytest.mark.parametrize(("column", "values"), AS_DIGITS, ids=[str(c.type) for c, _ in AS_DIGITS])
def test_json_has_64_bit_whole_numbers_as_text_when_asked(column, values):
    sink = io.BytesIO()
    write_answer(answer_of(column), JSON, sink, int64_as_text=True)

    results = msgspec.json.decode(sink.getvalue())["results"]
    assert results[1]["values"] == values if values else f'"{BIG}"' in sink.getvalue().decode()


@pytest.mark.parametrize(
    "column",
    [
        pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([BIG])]),
        pa.ListArray.from_arrays([0, 1], runs(pa.array([BIG]))),
        pa.ListArray.from_arrays([0, 1], dictionary(pa.array([[BIG]]))),
        pa.array([[BIG], [1]], pa.list_view(pa.int64())),
        pa.array([{"a": [BIG]}], pa.struct([("a", pa.large_list_view(pa.uint64()))])),
    ],
    ids=lambda column: str(column.type),
)
def test_whole_numbers_that_cannot_become_text_are_refused_not_left(column):
    with pytest.raises(UnwritableColumn, match="column 'c' of type .* application/json") as refused:
        write_answer(answer_of(column), JSON, io.BytesIO(), int64_as_text=True)

    assert JSON not in refused.value.data["valid"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (runs(pa.array(["a", None])), ["a", None]),
        (dictionary(pa.array(["a", None], pa.string_view())), ["a", None]),
        (dictionary(pa.array([[1], None])), [[1], None]),
    ],
)
def test_parquet_has_the_values_of_encodings_it_does_not_know(column, expected):
    file = written(answer_of(column), PARQUET)

    assert pq.read_table(io.BytesIO(file))["c"].to_pylist() == expected


UNION = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
REFUSED = [
    (pa.array([[2**31 - 1]], pa.list_(pa.date32())), {PARQUET, ARROW}),
    (pa.array([2**31 - 1], pa.date32()), {PARQUET, ARROW}),
    (pa.array([10**17], pa.date64()), {PARQUET, ARROW}),
    (pa.array([[FAR]], pa.list_(pa.timestamp("us"))), {PARQUET, ARROW}),
    (pa.array([[FAR]], pa.list_(pa.duration("s"))), {PARQUET, ARROW}),
    (pa.array([FAR], pa.duration("s")), {PARQUET, ARROW, CSV}),
    (pa.array([FAR], pa.timestamp("s")), {ARROW}),
    (pa.array([[FAR]], pa.list_(pa.timestamp("s"))), {ARROW}),
    (pa.array([{}], pa.struct([])), {JSON, ARROW, CSV}),
    (pa.array([[{}]], pa.list_(pa.struct([]))), {JSON, ARROW, CSV}),
    (UNION, {JSON, ARROW, CSV}),
    (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), {JSON, ARROW, CSV}),
]


@pytest.mark.parametrize(("column", "valid"), REFUSED, ids=[str(one.type) for one, _ in REFUSED])
def test_what_a_form_cannot_carry_is_refused_with_the_forms_that_can(column, valid):
    answer = answer_of(column)

    for media_type in sorted(set(ANSWERS) - valid):
        with pytest.raises(UnwritableColumn) as refused:
            written(answer, media_type)
        message = refused.value.message
        assert f"column 'c' of type {column.type} cannot be written as {media_type}: " in message
        assert refused.value.data == {
            "column": "c",
            "valid": [one for one in ANSWERS if one in valid],
        }
    for media_type in valid:
        assert written(answer, media_type)


def test_the_arrow_stream_carries_what_came_as_it_came():
    for column, _ in [*AS_TEXT, *REFUSED]:
        sent = answer_of(column).table

        with ipc.open_stream(written(answer_of(column), ARROW)) as stream:
            assert stream.read_all().equals(sent)


def many_rows() -> TrainingSet:
    """Return more rows than are written at a time, with every status, in columns cut otherwise."""
    rows = 150_000
    own = {
        "id": pa.chunked_array([pa.array(range(rows))]),
        "text": pa.array(['say "hi"\n', None, ""] * (rows // 3)),
        "coded": pa.array(["x", "y", None] * (rows // 3)).dictionary_encode(),
        "run": runs(pa.array([True, None] * (rows // 2))),
    }
    found = pa.chunked_array(
        [pa.array([NOON, None, NOON] * 10_000, pa.timestamp("us", "UTC"))] * (rows // 30_000)
    )
    values = pa.array([1.5, None, None, float("nan"), None, -0.0] * (rows // 6))
    table = pa.table({**own, "value": values})
    part = PartAnswer("v", found, None)
    return TrainingSet(table, (JoinedFeature("value", 0, "f", "float64"),), (part,), ("w",))


def test_more_rows_than_a_piece_are_one_answer_in_json():
    answer = many_rows()

    said = msgspec.json.decode(written(answer, JSON))

    columns = [column.to_pylist() for column in map(decoded, answer.table.columns)]
    columns[-1] = ["NaN" if value != value else value for value in columns[-1]]
    stamps = [
        "1970-01-01T00:00:00Z" if one is None else "2026-03-01T12:00:00.000000Z"
        for one in answer.parts[0].found.to_pylist()
    ]
    assert said["metadata"]["value_types"] == ["int64", "string", None, None, "float64"]
    assert [result["values"] for result in said["results"]] == columns
    for column, result in zip(columns[:-1], said["results"], strict=False):
        assert result["statuses"] == ["NULL_VALUE" if v is None else "PRESENT" for v in column]
        assert set(result["event_timestamps"]) == {"1970-01-01T00:00:00Z"}
        assert len(result["event_timestamps"]) == len(column)
    assert said["results"][-1]["event_timestamps"] == stamps
    assert said["results"][-1]["statuses"] == [
        "NOT_FOUND" if stamp.startswith("1970") else "NULL_VALUE" if value is None else "PRESENT"
        for value, stamp in zip(columns[-1], stamps, strict=True)
    ]


def test_more_rows_than_a_piece_are_one_file_in_the_other_forms():
    answer = many_rows()
    expected = pa.table({n: decoded(answer.table[n]) for n in answer.table.column_names})

    file = pq.ParquetFile(io.BytesIO(written(answer, PARQUET)))
    with ipc.open_stream(written(answer, ARROW)) as stream:
        table = stream.read_all()
    lines = written(answer, CSV).decode().split("\n")

    assert file.metadata.num_rows == table.num_rows == 150_000
    assert file.metadata.num_row_groups > 1
    for other in (file.read(), table):
        for name in expected.column_names:
            assert str(decoded(other[name]).to_pylist()) == str(expected[name].to_pylist())
    assert lines[0] == '"id","text","coded","run","value"'
    assert len(lines) == 150_002 + 50_000  # one text in three has a line break
    assert lines[-2] == '149999,"",,,-0'
