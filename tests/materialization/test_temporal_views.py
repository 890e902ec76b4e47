"""Views with ``accuracy: temporal`` from source to training set: as of each row's own time.

Every value is compared with the loop over the source's rows. Not for single functions
(``tests/contracts/test_temporal_accuracy.py``) or for HTTP.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import transaction
from hypothesis import Phase, given, settings

from lib.connections import get_redis
from materialization.choices import RunKind
from materialization.compute.questions import FOUND_EVENT, JoinQuestion, Timing
from materialization.edges.engines import engine
from materialization.edges.looks import look_at_sources
from materialization.edges.stores import offline_store
from materialization.models import Quarantine
from materialization.queries import table_at
from materialization.requests.quarantine import release_rows
from materialization.requests.recomputing import request_backfill
from tests.factories import ENTITY, SOURCE, make_version
from tests.materialization.aggregation_cases import same
from tests.materialization.quality.test_consistency import certified
from tests.materialization.run_world import (
    AT,
    HOUR,
    INSTANT,
    committed,
    fresh,
    materialize,
    online,
    perform,
    snapshot,
    table_of,
    write_rows,
)
from tests.materialization.test_online_equals_offline import ANCHOR, WINDOWED, ends, histories
from tests.oracle_ticks import values_as_of

pytestmark = pytest.mark.django_db
US = timedelta(microseconds=1)
TEMPORAL = WINDOWED.replace("ttl: 5h\n", "ttl: 5h\naccuracy: temporal\n")
DERIVED = TEMPORAL.replace(
    "ttl: 5h", "  - {name: share, type: float64, sql: 'trips_1h / nullif(trips_3h, 0)'}\nttl: 5h"
)
TEXT = "\n---\n".join((ENTITY, SOURCE, TEMPORAL))
#: Whose rows do not say when they were known.
UNSTAMPED = TEXT.replace("created_timestamp: created\n", "")
OUTPUTS = {
    "trips_1h": ("n", "count", HOUR),
    "trips_3h": ("n", "count", 3 * HOUR),
    "sum_3h": ("n", "sum", 3 * HOUR),
    "last_3h": ("n", "last", 3 * HOUR),
}
few = settings(
    max_examples=6,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example takes a second
)


def temporal_version(cast, text=TEXT):
    """Return an approved version that knows the columns of its source, which is there by now."""
    return make_version(cast, text=text, look=look_at_sources)


def seen(rows):
    """Return rows of the source as the loop takes them."""
    return [
        {"key": (key,), "event": event, "created": created, "n": n}
        for key, event, created, _, n in rows
    ]


def joined(version, asked, *names, timing=Timing.KNOWN, explain=False, of_ticks=False):
    schema = pa.schema([("driver_id", pa.int64()), ("event_timestamp", INSTANT)])
    rows = pa.Table.from_pylist(
        [{"driver_id": driver, "event_timestamp": at} for driver, at in asked], schema=schema
    )
    found = snapshot(version)
    question = JoinQuestion(
        version.spec,
        found.files,
        names or tuple(OUTPUTS),
        rows,
        timing,
        explain,
        events=None if of_ticks else found.events,
    )
    [answer] = engine().point_in_time_joins([question])
    return answer


def values(version, asked, *names, **options):
    """Return what a training set has for ``[(driver, at)]``, None where nothing is found."""
    found = joined(version, asked, *names, **options).rows.to_pylist()
    return [None if row.pop(FOUND_EVENT) is None else row for row in found]


def wrong(version, loop, asked):
    """Return the questions that are answered otherwise than the loop over these rows does."""
    found = values(version, asked)
    wanted = [
        values_as_of(loop, (driver,), at, OUTPUTS, ttl=version.spec.ttl) for driver, at in asked
    ]
    return [trio for trio in zip(asked, found, wanted, strict=True) if not same(*trio[1:])]


def edges(rows, until):
    """Return every instant up to ``until`` at which something may change, and its neighbours."""
    moments = {time + length for _, event, created, *_ in rows for time in (event, created)
               for length in (timedelta(), HOUR, 3 * HOUR, 8 * HOUR)}  # fmt: skip
    return [
        (driver, moment + step) for moment in moments for step in (-US, timedelta(), US)
        for driver in (1, 2, 3, 4) if moment + step <= until
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def _histories_are_undone_whole(settings):
    """Each is one transaction of many operations, which no caller makes: their locks add up."""
    settings.LOCK_ORDER_CHECKED = False


@few
@given(rows=histories(), ends=ends)
def test_run_after_run_every_instant_is_what_the_loop_gives(cast, sources, rows, ends):
    rows = [ANCHOR, *rows]
    write_rows(sources, rows)
    with transaction.atomic():
        get_redis().flushall()
        version = temporal_version(cast)
        for end in ends:
            assert materialize(version, end=end).status == "succeeded"
            assert wrong(fresh(version), seen(rows), edges(rows, end)) == []
        transaction.set_rollback(True)


def test_online_and_every_tick_are_those_of_a_view_of_ticks(cast, sources):
    rows = [(1, AT - n * HOUR / 2, AT - n * HOUR / 2, 0.5, n) for n in range(1, 9)]
    write_rows(sources, rows)
    with committed():
        version = temporal_version(cast)
        materialize(version)
    read = online(version, {"driver_id": [1]}, at=AT)

    assert read == online(version, {"driver_id": [1]}, at=AT + HOUR / 2)
    assert [{name: read[name][0] for name in OUTPUTS}] == values(
        fresh(version), [(1, AT + HOUR / 2)], of_ticks=True
    )
    assert values(fresh(version), [(1, AT)]) == [{name: read[name][0] for name in OUTPUTS}]


def test_a_row_that_does_not_say_when_it_was_known_counts_from_the_run_that_saw_it(cast, sources):
    first = [(1, AT - 2 * HOUR, AT, 0.5, 7)]
    write_rows(sources, first)
    with committed():
        version = temporal_version(cast, UNSTAMPED)
        materialize(version)
    late, new = AT - HOUR, AT + HOUR / 4
    write_rows(sources, [*first, (1, late, late, 0.5, 5), (1, new, new, 0.5, 3)])
    with committed():
        materialize(version, end=AT + HOUR)
    loop = seen([(1, AT - 2 * HOUR, AT - 2 * HOUR, 0.5, 7),
                 (1, late, AT + HOUR, 0.5, 5), (1, new, AT + HOUR, 0.5, 3)])  # fmt: skip

    assert wrong(fresh(version), loop, edges([(1, late, AT + HOUR)], AT + 9 * HOUR)) == []


@pytest.mark.parametrize("text", [TEXT, UNSTAMPED])
def test_what_the_source_loses_counts_until_the_run_that_found_it_gone(cast, sources, text):
    kept = [(1, AT - 2 * HOUR, AT - 2 * HOUR, 0.5, 7), (1, AT - HOUR, AT - HOUR, 0.5, 5)]
    wrong_row = (1, AT - HOUR / 2, AT - HOUR / 2, 0.5, 900)
    write_rows(sources, [*kept, wrong_row, wrong_row])
    with committed():
        version = temporal_version(cast, text)
        materialize(version)
    write_rows(sources, [*kept, wrong_row])
    with committed():
        materialize(version, end=AT + HOUR / 2)
    write_rows(sources, kept)
    with committed():
        materialize(version, end=AT + HOUR)

    (one,) = seen([wrong_row])
    loop = [*seen(kept), {**one, "gone": AT + HOUR / 2}, {**one, "gone": AT + HOUR}]
    asked = edges([kept[0], kept[1], wrong_row, (1, AT + HOUR, AT + HOUR / 2)], AT + 3 * HOUR)
    assert wrong(fresh(version), loop, asked) == []


@pytest.mark.parametrize("text", [TEXT, UNSTAMPED])
def test_what_comes_back_counts_once_at_every_time(cast, sources, text):
    kept = (1, AT - 2 * HOUR, AT - 2 * HOUR, 0.5, 7)
    lost = (1, AT - HOUR / 2, AT - HOUR / 2, 0.5, 5)
    version = None
    for step, rows in enumerate(([kept, lost, lost], [kept], [kept, lost], [kept, lost, lost])):
        write_rows(sources, rows)
        with committed():
            version = version or temporal_version(cast, text)
            materialize(fresh(version), end=AT + step * HOUR / 2)

    (one,) = seen([lost])
    gone, back = {**one, "gone": AT + HOUR / 2}, {**one, "back": AT + HOUR}
    loop = [*seen([kept]), gone, gone, back, {**back, "back": AT + 3 * HOUR / 2}]
    runs = [(1, AT + HOUR / 2, AT + HOUR), (1, AT, AT + 3 * HOUR / 2)]
    assert wrong(fresh(version), loop, edges([kept, lost, *runs], AT + 3 * HOUR)) == []


def test_equal_rows_count_each_and_a_run_over_the_same_stores_none_twice(cast, sources):
    row = (1, AT - HOUR / 2, AT - HOUR / 2, 0.5, 7)
    write_rows(sources, [row, row, row])
    with committed():
        version = temporal_version(cast)
        for end in (AT, AT + HOUR / 2, AT + HOUR):
            materialize(version, end=end)

    assert wrong(fresh(version), seen([row] * 3), edges([row], AT + HOUR)) == []
    (stored,) = pa.concat_tables(map(pq.read_table, snapshot(version).events)).to_pylist()
    assert stored["__count"] == 3
    assert snapshot(version).events[0] not in snapshot(version).files


def test_events_are_compacted_and_vacuumed_with_their_table(cast, sources):
    rows = [(1, AT - HOUR, AT - HOUR, 0.5, 7)]
    with committed():
        write_rows(sources, rows)
        version = temporal_version(cast)
    for n in range(17):
        rows.append((1, AT + n * HOUR - US, AT + n * HOUR, 0.5, n))
        write_rows(sources, rows)
        with committed():
            materialize(version, end=AT + n * HOUR)
    before, store, place = snapshot(version), offline_store(), table_at(table_of(fresh(version)))
    asked = edges(rows, AT + 17 * HOUR)[::7]
    found = values(fresh(version), asked)

    cared = store.care(place, keep=timedelta(hours=1), compact=before.version)

    after = snapshot(version)
    assert (cared.compacted, len(before.events), len(after.events)) == (34, 17, 1)
    assert values(fresh(version), asked) == found
    write_rows(sources, [*rows, (1, AT + 17 * HOUR, AT + 17 * HOUR, 0.5, 99)])
    with committed():
        materialize(version, end=AT + 17 * HOUR)
    assert values(fresh(version), [(1, AT + 17 * HOUR)])[0]["last_3h"] == 99
    assert values(fresh(version), asked) == found


def test_a_derived_feature_is_computed_of_the_values_of_its_instant(cast, sources):
    rows = [(1, AT - n * HOUR / 2, AT - n * HOUR / 2, 0.5, n) for n in range(1, 6)]
    write_rows(sources, rows)
    with committed():
        version = temporal_version(cast, "\n---\n".join((ENTITY, SOURCE, DERIVED)))
        materialize(version)

    at = [(1, AT), (1, AT - HOUR), (1, AT + 2 * HOUR), (1, AT + 3 * HOUR)]
    assert [row["share"] for row in values(fresh(version), at, "share")] == [1 / 5, 2 / 4, 0, None]
    assert wrong(fresh(version), seen(rows), edges(rows, AT + HOUR)) == []


def test_refused_ticks_keep_their_events_back_until_they_are_released(cast, sources):
    rows = [(1, AT - HOUR / 2, AT - HOUR / 2, 0.5, 7)]
    write_rows(sources, rows)
    strict = TEXT.replace("sum_3h, column", "sum_3h, checks: {max: 100}, column")
    assert strict != TEXT
    with committed():
        version = temporal_version(cast, strict)
        materialize(version)
    rows.append((1, AT + HOUR / 2, AT + HOUR / 2, 0.5, 900))
    write_rows(sources, rows)
    asked = edges(rows, AT + HOUR)
    with committed():
        assert materialize(version, end=AT + HOUR).error_code == "checks_failed"
    assert wrong(fresh(version), seen(rows[:1]), asked) == []

    with committed():
        released = release_rows(
            quarantine=Quarantine.objects.get(), actor=cast.steward, reason="a real order", at=AT
        )
        assert perform(released, at=AT + HOUR).status == "succeeded"

    assert wrong(fresh(version), seen(rows), asked) == []
    with committed():
        materialize(version, end=AT + 2 * HOUR)
    assert wrong(fresh(version), seen(rows), asked) == []


def test_what_a_backfill_corrects_is_known_since_it_and_true_all_along(cast, sources):
    """The rows lie further back than a run's windows reach."""
    bad, good, other = ((1, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, trips) for trips in (900, 9, 1))
    first = (1, AT - 10 * HOUR, AT - 10 * HOUR, 0.5, 2)
    write_rows(sources, [first, bad])
    with committed():
        version = temporal_version(cast, UNSTAMPED)
        materialize(version)
    write_rows(sources, [first, good, other])
    with committed():
        materialize(version, end=AT + HOUR)
        run = request_backfill(
            version=fresh(version), actor=cast.operator, start=None, end=None, at=AT + HOUR
        )
        assert perform(run, at=AT + HOUR).status == "succeeded", run.error

    at = bad[1] + HOUR / 2
    asked = [(1, at)]
    assert values(fresh(version), asked)[0]["sum_3h"] == 902
    assert values(fresh(version), asked, timing=Timing.EVENT)[0] == {
        "trips_1h": 2, "trips_3h": 3, "sum_3h": 12.0, "last_3h": 9,
    }  # fmt: skip


def test_a_certificate_is_of_the_events_too(cast, sources):
    """Of an event whose windows no tick has any more: its count of an hour lay between two."""
    rows = [(1, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 1)]
    write_rows(sources, rows)
    with committed():
        version = temporal_version(
            cast,
            TEXT.replace("[1h, 3h]", "[1s, 3s]").replace("_1h,", "_1s,").replace("_3h,", "_3s,"),
        )
        materialize(version)
    assert certified(fresh(version)).status == "equal"
    between = AT - 4 * HOUR + HOUR / 2
    write_rows(sources, [*rows, (1, between, between, 0.5, 9)])

    found = certified(fresh(version))

    assert (found.status, found.different, found.missing) == ("different", 0, 1)
    assert found.equal + found.missing == found.compared
    with committed():
        run = materialize(fresh(version), kind=RunKind.RECOMPUTE, end=AT)
    assert run.status == "succeeded", run.error
    assert certified(fresh(version)).status == "equal"


def test_explain_counts_the_rows_on_which_the_timings_differ(cast, sources):
    rows = [(1, AT - HOUR, AT - HOUR / 2, 0.5, 7)]
    write_rows(sources, rows)
    with committed():
        version = temporal_version(cast)
        materialize(version)
    asked = [(1, AT - HOUR), (1, AT - HOUR / 2), (1, AT), (2, AT)]

    answer = joined(fresh(version), asked, explain=True)

    assert answer.differing == 1


def test_a_history_before_1970_and_a_key_without_rows(cast, sources):
    event = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    write_rows(sources, [(1, event, event, 0.5, 7)])
    with committed():
        version = temporal_version(cast)
        materialize(version, end=event + HOUR)

    found = values(fresh(version), [(1, event), (1, event - US), (1, event + HOUR), (2, event)])
    counts = [row and row["trips_1h"] for row in found]
    assert counts == [1, None, 0, None]
