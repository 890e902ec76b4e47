"""Keys that only one store has, however walks through the other give them."""

from __future__ import annotations

import random

from materialization.quality.consistency.strangers import hashes, strangers


def test_each_that_is_not_known_is_given_once_however_far_apart_it_comes_again():
    chance = random.Random(3)
    keys = [b"%d" % n for n in range(500)]
    known = set(chance.sample(keys, 200))
    for at_once in (1, 7, 60, 1000):
        pieces = [chance.choices(keys, k=chance.randrange(40)) for _ in range(60)]

        found = list(strangers(pieces, [hashes(list(known))], at_once=at_once))

        given = [key for some in found for key in some]
        assert len(given) == len(set(given))
        assert set(given) == {key for some in pieces for key in some} - known
        assert all(len(some) < at_once + 40 for some in found)
    assert list(strangers([[b"a"], [b"a"]], [], at_once=1)) == [[b"a"]]
