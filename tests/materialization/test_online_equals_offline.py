"""After a run to ``end`` every online value is what a training set gives for that instant.

Made histories with late rows and ties, windows at ticks, and the real inputs.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from django.db import transaction
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lib.connections import get_redis
from materialization.ticks import ticks_between
from registry.spec.model import ScheduleSpec
from tests.factories import DEFINITIONS, ENTITY, SOURCE, make_version
from tests.materialization.run_world import (
    AT,
    HOUR,
    committed,
    differences,
    materialize,
    offline,
    online,
    write_rows,
)
from tests.oracle import latest_known
from tests.oracle_ticks import latest_within, snapshot_ticks

pytestmark = pytest.mark.django_db
DRIVERS = {"driver_id": [1, 2, 3, 4]}
DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the real inputs are not here: no folder {DATA}"
)
few = settings(
    max_examples=8,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example takes a second
)
MICROSECOND = timedelta(microseconds=1)
BASE = datetime(1969, 12, 31, 20, tzinfo=UTC)
WINDOWED = """
kind: FeatureView
name: driver_windows
entities: [driver]
source: driver_stats
aggregations:
  - {column: avg_daily_trips, functions: [count, sum, last], windows: [1h, 3h]}
features:
  - {name: trips_1h, column: avg_daily_trips_count_1h, type: int64}
  - {name: trips_3h, column: avg_daily_trips_count_3h, type: int64}
  - {name: sum_3h, column: avg_daily_trips_sum_3h, type: float64}
  - {name: last_3h, column: avg_daily_trips_last_3h, type: int32}
ttl: 5h
schedule: {every: 1h}
owner: rides
"""


def histories():
    """Rows of three drivers over ten hours; some late, some corrected, some twice."""
    row = st.builds(
        lambda driver, hours, micros, late, rate, trips: (
            driver,
            BASE + hours * HOUR + micros * MICROSECOND,
            BASE + hours * HOUR + micros * MICROSECOND + late,
            rate,
            trips,
        ),
        st.integers(1, 3),
        st.integers(1, 9),
        st.sampled_from([0, 0, 1, -1]),
        st.sampled_from([timedelta(), timedelta(), HOUR / 2, 2 * HOUR, 6 * HOUR, -HOUR]),
        st.sampled_from([None, 0.5, float("nan")]),
        st.one_of(st.none(), st.integers(-2, 2)),
    )
    return st.lists(row, min_size=1, max_size=14)


ends = st.lists(
    st.builds(
        lambda hours, micros: BASE + hours * HOUR + micros * MICROSECOND,
        st.integers(1, 18),
        st.sampled_from([0, 0, 1, -1, 1_800_000_000]),
    ),
    min_size=1,
    max_size=3,
    unique=True,
).map(sorted)
#: Always visible, so that no first run is refused for having no row at all.
ANCHOR = (3, BASE, BASE, 0.5, 1)


def same(left, right) -> bool:
    """Compare answers: online, NaN is the text JSON has for it."""
    return repr(left).replace("'NaN'", "nan") == repr(right)


@pytest.fixture(autouse=True)
def _histories_are_undone_whole(settings):
    """Each is one transaction of many operations, which no caller makes: their locks add up."""
    settings.LOCK_ORDER_CHECKED = False


@few
@given(rows=histories(), ends=ends, ttl=st.sampled_from(["", "ttl: 1h\n", "ttl: 3h\n"]))
def test_rows_as_they_are(cast, sources, rows, ends, ttl):
    text = DEFINITIONS.replace("ttl: 2d\n", ttl)
    rows = [ANCHOR, *rows]
    write_rows(sources, rows)
    with transaction.atomic():
        get_redis().flushall()
        version = make_version(cast, text=text)
        for end in ends:
            assert materialize(version, end=end).status == "succeeded"
            read = online(version, DRIVERS, at=end)
            assert same(read, offline(version, DRIVERS, at=end))
            assert_known(read["avg_daily_trips"], rows, end, version.spec.ttl)
            assert differences(version, at=end)[1] == []
        transaction.set_rollback(True)


def assert_known(trips, rows, end, ttl) -> None:
    """Every value is that of the oracle's row, or of one with exactly its stamps."""
    names = ("driver_id", "event_timestamp", "created_timestamp", "rate", "trips", "__sequence")
    known = [dict(zip(names, (*row, 1), strict=True)) for row in rows]
    for driver, found in zip(DRIVERS["driver_id"], trips, strict=True):
        taken = latest_known(known, {"driver_id": driver}, end, ttl=ttl)
        if taken is None:
            assert found is None
            continue
        stamps = "driver_id", "event_timestamp", "created_timestamp"
        ties = [row for row in known if all(row[name] == taken[name] for name in stamps)]
        assert found in [row["trips"] for row in ties]


@few
@given(rows=histories(), ends=ends)
def test_windows_at_ticks(cast, sources, rows, ends):
    # Events of the same microsecond have no last one.
    rows = list({row[:2]: row for row in [ANCHOR, *rows]}.values())
    write_rows(sources, rows)
    outputs = {
        "trips_1h": ("n", "count", HOUR),
        "trips_3h": ("n", "count", 3 * HOUR),
        "sum_3h": ("n", "sum", 3 * HOUR),
        "last_3h": ("n", "last", 3 * HOUR),
    }
    seen = [
        {"key": (key,), "event": event, "created": created, "n": n}
        for key, event, created, _, n in rows
    ]
    with transaction.atomic():
        get_redis().flushall()
        version = make_version(cast, text="\n---\n".join((ENTITY, SOURCE, WINDOWED)))
        for end in ends:
            assert materialize(version, end=end).status == "succeeded"
            read = online(version, DRIVERS, at=end)
            assert same(read, offline(version, DRIVERS, at=end))
            assert differences(version, at=end)[1] == []
            ticks = ticks_between(ScheduleSpec(every="1h"), BASE - HOUR, end)
            dense = snapshot_ticks(seen, ticks, outputs)
            for place, driver in enumerate(DRIVERS["driver_id"]):
                expected = latest_within(dense, (driver,), end, version.spec.ttl) or {}
                assert {name: read[name][place] for name in outputs} == {
                    name: expected.get(name) for name in outputs
                }
        transaction.set_rollback(True)


def test_an_emptied_entity_is_too_old_after_the_ttl_of_its_last_row(cast, sources):
    """To the microsecond and in both stores; a correction that comes after it is read as any."""
    write_rows(sources, [(1, AT - HOUR / 2, AT - HOUR / 2, 0.5, 7)])
    with committed():
        version = make_version(cast, text="\n---\n".join((ENTITY, SOURCE, WINDOWED)))
        materialize(version, end=AT + 9 * HOUR)
    emptied = AT + 3 * HOUR  # the longest window, from the tick at AT

    def trips(at):
        read = online(version, {"driver_id": [1]}, at=at)
        assert same(read, offline(version, {"driver_id": [1]}, at=at))
        return read["trips_3h"][0]

    assert trips(emptied + version.spec.ttl) == 0
    assert trips(emptied + version.spec.ttl + MICROSECOND) is None

    write_rows(sources, [(1, AT + 8 * HOUR, AT + 10 * HOUR, 0.5, 7)])
    with committed():
        materialize(version, end=AT + 10 * HOUR)
    assert trips(AT + 10 * HOUR) == 1


def test_a_range_of_ticks_that_is_asked_for_again_keeps_them_and_computes_those_since(
    cast, sources
):
    rows = [(1, AT - 3 * HOUR, AT - 3 * HOUR, 0.5, 7)]
    write_rows(sources, rows)
    with committed():
        version = make_version(cast, text="\n---\n".join((ENTITY, SOURCE, WINDOWED)))
        materialize(version, end=AT)
    write_rows(sources, [*rows, (1, AT - HOUR, AT + HOUR / 2, 0.5, 7)])

    with committed():
        again = materialize(version, end=AT - HOUR, at=AT + HOUR, window_start=AT - 5 * HOUR)

    assert (again.kind, again.status, again.rows_offline) == ("again", "succeeded", 1)
    assert again.source_counts["keeps_ticks"]
    seen = [offline(version, {"driver_id": [1]}, at=at)["trips_3h"] for at in (AT, AT + HOUR)]
    assert seen == [[0], [1]]
    assert online(version, {"driver_id": [1]}, at=AT + HOUR)["trips_3h"] == [1]


# --- The real inputs ------------------------------------------------------------------------------

ZIP = """
kind: Entity
name: place
join_keys: [{name: zipcode, type: int64}]
---
kind: DataSource
name: zipcodes
type: file
path: zipcode_table.parquet
event_timestamp: event_timestamp
created_timestamp: created_timestamp
---
kind: FeatureView
name: zipcode_features
entities: [place]
source: zipcodes
features:
  - {name: city, type: string}
  - {name: population, type: int64}
owner: risk
"""
CREDIT = """
kind: Entity
name: person
join_keys: [{name: dob_ssn, type: string}]
---
kind: DataSource
name: credit
type: file
path: credit_history_sample.csv
event_timestamp: event_timestamp
created_timestamp: created_timestamp
---
kind: FeatureView
name: credit_history
entities: [person]
source: credit
features:
  - {name: credit_card_due, type: int64}
  - {name: missed_payments_1y, type: int64}
ttl: 90d
owner: risk
"""


def visible(path: Path, created: str) -> list[datetime]:
    """Return when each row could be seen first, in order."""
    if path.suffix == ".csv":
        table = pa_csv.read_csv(path)
    else:
        table = pq.read_table(path, columns=["event_timestamp", created])
    kind = pa.timestamp("us", tz="UTC")
    utc = [table[name].cast(kind).to_pylist() for name in ("event_timestamp", created)]
    return sorted(map(max, *utc))


@needs_data
@pytest.mark.parametrize(
    ("file", "created", "text", "key"),
    [
        ("driver_stats.parquet", "created", DEFINITIONS, "driver_id"),
        ("zipcode_table.parquet", "created_timestamp", ZIP, "zipcode"),
        ("credit_history_sample.csv", "created_timestamp", CREDIT, "dob_ssn"),
    ],
)
def test_the_real_inputs(cast, sources, file, created, text, key):
    shutil.copy(DATA / file, sources)
    seen = visible(DATA / file, created)
    version = make_version(cast, text=text)
    table = pa_csv.read_csv(DATA / file) if file.endswith(".csv") else pq.read_table(DATA / file)
    entities = {key: [*sorted(set(table[key].to_pylist()))[::37], table[key][0].as_py()]}

    for end in (seen[len(seen) // 2], seen[-1] + HOUR):
        run = materialize(version, end=end, at=max(end, AT))
        assert run.status == "succeeded", run.error
        read = online(version, entities, at=end)
        assert same(read, offline(version, entities, at=end))
        count, found = differences(version, at=end)
        assert (count >= len(entities[key]) // 2, found) == (True, [])

    assert any(value is not None for column in read.values() for value in column)


def test_rows_alike_in_keys_and_stamps_are_settled_the_same_way_for_every_reader(cast, sources):
    drivers = list(range(500))
    rows = [(d, AT - HOUR, AT - HOUR, 0.5, 3 * d + n) for n in range(3) for d in drivers]
    write_rows(sources, rows)
    with committed():
        version = make_version(cast)
        materialize(version)
    entities = {"driver_id": drivers}

    assert online(version, entities, at=AT) == offline(version, entities, at=AT)
