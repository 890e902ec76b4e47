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

from serving.historical.answers import ANSWERS, UnwritableColumn, write_answer
from serving.historical.media_types import ARROW, CSV, JSON, PARQUET
from serving.historical.training_set import TrainingSet

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
    lines = write_answer(answer_of(column), CSV).decode().splitlines()[1:]

    assert lines == [f"1,{cell}" for cell in cells]


@pytest.mark.parametrize("encode", [runs, dictionary])
def test_json_says_null_of_a_null_behind_an_encoding(encode):
    column = encode(pa.array(["a", None]))

    result = msgspec.json.decode(write_answer(answer_of(column), JSON))["results"][1]

    assert (result["values"], result["statuses"]) == (["a", None], ["PRESENT", "NULL_VALUE"])


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (runs(pa.array(["a", None])), ["a", None]),
        (dictionary(pa.array(["a", None], pa.string_view())), ["a", None]),
        (dictionary(pa.array([[1], None])), [[1], None]),
    ],
)
def test_parquet_has_the_values_of_encodings_it_does_not_know(column, expected):
    written = write_answer(answer_of(column), PARQUET)

    assert pq.read_table(io.BytesIO(written))["c"].to_pylist() == expected


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
            write_answer(answer, media_type)
        message = refused.value.message
        assert f"column 'c' of type {column.type} cannot be written as {media_type}: " in message
        assert refused.value.data == {
            "column": "c",
            "valid": [one for one in ANSWERS if one in valid],
        }
    for media_type in valid:
        assert write_answer(answer, media_type)


def test_the_arrow_stream_carries_what_came_as_it_came():
    for column, _ in [*AS_TEXT, *REFUSED]:
        sent = answer_of(column).table

        with ipc.open_stream(write_answer(answer_of(column), ARROW)) as stream:
            assert stream.read_all().equals(sent)
