"""How functions are written: in the JSON that fingerprints are made of, and in names of outputs."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from registry.spec.aggregate_functions import ApproxPercentile, Histogram, LastK, Percentile, TopK
from registry.spec.aggregations import AggregationSpec
from registry.spec.fingerprints import canonical_json


def test_a_function_without_parameters_is_stored_as_its_name():
    spec = AggregationSpec(
        column="amount",
        functions=("sum", LastK(k=10), Percentile(p=95.0)),
        windows=("30d",),
    )
    text = (
        '{"column":"amount","functions":["sum",{"function":"last_k","k":10},'
        '{"function":"percentile","p":95.0}],"windows":["30d"]}'
    )

    assert canonical_json(spec) == text
    assert msgspec.json.decode(text, type=AggregationSpec) == spec
    assert msgspec.json.decode(text.replace("95.0", "95"), type=AggregationSpec) == spec


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("count_distinct", "amount_count_distinct_30d"),
        (LastK(k=10), "amount_last_k_10_30d"),
        ("any", "amount_any_30d"),
        (TopK(k=3), "amount_top_k_3_30d"),
        (Histogram(k=20), "amount_histogram_20_30d"),
        (ApproxPercentile(p=99.5), "amount_approx_percentile_99_5_30d"),
        (LastK(k=1000), "amount_last_k_1000_30d"),
        (Percentile(p=95.0), "amount_percentile_95_30d"),
        (Percentile(p=100), "amount_percentile_100_30d"),
        (Percentile(p=99.9), "amount_percentile_99_9_30d"),
        (Percentile(p=1e-7), "amount_percentile_0_0000001_30d"),
        (Percentile(p=-0.0), "amount_percentile_0_30d"),
    ],
)
def test_an_output_is_named_after_column_function_parameters_and_window(function, name):
    spec = AggregationSpec(column="amount", functions=(function,), windows=("30d",))

    assert list(spec.outputs()) == [name]


def test_a_name_stands_for_the_column():
    spec = AggregationSpec(
        column="amount", functions=("sum",), windows=("7d",), where="paid", name="paid_amount"
    )

    assert spec.outputs() == {
        "paid_amount_sum_7d": ("amount", "sum", timedelta(days=7), "paid"),
    }
