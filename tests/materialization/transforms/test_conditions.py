"""Which rows count: those of which a view's ``where`` is true, or that of one aggregation."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialization.compute import look as looks
from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits
from materialization.errors import SourceValueInvalid
from materialization.sources.files import Whereabouts
from registry.spec.aggregate_functions import TopK
from registry.spec.aggregations import AggregationSpec
from tests.materialization.aggregation_cases import (
    BASE,
    EVERY,
    HOUR,
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
from tests.materialization.engine_cases import compute_here, make_spec
from tests.oracle_ticks import latest_within, snapshot_ticks

ENGINE = ENGINES["duckdb"](EngineLimits(memory_limit_mb=256, threads=1, timeout_s=30))
KEYS = (("a", "string"), ("b", "string"))


def is_positive(row):
    return row["n"] is not None and row["n"] > 0


def is_other(row):
    return row["n"] is not None and row["n"] <= 0


#: Functions over x, each kind of state once, and over rows of three kinds.
FUNCTIONS = ("sum", "count", "first", "last", "count_distinct", TopK(k=2))
FILTERS = {"all": (None, bool), "up": ("n > 0", is_positive), "down": ("NOT (n > 0)", is_other)}
TYPES = {"count": "int64", "count_distinct": "int64", "top_k_2": "list<float64>"}


def filtered(**view):
    outputs = {
        f"{name}_{function}_{window}": ("x", function, length, counts)
        for name, (_, counts) in FILTERS.items()
        for function in FUNCTIONS
        for window, length in {"1h": HOUR, "3h": 3 * HOUR}.items()
    }
    spec = make_spec(
        keys=KEYS,
        features=[
            (name, TYPES.get(str(function), "float64"))
            for name, (_, function, *_) in outputs.items()
        ],
        created="created",
        aggregations=tuple(
            AggregationSpec(
                column="x", functions=FUNCTIONS, windows=("1h", "3h"), where=where, name=name
            )
            for name, (where, _) in FILTERS.items()
        ),
        schedule=EVERY,
        **view,
    )
    return spec, outputs


def differences(stored, rows, outputs):
    dense = snapshot_ticks(with_keys(rows), all_ticks(EVERY), outputs)
    answers = {at: (latest_within(stored, *at, None), dense[at]) for at in dense}
    return {at: pair for at, pair in answers.items() if not same(*pair)}


@settings(max_examples=3)
@given(rows=histories(quarters))
def test_each_aggregation_counts_the_rows_of_its_own(rows):
    spec, outputs = filtered()

    assert differences(as_dict(run(spec, rows), outputs), rows, outputs) == {}


@settings(max_examples=2)
@given(rows=histories(quarters), cuts=st.lists(offsets, min_size=1, max_size=3))
def test_many_small_runs_store_the_rows_of_one(rows, cuts):
    spec, _ = filtered()

    pieces = in_pieces(spec, rows, sorted({BASE + cut for cut in cuts}))
    assert text(pieces) == text(run(spec, rows))


@settings(max_examples=2)
@given(rows=histories(quarters))
def test_what_a_view_leaves_out_is_not_there(rows):
    """No entity is known by such rows alone; one that has others has the values of those."""
    spec, outputs = filtered(where="n <> 2")
    kept = [row for row in rows if row["n"] not in (None, 2)]

    stored = as_dict(run(spec, rows), outputs)
    assert differences(stored, kept, outputs) == {}
    assert {key for key, _ in stored} <= {(row["a"], row["b"]) for row in kept}


LINES = "k,event,status,x\na,2024-01-01,paid,1\na,2024-01-02,open,?\nb,2024-01-03,open,?\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rows.csv").write_text(LINES)
    return tmp_path


def spent(counts="status = 'paid'", **view):
    sums = AggregationSpec(column="x", functions=("sum",), windows=("2d",), where=counts)
    return make_spec(
        "rows.csv",
        keys=[("k", "string")],
        features=[("spent", "float64", "x_sum_2d")],
        aggregations=(sums,),
        schedule=msgspec.structs.replace(EVERY, every="1d"),
        **view,
    )


def test_what_does_not_count_need_not_fit(folder):
    """An open payment has no amount yet: of the rows that do not count nothing is read."""
    table, _ = compute_here(spent(), folder)

    assert table.sort_by("event_timestamp")["spent"].to_pylist() == [1.0, None, None]
    with pytest.raises(SourceValueInvalid, match="'x'"):
        compute_here(spent("status <> 'paid'"), folder)


def test_columns_as_they_are_are_those_of_the_rows_chosen(folder):
    spec = make_spec(
        "rows.csv", keys=[("k", "string")], features=[("x", "float64")], where="status = 'paid'"
    )

    table, counters = compute_here(spec, folder)
    assert table["x"].to_pylist() == [1.0]
    assert counters.rows_read == 1


def look(spec, folder):
    (report,) = looks.look([spec], where=Whereabouts(root=str(folder)), engine=ENGINE)
    return report


def test_a_plan_looks_at_the_rows_that_count(folder):
    assert look(spent(), folder).problems == []
    assert look(spent(None, where="status = 'paid'"), folder).problems == []
    ((path, message),) = look(spent("status = 'open'"), folder).problems
    assert path == ("aggregations", 0, "column")
    assert "2 of 3 values are not float64" in message


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("state = 'paid'", "the source has no column 'state'"),
        ("Status = 'paid'", "the source has no column 'Status'. Did you mean 'status'?"),
        ("status", "'status' gives VARCHAR, which is neither true nor false; compare it"),
        ("status > DATE '2024-01-01' AND x", "cannot be asked of a row of the source"),
        ("year(status) = 2024", "cannot be asked of a row of the source"),
        ("x > 10", "is required. Columns of CSV and JSON are text; CAST them"),
    ],
)
@pytest.mark.parametrize("of_view", [True, False])
def test_a_condition_that_cannot_be_asked_is_refused_where_it_stands(folder, where, said, of_view):
    spec = spent(None, where=where) if of_view else spent(where)

    ((path, message),) = look(spec, folder).problems
    assert path == (("where",) if of_view else ("aggregations", 0, "where"))
    assert said in message


def test_a_condition_that_fails_on_a_row_is_found_before_a_run(folder):
    """Even where the aggregated column is taken as it is, and nothing else is read of it."""
    ((_, message),) = look(spent("CAST(x AS INTEGER) > 0"), folder).problems

    assert "meets a value it cannot cast to" in message


def test_a_view_that_chooses_no_row_says_so(folder):
    report = look(spent(None, where="status = 'sent'"), folder)

    assert "source 'rows' has no row of which `where` is true." in report.warnings
