"""CSV frames: what becomes a number, what stays text, and that nothing is changed on the way."""

from __future__ import annotations

import csv
import io

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.media_types import CSV
from registry.spec.value_types import parse_type
from serving.historical.forms import numbers_left_as_text, read_upload
from serving.historical.training_set import TrainingSet
from serving.historical.typed_columns import BadEntityValue
from serving.values import KeyColumn
from tests.serving.historical_world import LIMITS, written

KEY = KeyColumn("k", parse_type("int64"), "view")


def read(body: bytes) -> pa.Table:
    """Return the frame as an answer repeats it."""
    frame = read_upload(body, CSV, limits=LIMITS)
    return frame.shown({"k": frame.key(KEY)})


def column_of(cells: list[str]) -> pa.ChunkedArray:
    return read("\n".join(["k,other", *(f"1,{cell}" for cell in cells), ""]).encode())["other"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "", "-20"], [1, None, -20]),
        (["9223372036854775807"], [2**63 - 1]),
        (["1", "2.5"], [1.0, 2.5]),
        (["0.1", "-3"], [0.1, -3.0]),
    ],
)
def test_numbers_written_as_we_write_them_are_numbers(cells, expected):
    assert column_of(cells).to_pylist() == expected


@pytest.mark.parametrize(
    "cells",
    [
        ["0x10", "0xff"],
        ["12345678901234567890", "12345678901234567891"],
        ["9223372036854775808"],
        ["100000000000000000000"],
        ["12345678901234567000"],
        ["1.5", "1234567890123456"],
        ["1.10", "2.50"],
        ["1.0", "2.5"],
        ["1e5"],
        ["1E+20"],
        ["+1"],
        [" 1"],
        ["1 "],
        ["007"],
        [".5"],
        ["1_000"],
        ["0.12345678901234567890123"],
        ["1e400"],
        ["true"],
        ["-"],
        ["1", '""'],
    ],
)
def test_what_a_number_is_not_written_as_stays_text(cells):
    assert column_of(cells).to_pylist() == [cell.replace('""', "") for cell in cells]


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        (["0.5", "1e-05"], True),
        (["1.0", "", "2.5"], True),
        (["1.10", "-.5"], True),
        (["0.5", "2.25"], False),
        (["1", "2"], False),
        (["007", "008"], False),
        (["12345678901234567890", "1"], False),
        (["1e-05", "a"], False),
        (["e", "."], False),
        (["", ""], False),
    ],
)
def test_numbers_that_stay_text_are_told(cells, named):
    body = "\n".join(["k,other,1e5", *(f"1,{cell},1.0" for cell in cells), ""]).encode()

    said = numbers_left_as_text(read_upload(body, CSV, limits=LIMITS), {"k", "1e5"})

    assert [each.partition(" of the CSV")[0] for each in said] == ["column 'other'"] * named


@pytest.mark.parametrize(
    "cell", ["0x10", " 1", "1 ", "+1", "1_000", "01", "--1", "1.0", "1e3", '""', str(2**63)]
)
def test_integer_keys_written_otherwise_are_refused_by_cell(cell):
    with pytest.raises(BadEntityValue) as refused:
        read(f"k,x\n5,1\n{cell},2\n".encode())

    shown = cell.replace('""', "")
    assert f"join key 'k' is int64: \"{shown}\" is not. Send a whole" in refused.value.message


def test_integer_keys_reach_to_both_ends_of_their_type():
    body = f"k\n{-(2**63)}\n{2**63 - 1}\n0\n".encode()

    found = read(body)["k"]

    assert found.to_pylist() == [-(2**63), 2**63 - 1, 0]


#: Cells near numbers, and any text; None is an empty cell.
numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(repr),
    st.floats().map(lambda number: f"{number:g}"),
    st.floats(-1e6, 1e6).map(lambda number: f"{number:.2f}"),
    st.decimals(allow_nan=False).map(str),
    st.from_regex(r"[-+ ]?(0x|0)?[0-9]{1,20}[.]?[0-9]{0,3}(e[-+]?[0-9]{1,3})?", fullmatch=True),
)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
columns = st.one_of(
    st.lists(st.one_of(st.none(), numbers), min_size=3, max_size=3),
    st.lists(st.one_of(st.none(), numbers, texts), min_size=3, max_size=3),
)
names = st.lists(texts.filter(lambda name: name != "k"), min_size=2, max_size=2, unique=True)


def quoted(cell: str | None) -> str:
    return "" if cell is None else '"' + cell.replace('"', '""') + '"'


@settings(max_examples=15)  # each starts a process
@given(names=names, left=columns, right=columns)
def test_csv_out_has_the_cells_of_csv_in(names, left, right):
    rows = zip("123", left, right, strict=True)
    lines = [["k", *names], *rows]
    body = "".join(",".join(map(quoted, line)) + "\r\n" for line in lines)

    table = read(body.encode())
    sent_back = written(TrainingSet(table, (), (), ()), CSV)

    found = list(csv.reader(io.StringIO(sent_back.decode(), newline=""), strict=True))
    assert found == [[cell or "" for cell in line] for line in lines]
    # csv.reader does not tell null from the empty string.
    nulls = [[cell is None for cell in column] for column in (left, right)]
    for one in (table, read(sent_back)):
        assert [one.column(i).is_null().to_pylist() for i in (1, 2)] == nulls
