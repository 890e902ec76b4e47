"""Views that read other views' features as of each row: from both sources to what is stored.

Every value is compared with the loop over the rows of both. Not for definitions that are refused
(``tests/registry/operations/test_reads.py``).
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lib.connections import get_redis
from materialization import upstream
from materialization.chunks import read_chunks
from materialization.edges.engines import engine
from materialization.edges.looks import look_at_sources
from materialization.models import MaterializationRun
from materialization.readers import standings_of
from materialization.requests.due import add_schedules, start_due
from materialization.requests.recomputing import request_backfill
from materialization.requests.runs import request_runs
from materialization.runner.ending import LOOKS_AGAIN, MAX_ATTEMPTS
from materialization.upstream import UpstreamBehind
from registry.catalogue.facts import facts_of
from registry.choices import State
from registry.models import FeatureViewVersion, feature_view_version
from registry.operations.lifecycle.releases import retire_version
from registry.reading.parsing import InvalidDefinitions
from registry.spec.lineage import source_fields
from registry.spec.version_spec import load_version_spec
from tests import factories
from tests.factories import make_version
from tests.materialization.run_world import (
    AT,
    HOUR,
    INSTANT,
    committed,
    fresh,
    materialize,
    offline,
    perform,
    snapshot,
    write_rows,
)
from tests.materialization.runner.test_assaying import assayed, part
from tests.oracle import latest_known

pytestmark = pytest.mark.django_db
US = timedelta(microseconds=1)
UPSTREAM = factories.DEFINITIONS.replace("ttl: 2d\n", "ttl: 5h\n")
RIDES = """
kind: Entity
name: ride
join_keys: [{name: ride_id, type: int64}]
---
kind: DataSource
name: rides
type: file
path: rides.parquet
event_timestamp: at
created_timestamp: seen
---
kind: FeatureView
name: ride_profile
entities: [ride]
source: rides
views:
  - features: ["driver_hourly:avg_daily_trips", "driver_hourly:conv_rate"]
    on: {driver_id: driver}
sql: >-
  SELECT ride_id, at, seen, price,
  price / nullif(driver_hourly.avg_daily_trips, 0) AS share,
  driver_hourly.conv_rate AS rate FROM rides
features:
  - {name: price, type: float64}
  - {name: share, type: float64}
  - {name: rate, type: float32}
schedule: {every: 1h}
"""
ONE = (
    RIDES.replace(', "driver_hourly:conv_rate"', "")
    .replace("share,\n  driver_hourly.conv_rate AS rate", "share")
    .replace("  - {name: rate, type: float32}\n", "")
)
UNSTAMPED = RIDES.replace("created_timestamp: seen\n", "").replace(", seen, price,", ", price,")
SCHEMA = pa.schema(
    [
        ("ride_id", pa.int64()),
        ("driver", pa.int64()),
        ("at", INSTANT),
        ("seen", INSTANT),
        ("price", pa.float64()),
    ]
)
few = settings(
    max_examples=6,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example takes a second
    deadline=None,
)


@contextmanager
def undone():
    """Undo what is stored inside; each change within is a transaction of its own."""
    get_redis().flushall()
    before = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(before)


def write_rides(folder, rows):
    """Write rides: ``(ride, driver, event, created, price)``."""
    table = pa.Table.from_pylist(
        [dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA
    )
    pq.write_table(table, folder / "rides.parquet")


def both(cast, *, upstream=UPSTREAM, text=RIDES):
    """Return an approved version, and one that reads it."""
    first = make_version(cast, text=upstream, look=look_at_sources)
    with committed():
        return first, make_version(cast, text=text, look=look_at_sources)


def stored(version):
    """Return every stored row of a version, as the engine has them."""
    rows = engine().some_rows(snapshot(version).files, version.spec, 10_000)
    return sorted(rows.to_pylist(), key=lambda row: (row["ride_id"], row["event_timestamp"]))


def upstream_rows(version):
    """Return every stored row of the version that is read."""
    return engine().some_rows(snapshot(version).files, version.spec, 10_000).to_pylist()


def expected(rides, rows, *, ttl=5 * HOUR, stamped=True):
    """Return what the loop stores of each ride: price, share and rate."""
    found = []
    for ride, driver, event, created, price in sorted(rides, key=lambda each: (each[0], each[2])):
        known_by = max(event, created) if stamped and created is not None else event
        row = latest_known(rows, {"driver_id": driver}, event, ttl=ttl, known_by=known_by) or {}
        trips = row.get("avg_daily_trips")
        share = None if price is None or not trips else price / trips
        found.append((ride, event, price, share, row.get("conv_rate")))
    return found


def given_of(version):
    return [
        (row["ride_id"], row["event_timestamp"], row["price"], row["share"], row["rate"])
        for row in stored(version)
    ]


def test_a_row_has_what_was_true_at_its_time_and_known_when_it_was(cast, sources):
    write_rows(
        sources,
        [
            (1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 10),
            (1001, AT - 9 * HOUR, AT - 6 * HOUR, 0.75, 20),
            (1001, AT - 3 * HOUR, AT - 3 * HOUR, 0.25, 40),
        ],
    )
    write_rides(
        sources,
        [
            (1, 1001, AT - 8 * HOUR, AT - 8 * HOUR, 100.0),  # before the correction was known
            (2, 1001, AT - 8 * HOUR, AT - 6 * HOUR, 100.0),  # known when that was
            (3, 1001, AT - 4 * HOUR, AT - 4 * HOUR, 100.0),  # exactly at the ttl
            (4, 1001, AT - 4 * HOUR + US, AT - 4 * HOUR + US, 100.0),  # past it
            (5, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0),
            (6, 4711, AT - 3 * HOUR, AT - 3 * HOUR, 100.0),  # nobody has seen
            (7, None, AT - 3 * HOUR, AT - 3 * HOUR, 100.0),
        ],
    )
    upstream, version = both(cast)
    materialize(upstream)

    run = materialize(version)

    assert run.status == "succeeded", run.error
    assert [(row[0], row[3], row[4]) for row in given_of(version)] == [
        (1, 10.0, 0.5),
        (2, 5.0, 0.75),
        (3, 5.0, 0.75),
        (4, None, None),
        (5, 2.5, 0.25),
        (6, None, None),
        (7, None, None),
    ]


def test_a_run_waits_until_what_it_reads_is_stored(cast, sources):
    write_rows(sources, [(1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - HOUR, AT - HOUR, 100.0)])
    upstream, version = both(cast)

    with pytest.raises(UpstreamBehind, match="driver_hourly@1.0.0, which is not stored yet"):
        materialize(version)
    materialize(upstream, end=AT - HOUR)
    with pytest.raises(UpstreamBehind, match="is stored up to 2026-03-01T11:00:00"):
        materialize(version)

    assert materialize(version, end=AT - HOUR).status == "succeeded"


DRIVERS = [1001, 1002, None]
hours = st.integers(0, 12)


@st.composite
def worlds(draw):
    """Rows of both sources, on a grid of hours so that they meet."""
    # Of others, so that no run finds nothing at all.
    rows = {0: (9, AT - 14 * HOUR, AT - 14 * HOUR, 0.5, 1)}
    rides = [(99, 9, AT - 14 * HOUR, AT - 14 * HOUR, 10.0)]
    for _ in range(draw(st.integers(0, 14))):
        event, late = AT - draw(hours) * HOUR, draw(st.sampled_from([-1, 0, 0, 1, 3, 9]))
        key = (draw(st.sampled_from(DRIVERS[:2])), event, event + late * HOUR)
        rows.setdefault(key, (*key, 0.5, draw(st.integers(0, 9))))
    for ride in range(draw(st.integers(1, 12))):
        event, late = AT - draw(hours) * HOUR, draw(st.sampled_from([-1, 0, 0, 1, 3, 9]))
        rides.append((ride, draw(st.sampled_from(DRIVERS)), event, event + late * HOUR, 10.0))
    return list(rows.values()), rides


@few
@given(world=worlds(), text=st.sampled_from([RIDES, UNSTAMPED]), ttl=st.sampled_from(["5h", None]))
def test_stored_rows_equal_the_loop_in_one_run_and_in_many(cast, sources, world, text, ttl):
    rows, rides = world
    until = AT + 10 * HOUR
    with undone():
        write_rows(sources, rows)
        write_rides(sources, rides)
        definitions = UPSTREAM.replace("ttl: 5h\n", f"ttl: {ttl}\n" if ttl else "")
        upstream, version = both(cast, upstream=definitions, text=text)
        materialize(upstream, end=until)
        materialize(version, end=until)

        wanted = expected(
            rides, upstream_rows(upstream), ttl=5 * HOUR if ttl else None, stamped=text is RIDES
        )
        assert given_of(version) == wanted


@few
@given(world=worlds())
def test_a_run_an_hour_gives_what_one_run_gives(cast, sources, world):
    rows, rides = world
    until = AT + 10 * HOUR
    with undone():
        write_rows(sources, rows)
        write_rides(sources, rides)
        upstream, version = both(cast)
        for hour in range(-13, 11, 4):
            materialize(upstream, end=AT + hour * HOUR)
            run = materialize(version, end=AT + hour * HOUR)
            assert run.status == "succeeded", run.error
        materialize(upstream, end=until)
        materialize(version, end=until)

        assert given_of(version) == expected(rides, upstream_rows(upstream))


def test_what_is_due_goes_as_far_as_what_it_reads_and_says_what_it_waits_for(cast, sources):
    write_rows(sources, [(1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    upstream, version = both(cast)
    add_schedules(at=AT)

    def due():
        start_due(at=AT)
        runs = MaterializationRun.objects.filter(version=version, status="queued")
        return [run.window_end for run in runs]

    assert due() == []
    (nothing,) = standings_of(fresh(version), at=AT)
    assert "driver_hourly@1.0.0, which is not stored yet" in nothing.waits
    MaterializationRun.objects.all().delete()
    materialize(upstream, end=AT - 2 * HOUR)
    assert due() == [AT - 2 * HOUR]
    MaterializationRun.objects.filter(version=version).delete()
    materialize(version, end=AT - 2 * HOUR)
    assert due() == []
    (waiting,) = standings_of(fresh(version), at=AT)
    assert "is stored up to 2026-03-01T10:00:00+00:00" in waiting.waits


def test_rows_that_were_known_before_are_told_until_all_is_computed_again(cast, sources):
    rows = [(1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 10)]
    write_rows(sources, rows)
    write_rides(sources, [(1, 1001, AT - 5 * HOUR, AT - 5 * HOUR, 100.0)])
    upstream, version = both(cast)
    materialize(upstream)
    materialize(version)
    assert [each.changed for each in standings_of(fresh(version), at=AT)] == [None]

    write_rows(sources, [*rows, (1001, AT - 6 * HOUR, AT - 6 * HOUR, 0.5, 20)])
    late = materialize(upstream, end=AT + HOUR)

    (told,) = standings_of(fresh(version), at=AT + HOUR)
    assert (told.changed, told.waits) == (late, "")
    again = request_backfill(
        version=fresh(version), start=None, end=None, at=AT + HOUR, actor=cast.operator
    )
    assert perform(again, at=AT + HOUR).status == "succeeded"
    assert [each.changed for each in standings_of(fresh(version), at=AT + HOUR)] == [None]
    assert sorted(row["share"] for row in stored(version)) == [5.0, 10.0]
    assert offline(fresh(version), {"ride_id": [1]}, at=AT + HOUR)["share"] == [5.0]


def test_the_version_tells_how_it_stands_to_what_it_reads(cast, sources, client):
    write_rows(sources, [(1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    upstream, version = both(cast)
    materialize(upstream)
    client.force_login(cast.steward)
    page = reverse("admin:registry_featureviewversion_change", args=[version.pk])

    said = facts_of([fresh(version)])[version.pk]["reads"]
    shown = client.get(page).content.decode()

    assert said == [
        {
            "version": "driver_hourly@1.0.0",
            "features": ["avg_daily_trips", "conv_rate"],
            "stored_until": "2026-03-01T12:00:00Z",
            "waits": "",
            "changed_by_run": None,
        }
    ]
    assert "<code>driver_hourly@1.0.0</code>: <code>avg_daily_trips</code>" in shown
    assert "driver_id = <code>driver</code>" in shown
    assert "at most 5h old" in shown


def test_of_an_aggregation_its_newest_tick_is_read(cast, sources):
    features = """aggregations: [{column: avg_daily_trips, functions: [sum], windows: [3h]}]
features:
  - {name: avg_daily_trips, column: avg_daily_trips_sum_3h, type: float64}
ttl: 6h
schedule: {every: 1h}
"""
    view = factories.VIEW.split("features:")[0] + features
    ticks = "\n---\n".join((factories.ENTITY, factories.SOURCE, view))
    write_rows(sources, [(1001, AT - n * HOUR, AT - n * HOUR, 0.5, 10) for n in (5, 4)])
    times = [AT - 5 * HOUR, AT - 4 * HOUR - US, AT - 4 * HOUR, AT - HOUR / 2]
    write_rides(sources, [(n, 1001, at, at, 60.0) for n, at in enumerate(times)])
    upstream, version = both(cast, upstream=ticks, text=ONE)
    materialize(upstream)

    # Half an hour later there is no newer tick: nothing has to be waited for.
    assert materialize(version, end=AT + HOUR / 2).status == "succeeded"

    assert [row["share"] for row in stored(version)] == [6.0, 6.0, 3.0, None]


def test_of_a_mask_its_form_and_of_an_encoding_the_encoded_value_is_read(cast, sources):
    upstream = UPSTREAM.replace(
        "{name: conv_rate, type: float32,",
        "{name: conv_rate, type: string, column: avg_daily_trips, mask: {bucket: [15]},",
    ).replace(
        "{name: avg_daily_trips, type: int32,",
        "{name: avg_daily_trips, type: float64, encode: {steps: [{step: clip, max: 12}]},",
    )
    write_rows(sources, [(1001, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 20)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 60.0)])
    text = RIDES.replace("name: rate, type: float32", "name: rate, type: string")
    upstream, version = both(cast, upstream=upstream, text=text)
    materialize(upstream)

    assert materialize(version).status == "succeeded"

    (row,) = stored(version)
    assert row["share"] == 5.0
    assert row["rate"] == upstream_rows(upstream)[0]["conv_rate"]


def test_a_history_in_chunks_has_what_one_run_has(cast, sources, settings):
    settings.RUN_CHUNK_ROWS = 3
    rows = [(1001, AT - n * HOUR, AT - n * HOUR, n / 16, n) for n in range(1, 20)]
    rides = [(n, 1001, AT - n * HOUR, AT - n * HOUR, 10.0) for n in range(1, 20)]
    write_rows(sources, rows)
    write_rides(sources, rides)
    upstream, version = both(cast)
    materialize(upstream)

    run = materialize(version)

    assert len(read_chunks(run.chunks)) > 3
    assert given_of(version) == expected(rides, upstream_rows(upstream))


def test_a_view_that_reads_one_that_reads(cast, sources):
    write_rows(sources, [(1001, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    upstream, middle = both(cast)
    tip = """
kind: FeatureView
name: ride_tip
entities: [ride]
source: rides
views: [{features: ["ride_profile:share"], name: profile}]
sql: "SELECT ride_id, at, seen, price + profile.share AS total FROM rides"
features: [{name: total, type: float64}]
"""
    with committed():
        last = make_version(cast, text=tip, look=look_at_sources)

    for version in (upstream, middle, last):
        assert materialize(version).status == "succeeded"

    assert [row["total"] for row in stored(last)] == [110.0]
    assert {str(each) for each in source_fields(last.spec, read_by_number(cast))["total"]} == {
        "rides.price", "driver_stats.avg_daily_trips",
    }  # fmt: skip


def read_by_number(cast):
    def read(reference):
        versions = FeatureViewVersion.objects.filter(feature_view__name=reference.view)
        return next(each.spec for each in versions if each.number == reference.pin)

    return read


@pytest.mark.parametrize(
    ("renamed", "words"),
    [
        ("driver_hourly", "has a column 'driver_hourly', and the SQL means what is read of"),
        ("who", "has no column 'driver'"),
    ],
)
def test_a_source_that_does_not_fit_what_is_read_is_refused(cast, sources, renamed, words):
    write_rows(sources, [(1001, AT, AT, 0.5, 10)])
    names = ["ride_id", renamed if renamed == "who" else "driver", "at", "seen", "price"]
    table = pa.table({"ride_id": [1], names[1]: [1001], "at": [AT], "seen": [AT], "price": [1.0]})
    if renamed != "who":
        table = table.append_column(renamed, pa.array([1]))
    pq.write_table(table, sources / "rides.parquet")
    make_version(cast, text=UPSTREAM, look=look_at_sources)

    with pytest.raises(InvalidDefinitions, match=words) as refused:
        factories.apply(RIDES, cast, look=look_at_sources)

    assert refused.value.problems[0].key.startswith("views[0]")


def test_a_key_that_is_none_is_told(cast, sources):
    write_rows(sources, [(1001, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 10)])
    columns = {"ride_id": [1], "driver": ["x7"], "at": [AT - HOUR], "seen": [AT - HOUR]}
    pq.write_table(pa.table(columns | {"price": [1.0]}), sources / "rides.parquet")

    with pytest.raises(InvalidDefinitions, match="column 'driver': a value is not an int64"):
        both(cast)


def test_a_version_whose_upstream_was_retired_says_so(cast, sources):
    write_rows(sources, [(1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    upstream, version = both(cast)
    materialize(upstream)
    upstream = fresh(upstream)
    with committed():
        retire_version(version=upstream, actor=cast.steward, at=AT, force=True, comment="wrong")

    with pytest.raises(UpstreamBehind, match="driver_hourly@1.0.0, which is retired"):
        materialize(version)
    (told,) = standings_of(fresh(version), at=AT)
    assert "is retired, so nothing more of it is stored" in told.waits


def test_evidence_is_made_with_what_is_stored_of_the_other_view(cast, sources):
    write_rows(sources, [(1001, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    upstream = make_version(cast, text=UPSTREAM, look=look_at_sources)
    materialize(upstream)
    with committed():
        waiting = make_version(cast, text=RIDES, state=State.IN_REVIEW, look=look_at_sources)
        evidence = assayed(waiting)

    _, values = part(evidence, "profile")
    (share,) = [each for each in values["after"]["columns"] if each["name"] == "share"]
    assert (share["rows"], share["nulls"]) == (1, 0)


def asked_together(cast, versions, end=AT):
    runs = request_runs(versions=versions, window_end=end, at=end, actor=cast.operator)
    return {run.version.feature_view.name: run for run in runs}


def test_asked_for_together_the_reader_waits_for_what_it_reads(cast, sources):
    write_rows(sources, [(1001, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    upstream, version = both(cast)

    runs = asked_together(cast, [fresh(version), fresh(upstream)])
    for _ in range(MAX_ATTEMPTS + 1):
        waiting = perform(runs["ride_profile"])
        assert (waiting.status, waiting.error_code) == ("queued", "upstream_under_way")
        assert (waiting.attempt, waiting.started_at) == (0, None)
    MaterializationRun.objects.filter(pk=runs["driver_hourly"].pk).update(status="paused")
    assert perform(waiting).status == "queued"
    MaterializationRun.objects.filter(pk=runs["driver_hourly"].pk).update(status="queued")
    assert waiting.retry_at == AT + LOOKS_AGAIN
    assert "waits for runs of what it reads: driver_hourly@1.0.0" in waiting.error
    assert perform(runs["driver_hourly"]).status == "succeeded"

    assert perform(waiting).status == "succeeded"
    assert [row["share"] for row in stored(version)] == [10.0]


def test_a_run_that_ends_while_it_is_asked_about_is_not_missed(cast, sources, monkeypatch):
    write_rows(sources, [(1001, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    above, version = both(cast)
    run = asked_together(cast, [fresh(above)])["driver_hourly"]
    is_coming = upstream._is_coming

    def ending_then(read, end):
        found = is_coming(read, end)
        perform(run)
        return found

    monkeypatch.setattr(upstream, "_is_coming", ending_then)

    assert upstream.require_stored(fresh(version), AT)


def test_what_is_due_is_found_in_as_many_questions_for_many_readers(cast, sources):
    write_rows(sources, [(1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    both(cast)
    add_schedules(at=AT)
    counts = []
    for number in range(3):
        with CaptureQueriesContext(connection) as asked:
            start_due(at=AT)
        counts.append(len(asked))
        MaterializationRun.objects.all().delete()
        more = RIDES.replace("name: ride_profile", f"name: ride_profile_{number}")
        with committed():
            make_version(cast, text=more, look=look_at_sources)
        add_schedules(at=AT)

    assert counts[0] == counts[1] == counts[2]


def test_a_reader_whose_upstream_fails_fails_and_says_why(cast, sources):
    write_rows(sources, [(1001, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    upstream, version = both(cast)
    runs = asked_together(cast, [fresh(version), fresh(upstream)])
    (sources / "driver_stats.parquet").unlink()
    assert perform(runs["driver_hourly"]).status == "failed"

    failed = perform(runs["ride_profile"])

    assert (failed.status, failed.error_code) == ("failed", "upstream_behind")
    assert "driver_hourly@1.0.0, which is not stored yet" in failed.error


def test_a_plan_says_what_is_not_stored_yet(cast, sources):
    write_rows(sources, [(1001, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    upstream = make_version(cast, text=UPSTREAM, look=look_at_sources)

    def warned():
        planned = factories.apply(RIDES, cast, look=look_at_sources, dry_run=True)
        return [words for each in planned for words in each.warnings if "driver_hourly" in words]

    assert warned() == [
        "driver_hourly@1.0.0 is not stored yet: until it is, evidence shows nulls in its place."
    ]
    materialize(upstream)
    assert warned() == []


def test_an_encoding_is_fitted_to_what_is_made_of_the_other_view(cast, sources):
    write_rows(sources, [(1001, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 10)])
    write_rides(sources, [(n, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0 * n) for n in (1, 2, 3)])
    fit = f"{{from: {(AT - 9 * HOUR).isoformat()}, to: {AT.isoformat()}}}"
    text = ONE.replace(
        "{name: share, type: float64}",
        f"{{name: share, type: float64, encode: {{steps: [min_max], fit: {fit}}}}}",
    )
    upstream = make_version(cast, text=UPSTREAM, look=look_at_sources)
    materialize(upstream)
    with committed():
        version = make_version(cast, text=text, state=State.IN_REVIEW, look=look_at_sources)
        assayed(version)
        factories.approve(version, cast.steward)

    assert materialize(version).status == "succeeded"

    assert [row["share"] for row in stored(version)] == [0.0, 0.5, 1.0]


def test_what_it_waits_for_that_cannot_be_told_ends_the_run_that_waits(cast, sources, monkeypatch):
    write_rows(sources, [(1001, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    first, version = both(cast)
    runs = asked_together(cast, [fresh(version), fresh(first)])

    def broken(specs):
        raise ValueError("no words for it")

    monkeypatch.setattr(upstream, "Upstreams", broken)
    ended = perform(runs["ride_profile"])

    assert (ended.status, ended.error_code) == ("errored", "unexpected")
    assert "ValueError: no words for it" in ended.traceback


def test_a_reader_whose_definition_cannot_be_read_ends_by_it(cast, sources, monkeypatch):
    write_rows(sources, [(1001, AT - 5 * HOUR, AT - 5 * HOUR, 0.5, 10)])
    write_rides(sources, [(1, 1001, AT - 3 * HOUR, AT - 3 * HOUR, 100.0)])
    first, version = both(cast)
    runs = asked_together(cast, [fresh(version), fresh(first)])
    read = load_version_spec

    def broken(text):
        spec = read(text)
        if spec.view.name == version.feature_view.name:
            raise ValueError("no words for it")
        return spec

    monkeypatch.setattr(feature_view_version, "load_version_spec", broken)

    assert perform(runs["ride_profile"]).status == "errored"
    assert perform(runs["driver_hourly"]).status == "succeeded"
