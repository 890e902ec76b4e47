"""What became of each line of an earlier text."""

from __future__ import annotations

import pytest

from registry.choices import Fate
from registry.passages import _compared

SAME, OTHER, GONE = Fate.UNCHANGED, Fate.CHANGED, Fate.GONE


@pytest.mark.parametrize(
    ("before", "now", "became"),
    [
        ("a", "a", [(SAME, 1)]),
        ("a", "", [(GONE, None)]),
        ("a", "b", [(OTHER, 1)]),
        ("a b c", "x a c", [(SAME, 2), (GONE, None), (SAME, 3)]),
        ("a b c d", "a x y d", [(SAME, 1), (OTHER, 2), (OTHER, 3), (SAME, 4)]),
        ("a b c d", "a x d", [(SAME, 1), (OTHER, 2), (OTHER, 2), (SAME, 3)]),
        ("a b", "a x y z b", [(SAME, 1), (SAME, 5)]),
    ],
)
def test_a_line_stays_becomes_another_or_is_gone(before, now, became):
    found = _compared(before.replace(" ", "\n"), now.replace(" ", "\n"))

    assert [tuple(found[number]) for number in sorted(found)] == became


def test_each_line_of_a_long_text_that_was_rewritten_became_the_one_in_its_place():
    before = "\n".join(f"a{number}" for number in range(5_000))
    now = "\n".join(f"b{number}" for number in range(5_000))

    assert _compared(before, now) == {n: (OTHER, n) for n in range(1, 5_001)}
