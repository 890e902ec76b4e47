"""Columns of JSON as typed ones: what Feast's clients send where an instant is asked for."""

from __future__ import annotations

import random
from typing import Any

import pytest

from materialization.ingest.refusals import Refusals
from registry.spec.value_types import parse_type
from serving.ingest.values import typed_column, with_instants


@pytest.mark.parametrize(
    ("kind", "sent", "read"),
    [
        (
            "timestamp",
            [1795773600, None, -1],
            ["2026-11-27T10:00:00Z", None, "1969-12-31T23:59:59Z"],
        ),
        ("timestamp", [-(2**63)], [None]),
        ("timestamp", ["2026-11-27T10:00:00.5"], ["2026-11-27T10:00:00.5Z"]),
        ("list<timestamp>", [[0, None]], [["1970-01-01T00:00:00Z", None]]),
        ("int64", [1795773600], [1795773600]),
    ],
)
def test_seconds_that_feasts_clients_send_are_instants_where_those_are_asked_for(kind, sent, read):
    of = parse_type(kind)

    refusals = Refusals()
    typed = typed_column(with_instants(sent, of), of, refusals, name="x")
    expected = typed_column(read, of, refusals, name="x")

    assert (typed.to_pylist(), refusals.to_json()) == (expected.to_pylist(), [])


@pytest.mark.parametrize(
    ("sent", "shown"),
    [(10**30, "1000"), (True, "true"), (1.5, "1.5"), ("1795773600", "1795773600")],
)
def test_what_is_no_instant_in_seconds_is_refused_as_it_was_sent(sent, shown):
    of, refusals = parse_type("timestamp"), Refusals()

    typed_column(with_instants([sent], of), of, refusals, name="x")

    (refused,) = refusals.to_json()
    assert shown in refused["value"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("+12.5", "12.5000"),
        ("1e3", "1000.0000"),
        (".5", "0.5000"),
        ("5.", "5.0000"),
        ("0e50", "0.0000"),
        ("-0", "0.0000"),
        ("1." + "0" * 60, "1.0000"),
        ("9" * 34 + ".9999", "9" * 34 + ".9999"),
        (10**33, "1" + "0" * 33 + ".0000"),
        *(
            (text, None)
            for text in (" 1", "1_000", "१२", "1e400000000", "NaN", "0.00001", "", "1e", ".")
        ),
        *((value, None) for value in (1.5, True, 10**34, [1])),
    ],
)
def test_decimals_are_read_as_digits_and_no_more(text, read):
    of, refusals = parse_type("decimal(38,4)"), Refusals()

    (value,) = typed_column([text], of, refusals, name="x").to_pylist()

    assert (None if value is None else str(value)) == read
    assert (not refusals) is (value is not None)


@pytest.mark.parametrize(
    ("kind", "sent", "valid"),
    [
        ("json", ["x", "", "[1,]", '"\\ud800"', "\ud800", "[" * 100_000, "NaN"], "JSON itself"),
        ("float32", [2**24 + 1, -(2**24) - 1, 10**39, 1e39], "a number, as in 1.5"),
        ("vector<2>", [[2**24 + 1, 0], [1, 1e39], [1], [1, "NaN"], [1, True]], "finite numbers"),
        ("list<int64>", [[1.5], [2**63], [True], 1], "for each item a whole number"),
    ],
)
def test_what_a_type_does_not_have_is_refused_as_what_would_be(kind, sent, valid):
    refusals = Refusals()

    column = typed_column(sent, parse_type(kind), refusals, name="x")

    assert column.null_count == len(sent) == len(refusals.to_json())
    assert all(valid in each["valid"] for each in refusals.to_json())


@pytest.mark.parametrize(
    ("kind", "sent", "read"),
    [
        (
            "json",
            ['"x"', ' {"a": 1.10}', {"a": [None]}, 1.5],
            ['"x"', ' {"a": 1.10}', '{"a":[null]}', "1.5"],
        ),
        (
            "float32",
            [2**24, 2**24 + 2, 0.1, -0.0],
            [2.0**24, 2.0**24 + 2, 0.10000000149011612, -0.0],
        ),
    ],
)
def test_what_a_type_has_is_kept_as_it_is(kind, sent, read):
    refusals = Refusals()

    assert typed_column(sent, parse_type(kind), refusals, name="x").to_pylist() == read
    assert not refusals


def test_json_that_is_too_deep_to_be_written_again_is_refused():
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    of, refusals = parse_type("json"), Refusals()

    assert typed_column([nested, [1]], of, refusals, name="x").to_pylist() == [None, "[1]"]
    assert refusals.to_json()[0]["value"] == "a deeply nested value"


DAYS = ["2026-11-28", "0001-01-01", "9999-12-31", "0000-12-31", "2024-02-29", "2026-02-29"]
TIMES = ["", "T00:00", "T23:59:59", " 12:30:00.5", "T12:30:00.123456", "T1:00", "T00", "T00:00:60"]
FINE = ["T12:30:00.1234567", "T12:30:00.123456789"]
ZONES = ["", "Z", "+00:00", "+0530", "-15", "+14:59", " UTC", "z", "+24:00"]


@pytest.mark.parametrize("seed", range(20))
def test_many_instants_are_read_as_each_alone(seed):
    chance = random.Random(seed)
    times = chance.sample([*TIMES, *FINE], chance.choice([1, 2, 10]))
    days, zones = (
        chance.sample(DAYS, chance.choice([1, 2, 6])),
        chance.sample(ZONES, chance.choice([1, 1, 9])),
    )
    texts = [chance.choice(days) + chance.choice(times) + chance.choice(zones) for _ in range(40)]
    texts += chance.sample(
        [None, " 2026-11-28 ", "", "now", 5, "2026-11-28\n"], chance.choice([0, 0, 1, 6])
    )
    of, refusals = parse_type("timestamp"), Refusals()

    together = typed_column(texts, of, refusals, name="x").to_pylist()

    alone, refused = [], set()
    for place, text in enumerate(texts):
        wrong = Refusals()
        alone += typed_column([text], of, wrong, name="x").to_pylist()
        refused |= {place} if wrong else set()
    assert (together, refusals.rows) == (alone, refused)
