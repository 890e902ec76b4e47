"""What a run reads of another system by the times that SQL gives: of its windows where it can."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from materialization.compute.jobs import SurveyJob
from materialization.compute.wanted import wanted_of
from materialization.sources.inputs import SourceFiles
from tests.materialization.engine_cases import make_spec

START, END = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def wanted(sql, start=START, end=END, **keys):
    spec = make_spec(**keys)
    spec = replace(spec, view=replace(spec.view, sql=f"SELECT {sql} FROM rows"))
    found = wanted_of(SurveyJob(spec, SourceFiles((), "parquet"), end, start, 9, 9))
    return found.after, found.until


@pytest.mark.parametrize("sql", ["k, event, x", "K, Event, x", "k, Rows.EVENT AS event, x", "*"])
def test_a_time_as_it_is_in_the_source_has_the_rows_of_the_windows_asked_for(sql):
    assert wanted(sql) == (START, END)


@pytest.mark.parametrize(
    ("sql", "days"),
    [
        ("k, event::TIMESTAMPTZ AS event, known, x", 1),
        ("k, event AT TIME ZONE 'Asia/Manila' AS event, known, x", 1),
        ("* REPLACE (event AT TIME ZONE 'Asia/Manila' AT TIME ZONE 'UTC' AS event)", 2),
        ("k, event, known::DATE AS known, x", 2),
    ],
)
def test_the_same_time_in_other_words_has_days_more_asked_for(sql, days):
    assert wanted(sql, created="known") == (START - days * DAY, END + days * DAY)


def test_no_calendar_has_days_beyond_its_ends():
    first, last = datetime(1, 1, 1, 9, tzinfo=UTC), datetime(9999, 12, 31, 9, tzinfo=UTC)

    assert wanted("k, event::TIMESTAMP AS event, x", first, last) == (None, None)
    assert wanted("k, event::TIMESTAMP AS event, x", None) == (None, END + DAY)


@pytest.mark.parametrize(
    ("sql", "keys"),
    [
        ("k, coalesce(known, event) AS event, known, x", {}),
        ("k, event, event + INTERVAL 1 DAY AS known, x", {}),
        ("k, event::DOUBLE AS event, known, x", {"event_unit": "s"}),
        ("k, event::TIMESTAMP AS event, known, x", {"event_unit": "s"}),
    ],
)
def test_of_any_other_time_all_rows_are_asked_for(sql, keys):
    assert wanted(sql, created="known", **keys) == (None, None)
