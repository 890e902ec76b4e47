"""Batches that one thread makes and another writes."""

from __future__ import annotations

import threading

import pytest

from materialization.runner.aside import write_aside


def test_items_are_made_here_and_written_aside_in_order():
    threads = []

    def items():
        for number in range(20):
            threads.append(threading.current_thread())
            yield number

    def write(taken):
        threads.append(threading.current_thread())
        return list(taken)

    assert write_aside(write, items()) == list(range(20))
    assert len(set(threads)) == 2


def test_what_making_raises_reaches_the_writer_and_the_caller():
    seen = []

    def items():
        yield 1
        raise ValueError("bad row")

    def write(taken):
        try:
            return list(taken)
        except ValueError as exc:
            seen.append(str(exc))
            raise

    with pytest.raises(ValueError, match="bad row"):
        write_aside(write, items())
    assert seen == ["bad row"]


def test_a_writer_that_fails_stops_the_making():
    made = []

    def write(taken):
        next(taken)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_aside(write, (made.append(number) or number for number in range(1000)))
    assert len(made) < 10


def test_a_writer_that_needs_nothing_is_not_made_to_take_it():
    assert write_aside(lambda taken: "already", iter(range(1000))) == "already"
