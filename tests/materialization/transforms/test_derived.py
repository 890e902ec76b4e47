"""Features that are computed out of the aggregates of their view, tick by tick."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialization.compute import look as looks
from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits
from materialization.errors import RowSqlFailed, SourceValueInvalid
from materialization.sources.files import Whereabouts
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import FeatureSpec
from tests.materialization.aggregation_cases import (
    BASE,
    EVERY,
    HOUR,
    SCHEMA,
    all_ticks,
    as_dict,
    histories,
    in_pieces,
    offsets,
    quarters,
    run,
    same,
    text,
    with_keys,
)
from tests.materialization.engine_cases import make_spec, write_parquet
from tests.oracle_ticks import latest_within, snapshot_ticks

ENGINE = ENGINES["duckdb"](EngineLimits(memory_limit_mb=256, threads=1, timeout_s=30))
OUTPUTS = {
    "n_sum_1h": ("n", "sum", HOUR),
    "n_sum_3h": ("n", "sum", 3 * HOUR),
    "n_count_3h": ("n", "count", 3 * HOUR),
}
SHARE = "n_sum_1h / nullif(n_sum_3h, 0)"


def view(*derived, **options):
    """Return a view of three aggregates and what is derived: (name, type, expression)."""
    made = [
        FeatureSpec(name=name, type="float64" if "sum" in name else "int64") for name in OUTPUTS
    ]
    for place, (name, kind, sql) in enumerate(derived):
        made.insert(2 * place, FeatureSpec(name=name, type=kind, sql=sql))
    spec = make_spec(
        keys=(("a", "string"), ("b", "string")),
        created="created",
        aggregations=(
            AggregationSpec(column="n", functions=("sum", "count"), windows=("1h", "3h")),
        ),
        schedule=EVERY,
        **options,
    )
    return msgspec.structs.replace(
        spec, view=msgspec.structs.replace(spec.view, features=tuple(made))
    )


def row(hours, n):
    event = BASE + timedelta(hours=hours)
    return {"a": "1", "b": "2", "event": event, "created": event, "x": None, "n": n}


def derived(values):
    short, long = values["n_sum_1h"], values["n_sum_3h"]
    share = None if short is None or not long else short / long
    return {**values, "share": share, "many": values["n_count_3h"] > 2}


DERIVED = (("share", "float64", SHARE), ("many", "bool", "n_count_3h > 2"))


@settings(max_examples=4)
@given(rows=histories(quarters))
def test_each_tick_has_what_the_loop_makes_of_its_aggregates(rows):
    dense = snapshot_ticks(with_keys(rows), all_ticks(EVERY), OUTPUTS)
    names = [*OUTPUTS, "share", "many"]

    stored = as_dict(run(view(*DERIVED), rows), names)
    found = {at: (latest_within(stored, *at, None), derived(dense[at])) for at in dense}
    assert {at: pair for at, pair in found.items() if not same(*pair)} == {}


@settings(max_examples=3)
@given(
    rows=histories(quarters),
    cuts=st.lists(offsets, min_size=1, max_size=3),
    ttl=st.sampled_from([None, "2h"]),
)
def test_many_small_runs_store_the_rows_of_one(rows, cuts, ttl):
    spec = view(*DERIVED, ttl=ttl)

    pieces = in_pieces(spec, rows, sorted({BASE + cut for cut in cuts}))
    assert text(pieces) == text(run(spec, rows))


def test_an_expression_sees_the_declared_types():
    spec = view(
        ("halves", "int64", "n_count_3h // 2"), ("f0", "string", "'<' || n_count_3h || '>'")
    )

    (stored, *_) = run(spec, [row(0.5, n) for n in range(5)]).to_pylist()
    assert (stored["halves"], stored["f0"]) == (2, "<5>")


def test_a_value_that_does_not_fit_is_named_by_its_feature():
    said = "column 'share': a value is not an int64. ROUND or CAST it in the feature's `sql`"

    with pytest.raises(SourceValueInvalid, match=said):
        run(view(("share", "int64", "n_sum_1h / 2")), [row(0.5, 1)])


def test_an_aggregate_that_does_not_fit_is_told_to_be_declared_as_what_it_is():
    means = AggregationSpec(column="n", functions=("mean",), windows=("3h",))
    spec = make_spec(
        features=[("n_mean_3h", "int64")],
        keys=(("a", "string"), ("b", "string")),
        created="created",
        aggregations=(means,),
        schedule=EVERY,
    )
    said = "column 'n_mean_3h': a value is not an int64. Its function gives it: declare a type"

    with pytest.raises(SourceValueInvalid, match=said):
        run(spec, [row(0.5, 1), row(0.5, 2)])


def test_an_expression_that_fails_on_a_tick_is_named_by_its_feature():
    big = "CAST(n_count_3h AS INTEGER) * 2000000000"

    with pytest.raises(RowSqlFailed, match="feature 'big': an expression fails"):
        run(view(("share", "float64", SHARE), ("big", "int64", big)), [row(0.5, 1)] * 2)


@pytest.mark.parametrize(
    ("kind", "sql", "place", "said"),
    [
        ("float64", "n_count_3h || 'x' + 1", "sql", "cannot be computed of the view's features"),
        ("float64", "date_trunc('day', n_sum_1h)", "sql", "cannot be computed"),
        ("float64", "n_count_3h > 1 AND other", "sql", "cannot be computed"),
        ("date", "n_sum_1h", "type", "holds DOUBLE, which cannot become date"),
    ],
)
def test_what_means_nothing_is_refused_before_a_run(tmp_path, kind, sql, place, said):
    write_parquet(tmp_path, [row(0.5, 1)], SCHEMA)

    (report,) = looks.look(
        [view(("share", kind, sql))], where=Whereabouts(root=str(tmp_path)), engine=ENGINE
    )
    ((path, message),) = report.problems
    assert path == ("features", 0, place)
    assert said in message
