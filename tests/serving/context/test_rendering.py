"""As many clauses as a budget takes, in time that grows as they do."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from serving.context.rendering import BYTES_PER_TOKEN, Told, default_clauses, render

AT = datetime(2026, 3, 1, tzinfo=UTC)


def told(value: str) -> Told:
    return Told(value, "PRESENT", "2026-03-01T00:00:00.000000Z", "string", None, "")


def test_random_budgets_keep_the_longest_beginning_that_fits():
    chance = random.Random(10)
    names = [f"f{index}" for index in range(12)]
    clauses = default_clauses(names)
    for _ in range(200):
        values = {
            name: told("".join(chance.choices("aä€😀 ", k=chance.randrange(9)))) for name in names
        }
        budget = chance.randrange(1, 120)
        whole = [render(clauses[:n], values, at=AT, max_tokens=None) for n in range(13)]
        sizes = [-(-len(each.text.encode()) // BYTES_PER_TOKEN) for each in whole]
        most = max(n for n in range(13) if sizes[n] <= budget)

        found = render(clauses, values, at=AT, max_tokens=budget)

        assert [each.tokens for each in whole] == sizes
        assert (found.text, found.tokens) == (whole[most].text, sizes[most])
        assert (found.features, found.dropped) == (names[:most], names[most:])


class Name(str):
    """A name that counts how often one is compared with another."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_names_are_not_compared_with_all_others():
    names = [Name(f"f{index}") for index in range(500)]
    values = {name: told("x") for name in names}

    render(default_clauses(names), values, at=AT, max_tokens=None)

    assert Name.compared < 10 * len(names)


def test_a_text_is_not_made_anew_for_each_clause():
    made = []

    class Separator(str):
        __slots__ = ()

        def __add__(self, other: str) -> str:
            made.append(len(other))
            return str.__add__(self, other)

        def __radd__(self, other: str) -> str:
            made.append(len(other))
            return other + str(self)

    names = [f"f{index}" for index in range(500)]
    clauses = [each._replace(separator=Separator(", ")) for each in default_clauses(names)]
    render(clauses, {name: told("x") for name in names}, at=AT, max_tokens=10_000)

    assert max(made, default=0) < 100
