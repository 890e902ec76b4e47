"""Which aggregates are computed together: as many as a query has memory for."""

from __future__ import annotations

import pytest

from materialization.transforms.aggregation.aggregates import read_aggregates
from materialization.transforms.aggregation.exact_sums import Found, numbered_bins, one_bin
from tests.materialization.aggregation_cases import make_view

COLUMNS = [f"x{number}" for number in range(6)]


@pytest.mark.parametrize(
    ("bins", "parts"),
    [(one_bin(100, 0.5, 8.0), [8, 4]), (numbered_bins([-32, -1, 0, 31]), [2] * 6)],
)
def test_variances_are_computed_as_many_at_a_time_as_their_totals_allow(bins, parts):
    """Twelve of the widest range together took more than half a gigabyte, however few the rows."""
    spec, _ = make_view(columns=COLUMNS, functions=("variance",))
    every = read_aggregates(spec, dict.fromkeys(COLUMNS, "DOUBLE"))
    found = every.with_found({n: Found(bins, non_finite=False) for n in every.split_arguments})

    assert [len(part.calls) for part in found.in_parts(16)] == parts
    assert sorted(c.number for part in found.in_parts(16) for c in part.calls) == list(range(12))
