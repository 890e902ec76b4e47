"""How far two profiles lie apart, and profiles of several runs as one; scipy and numpy say so too.

Profiles are made of plain values here; ``test_profiling`` has those of files.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import kl_div
from scipy.stats import ks_2samp

from materialization.quality.distributions import MARKS, RESOLUTION, edges_of, marks_of
from materialization.quality.drift import Drift, drift_between, kolmogorov_smirnov
from materialization.quality.merging import merge_profiles
from materialization.quality.profiles import ColumnProfile, Profile, most_frequent
from registry.reading.drift_rules import LIMITS


def profile(values, **more):
    """What a run's rows with these numbers look like; None is NULL."""
    full = [value for value in values if value is not None]
    numbers = np.sort(np.array([value for value in full if value == value], dtype=float))
    finite = bool(len(numbers)) and bool(np.isfinite(numbers).all())
    column = ColumnProfile(
        name="x",
        rows=len(values),
        nulls=len(values) - len(full),
        nans=len(full) - len(numbers),
        minimum=numbers[0] if len(numbers) else None,
        maximum=numbers[-1] if len(numbers) else None,
        mean=float(numbers[0] + (numbers - numbers[0]).mean()) if finite else None,
        std=float((numbers - numbers[0]).std()) if finite else None,
        marks=marks_of(numbers),
        seen=len(numbers),
        **more,
    )
    return Profile(len(values), (column,), len(values))


def jeffreys(base, now):
    return kl_div(base, now).sum() + kl_div(now, base).sum()


def named(values):
    full = [value for value in values if value is not None]
    column = ColumnProfile(
        name="x",
        rows=len(values),
        nulls=len(values) - len(full),
        seen=len(full),
        top=most_frequent(Counter(full).items()),
    )
    return Profile(len(values), (column,), len(values))


def drift(base, now, **asked):
    return drift_between(base, now, **asked)["x"]


DRAWS = {
    "normal": lambda r, n: r.normal(0, 1, n),
    "moved": lambda r, n: r.normal(0.7, 1.5, n),
    "far from zero": lambda r, n: 1.7e15 + r.integers(0, 50, n),
    "long-tailed": lambda r, n: r.lognormal(3, 3, n),
    "mostly zero": lambda r, n: np.where(r.random(n) < 0.9, 0.0, r.normal(0, 5, n)),
    "few values": lambda r, n: r.integers(0, 4, n).astype(float),
    "constant": lambda r, n: np.full(n, 7.0),
    "extreme": lambda r, n: r.choice([-1.7e308, -1.0, 5e-324, 0.0, 1.7e308, math.inf], n),
}


def bounds_of(term, base, now):
    """The least and greatest that a term can be whose shares are known to a mark's width."""
    near = [
        [min(max(share + d, RESOLUTION), 1.0) for d in (-1 / MARKS, 0.0, 1 / MARKS)]
        for share in (base, now)
    ]
    found = [term(b, a) for b, a in itertools.product(*near)]
    overlap = near[0][0] <= near[1][2] and near[1][0] <= near[0][2]
    return (0.0 if overlap else min(found)), max(found)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(DRAWS, DRAWS)))
def test_the_measures_are_what_scipy_says_to_the_resolution_of_the_marks(before, after):
    random = np.random.default_rng(len(before) * 100 + len(after))
    base, now = DRAWS[before](random, 3000), DRAWS[after](random, 1400)

    found = drift(profile(base.tolist()), profile(now.tolist()))

    assert found.ks == pytest.approx(ks_2samp(base, now).statistic, abs=1 / MARKS)
    edges = edges_of(marks_of(np.sort(base)))
    exact = [
        np.diff([(side <= edge).mean() for edge in edges], prepend=0.0, append=1.0)
        for side in (base, now)
    ]
    terms = [
        bounds_of(lambda b, a: (a - b) * math.log(a / b), *pair)
        for pair in zip(*exact, strict=True)
    ]
    assert sum(low for low, _ in terms) - 1e-9 <= found.psi <= sum(high for _, high in terms) + 1e-9
    floored = [np.maximum(each, RESOLUTION) for each in exact]
    assert found.js == pytest.approx(jensenshannon(*floored, base=2), abs=0.05)
    if np.isfinite(base).all() and np.isfinite(now).all() and base.std():
        apart = now - base[0], base - base[0]
        wanted = abs(apart[0].mean() - apart[1].mean()) / apart[1].std()
        assert found.mean == pytest.approx(wanted, rel=1e-6, abs=0.05)


def test_of_names_the_measures_are_exactly_those_of_their_shares():
    base = ["a"] * 500 + ["b"] * 300 + ["c"] * 150 + [None] * 50
    now = ["a"] * 300 + ["b"] * 300 + ["d"] * 300 + ["c"] * 100

    found = drift(named(base), named(now))

    shares = np.array([500, 300, 150, 0]) / 950, np.array([300, 300, 100, 300]) / 1000
    floored = [np.maximum(each, RESOLUTION) for each in shares]
    assert found.js == pytest.approx(jensenshannon(*floored, base=2))
    # Of shares that add up to one it is the relative entropy either way; floored they do not quite.
    assert found.psi == pytest.approx(jeffreys(*floored))
    assert (found.ks, found.mean, found.null_share) == (None, None, 0.05)


NOTHING = Drift()
A_LOT = [float(n) for n in range(100)]


@pytest.mark.parametrize(
    ("base", "now", "wanted"),
    [
        ([], [], NOTHING),
        ([], A_LOT, NOTHING),
        (A_LOT, [], NOTHING),
        (A_LOT, [None] * 9, Drift(null_share=1.0)),
        ([None] * 9, A_LOT, Drift(null_share=1.0)),
        ([None], [None], Drift(null_share=0.0)),
        (A_LOT, [math.nan] * 9, Drift(null_share=1.0)),
        (A_LOT, A_LOT, Drift(0.0, 0.0, 0.0, 0.0, 0.0)),
        ([5.0] * 9, [5.0] * 4, Drift(0.0, 0.0, 0.0, 0.0, 0.0)),
        ([0.1 + 0.2] * 9, [0.3] * 4, None),
        ([math.inf], [math.inf], Drift(0.0, 0.0, 0.0, 0.0, None)),
    ],
)
def test_what_is_not_there_is_not_measured_and_what_is_equal_has_not_moved(base, now, wanted):
    found = drift(profile(base), profile(now))

    if wanted is not None:
        assert found == wanted
    else:
        assert found.mean == 0.0  # a rounding error is no drift of the mean


@pytest.mark.parametrize("now", [[4.0] * 9, [6.0] * 9, [4.9999, 5.0]])
def test_leaving_a_constant_is_seen_on_either_side(now):
    found = drift(profile([5.0] * 9), profile(now))

    assert found.psi > 1
    assert found.ks >= 0.49
    assert found.mean == math.inf


@pytest.mark.parametrize("draw", ["normal", "long-tailed", "mostly zero", "few values"])
def test_many_rows_of_the_same_distribution_stay_below_the_least_limit(draw):
    random = np.random.default_rng(11)
    base, now = (profile(DRAWS[draw](random, 100_000).tolist()) for _ in range(2))

    found = drift(base, now)

    assert found.null_share < LIMITS["null_share"][0]
    assert found.psi < LIMITS["psi"][0]
    assert found.ks < LIMITS["ks"][0]
    assert found.js < LIMITS["js"][0]


def test_few_rows_are_not_compared():
    few, many = profile(A_LOT[:9] + [None] * 20), profile(A_LOT)

    assert drift(many, few, min_rows=10) == Drift(null_share=20 / 29)
    assert drift(few, many, min_rows=30) == NOTHING
    assert drift(few, many, min_rows=0).psi is not None


numbers = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, math.nan])
runs = st.lists(st.lists(numbers, max_size=40), min_size=1, max_size=5)


@given(runs=runs, order=st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_merged_runs_are_the_profile_of_their_union(runs, order):
    union = profile([value for run in runs for value in run])
    shuffled = order.sample(runs, len(runs))
    half = len(runs) // 2
    grouped = [part for part in (shuffled[:half], shuffled[half:]) if part]

    for merged in (
        merge_profiles([profile(run) for run in shuffled]),
        merge_profiles([merge_profiles([profile(run) for run in part]) for part in grouped]),
    ):
        [found], [wanted] = merged.columns, union.columns
        exact = "rows", "nulls", "nans", "minimum", "maximum", "seen", "values"
        assert [getattr(found, name) for name in exact] == [getattr(wanted, name) for name in exact]
        assert (found.mean is None) == (wanted.mean is None) == (not wanted.values)
        if wanted.marks:
            assert found.mean == pytest.approx(wanted.mean, rel=1e-9, abs=1e-6)
            assert found.std == pytest.approx(wanted.std, rel=1e-6, abs=1e-3)
            assert kolmogorov_smirnov(found.marks, wanted.marks) <= 2.5 / MARKS + 1e-9
            assert (found.marks[0], found.marks[-1]) == (wanted.marks[0], wanted.marks[-1])


@given(st.lists(st.lists(st.sampled_from("abcdefg") | st.none(), max_size=30), min_size=1))
@settings(max_examples=80)
def test_merged_names_are_those_of_the_union(runs):
    union = named([value for run in runs for value in run])

    [found], [wanted] = merge_profiles([named(run) for run in runs]).columns, union.columns

    assert (found.rows, found.nulls, found.seen, found.top) == (
        wanted.rows, wanted.nulls, wanted.seen, wanted.top,
    )  # fmt: skip


def test_a_year_of_hours_merged_by_days_and_months_is_still_that_year():
    random = np.random.default_rng(7)
    hours = [random.normal(hour / 500, 1, 40) for hour in range(24 * 60)]

    days = [
        merge_profiles([profile(hour.tolist()) for hour in hours[start : start + 24]])
        for start in range(0, len(hours), 24)
    ]
    months = [merge_profiles(days[start : start + 30]) for start in range(0, len(days), 30)]
    [column] = merge_profiles(months).columns

    union = marks_of(np.sort(np.concatenate(hours)))
    assert kolmogorov_smirnov(column.marks, union) <= 2.5 / MARKS
    assert len(column.marks) == MARKS + 1
