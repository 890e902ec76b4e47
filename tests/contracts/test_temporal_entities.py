"""All entities of views with temporal accuracy, at instants and when they came to count.

The loops are ``tests/oracle_ticks.found_at`` and ``came_to_count``. Not for values:
``test_temporal_accuracy``.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from materialization.compute.questions import Timing
from tests.contracts.test_temporal_accuracy import edges, losses, view
from tests.materialization.aggregation_cases import BASE, END, HOUR, histories, quarters, with_keys
from tests.materialization.temporal_cases import Events
from tests.oracle_ticks import came_to_count, found_at

DAY = timedelta(days=1)
ttls = st.sampled_from([None, "1h", "4h"])
few = settings(max_examples=5, deadline=None)


def as_rows(table):
    assert table.column_names == ["a", "b", "event_timestamp"]
    columns = [table["event_timestamp"], table["a"], table["b"]]
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def check(events, rows, outputs, *, ttl, timing):
    """Compare at every instant at which something may change, and at its neighbours."""
    known, rows = timing is Timing.KNOWN, with_keys(rows)
    instants = sorted({at for _, at in edges(rows)} | {BASE})
    found = events.entities(instants, timing=timing)
    assert as_rows(found) == found_at(rows, instants, outputs, ttl=ttl, known=known)
    first, last = instants[len(instants) // 3], instants[-1] - HOUR
    for bounds in ((instants[0] - DAY, instants[-1] + DAY), (first, max(first, last))):
        began = came_to_count(rows, outputs, known=known)
        between = events.entities((), between=bounds, timing=timing)
        assert as_rows(between) == [each for each in began if bounds[0] <= each[0] <= bounds[1]]


@few
@given(rows=histories(quarters), ttl=ttls, timing=st.sampled_from(Timing))
def test_they_are_those_of_which_windows_are_found(rows, ttl, timing):
    spec, outputs = view("count", ttl=ttl)

    with tempfile.TemporaryDirectory() as folder:
        events = Events(spec, folder)
        events.store(rows, is_first=True)
        check(events, rows, outputs, ttl=spec.ttl, timing=timing)


@few
@given(drawn=losses("count"), ttl=ttls)
def test_what_a_source_lost_tells_of_them_until_one_asks_what_was_true(drawn, ttl):
    rows, lost = drawn
    kept = [row for place, row in enumerate(rows) if place not in lost]
    seen = BASE + 5 * HOUR
    gone = [
        {**row, "gone": BASE + 6 * HOUR} for place, row in enumerate(rows)
        if place in lost and max(row["event"], row["created"]) <= seen
    ]  # fmt: skip
    spec, outputs = view("count", ttl=ttl)

    with tempfile.TemporaryDirectory() as folder:
        events = Events(spec, folder)
        events.store(rows, end=seen, is_first=True)
        events.store(kept, end=BASE + 6 * HOUR)
        events.store(kept)
        check(events, [*kept, *gone], outputs, ttl=spec.ttl, timing=Timing.KNOWN)
        check(events, kept, outputs, ttl=spec.ttl, timing=Timing.EVENT)


@few
@given(rows=histories(quarters), ttl=st.sampled_from([None, "90d"]))
def test_without_a_bound_an_entity_stays(rows, ttl):
    spec, outputs = view("count", windows={"1h": HOUR, "unbounded": None}, ttl=ttl)

    with tempfile.TemporaryDirectory() as folder:
        events = Events(spec, folder)
        events.store(rows, is_first=True)
        check(events, rows, outputs, ttl=spec.ttl, timing=Timing.KNOWN)


@few
@given(rows=histories(quarters), ttl=ttls)
def test_each_of_them_has_values_in_a_join_also_about_the_views_start(rows, ttl):
    spec, _ = view("count", ttl=ttl, start=BASE + 3 * HOUR)
    instants = sorted({at for _, at in edges(rows)} | {spec.view.start, BASE})
    asked = [((a, b), at) for at in instants for a, b in sorted({(r["a"], r["b"]) for r in rows})]

    with tempfile.TemporaryDirectory() as folder:
        events = Events(spec, folder)
        events.store(rows, is_first=True)
        values = events.values(asked) if asked else []
        there = [(at, *key) for (key, at), found in zip(asked, values, strict=True) if found]
        assert as_rows(events.entities(instants)) == there
        between = as_rows(events.entities((), between=(BASE - DAY, END)))
        found = events.values([(key, at) for at, *key in between]) if between else []
        assert None not in found


@pytest.mark.parametrize("timing", Timing)
def test_pages_follow_one_another(tmp_path, timing):
    keys = [("a", "b"), ("a", "c"), ("ä", ""), ("", "z")]
    rows = [
        {"a": a, "b": b, "event": BASE + n * HOUR, "created": None, "x": 1.0, "n": 1}
        for n in range(3)
        for a, b in keys
    ]
    events = Events(replace(view("count")[0]), tmp_path)
    events.store(rows, is_first=True)
    instants = [BASE + n * HOUR / 2 for n in range(8)]
    whole, pages, after = events.entities(instants, timing=timing), [], None

    while (page := events.entities(instants, timing=timing, most=5, after=after)).num_rows:
        pages += as_rows(page)
        after = page.slice(page.num_rows - 1)

    assert pages == as_rows(whole)
    assert len(pages) == 32
