"""Aggregations as of each entity row's own time: every function, against the loop.

The loop is ``tests/oracle_ticks.values_as_of``. Not for ticks: ``test_aggregation_functions``.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from materialization.compute.questions import Timing
from materialization.errors import EngineLimitExceeded
from materialization.transforms.aggregation.functions import FUNCTIONS
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import FeatureSpec
from tests.contracts.test_aggregation_functions import CALLS, values_for
from tests.materialization.aggregation_cases import (
    BASE,
    EVERY,
    HOUR,
    histories,
    make_view,
    offsets,
    quarters,
    same,
    with_keys,
)
from tests.materialization.engine_cases import make_spec
from tests.materialization.temporal_cases import Events, temporal
from tests.oracle_ticks import values_as_of

US = timedelta(microseconds=1)
#: After every row. With a TTL, a window without a bound has values at each tick until then.
END = BASE + 30 * 24 * HOUR
KEYS = [("1", "23"), ("12", "3"), ("1", "2"), ("nobody", "3")]

each_function = pytest.mark.parametrize("name", FUNCTIONS)
few = settings(
    max_examples=4,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example takes a while
)
instants = st.lists(
    st.tuples(st.sampled_from(KEYS), offsets.map(lambda offset: BASE + offset)), max_size=8
)


#: Before all others: rows that come before a source's first are taken for trimmed.
ANCHOR = {"a": "1", "b": "2", "event": BASE - HOUR, "created": BASE - HOUR, "x": None, "n": 0}
gone = [(key, BASE + 6 * HOUR + step) for key in KEYS for step in (-US, timedelta(), US)]


@st.composite
def losses(draw, name):
    """Return rows, the anchor first, and the places of some that a source is to lose."""
    drawn = [{**row, "created": row["created"] or row["event"]} for row in
             draw(histories(values_for(name)))]  # fmt: skip
    # Of copies that became known at different times nobody can say which of them is gone.
    rows = [
        ANCHOR,
        *{(row["a"], row["b"], row["event"], str(row["x"])): row for row in drawn}.values(),
    ]
    return rows, draw(st.sets(st.integers(1, len(rows)), max_size=3))


def view(name, **options):
    spec, outputs = make_view(columns=("x",), functions=(CALLS.get(name, name),), **options)
    return temporal(spec), outputs


def is_up(row):
    return row["n"] is not None and row["n"] > 0


def edges(rows):
    """Return every instant at which something may change, and its neighbours."""
    lengths = (timedelta(), HOUR, 3 * HOUR)
    moments = {row["event"] + length for row in rows for length in lengths}
    moments |= {row["created"] for row in rows if row["created"]}
    return [
        (key, moment + step) for moment in moments for step in (-US, timedelta(), US)
        for key in KEYS
    ]  # fmt: skip


def wrong(events, rows, asked, outputs, *, ttl=None, timing=Timing.KNOWN):
    """Return what is answered otherwise than the loop does."""
    found = events.values(asked, timing=timing)
    wanted = [
        values_as_of(with_keys(rows), *each, outputs, ttl=ttl, known=timing is Timing.KNOWN)
        for each in asked
    ]
    return [trio for trio in zip(asked, found, wanted, strict=True) if not same(*trio[1:])]


@few
@given(rows=histories(quarters), asked=instants, ttl=st.sampled_from([None, "1h", "4h"]))
def test_windows_without_a_bound_and_rows_that_count_hold_as_of_any_instant(rows, asked, ttl):
    """So do features that are computed of both."""
    lengths = {"unbounded": None, "3h": 3 * HOUR}
    outputs = {
        f"{name}_{function}_{window}": ("x", function, length, counts)
        for name, counts in {"x": bool, "up": is_up}.items()
        for function in ("count", "last")
        for window, length in lengths.items()
    }
    both = FeatureSpec(name="both", type="int64", sql="x_count_unbounded * 10 + up_count_3h")
    spec = temporal(
        make_spec(
            keys=(("a", "string"), ("b", "string")),
            features=[
                (name, "int64" if "count" in name else "float64") for name in sorted(outputs)
            ],
            created="created",
            aggregations=tuple(
                AggregationSpec(
                    column="x",
                    functions=("count", "last"),
                    windows=tuple(lengths),
                    where=where,
                    name=name,
                )
                for name, where in {"x": None, "up": "n > 0"}.items()
            ),
            schedule=EVERY,
            ttl=ttl,
        )
    )
    view = replace(spec.view, features=(both, *spec.view.features))

    with tempfile.TemporaryDirectory() as folder:
        events = Events(replace(spec, view=view), folder)
        events.store(rows, end=END, is_first=True)
        asked = [*asked, *edges(rows)]
        for each, found in zip(asked, events.values(asked), strict=True):
            wanted = values_as_of(with_keys(rows), *each, outputs, ttl=spec.ttl)
            if wanted is not None:
                counts = wanted["x_count_unbounded"], wanted["up_count_3h"]
                wanted["both"] = counts[0] * 10 + counts[1]
            assert same(found, wanted), each


@each_function
@few
@given(data=st.data(), asked=instants, ttl=st.sampled_from([None, "1h", "4h"]))
def test_random_histories_give_what_the_loop_gives(name, data, asked, ttl):
    rows = data.draw(histories(values_for(name)))
    spec, outputs = view(name, ttl=ttl)

    with tempfile.TemporaryDirectory() as folder:
        events = Events(spec, folder)
        events.store(rows, is_first=True)
        asked = [*asked, *edges(rows)]
        for timing in Timing:
            assert wrong(events, rows, asked, outputs, ttl=spec.ttl, timing=timing) == []


@each_function
@few
@given(data=st.data(), asked=instants)
def test_rows_that_the_source_loses_leave_before_older_ones(name, data, asked):
    rows, lost = data.draw(losses(name))
    kept = [row for place, row in enumerate(rows) if place not in lost]
    spec, outputs = view(name)
    loop = [*kept, *(
        {**row, "gone": BASE + 6 * HOUR} for place, row in enumerate(rows)
        if place in lost and max(row["event"], row["created"]) <= BASE + 5 * HOUR
    )]  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        events = Events(spec, folder)
        events.store(rows, end=BASE + 5 * HOUR, is_first=True)
        events.store(kept, end=BASE + 6 * HOUR)
        events.store(kept)
        assert wrong(events, loop, [*asked, *edges(rows), *gone], outputs) == []


@each_function
@few
@given(data=st.data(), asked=instants)
def test_rows_that_come_back_count_until_they_were_gone_and_from_then_on(name, data, asked):
    rows, lost = data.draw(losses(name))
    kept = [row for place, row in enumerate(rows) if place not in lost]
    spec, outputs = view(name)
    loop = list(rows)
    for place in sorted(lost & set(range(len(rows)))):
        row = rows[place]
        if max(row["event"], row["created"]) <= BASE + 5 * HOUR:
            loop[place] = {**row, "gone": BASE + 6 * HOUR}
            loop.append({**row, "back": BASE + 7 * HOUR})

    with tempfile.TemporaryDirectory() as folder:
        events = Events(spec, folder)
        events.store(rows, end=BASE + 5 * HOUR, is_first=True)
        events.store(kept, end=BASE + 6 * HOUR)
        events.store(rows, end=BASE + 7 * HOUR)
        assert events.store(rows, end=BASE + 7 * HOUR) == 0
        asked = [*asked, *edges(rows), *gone, *((key, at + HOUR) for key, at in gone)]
        asked = [(key, at) for key, at in asked if at <= BASE + 7 * HOUR]
        assert wrong(events, loop, asked, outputs) == []
        stored = [row for row in rows if max(row["event"], row["created"]) <= BASE + 7 * HOUR]
        now = [(key, BASE + 7 * HOUR) for key in KEYS]
        for timing in Timing:
            assert wrong(events, stored, now, outputs, timing=timing) == []


def test_an_answer_lies_on_the_disk_within_its_limit(tmp_path):
    events = Events(view("count")[0], tmp_path)
    events.store([ANCHOR], is_first=True)
    asked = [(("1", "2"), BASE + n * US) for n in range(100_000)]
    whole = events.ask(asked).rows
    assert whole["x_count_3h"].to_pylist() == [0] * len(asked)

    events.limits = replace(events.limits, temp_limit_mb=1)
    with pytest.raises(EngineLimitExceeded, match="more than 1 MB of the server's disk"):
        events.ask(asked)
