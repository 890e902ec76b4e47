"""Encodings of aggregates: fitted on the values at ticks, applied at ticks and at any instant.

Compared with scikit-learn on what the loops of ``tests/oracle_ticks.py`` give. Not for what a step
does to a number: ``test_encodings``.
"""

from __future__ import annotations

import io
import json
import math
import random
import tempfile
from datetime import timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from materialization.compute.jobs import Envelope, FitJob
from materialization.compute.questions import Timing
from materialization.compute.reports import Report
from materialization.errors import FitFailed, from_report
from materialization.sandbox import compute as sandbox_run
from materialization.sources.files import resolve_source
from materialization.ticks import first_tick, ticks_between
from registry.spec.aggregate_functions import LastK
from registry.spec.aggregations import AggregationSpec
from registry.spec.encode_steps import STEPS
from registry.spec.encodes import EncodeSpec, FitRange
from registry.spec.model import FeatureSpec
from tests.materialization.aggregation_cases import (
    BASE,
    CRON,
    END,
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
    text,
    with_keys,
)
from tests.materialization.engine_cases import LIMITS, at, make_spec, write_parquet
from tests.materialization.temporal_cases import Events, temporal
from tests.oracle_ticks import (
    MICROSECOND,
    changes_in,
    latest_within,
    snapshot_ticks,
    values_as_of,
)

WINDOWS = {"1h": HOUR, "3h": 3 * HOUR}
#: Of the loop: what the outputs are before any step.
OUTPUTS = {
    f"{column}_{function}_{window}": (column, function, length)
    for column, functions in {"x": ("sum", "count", "mean"), "n": ("last",)}.items()
    for function in functions
    for window, length in WINDOWS.items()
}
START, TO = BASE + 2 * HOUR, BASE + 9 * HOUR
RANGE = FitRange(start=START.isoformat(), to=TO.isoformat())
AT_ONCE = msgspec.structs.replace(LIMITS, slice_rows=1_000_000)
ALL = ("scaled", "busy", "filled", "places", "ratio")


def encode(*steps, fit=RANGE):
    made = msgspec.convert({"steps": list(steps)}, EncodeSpec)
    return msgspec.structs.replace(made, fit=fit) if made.is_fitted else made


#: Zero purchases are in the bucket of a few, and a mean stands where there is none.
FEATURES = {
    "scaled": FeatureSpec(
        name="scaled", type="float64", column="x_sum_3h", encode=encode("standard")
    ),
    "busy": FeatureSpec(
        name="busy", type="int32", column="x_count_3h",
        encode=encode({"step": "bucketize", "edges": [2]}),
    ),
    "filled": FeatureSpec(
        name="filled", type="float64", column="x_mean_1h",
        encode=encode({"step": "impute", "by": "mean"}),
    ),
    "places": FeatureSpec(
        name="places", type="list<float64>", column="n_last_3h", encode=encode("one_hot")
    ),
    "x_sum_1h": FeatureSpec(name="x_sum_1h", type="float64"),
    "ratio": FeatureSpec(
        name="ratio", type="float64", sql="x_sum_1h + scaled", encode=encode("standard")
    ),
}  # fmt: skip


def view(*names, schedule=EVERY, ttl=None, start=None):
    wanted = [*names, *(["x_sum_1h", "scaled"] if "ratio" in names else [])]
    spec = make_spec(
        keys=(("a", "string"), ("b", "string")),
        features=[],
        created="created",
        aggregations=(
            AggregationSpec(column="x", functions=("sum", "count", "mean"), windows=("1h", "3h")),
            AggregationSpec(column="n", functions=("last",), windows=("1h", "3h")),
        ),
        schedule=schedule,
        ttl=ttl,
        start=start,
    )
    features = tuple(FEATURES[name] for name in dict.fromkeys(wanted))
    return msgspec.structs.replace(spec, view=msgspec.structs.replace(spec.view, features=features))


def fit_here(spec, rows):
    """Return (parameters, rows) by feature, as the child finds them out."""
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(folder, rows, SCHEMA)
        names = tuple(each.name for each in spec.fitted_features)
        job = FitJob(spec, resolve_source(spec.source, root=folder), names)
        said = io.StringIO()
        sandbox_run.run(
            Envelope(job, LIMITS, folder), asked=io.BytesIO(), told=io.BytesIO(), report=said
        )
    report = msgspec.json.decode(said.getvalue(), type=Report)
    if report.error is not None:
        raise from_report(report.error)
    return report.fit.parameters, report.fit.rows


def fitted(spec, rows):
    """Return the spec with its parameters, as they come back from being stored."""
    if not spec.fitted_features:
        return spec
    kept = json.loads(msgspec.json.encode(fit_here(spec, rows)[0]))
    return msgspec.structs.replace(spec, fitted={name: tuple(kept[name]) for name in kept})


def in_range(schedule):
    return ticks_between(schedule, START - MICROSECOND, TO - MICROSECOND)


def value(values, name):
    """Return what the steps of a feature take."""
    if name == "ratio":
        parts = (values["x_sum_1h"], values["x_sum_3h"])
        return None if None in parts else sum(parts)
    return values[FEATURES[name].column or name]


def loop(rows, schedule):
    """Return feature → (what it makes of a value, on how many rows it is fitted)."""
    found = {}
    for name in ALL:
        outputs = ["x_sum_1h", "x_sum_3h"] if name == "ratio" else [FEATURES[name].column]
        at_ticks = {}
        for output in outputs:
            for key, tick, values in changes_in(
                with_keys(rows), in_range(schedule), OUTPUTS, output
            ):
                at_ticks[key, tick] = value(values, name)
        found[name] = _scikit(name, list(at_ticks.values())), len(at_ticks)
    return found


def _scikit(name, values):
    """Return the transformation that scikit-learn fits to values; None: nothing can be fitted."""
    there = [each for each in values if each is not None and not math.isnan(each)]
    if name == "busy":
        return lambda v: -1 if math.isnan(v) else int(v >= 2)
    if not there:
        return None
    if name == "places":
        places = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        places.fit(np.array(there).reshape(-1, 1))
        return lambda v: None if v is None else places.transform([[v]])[0].tolist()
    if name == "filled":
        mean = float(SimpleImputer().fit(np.array(there).reshape(-1, 1)).statistics_[0])
        return lambda v: mean if v is None or math.isnan(v) else v
    scaler = StandardScaler().fit(np.array(there).reshape(-1, 1))
    return lambda v: None if v is None else float(scaler.transform([[v]])[0][0])


def close(found, wanted):
    if wanted is None or found is None:
        return found is wanted
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(close(found[k], wanted[k]) for k in wanted)
    return found == pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True)


#: So that there is something to fit, whatever else is drawn.
SEEDED = [
    {"a": "1", "b": "2", "event": START + n * HOUR, "created": None, "x": x, "n": n}
    for n, x in enumerate((1.0, 2.5, -0.5))
]
#: What is drawn may leave no number in an entity's windows: these are of another.
APART = [{**row, "a": "apart"} for row in SEEDED]
more_than_seeded = histories(quarters).map(lambda rows: [*SEEDED, *APART, *rows])
each_schedule = st.sampled_from([EVERY, CRON])


def random_rows(seed, count=400):
    source = random.Random(seed)
    keys = [("1", "23"), ("12", "3"), ("1", "2"), ("7", "8")]
    rows, some = [], [None, math.nan, *(n / 4 for n in range(-40, 40, 9))]
    for _ in range(count):
        a, b = source.choice(keys)
        event = BASE + source.random() * 10 * HOUR
        late = source.choice([None, timedelta(), HOUR / 2, 2 * HOUR])
        rows.append(
            {
                "a": a, "b": b, "event": event, "created": None if late is None else event + late,
                "x": source.choice(some),
                "n": source.choice([None, 0, 1, 2, 3]),
            }
        )  # fmt: skip
    return rows


@settings(max_examples=6)
@given(rows=more_than_seeded, schedule=each_schedule)
def test_it_is_fitted_on_the_values_at_ticks_at_which_they_change(rows, schedule):
    parameters, counts = fit_here(view(*ALL, schedule=schedule), rows)
    wanted = loop(rows, schedule)

    assert counts == {name: count for name, (_, count) in wanted.items() if name in counts}
    for name in ("scaled", "ratio"):
        [own] = parameters[name]
        zero, one = (own["mean"], own["mean"] + own["scale"])
        assert [wanted[name][0](v) for v in (zero, one)] == pytest.approx([0.0, 1.0], abs=1e-9)


@pytest.mark.parametrize("schedule", [EVERY, CRON])
def test_it_is_the_same_whatever_else_is_in_the_view_and_however_it_expires(schedule):
    rows = random_rows(1)
    together, counts = fit_here(view(*ALL, schedule=schedule, ttl="2h"), rows)

    for name in ("scaled", "filled", "places", "ratio"):
        alone, count = fit_here(view(name, schedule=schedule, start=TO), rows)
        assert (alone[name], count[name]) == (together[name], counts[name])


def wanted_at(values, made):
    """Return what is to be read of what the loop has: None where nobody is found."""
    if values is None:
        return None
    found = {name: made[name][0](value(values, name)) for name in ALL}
    return found | {"x_sum_1h": values["x_sum_1h"]}


@settings(max_examples=6)
@given(
    rows=more_than_seeded,
    schedule=each_schedule,
    ttl=st.sampled_from([None, HOUR, 2 * HOUR, 150 * HOUR / 60, 5 * HOUR + timedelta(seconds=1)]),
    cuts=st.lists(offsets, max_size=3),
)
def test_ticks_answer_what_the_loop_and_scikit_learn_say(rows, schedule, ttl, cuts):
    """Also where zero and nothing are encoded as some value is, run by run, up to the TTL."""
    seconds = None if ttl is None else f"{int(ttl.total_seconds())}s"
    spec = fitted(view(*ALL, schedule=schedule, ttl=seconds), rows)
    names = [each.name for each in spec.features]
    made = loop(rows, schedule)

    stored = as_dict(in_pieces(spec, rows, sorted({BASE + cut for cut in cuts})), names)

    dense = snapshot_ticks(with_keys(rows), all_ticks(schedule), OUTPUTS)
    instants = {t + d for t in all_ticks(schedule) for d in (-MICROSECOND, timedelta())}
    if ttl:
        instants |= {t + ttl + d for t in all_ticks(schedule) for d in (timedelta(), MICROSECOND)}
    beyond = first_tick(schedule, END + MICROSECOND)
    for key in {key for key, _ in dense}:
        for instant in (i for i in instants if i < beyond):
            found = latest_within(stored, key, instant, ttl)
            wanted = wanted_at(latest_within(dense, key, instant, ttl), made)
            assert close(found, wanted), (key, instant, found, wanted)


@settings(max_examples=6)
@given(
    rows=more_than_seeded,
    schedule=each_schedule,
    ttl=st.sampled_from([None, "2h", "3h"]),
    names=st.sampled_from([("busy",), ("filled",), ("busy", "filled"), ALL]),
    cuts=st.lists(offsets, min_size=1, max_size=3),
)
def test_pieces_store_the_rows_of_one_run(rows, schedule, ttl, names, cuts):
    spec = fitted(view(*names, schedule=schedule, ttl=ttl), rows)

    pieces = in_pieces(spec, rows, sorted({BASE + cut for cut in cuts}), limits=AT_ONCE)

    assert text(pieces) == text(run(spec, rows))


@pytest.mark.parametrize("cuts", [[], [4.5], [5], [5.5], [4, 5, 6, 7]])
def test_an_entity_that_empties_ends_though_its_bucket_stays(cuts):
    """One row at 3:30: it is in the window at 4, 5 and 6, and out of it at 7."""
    spec = view("busy", ttl="2h")
    row = {**SEEDED[0], "event": BASE + 3.5 * HOUR}

    stored = as_dict(in_pieces(spec, [row], [BASE + cut * HOUR for cut in cuts]), ["busy"])

    def found(hours):
        values = latest_within(stored, ("1", "2"), BASE + hours * HOUR, 2 * HOUR)
        return None if values is None else values["busy"]

    assert [found(hours) for hours in (3, 4, 6, 8, 9)] == [None, 0, 0, 0, 0]
    assert found(9.001) is None
    assert max(stored) == (("1", "2"), BASE + 7 * HOUR)


@settings(max_examples=4)
@given(
    rows=more_than_seeded,
    asked=st.lists(
        st.tuples(
            st.sampled_from([("1", "23"), ("12", "3"), ("1", "2"), ("nobody", "3")]),
            offsets.map(lambda offset: BASE + offset),
        ),
        min_size=1,
        max_size=8,
    ),
    ttl=st.sampled_from([None, "1h", "4h"]),
    timing=st.sampled_from(list(Timing)),
)
def test_as_of_any_instant_it_is_what_the_loop_and_scikit_learn_say(rows, asked, ttl, timing):
    spec = temporal(fitted(view(*ALL, ttl=ttl), rows))
    made, length = loop(rows, EVERY), {"1h": HOUR, "4h": 4 * HOUR}.get(ttl)
    with tempfile.TemporaryDirectory() as folder:
        events = Events(spec, folder)
        events.store(rows, is_first=True)
        found = events.values(asked, timing=timing)
        one = events.values(asked, timing=timing, features=["places"])

    for each, got, alone in zip(asked, found, one, strict=True):
        wanted = values_as_of(
            with_keys(rows), *each, OUTPUTS, ttl=length, known=timing is Timing.KNOWN
        )
        wanted = wanted_at(wanted, made)
        assert close(got, wanted), (each, got, wanted)
        assert alone == (None if got is None else {"places": got["places"]})


def test_a_range_in_which_nothing_has_a_value_is_refused_by_name():
    spec = view("scaled")

    with pytest.raises(FitFailed, match=r"scaled: no tick of .* has a value; nothing"):
        fit_here(spec, [{**SEEDED[0], "event": at("1990-01-01")}])


@pytest.mark.parametrize("function", ["min", "max", "first", "last"])
@pytest.mark.parametrize("column", ["n", "x"])
def test_numbers_are_chosen_by_their_own_order_and_told_by_their_text(function, column):
    """As a text "10" is less than "9", and "-5" more than "-50"; also where events are of one time.

    By whom text is taken, a step or the feature itself, does not matter.
    """
    numbers = (9, 10, -5, -50, None)
    rows = [{**SEEDED[0], "a": "k", "event": BASE, "n": n, "x": n and n / 4} for n in numbers]
    rows += [{**SEEDED[0], "a": str(n), "event": BASE, "n": n, "x": n / 4} for n in (9, 10, -5)]
    name, plain = f"{column}_{function}_3h", "int64" if column == "n" else "float64"
    spec = view()
    spec = msgspec.structs.replace(
        spec,
        view=msgspec.structs.replace(
            spec.view,
            aggregations=(
                AggregationSpec(column=column, functions=(function, LastK(k=9)), windows=("3h",)),
            ),
            features=(
                FeatureSpec(name="number", type=plain, column=name),
                FeatureSpec(name="told", type="string", column=name),
                FeatureSpec(name="place", type="int64", column=name, encode=encode("ordinal")),
                FeatureSpec(name="all", type=f"list<{plain}>", column=f"{column}_last_k_9_3h"),
                FeatureSpec(name="texts", type="list<string>", column=f"{column}_last_k_9_3h"),
            ),
        ),
    )
    spec = fitted(spec, [*SEEDED, *rows])
    [fit] = spec.fitted["place"]

    stored = as_dict(run(spec, [*SEEDED, *rows]), [each.name for each in spec.features])

    found = stored[("k", "2"), BASE]
    order = sorted(n if column == "n" else n / 4 for n in numbers if n is not None)
    assert found["number"] == order[0 if function in ("min", "first") else -1]
    for each in stored.values():
        told = None if each["number"] is None else str(each["number"])
        assert each["told"] == told
        assert each["place"] == (None if told is None else fit["categories"].index(told))
        assert each["texts"] == (None if each["all"] is None else [*map(str, each["all"])])


#: One call of each step, and the type that holds what it gives.
EACH = {
    "standard": ("standard", "float64"),
    "min_max": ("min_max", "float64"),
    "robust": ("robust", "float64"),
    "quantile": ({"step": "quantile", "output": "normal"}, "float64"),
    "log": ({"step": "log", "plus": 9}, "float64"),
    "clip": ({"step": "clip", "min": -1, "max": 1}, "float64"),
    "bucketize": ({"step": "bucketize", "bins": 4}, "int64"),
    "impute": ({"step": "impute", "by": "median"}, "float64"),
    "one_hot": ("one_hot", "list<float64>"),
    "ordinal": ("ordinal", "int64"),
    "hashed": ({"step": "hashed", "width": 5}, "list<float64>"),
    "target": ({"step": "target", "label": "n"}, "float64"),
    "tfidf": ("tfidf", "list<float64>"),
}


def rounded(values):
    """Return values without the digits that the order of a sum decides."""
    return json.loads(json.dumps(values), parse_float=lambda text: round(float(text), 9))


def with_feature(spec, step, kind, **named):
    if isinstance(step, dict) and "label" in step and named["column"] != "x":
        step = step | {"label": "n_last_1h"}
    feature = FeatureSpec(name="y", type=kind, encode=encode(step), **named)
    return msgspec.structs.replace(
        spec, view=msgspec.structs.replace(spec.view, features=(feature,))
    )


@pytest.mark.parametrize("name", STEPS)
def test_each_step_is_of_an_aggregate_what_it_is_of_a_column(name):
    """Where each entity has one row, at a tick, and no row is without a value."""
    step, kind = EACH[name]
    source = random.Random(7)
    rows = [
        {
            "a": str(n), "b": "x", "event": BASE + (n % 12) * HOUR, "created": None,
            "x": source.choice([-2.0, 0.5, 3.25, 7.0]), "n": source.randint(0, 3),
        }
        for n in range(80)
    ]  # fmt: skip
    of_column = with_feature(view(), step, kind, column="x")
    bare = msgspec.structs.replace(of_column.view, aggregations=(), schedule=None)
    of_column = fitted(msgspec.structs.replace(of_column, view=bare), rows)
    of_window = fitted(with_feature(view(), step, kind, column="x_mean_1h"), rows)

    assert rounded(of_window.fitted) == rounded(of_column.fitted)
    wanted = as_dict(run(of_column, [{**row, "created": row["event"]} for row in rows]), ["y"])
    found = as_dict(run(of_window, rows), ["y"])
    assert [rounded(found[at]) for at in wanted] == [rounded(wanted[at]) for at in wanted]
