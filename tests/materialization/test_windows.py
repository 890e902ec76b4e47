from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialization.windows import BadWindow, Window, make_window, merge, missing, within

DAY = [datetime(1969, 12, 28, tzinfo=UTC) + timedelta(days=n) for n in range(12)]


def contains(windows, instant):
    """Say whether one of the windows holds ``instant``: starts are outside, ends inside."""
    return any((w.start is None or w.start < instant) and instant <= w.end for w in windows)


def w(start, end):
    return Window(None if start is None else DAY[start], DAY[end])


@pytest.mark.parametrize(
    ("windows", "merged"),
    [
        ([], []),
        ([w(1, 2), w(2, 3)], [w(1, 3)]),
        ([w(3, 4), w(1, 2)], [w(1, 2), w(3, 4)]),
        ([w(1, 5), w(2, 3)], [w(1, 5)]),
        ([w(2, 4), w(None, 3)], [w(None, 4)]),
        ([w(2, 2)], []),
    ],
)
def test_touching_windows_become_one(windows, merged):
    assert merge(windows) == merged


@pytest.mark.parametrize(
    ("wanted", "done", "gaps"),
    [
        (w(1, 9), [], [w(1, 9)]),
        (w(1, 9), [w(1, 9)], []),
        (w(1, 9), [w(2, 3), w(5, 6)], [w(1, 2), w(3, 5), w(6, 9)]),
        (w(1, 9), [w(0, 2), w(8, 11)], [w(2, 8)]),
        (w(None, 9), [w(None, 4)], [w(4, 9)]),
        (w(None, 9), [w(3, 4)], [w(None, 3), w(4, 9)]),
        (w(3, 5), [w(0, 1), w(7, 8)], [w(3, 5)]),
        (w(3, 5), [w(None, 11)], []),
    ],
)
def test_missing_is_what_no_window_covers(wanted, done, gaps):
    assert missing(wanted, done) == gaps


def test_a_start_is_outside_and_an_end_inside():
    assert not contains([w(1, 2)], DAY[1])
    assert contains([w(1, 2)], DAY[2])
    assert not contains([w(1, 2)], DAY[2] + timedelta(microseconds=1))


def test_a_window_needs_aware_instants_in_order():
    with pytest.raises(BadWindow, match="no time zone"):
        make_window(None, datetime(2024, 1, 1))  # noqa: DTZ001 - the point of the test
    with pytest.raises(BadWindow, match="before end"):
        make_window(DAY[2], DAY[2])


windows = st.tuples(st.none() | st.integers(0, 5), st.integers(1, 11)).map(lambda p: w(*p))


@given(st.lists(windows, max_size=6))
def test_merging_twice_changes_nothing(done):
    assert merge(merge(done)) == merge(done)


@given(windows, st.lists(windows, max_size=6))
def test_missing_and_done_tile_the_wanted_window(wanted, done):
    gaps = missing(wanted, done)
    for instant in DAY:
        assert contains(gaps, instant) == (
            contains([wanted], instant) and not contains(done, instant)
        )


@pytest.mark.parametrize(
    ("windows", "wanted", "parts"),
    [
        ([], w(0, 9), []),
        ([w(1, 3), w(5, 7)], w(2, 6), [w(2, 3), w(5, 6)]),
        ([w(1, 3), w(3, 7)], w(None, 4), [w(1, 4)]),
        ([w(None, 3)], w(None, 9), [w(None, 3)]),
        ([w(None, 3)], w(3, 9), []),
    ],
)
def test_within_gives_the_parts_that_lie_inside(windows, wanted, parts):
    assert within(windows, wanted) == parts
