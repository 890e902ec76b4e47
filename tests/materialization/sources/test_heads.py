"""The beginning of a large object: the very rows and types of the whole, and no half of one."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.errors import SourceUnreadable
from materialization.finding import pieces
from materialization.finding.parquet_head import BadFooter, with_first_groups
from materialization.finding.pieces import head_of_parquet, head_of_text

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def head(whole, path, most_bytes):
    data = whole.read_bytes()
    head_of_parquet(
        lambda at, size: data[at : at + size], len(data), str(path), "it", most_bytes=most_bytes
    )
    return path


def all_types(rows):
    return pa.table(
        {
            "i8": pa.array(range(rows), pa.int64()).cast(pa.int8(), safe=False),
            "u32": pa.array(range(rows), pa.uint32()),
            "f": [float("nan")] * rows,
            "text": [f"ä{n}" for n in range(rows)],
            "few": pa.array(["x"] * rows).dictionary_encode(),
            "raw": [b"\x00"] * rows,
            "at": pa.array([NOW] * rows, pa.timestamp("us", "UTC")),
            "plain": pa.array([NOW.replace(tzinfo=None)] * rows, pa.timestamp("ns")),
            "day": [date(1969, 1, 1)] * rows,
            "money": pa.array([Decimal("1.10")] * rows, pa.decimal128(12, 2)),
            "items": [[1, None]] * rows,
            "deep": [{"a": {"b": [n]}} for n in range(rows)],
            "no": pa.nulls(rows, pa.int32()),
            "is": [n % 2 == 0 for n in range(rows)],
        }
    )


def described(path):
    return duckdb.sql(f"DESCRIBE FROM read_parquet('{path}')").fetchall()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd", "use_dictionary": False},
        {"write_page_index": True, "data_page_version": "2.0"},
        {"use_deprecated_int96_timestamps": True},
        {"store_schema": False},
        {"bloom_filter_options": {"text": {"ndv": 100, "fpp": 0.05}}},
    ],
)
def test_the_first_row_groups_are_a_file_with_the_same_types(tmp_path, options):
    whole = tmp_path / "whole.parquet"
    table = all_types(1000)
    if "use_deprecated_int96_timestamps" in options:
        table = table.drop_columns(["at"])
    pq.write_table(table, whole, row_group_size=100, **options)
    third = pq.read_metadata(whole).row_group(2).column(0)

    made = head(whole, tmp_path / "head.parquet", third.data_page_offset)

    assert described(made) == described(whole)
    assert pq.read_schema(made).equals(pq.read_schema(whole), check_metadata=True)
    rows = duckdb.sql(f"FROM read_parquet('{made}')").fetchall()
    assert str(rows) == str(duckdb.sql(f"FROM read_parquet('{whole}') LIMIT 200").fetchall())
    assert duckdb.sql(
        f"SELECT count(*) FROM read_parquet('{made}') WHERE text = 'ä7'"
    ).fetchall() == [(1,)]
    assert made.stat().st_size < whole.stat().st_size / 3


def test_one_row_group_at_least_is_taken(tmp_path):
    whole = tmp_path / "whole.parquet"
    pq.write_table(all_types(300), whole, row_group_size=100)

    assert pq.read_table(head(whole, tmp_path / "head.parquet", 1)).num_rows == 100


@pytest.mark.parametrize("groups", [1, 14, 15, 16, 40])
def test_any_number_of_groups_may_be_kept(tmp_path, groups):
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"x": range(400)}), whole, row_group_size=10)
    last = pq.read_metadata(whole).row_group(groups - 1).column(0)
    end = last.data_page_offset + last.total_compressed_size

    found = pq.read_table(head(whole, tmp_path / "head.parquet", end))

    assert found["x"].to_pylist() == list(range(groups * 10))


@pytest.mark.parametrize("damage", ["tail", "short", "empty", "length"])
def test_what_is_no_parquet_is_told(tmp_path, damage):
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"x": range(10)}), whole)
    data = whole.read_bytes()
    bad = {
        "tail": data[:-1] + b"X", "short": data[-20:], "empty": b"",
        "length": data[:-8] + b"\xff\xff\xff\x7f" + b"PAR1",
    }[damage]  # fmt: skip
    whole.write_bytes(bad)

    with pytest.raises(SourceUnreadable, match="no Parquet file"):
        head(whole, tmp_path / "head.parquet", 100)


def test_footers_of_chance_end_in_words_and_soon():
    made = random.Random(7)
    real = pa.BufferOutputStream()
    pq.write_table(all_types(3), real)
    data = real.getvalue().to_pybytes()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    for _ in range(2000):
        broken = bytearray(footer)
        for _ in range(made.randrange(1, 8)):
            broken[made.randrange(len(broken))] = made.randrange(256)
        try:
            with_first_groups(bytes(broken[: made.randrange(1, len(broken))]), count=1, rows=1)
        except BadFooter:
            continue


def lines(tmp_path, text, most, *, quotes=True):
    data, at = text.encode(), 0

    def read(size):
        nonlocal at
        at += size
        return data[at - size : at]

    path = tmp_path / "head.csv"
    head_of_text(read, str(path), "it", most_bytes=most, quotes=quotes)
    return path.read_text()


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("a,b\n1,2\n3,4\n5", 9, "a,b\n1,2\n"),
        ("a,b\n1,2\n", 100, "a,b\n1,2\n"),
        ("a,b\n1,2", 100, "a,b\n1,2"),
        ('a,b\n1,"x\ny"\n3,4\n', 8, "a,b\n"),
        ('a,b\n1,"x\n""y"\n3,4\n', 14, 'a,b\n1,"x\n""y"\n'),
    ],
)
def test_text_is_cut_where_a_row_is_over(tmp_path, monkeypatch, text, most, kept):
    monkeypatch.setattr(pieces, "_CHUNK", most)

    assert lines(tmp_path, text, most) == kept


def test_a_quote_that_was_opened_before_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "_CHUNK", 8)

    assert lines(tmp_path, 'a,b\n1,"x\ny\nz"\n3,4\n5', 16) == 'a,b\n1,"x\ny\nz"\n'
    assert lines(tmp_path, '{"a":"\n{"b":1}\n', 8, quotes=False) == '{"a":"\n'


def test_a_line_that_does_not_end_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "_CHUNK", 4)

    with pytest.raises(SourceUnreadable, match="no line ends"):
        lines(tmp_path, "aaaaaaaaaaaaaaaa\n", 8)
