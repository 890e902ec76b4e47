"""What a plan says of times that can be read and mean something else than somebody thought."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.errors import SourceValueInvalid
from materialization.stores.columns import INSTANT
from tests.materialization.engine_cases import at, compute_here, make_spec
from tests.materialization.sandbox.test_look import look

FILES = Path(__file__).parents[1] / "sources" / "parquet"


def write(root, kind, *events):
    table = pa.table({"k": list(range(len(events))), "event": pa.array(events, kind)})
    pq.write_table(table, root / "rows.parquet")


def spec(path="rows.parquet", **more):
    return make_spec(path, features=[("x", "int64", "k")], **more)


def said(root, given, words):
    return [warning for warning in look(given, root).warnings if words in warning]


@pytest.mark.parametrize("lines", ["1,2024-01-01\n2,2024-01-02\n", "1,2024-01-01\n2,\n"])
def test_days_in_text_leak_what_their_day_brings(tmp_path, lines):
    (tmp_path / "rows.csv").write_text(f"k,event\n{lines}")

    (warning,) = said(tmp_path, spec("rows.csv"), "has days only")

    assert "event_timestamp 'event'" in warning
    assert "midnight (UTC)" in warning
    assert "would leak" in warning


def test_so_do_days_that_are_dates(tmp_path):
    write(tmp_path, pa.date32(), date(2024, 1, 1), date(2024, 1, 2))

    assert said(tmp_path, spec(), "has days only")


def test_one_time_of_the_day_is_enough_to_be_one(tmp_path):
    (tmp_path / "rows.csv").write_text("k,event\n1,2024-01-01\n2,2024-01-02T10:00:00\n")

    assert not said(tmp_path, spec("rows.csv"), "has days only")


def test_nothing_leaks_where_it_is_said_when_a_row_was_known(tmp_path):
    (tmp_path / "rows.csv").write_text("k,event,known\n1,2024-01-01,2024-01-02\n")

    assert not said(tmp_path, spec("rows.csv", created="known"), "has days only")


def test_instants_at_midnight_are_what_they_say(tmp_path):
    write(tmp_path, INSTANT, at("2024-01-01"), at("2024-01-02"))

    assert not said(tmp_path, spec(), "has days only")


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_days_without_dashes_are_no_counts(tmp_path, unit):
    write(tmp_path, pa.int64(), 19970101, 20240131)

    (warning,) = said(tmp_path, spec(event_unit=unit), "written as 19970131")

    assert warning.startswith(f"column 'event' is read as {unit} since 1970")


@pytest.mark.parametrize("events", [(19970101, 1_700_000_000), (1_700_000_000,), (3600,)])
def test_counts_are(tmp_path, events):
    write(tmp_path, pa.int64(), *events)

    assert not said(tmp_path, spec(event_unit="s"), "written as 19970131")


def test_no_unit_is_proposed_for_days_without_dashes(tmp_path):
    (tmp_path / "rows.csv").write_text("k,event\n1,19970101\n")

    ((_, problem),) = look(spec("rows.csv"), tmp_path).problems
    with pytest.raises(SourceValueInvalid) as caught:
        compute_here(spec("rows.csv"), tmp_path)

    for words in (problem, str(caught.value)):
        assert "write them as 1997-01-31, or have the view's `sql` make times of them" in words
        assert "unit: s" not in words


def test_a_unit_is_proposed_for_other_numbers(tmp_path):
    (tmp_path / "rows.csv").write_text("k,event\n1,1700000000\n")

    ((_, problem),) = look(spec("rows.csv"), tmp_path).problems

    assert "{column: event, unit: s}" in problem


def test_numbers_say_what_they_count_unless_they_are_days(tmp_path):
    write(tmp_path, pa.int64(), 19970101)

    ((_, problem),) = look(spec(), tmp_path).problems

    assert "say what they count since 1970" in problem
    assert "as 19970131, count nothing" in problem


def test_times_of_a_day_lack_the_day(tmp_path):
    write(tmp_path, pa.time32("s"), 3600)

    ((_, problem),) = look(spec(), tmp_path).problems

    assert "column 'event' holds times of a day without the day (TIME)" in problem


def test_whole_numbers_of_128_bits_are_named_by_their_column(tmp_path):
    shutil.copy(FILES / "polars_int128.parquet", tmp_path / "rows.parquet")

    ((_, problem),) = look(spec(), tmp_path).problems

    assert "rows.parquet: column 'x' is of whole numbers of 128 bits (Polars' Int128)" in problem


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("CAST(amount AS DOUBLE)", r"to DOUBLE: column 'amount' in CAST(amount AS DOUBLE)."),
        ("CAST(trim(amount) AS INT)", r": column 'amount' in CAST(trim(amount) AS INT)."),
        ("year(amount::DATE)", r": column 'amount'"),
        ("CAST('x' || k AS INT)", r": column 'k' in"),
    ],
)
def test_a_cast_that_fails_names_its_column(tmp_path, expression, words):
    (tmp_path / "rows.csv").write_text("k,event,amount\n1,2024-01-01T10:00:00,abc\n")
    sql = f"SELECT k, event, {expression} AS y FROM rows"  # noqa: S608 - our own words
    given = make_spec("rows.csv", features=[("y", "float64")], sql=sql)

    ((_, problem),) = look(given, tmp_path).problems

    assert words in problem
    assert "abc" not in problem
