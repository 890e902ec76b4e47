"""One set of texts is taken for days and instants, wherever text is read."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import duckdb
import pytest

from lib.errors import Invalid
from lib.instants import DAY_TEXT, INSTANT_TEXT, parse_day, parse_instant, sent_instant

INSTANTS = {
    "2024-01-31": datetime(2024, 1, 31, tzinfo=UTC),
    "2024-01-31T10:00": datetime(2024, 1, 31, 10, tzinfo=UTC),
    "2024-01-31 10:00:01": datetime(2024, 1, 31, 10, 0, 1, tzinfo=UTC),
    "2024-01-31T10:00:01.5Z": datetime(2024, 1, 31, 10, 0, 1, 500_000, tzinfo=UTC),
    "2024-01-31 10:00:01.123456789": datetime(2024, 1, 31, 10, 0, 1, 123_456, tzinfo=UTC),
    "1960-01-31 10:00:01.123456789": datetime(1960, 1, 31, 10, 0, 1, 123_456, tzinfo=UTC),
    "2024-01-31 10:00:01 UTC": datetime(2024, 1, 31, 10, 0, 1, tzinfo=UTC),
    "2024-01-31 10:00:01+02": datetime(2024, 1, 31, 8, 0, 1, tzinfo=UTC),
    "2024-01-31T10:00:01-0530": datetime(2024, 1, 31, 15, 30, 1, tzinfo=UTC),
    "2024-01-31T10:00+05:30": datetime(2024, 1, 31, 4, 30, tzinfo=UTC),
}
NONE = [
    "", "2024", "2024-1-31", "2024/01/31", "20240131", "2024-W05-3", "epoch", "infinity", "now",
    "2024-01-31T10", "2024-01-31T24:00:00", "2024-01-31T10:00:60Z", "2024-01-31T10:00:01,5",
    "2024-01-31T10:00:01+25:00", "2024-01-31 10:00:01 Europe/Berlin", "2024-01-31 (BC)",
    "2024-02-30", "2024-01-31T10:00\n",
]  # fmt: skip


@pytest.mark.parametrize("text", INSTANTS)
def test_the_same_instant_in_python_and_in_the_engine(text):
    query = f"SELECT regexp_full_match($1, '{INSTANT_TEXT}'), epoch_us(CAST($1 AS TIMESTAMPTZ))"
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        taken, microseconds = engine.execute(query, [text]).fetchall()[0]

    assert parse_instant(text) == INSTANTS[text]
    assert taken
    assert microseconds == round(INSTANTS[text].timestamp() * 1_000_000)


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_instant_is_none_anywhere(text):
    query = f"SELECT regexp_full_match($1, '{INSTANT_TEXT}') AND TRY_CAST($1 AS DATE) IS NOT NULL"

    assert not duckdb.execute(query, [text]).fetchall()[0][0]
    with pytest.raises(ValueError, match=r"2024-02-30|day is out|is not written"):
        parse_instant(text)


def test_a_day_is_a_day_and_no_time():
    assert parse_day("2024-01-31") == date(2024, 1, 31)
    for text in ("2024-01-31T00:00", "20240131", "2024-W05-3", "2024-02-30"):
        with pytest.raises(ValueError, match=r"day"):
            parse_day(text)
    assert not duckdb.execute("SELECT regexp_full_match('20240131', $1)", [DAY_TEXT]).fetchall()[0][
        0
    ]


@pytest.mark.parametrize(
    "value", ["", "tomorrow", "2026-02-30", 7, None, "2026-01-31T12:00:00Z\x00"]
)
def test_an_instant_of_a_request_that_is_none_is_named(value):
    with pytest.raises(
        Invalid, match=re.escape(f"ends_at {value!r}: write an instant, as in 2026-")
    ):
        sent_instant("ends_at", value, Invalid)
