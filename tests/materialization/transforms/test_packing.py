"""Whole numbers that are added up beside each other. Not for when they are: ``test_edges``."""

from __future__ import annotations

import random

import duckdb
import pytest

from materialization.transforms.aggregation.function import Amount
from materialization.transforms.aggregation.packing import packed


def totals(amounts, rows, numbers):
    """Return each amount's total over rows of values, as it comes out of the numbers."""
    found = {}
    with duckdb.connect() as connection:
        values = ", ".join(
            f"({', '.join('NULL' if x is None else str(x) for x in r)})" for r in rows
        )
        names = ", ".join(amount.sql for amount in amounts)
        connection.execute(
            f"CREATE TABLE given AS SELECT * FROM (VALUES {values}) AS given({names})"
        )
        for number in numbers:
            total = f"SELECT sum({number.added}) AS total FROM given"
            raised = f"SELECT {number.raised('total')} AS r FROM ({total})"
            for amount, sql in number.parted("r"):
                ((found[amount],),) = connection.execute(f"SELECT {sql} FROM ({raised})").fetchall()
    return [found[amount] for amount in amounts]


@pytest.mark.parametrize("seed", range(5))
def test_totals_come_out_as_they_would_alone(seed):
    chance = random.Random(seed)
    amounts = [Amount(f"c{n}", chance.choice([1, 1, 7, 30, 64, 92])) for n in range(9)]
    ends = [(-(1 << each.bits) + 1, 0, None, (1 << each.bits) - 1) for each in amounts]
    rows = [
        [chance.choice([*some, chance.randrange(some[0], some[3])]) for some in ends]
        for _ in range(50)
    ]
    numbers = packed(amounts, len(rows))

    assert len(numbers) < len(amounts)
    assert totals(amounts, rows, numbers) == [
        sum(row[place] or 0 for row in rows) for place in range(len(amounts))
    ]


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_total_that_is_as_large_as_it_can_be_takes_nothing_of_its_neighbour(sign):
    amounts = [Amount("a", 53), Amount("b", 1), Amount("c", 40)]
    rows = [[sign * ((1 << 53) - 1), -sign, sign * ((1 << 40) - 1)]] * 255
    numbers = packed(amounts, len(rows))

    assert len(numbers) == 1
    assert totals(amounts, rows, numbers) == [255 * each for each in rows[0]]


def test_what_is_no_whole_number_or_does_not_fit_is_alone():
    amounts = [Amount("d"), Amount("wide", 120), Amount("n", 1), Amount("m", 1)]

    numbers = packed(amounts, 1_000_000)

    assert [[field.amount.sql for field in number.fields] for number in numbers] == [
        ["n", "m"],
        ["wide"],
        ["d"],
    ]
