"""Candidates of one look after the other: each row is read once, and no more than the bound."""

from __future__ import annotations

import numpy as np
import pytest

from materialization.vectors.metrics import distances
from materialization.vectors.scan import scans
from serving.search.hits import MOST_CANDIDATES, MOST_NUMBERS, STEPS, Finder, Looked
from tests.materialization.vectors.test_cells import LENGTH, clustered, file_of
from tests.materialization.vectors.test_scan import layout_of

ROWS = 30_000


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    vectors = clustered(np.random.default_rng(7), ROWS)
    return vectors, file_of(tmp_path_factory.mktemp("candidates"), vectors)[0]


@pytest.mark.parametrize(("there", "width"), [(0, 1), (4, 1), (60, 1), (0, 10_000)])
def test_a_look_at_all_goes_on_from_the_cells(written, there, width):
    """Most rows are gone since: cells have too few hits, and all are looked at after them."""
    vectors, index = written
    layout, query, k = layout_of(LENGTH), vectors[5], 10
    kept = {*np.random.default_rng(8).choice(ROWS, there, replace=False).tolist()}
    read: list[int] = []

    def rows_of(tags):
        numbers = [int(tag.strip(b"{}")) for tag in tags]
        read.extend(numbers)
        return [
            [0, 0, 0, vectors[number].tolist()] if number in kept else [None] * 4
            for number in numbers
        ]

    looked = Looked(layout, layout.position("e"), "l2", query, (), None, None)
    finder = Finder(looked, index, rows_of, k=k, width=width)
    found, by_look = None, []
    for scan, _recall in scans(
        index, feature="e", metric="l2", query=query, eligible=None, k=k, exact=False
    ):
        found = finder.look(scan)
        by_look.append((len(read), len(found.found)))

    assert found is not None
    assert len(by_look) == 2
    assert 0 < by_look[0][0] < by_look[1][0]
    assert by_look[0][1] < k
    most = min(MOST_CANDIDATES, STEPS * (MOST_NUMBERS // width))
    assert len(read) == len({*read}) <= most
    known = sorted(kept & {*read})
    right = np.sort(distances("l2", vectors[known], query))[:k]
    assert [hit.distance for hit in found.found] == pytest.approx(right.tolist(), abs=1e-9)
    if found.is_complete:  # nothing that nobody read is nearer than the last
        others = distances("l2", vectors[sorted(kept - {*read})], query)
        assert len(found.found) == k
        assert others.min() >= found.found[-1].distance
    else:
        assert len(read) == most
    assert found.is_complete is (there == 60)
