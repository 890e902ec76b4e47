"""What a run has a reason to read: tables of what was seen, what is there, and what follows."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from materialization.readings import Planned, Seen, plan_readings, remembered, settled
from materialization.sources.inputs import Part
from materialization.windows import Window


def at(hour: int) -> datetime:
    return datetime(2026, 3, 1, hour, tzinfo=UTC)


def there(**identities: str) -> list[Part]:
    return [Part(name, identity, 0.0) for name, identity in identities.items()]


def seen(identity: str = "1", until: int = 8, *, later: bool = False, since: int | None = None):
    return Seen(identity, at(until), later, at(since) if since is not None else None)


#: Covered until eight; a run to ten. ``w``: (8, 10], ``old``: (…, 8].
W, OLD = Window(at(8), at(10)), Window(None, at(8))


@pytest.mark.parametrize(
    ("known", "planned"),
    [
        # As it was, with nothing later: not opened.
        ({"a": seen()}, []),
        # As it was, with rows that lay ahead: only the new window, known as ever.
        ({"a": seen(later=True)}, [Planned(("a",), (W,))]),
        ({"a": seen(later=True, since=5)}, [Planned(("a",), (W,))]),
        # New or changed: the new window, and what the table lacks of the old.
        ({}, [Planned(("a",), (W,), at(10)), Planned(("a",), (OLD,), at(10), unseen=True)]),
        (
            {"a": seen("0")},
            [Planned(("a",), (W,), at(10)), Planned(("a",), (OLD,), at(10), unseen=True)],
        ),
    ],
)
def test_what_is_read_of_one_part(known, planned):
    assert plan_readings(there(a="1"), known, wanted=W, covered=[OLD]) == planned


def test_a_part_that_grows_is_read_each_time_and_its_rows_were_not_there_before():
    """An equal identity does not say that it has no other rows."""
    parts = [Part("a", "1", 0.0, grows=True)]
    known = {"a": seen("1", 8)}

    assert plan_readings(parts, known, wanted=W, covered=[OLD]) == [Planned(("a",), (W,), at(10))]
    again = Window(at(6), at(8))
    assert plan_readings(parts, known, wanted=W, covered=[OLD], again=again)[1:] == [
        Planned(("a",), (again,), at(10), unseen=True)
    ]
    first = plan_readings(parts, known, wanted=W, covered=[OLD], is_first=True)
    assert first == [Planned(("a",), (W,))]


def test_many_new_parts_are_planned_in_no_time():
    """Each is looked up, not looked for: looking for each took twenty thousand eight seconds."""
    parts = there(**{f"part{number:05}": "1" for number in range(20_000)})
    began = time.process_time()

    plan_readings(parts, {}, wanted=W, covered=[OLD])

    assert time.process_time() - began < 2


def test_a_first_backfill_takes_all_as_known_at_its_event_time():
    wanted = Window(None, at(10))

    assert plan_readings(there(a="1", b="1"), {}, wanted=wanted, covered=[]) == [
        Planned(("a", "b"), (wanted,), None)
    ]


def test_a_gap_is_read_of_every_part_that_was_seen_after_it():
    covered = [Window(at(4), at(8))]
    known = {"a": seen(), "b": seen(since=6), "c": seen(until=3, since=2)}
    gap = Window(at(3), at(4))

    assert plan_readings(
        there(a="1", b="1", c="1"), known, wanted=Window(at(3), at(8)), covered=covered
    ) == [Planned(("a",), (gap,)), Planned(("b",), (gap,), at(6))]


def test_a_range_is_compared_again_in_every_part():
    known = {"a": seen(), "b": seen(later=True)}
    again = Window(at(5), at(10))

    assert plan_readings(there(a="1", b="1"), known, wanted=W, covered=[OLD], again=again) == [
        Planned(("b",), (W,)),
        Planned(("a", "b"), (Window(at(5), at(8)),), at(10), unseen=True),
    ]


def test_what_is_remembered():
    parts = there(same="1", read="1", changed="2", new="1", compared="2")
    known = {"same": seen(), "read": seen(later=True, since=3), "changed": seen("1")}
    planned = [
        Planned(("changed", "new"), (W,), at(10)),
        Planned(("read",), (W,)),
        Planned(("changed", "new", "compared"), (OLD,), at(10), unseen=True),
    ]

    assert remembered(parts, known, planned, has_later=["new"], read_until=at(10)) == {
        "same": seen(),
        "read": seen(until=10, since=3),
        "changed": seen("2", until=10, since=10),
        "new": seen(until=10, later=True, since=10),
        # Nobody looked whether it has later rows.
        "compared": seen("2", until=10, later=True, since=10),
    }


@pytest.mark.parametrize(
    ("changed_at", "rests"),
    [(0.0, True), (98.0, True), (98.001, False), (100.0, False), (101.0, True)],
)
def test_a_part_rests_two_seconds(changed_at, rests):
    found = settled([Part("a", "1", changed_at)], now=100.0, age=timedelta(seconds=2))

    assert bool(found) is rests
