"""CSV is read as it is documented, whatever its first rows look like."""

from __future__ import annotations

import gzip

import duckdb
import pytest

from materialization.errors import SourceUnreadable, SourceValueInvalid
from tests.materialization.engine_cases import compute_here, make_spec

TEXT = (("x", "string"),)
#: More rows than the reader looks at before it decides how a file is written.
MANY = "".join(f"u{i},2024-01-01,n{i}\n" for i in range(30_000))


def read(tmp_path, text, *, features=TEXT, **view):
    (tmp_path / "a.csv").write_text(f"k,event,x\n{text}")
    spec = make_spec("*.csv", keys=[("k", "string")], features=features, **view)
    return compute_here(spec, tmp_path)


def values(table):
    return dict(zip(table["k"].to_pylist(), table["x"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"abc"', "abc"),
        ('"a,b"', "a,b"),
        ('"say ""b"""', 'say "b"'),
        ('"a\nb"', "a\nb"),
        ("'abc'", "'abc'"),
        ("it's", "it's"),
    ],
)
@pytest.mark.parametrize("before", ["", MANY], ids=["first", "late"])
def test_quotes_mean_the_same_in_every_row(tmp_path, before, written, meant):
    table, _ = read(tmp_path, f"{before}z,2024-01-01,{written}\n")

    assert values(table)["z"] == meant


@pytest.mark.parametrize("before", ["", MANY], ids=["first", "late"])
def test_a_row_that_begins_with_a_hash_is_a_row(tmp_path, before):
    table, counters = read(tmp_path, f"{before}#love,2024-01-01,1\nplain,2024-01-01,2\n")

    assert (values(table)["#love"], values(table)["plain"]) == ("1", "2")
    assert counters.rows_read == before.count("\n") + 2


@pytest.mark.parametrize("row", ["z,2024-01-01\n", "z,2024-01-01,1,2\n"])
@pytest.mark.parametrize("before", ["", "y,2024-01-01,1\n", MANY], ids=["alone", "two", "late"])
def test_a_row_that_does_not_fit_the_header_is_named_with_its_line(tmp_path, before, row):
    line, fields = before.count("\n") + 2, row.count(",") + 1
    says = f"a.csv, line {line}: it has {fields} fields, the header has 3"

    with pytest.raises(SourceUnreadable, match=says) as caught:
        read(tmp_path, before + row)
    assert caught.value.example == repr(row.strip())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('z,2024-01-01,"open\n', "has a quote that is not closed"),
        ('z,2024-01-01,"a"b\n', "or goes on after its end"),
        ("caf\xe9,2024-01-01,1\n", "bytes that are not UTF-8. Write the file again as UTF-8"),
    ],
)
@pytest.mark.parametrize("before", ["", MANY], ids=["first", "late"])
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, before, row, says):
    (tmp_path / "a.csv").write_bytes(f"k,event,x\n{before}{row}".encode("latin-1"))

    with pytest.raises(SourceUnreadable, match=f"line {before.count(chr(10)) + 2}: .*{says}"):
        compute_here(make_spec("*.csv", keys=[("k", "string")], features=TEXT), tmp_path)


def test_lines_above_the_header_are_no_rows_to_leave_out(tmp_path):
    (tmp_path / "b.csv").write_text("Report\nk,event,x\nu,2024-01-01,1\n")

    with pytest.raises(
        SourceUnreadable, match="b.csv has no column .k., which the view reads and .*a.csv has"
    ):
        read(tmp_path, "u,2024-01-01,1\n")


@pytest.mark.parametrize("delimiter", [";", "\t", "|", " ", "   "])
def test_another_delimiter_is_named_also_beside_files_with_commas(tmp_path, delimiter):
    (tmp_path / "b.csv").write_text("k,event,x\nu,2024-01-01,1\n".replace(",", delimiter))

    with pytest.raises(SourceUnreadable, match="is separated by"):
        read(tmp_path, "u,2024-01-01,1\n")


def test_a_comma_is_no_decimal_point(tmp_path):
    with pytest.raises(SourceValueInvalid, match="a value is not a float64") as caught:
        read(tmp_path, 'u,2024-01-01,"1,5"\n', features=[("x", "float64")])
    assert caught.value.example == "'1,5'"


def test_sql_sees_text_whatever_it_looks_like_and_casts_it_itself(tmp_path):
    """Were it typed by its rows, 1.10 would be 1.1, and something else with the next file."""
    text = "SELECT k, event, x || '!' AS x FROM rows"
    table, _ = read(tmp_path, "u,2024-01-01,1.10\nv,2024-01-01,007\n", sql=text)
    assert values(table) == {"u": "1.10!", "v": "007!"}

    cast = "SELECT k, event, strftime(CAST(x AS DATE), '%d %m %Y') AS x FROM rows"
    table, _ = read(tmp_path, "u,2024-01-01 10:00:00,2024-02-03\n", sql=cast)
    assert values(table) == {"u": "03 02 2024"}

    for day in ("03/02/2024", "13/02/2024"):
        with pytest.raises(
            SourceUnreadable,
            match=r"/a\.csv: sql meets a value it cannot cast: column 'x' in CAST\(x AS DATE\).$",
        ) as caught:
            read(tmp_path, f"u,2024-01-01 10:00:00,{day}\n", sql=cast)
        assert day in caught.value.example


def test_compressed_files_are_read_as_plain_ones_beside_them(tmp_path):
    (tmp_path / "a.csv").write_text("k,event,x\na,2024-01-01,001\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"k,event,x\nb,2024-01-01,1.10\n"))
    zstd = f"COPY (SELECT 'c' AS k, '2024-01-01' AS event, 'x' AS x) TO '{tmp_path}/c.csv.zst'"
    duckdb.execute(f"{zstd} (FORMAT csv, HEADER, COMPRESSION zstd)")

    table, _ = compute_here(make_spec("*.csv*", keys=[("k", "string")], features=TEXT), tmp_path)
    assert values(table) == {"a": "001", "b": "1.10", "c": "x"}


@pytest.mark.parametrize(
    "content",
    [b"k,event,x\na,2024-01-01,1\n", gzip.compress(b"k,event,x\n" * 5000)[:40]],
    ids=["plain", "cut"],
)
def test_what_is_not_compressed_or_cut_short_is_named_with_its_file(tmp_path, content):
    (tmp_path / "a.csv.gz").write_bytes(content)

    with pytest.raises(SourceUnreadable, match=r"a\.csv\.gz: it is (not compressed|cut off)"):
        compute_here(make_spec("a.csv.gz", keys=[("k", "string")], features=TEXT), tmp_path)
