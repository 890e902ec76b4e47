"""Aggregations as a run stores and two readers find them: filters, windows without a bound, and
features computed of both.

Not for the values of functions (``contracts/test_aggregation_functions``).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests import factories
from tests.factories import make_version
from tests.materialization.run_world import (
    AT,
    HOUR,
    committed,
    materialize,
    offline,
    online,
    write_rows,
)

pytestmark = pytest.mark.django_db

DRIVERS = {"driver_id": [1001, 1002, 1003]}
DEFINITIONS = (
    factories.ENTITY
    + "\n---\n"
    + factories.SOURCE
    + """
---
kind: FeatureView
name: driver_hourly
entities: [driver]
source: driver_stats
where: conv_rate >= 0
aggregations:
  - {column: avg_daily_trips, functions: [sum, count], windows: [3h, unbounded]}
  - {column: avg_daily_trips, name: busy, where: avg_daily_trips > 4,
     functions: [count], windows: [3h]}
features:
  - {name: share, type: float64, sql: "trips_3h / nullif(trips, 0)"}
  - {name: trips, type: int64, column: avg_daily_trips_sum_unbounded}
  - {name: trips_3h, type: int64, column: avg_daily_trips_sum_3h}
  - {name: busy_count_3h, type: int64}
schedule: {every: 1h}
owner: rides
"""
)


def row(driver: int, hours: float, trips: int, rate: float = 0.5) -> tuple[Any, ...]:
    at = AT - hours * HOUR
    return (driver, at, at, rate, trips)


OLD = [row(1001, 9, 1), row(1001, 2.5, 7), row(1002, 8, 2), row(1003, 6, 9, -1)]


@pytest.fixture
def version(cast, sources):
    write_rows(sources, OLD)
    with committed():
        made = make_version(cast, text=DEFINITIONS)
        materialize(made)
    return made


def test_both_readers_find_what_counts(version):
    found = online(version, DRIVERS, at=AT)

    assert found["trips"] == [8, 2, None]
    assert found["trips_3h"] == [7, None, None]
    assert found["busy_count_3h"] == [1, 0, None]
    assert found["share"] == [0.875, None, None]
    assert offline(version, DRIVERS, at=AT) == found


def test_a_later_run_counts_on(version, sources):
    """Also a row of long ago that comes late: it is in no other window."""
    late = (1002, AT - 8 * HOUR, AT + HOUR / 2, 0.5, 30)
    write_rows(sources, [*OLD, row(1001, -0.5, 8), late])

    with committed():
        materialize(version, end=AT + HOUR, at=AT + HOUR)

    found = online(version, DRIVERS, at=AT + HOUR)
    assert found["trips"] == [16, 32, None]
    assert found["trips_3h"] == [8, None, None]
    assert found["share"] == [0.5, None, None]
    assert offline(version, DRIVERS, at=AT + HOUR) == found


def test_a_source_that_lost_its_beginning_is_refused(version, sources):
    write_rows(sources, [*OLD[1:2], row(1001, -0.5, 8)])

    with committed():
        run = materialize(version, end=AT + HOUR, at=AT + HOUR)

    assert run.status == "failed"
    assert "an unbounded window would lose what it counted" in run.error
    assert online(version, DRIVERS, at=AT)["trips"] == [8, 2, None]
