"""Windows of a bag: an event that is there many times counts so, and costs as much as one."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest

from materialization.transforms.windows.arguments import (
    WindowArgument,
    WindowArguments,
    WindowOutput,
)
from materialization.transforms.windows.evaluation import EntityWindows
from registry.spec.value_types import ValueType, parse_type

HOP, WINDOWS, NOW = 10, (95, 1000), 1000
NUMBERS = ("sum", "mean", "stddev", "variance", "percentile")
LISTS = ("first_k", "last_k", "top_k")
ANY = ("count", "count_distinct", "min", "max", "first", "last", *LISTS)
FUNCTIONS = {
    "float64": (*ANY, *NUMBERS, "approx_percentile"),
    "int64": (*ANY, *NUMBERS),
    "decimal(38,2)": (*ANY, *NUMBERS),
    "string": (*ANY, "histogram"),
}
VALUES: dict[str, tuple[Any, ...]] = {
    "float64": (0.1, -0.3, 1e300, 5e-324, 2.0, "NaN", "Infinity", "-Infinity"),
    "int64": (-3, 0, 7, 2**40),
    "decimal(38,2)": ("-1.50", "0.01", "12345678901234567.89"),
    "string": ("a", "b", "c"),
}


def gives(name: str, kind: ValueType) -> ValueType:
    if name in LISTS:
        return ValueType("list", item=kind)
    if name.startswith("count"):
        return parse_type("int64")
    if name == "histogram":
        return parse_type("json")
    if name == "sum" and kind.kind == "int64":
        return parse_type("decimal(38,0)")
    return kind if name not in NUMBERS or (name == "sum") else parse_type("float64")


def made_of(name: str) -> WindowArguments:
    kind = parse_type(name)
    outputs = [
        WindowOutput(f"{each}_{w}", gives(each, kind), each, {"k": 3, "p": 0.3}, 0, w)
        for each in FUNCTIONS[name]
        for w in WINDOWS
    ]
    argument = WindowArgument("a", kind.arrow, "a", kind, lambda column: column)
    return WindowArguments((argument,), tuple(outputs), WINDOWS, pa.schema([]), is_bag=True)


def features(name: str, rows: list[list[Any]], *, known: int | None = None) -> list[str]:
    """Return the features; with ``known``, of a hop only what a read would keep of it."""
    hops: dict[int, list[Any]] = {}
    for row in rows:
        hops.setdefault(row[0] // HOP, []).append(row)
    summed = {}
    if known in hops:
        summed[known] = EntityWindows(made_of(name), hops, {}, now=NOW).summary(known)
        del hops[known]
    windows = EntityWindows(made_of(name), hops, summed, now=NOW)
    return [repr(each) for each in windows.features(hop=HOP, where="v")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_copies_count_as_often_as_they_are_there(name):
    chance = random.Random(name)
    for case in range(150):
        finite = VALUES[name][:5] if case % 3 else VALUES[name]
        rows = [
            [
                chance.choice((901, 904, 906, 950, 953, 999)),
                chance.choice((0, 1)),
                place,
                chance.choice((None, *finite)),
                chance.choice((0, 1, 1, 2, 5)),
            ]
            for place in range(chance.randrange(1, 9))
        ]
        repeated = [[*row[:-1], 1] for row in rows for _ in range(row[-1])]
        for known in (None, 95):
            assert features(name, rows, known=known) == features(name, repeated), (rows, known)


def test_so_many_copies_as_nobody_could_make_are_counted():
    times = 10**12
    rows = [[950, 0, 1, 0.1, times], [951, 0, 2, 0.3, 1], [999, 0, 3, "Infinity", 0]]
    names = [each.feature for each in made_of("float64").outputs]
    found = dict(zip(names, features("float64", rows), strict=True))

    whole = Fraction(0.1) * times + Fraction(0.3)
    assert found["count_1000"] == repr(times + 1)
    assert found["sum_95"] == repr(float(whole))
    assert found["percentile_95"] == found["first_1000"] == "0.1"
    assert found["last_k_95"] == "[0.3, 0.1, 0.1]"
    assert math.isclose(float(found["variance_95"]), 0.04 / times, rel_tol=1e-9)
