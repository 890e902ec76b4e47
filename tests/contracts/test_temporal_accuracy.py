"""Aggregations as of each entity row's own time: every function, against the loop.

The loop is ``tests/oracle_ticks.values_as_of``. Not for ticks: ``test_aggregation_functions``.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from materialization.compute.questions import Timing
from materialization.transforms.aggregation.functions import FUNCTIONS
from tests.contracts.test_aggregation_functions import CALLS, values_for
from tests.materialization.aggregation_cases import (
    BASE,
    HOUR,
    histories,
    make_view,
    offsets,
    same,
    with_keys,
)
from tests.materialization.temporal_cases import Events, temporal
from tests.oracle_ticks import values_as_of

US = timedelta(microseconds=1)
KEYS = [("1", "23"), ("12", "3"), ("1", "2"), ("nobody", "3")]

each_function = pytest.mark.parametrize("name", FUNCTIONS)
few = settings(
    max_examples=4,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example takes a while
)
instants = st.lists(
    st.tuples(st.sampled_from(KEYS), offsets.map(lambda offset: BASE + offset)), max_size=8
)


def view(name, **options):
    spec, outputs = make_view(columns=("x",), functions=(CALLS.get(name, name),), **options)
    return temporal(spec), outputs


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
