"""What every aggregation function owes, whatever it computes; a new one is tested by being there.

The values are compared with the loop of ``tests/oracle_ticks.py``.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialization.errors import SourceValueInvalid
from materialization.stores.columns import INSTANT
from materialization.transforms.aggregation.arguments import (
    as_double,
    as_number,
    as_rounded,
    as_truth,
)
from materialization.transforms.aggregation.functions import FUNCTIONS
from registry.spec.aggregate_functions import (
    PARAMETERS,
    ApproxPercentile,
    FirstK,
    Histogram,
    LastK,
    Percentile,
    TopK,
    parameters,
)
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import ScheduleSpec
from registry.spec.value_types import parse_type
from tests.materialization.aggregation_cases import (
    BASE,
    CRON,
    EVERY,
    HOUR,
    SCHEMA,
    all_ticks,
    as_dict,
    histories,
    in_pieces,
    make_view,
    offsets,
    run,
    same,
    text,
    with_keys,
)
from tests.materialization.engine_cases import LIMITS, make_spec
from tests.oracle_ticks import FUNCTIONS as LOOPS
from tests.oracle_ticks import latest_within, snapshot_ticks

#: With parameters a function is called as here, without as its name.
CALLS = {
    "first_k": FirstK(k=2),
    "last_k": LastK(k=2),
    "top_k": TopK(k=2),
    "histogram": Histogram(k=3),
    "percentile": Percentile(p=37.5),
    "approx_percentile": ApproxPercentile(p=37.5),
}
#: Asked for beside them: calls over one argument share what is kept.
BESIDE = {"first_k": FirstK(k=4), "last_k": LastK(k=4)}
#: What a window that has emptied gives; NULL where it is not said.
EMPTY = {"count": 0, "count_distinct": 0}
KEY = ("1", "23")
#: All keys in one slice, so that several threads have something to do.
AT_ONCE = msgspec.structs.replace(LIMITS, slice_rows=1_000_000)
#: All there is about floats: the special ones, and quarters, whose sums are exact in any order.
special = st.one_of(
    st.none(),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0]),
    st.integers(-4, 4).map(lambda n: n / 4),
)
#: Type → two values, the greater first.
VALUES = {
    "bool": (True, False),
    "int64": (3, -1),
    "float64": (2.5, -0.25),
    "decimal(10,2)": (Decimal("2.50"), Decimal("-0.25")),
    "string": ("b", "a"),
    "bytes": (b"b", b"a"),
    "timestamp": (datetime(2026, 1, 2, tzinfo=UTC), datetime(1969, 1, 2, tzinfo=UTC)),
    "date": (date(2026, 1, 2), date(2025, 1, 2)),
    "list<int64>": ([2, 1], [1, 7]),
}
NUMBERS = ("bool", "int64", "float64", "decimal(10,2)")
#: What is taken only of some types; all else of any.
TAKEN = {**dict.fromkeys((as_number, as_double, as_rounded), NUMBERS), as_truth: ("bool",)}
#: Numbers that are true or false.
truths = st.sampled_from([None, 0.0, -0.0, 1.0])

each_function = pytest.mark.parametrize("name", FUNCTIONS)
few = settings(max_examples=4)


def view(name, **options):
    functions = (CALLS.get(name, name), *((BESIDE[name],) if name in BESIDE else ()))
    return make_view(columns=("x",), functions=functions, **options)


def row(hours=0.0, value=None, *, late=0.0, n=0):
    event = BASE + timedelta(hours=hours)
    created = event + timedelta(hours=late)
    return {"a": KEY[0], "b": KEY[1], "event": event, "created": created, "x": value, "n": n}


def differences(stored, rows, outputs, schedule=EVERY):
    """Return the questions at ticks that the stored rows answer otherwise than the loop."""
    dense = snapshot_ticks(with_keys(rows), all_ticks(schedule), outputs)
    answers = {at: (latest_within(stored, *at, None), dense[at]) for at in dense}
    return {at: pair for at, pair in answers.items() if not same(*pair)}


def test_definitions_the_engine_and_the_loop_know_the_same_functions():
    assert {name: function.parameters for name, function in FUNCTIONS.items()} == PARAMETERS
    assert LOOPS.keys() == FUNCTIONS.keys()
    assert CALLS.keys() == {name for name, parameters in PARAMETERS.items() if parameters}


def values_for(name):
    return truths if FUNCTIONS[name].takes is as_truth else special


@each_function
@few
@given(data=st.data(), schedule=st.sampled_from([EVERY, CRON]))
def test_random_histories_give_what_the_loop_gives(name, data, schedule):
    rows = data.draw(histories(values_for(name)))
    spec, outputs = view(name, schedule=schedule)

    assert differences(as_dict(run(spec, rows), outputs), rows, outputs, schedule) == {}


@each_function
@few
@given(
    data=st.data(),
    cuts=st.lists(offsets, min_size=1, max_size=3),
    threads=st.sampled_from([2, 4]),
)
def test_many_small_runs_store_the_rows_of_one(name, data, cuts, threads):
    rows = data.draw(histories(values_for(name)))
    spec, _ = view(name)
    limits = msgspec.structs.replace(LIMITS, threads=threads)

    pieces = in_pieces(spec, rows, sorted({BASE + cut for cut in cuts}), limits=limits)

    assert text(pieces) == text(run(spec, rows))


@each_function
@settings(max_examples=2)
@given(data=st.data(), ttl=st.sampled_from([None, "2h"]), cut=offsets)
def test_an_unbounded_window_holds_all_there_was(name, data, ttl, cut):
    rows = data.draw(histories(values_for(name)))
    spec, outputs = view(name, ttl=ttl, windows={"unbounded": None, "1h": HOUR})

    stored = run(spec, rows)
    assert differences(as_dict(stored, outputs), rows, outputs) == {}
    assert text(in_pieces(spec, rows, [BASE + cut])) == text(stored)


@each_function
def test_an_emptied_window_gives_the_empty_value_and_null_is_no_value(name):
    spec, outputs = view(name)
    other = 0.0 if FUNCTIONS[name].takes is as_truth else 2.5
    rows = [row(0.5, 1.0), row(0.6, other), row(0.75), row(1.5), row(10)]

    stored = as_dict(run(spec, rows), outputs)

    assert differences(stored, rows, outputs) == {}
    emptied = latest_within(stored, KEY, BASE + 5 * HOUR, None)
    assert emptied == dict.fromkeys(outputs, EMPTY.get(name))
    assert same(
        latest_within(stored, KEY, BASE + HOUR, None),
        latest_within(as_dict(run(spec, rows[:2]), outputs), KEY, BASE + HOUR, None),
    )


@each_function
def test_equal_stamps_are_ordered_by_the_value_however_the_rows_lie(name):
    spec, outputs = view(name)
    values = [math.nan, 1.0, -0.0, 0.0, 2.25, math.inf]
    if FUNCTIONS[name].takes is as_truth:
        values = [1.0, -0.0, 0.0]
    rows = [row(hour + 0.5, value) for hour in range(3) for value in values] * 40
    drawn = random.Random(7)  # noqa: S311 - an order, not a secret
    tables = []

    for threads in (1, 2, 4):
        drawn.shuffle(rows)
        tables.append(run(spec, rows, limits=msgspec.structs.replace(AT_ONCE, threads=threads)))

    assert len(set(map(text, tables))) == 1
    assert differences(as_dict(tables[0], outputs), rows, outputs) == {}


def typed(name, kind):
    """Return a view of one function over a column of ``kind``, as a definition would declare it."""
    function = CALLS.get(name, name)
    is_added = FUNCTIONS[name].takes is as_number
    fixed = {"HUGEINT": "int64", "DOUBLE": "float64", "BOOLEAN": "bool", "VARCHAR": "json"}
    own = "int64" if kind == "bool" and is_added else kind
    chosen = {**fixed, "{}": own, "{}[]": f"list<{own}>"}
    spec = make_spec(
        keys=(("a", "string"), ("b", "string")),
        features=[(f"x_{function}_3h", chosen[FUNCTIONS[name].gives])],
        created="created",
        aggregations=(AggregationSpec(column="x", functions=(function,), windows=("3h",)),),
        schedule=EVERY,
    )
    return spec, {f"x_{function}_3h": ("x", function, 3 * HOUR)}


@each_function
@pytest.mark.parametrize("kind", VALUES)
def test_a_type_it_takes_gives_the_declared_type_and_another_is_refused(name, kind):
    spec, outputs = typed(name, kind)
    high, low = VALUES[kind]
    rows = [row(0.5, high), row(0.5, low), row(0.75), row(1.5, low), row(1.5, low, late=0.2)]
    schema = pa.schema([*(SCHEMA.field(n) for n in ("a", "b")), ("event", INSTANT),
                        ("created", INSTANT), ("x", parse_type(kind).arrow)])  # fmt: skip

    if kind not in TAKEN.get(FUNCTIONS[name].takes, VALUES):
        with pytest.raises(SourceValueInvalid, match="'x'"):
            run(spec, rows, schema=schema)
        return
    table = run(spec, rows, schema=schema)

    (feature,) = outputs
    assert table.schema.field(feature).type == spec.features[0].value_type.arrow
    assert differences(as_dict(table, outputs), rows, outputs) == {}
    assert max(as_dict(table, outputs)) == (KEY, BASE + 5 * HOUR)


@pytest.mark.parametrize("declared", ["float64", "string", "vector<3>", "json"])
def test_a_list_goes_into_a_list_only(declared):
    spec = make_spec(
        keys=(("a", "string"), ("b", "string")),
        features=[("recent", declared, "x_last_k_2_1h")],
        aggregations=(AggregationSpec(column="x", functions=(LastK(k=2),), windows=("1h",)),),
        schedule=EVERY,
    )

    with pytest.raises(SourceValueInvalid, match="write list<T>"):
        run(spec, [row(0, 1.0)])


@pytest.mark.parametrize(
    ("values", "p", "result"),
    [
        ([1.0, 2.0, 3.0, 4.0], 0, 1.0),
        ([1.0, 2.0, 3.0, 4.0], 100, 4.0),
        ([1.0, 2.0, 3.0, 4.0], 50, 2.5),
        ([1.0, 2.0, 3.0, 4.0], 99.9, 3.997),
        ([4.0], 37.5, 4.0),
        ([math.inf, math.inf, 1.0], 75, math.inf),
        ([-math.inf, -math.inf], 50, -math.inf),
        # A rank that is whole asks for one value: what lies beyond it does not matter.
        ([*map(float, range(8)), *[math.inf] * 93], 7, 7.0),
        ([-math.inf, math.inf], 50, math.nan),
        ([1.0, math.nan], 0, 1.0),
        ([1.0, math.nan], 1, math.nan),
        ([-1.5e308, 1.5e308], 50, 0.0),
        ([1.0, 2.0], 1e-300, 1.0),
    ],
)
def test_a_percentile_is_on_the_line_between_two_ranks(values, p, result):
    function = Percentile(p=p)
    spec, outputs = make_view(columns=("x",), functions=(function,))
    rows = [row(0.5, value) for value in values]

    stored = as_dict(run(spec, rows, limits=AT_ONCE), outputs)

    found = stored[KEY, BASE + HOUR][f"x_{function}_1h"]
    assert found == pytest.approx(result, rel=1e-14, nan_ok=True)


def test_a_list_has_the_newest_first_and_at_most_k():
    spec, outputs = make_view(columns=("x",), functions=(LastK(k=3),))
    rows = [row(0.5, 1.0, late=0.1), row(0.5, 9.0), row(0.4, 7.0), row(0.6), row(0.2, 8.0)]

    stored = as_dict(run(spec, rows), outputs)

    assert stored[KEY, BASE + HOUR]["x_last_k_3_1h"] == [1.0, 9.0, 7.0]


def of(values, function, kind="float64", gives="float64"):
    """Return what one window makes of ``values`` of a type."""
    spec = make_spec(
        keys=(("a", "string"), ("b", "string")),
        features=[("found", gives, f"x_{function}_1h")],
        aggregations=(AggregationSpec(column="x", functions=(function,), windows=("1h",)),),
        schedule=EVERY,
    )
    rows = [row(0.25 + index / 1000, value) for index, value in enumerate(values)]
    schema = SCHEMA.set(SCHEMA.get_field_index("x"), pa.field("x", parse_type(kind).arrow))
    return {r["event_timestamp"]: r for r in run(spec, rows, schema=schema).to_pylist()}[
        BASE + HOUR
    ]["found"]


@pytest.mark.parametrize(
    ("values", "k", "found"),
    [
        (["b", "a", "b", "c"], 2, ["b", "a"]),
        (["b", "a"], 5, ["a", "b"]),
        (["", "", "a"], 1, [""]),
        ([None, None, "a"], 2, ["a"]),
    ],
)
def test_the_most_frequent_come_first_and_of_equal_ones_the_lesser(values, k, found):
    assert of(values, TopK(k=k), "string", "list<string>") == found


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        (["open", "paid", "paid"], "string", '{"paid":2,"open":1}'),
        (['say "no"', "\n"], "string", r'{"\n":1,"say \"no\"":1}'),
        ([1.5, -0.0, 0.0, math.nan], "float64", '{"0.0":2,"1.5":1,"nan":1}'),
        ([True, False, True], "bool", '{"true":2,"false":1}'),
    ],
)
def test_a_histogram_counts_values_by_their_text(values, kind, found):
    assert of(values, Histogram(k=3), kind, "json") == found


@pytest.mark.parametrize(
    ("values", "p", "found"),
    [
        ([1234.5, 1.0], 100, 1230.0),
        ([1234.5, 1.0], 50, 1.0),
        ([1234.5, 1.0], 50.1, 1230.0),
        ([-0.0012345], 0, -0.00123),
        ([1.0, math.nan], 100, math.nan),
        ([-math.inf, 1.0], 1, -math.inf),
        ([1.797e308], 50, 1.797e308),
        ([5e-324], 50, 5e-324),
    ],
)
def test_an_approximate_percentile_is_a_value_inside_to_three_digits(values, p, found):
    assert of(values, ApproxPercentile(p=p)) == pytest.approx(found, rel=1e-15, nan_ok=True)


@pytest.mark.parametrize(
    ("values", "any_is", "all_are"),
    [([True, False], True, False), ([False, None], False, False), ([None, True], True, True)],
)
def test_any_and_all_leave_nulls_out(values, any_is, all_are):
    assert of(values, "any", "bool", "bool") is any_is
    assert of(values, "all", "bool", "bool") is all_are
    assert of([None], "all", "bool", "bool") is None


def test_a_number_that_is_neither_1_nor_0_is_not_taken_for_true():
    with pytest.raises(SourceValueInvalid, match="'x'"):
        of([1.0, 2.0], "any", "float64", "bool")


@pytest.mark.parametrize("name", ["last", "last_k", "first_k", "percentile", "approx_percentile"])
def test_a_window_of_all_of_a_busy_key_is_no_square_of_its_rows(name):
    """Looked at again at each tick they would be 2 · 10^8, far beyond the time there is."""
    function, count = CALLS.get(name, name), 20_000
    kind = "list<float64>" if name.endswith("_k") else "float64"
    spec = make_spec(
        keys=(("a", "string"), ("b", "string")),
        features=[("found", kind, f"x_{function}_unbounded")],
        aggregations=(AggregationSpec(column="x", functions=(function,), windows=("unbounded",)),),
        schedule=ScheduleSpec(every="1s"),
    )
    values = [float(n * 7919 % count) for n in range(count)]
    rows = [row(n / 3600, value) for n, value in enumerate(values)]
    limits = msgspec.structs.replace(AT_ONCE, timeout_s=20)

    newest = run(spec, rows, limits=limits).sort_by("event_timestamp")["found"][-1].as_py()
    assert newest == LOOPS[name](values, **parameters(function))
