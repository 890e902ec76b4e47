"""Windows that runs load: exact online at any instant, as in training sets and in the loop.

Not for windows over pushed rows (``ingest/test_many_histories``), nor for the ticks that are beside
them offline (``test_temporal_views``).
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from pyarrow.csv import write_csv

from lib.errors import AssayError
from materialization.choices import RunKind
from materialization.edges.looks import look_at_sources
from materialization.requests.certificates import request_certificate
from materialization.runner.certifying import certify, words_of
from materialization.stores.online_protocol import RowsUnreadable
from serving.online import windows as online_windows
from tests.factories import ENTITY, SOURCE, apply, make_version
from tests.materialization.aggregation_cases import same
from tests.materialization.run_world import (
    AT,
    HOUR,
    committed,
    fresh,
    materialize,
    offline_at,
    online,
    table_of,
    write_rows,
)
from tests.materialization.test_temporal_views import seen
from tests.oracle_ticks import values_as_of

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db
US = timedelta(microseconds=1)
VIEW = """
kind: FeatureView
name: driver_windows
entities: [driver]
source: driver_stats
aggregations:
  - column: avg_daily_trips
    functions: [count, sum, last, {function: top_k, k: 2}]
    windows: [1h, 3h]
  - {column: conv_rate, functions: [mean, variance, min, count_distinct], windows: [3h]}
features:
  - {name: trips_1h, column: avg_daily_trips_count_1h, type: int64}
  - {name: trips_3h, column: avg_daily_trips_count_3h, type: int64}
  - {name: sum_3h, column: avg_daily_trips_sum_3h, type: int64}
  - {name: last_3h, column: avg_daily_trips_last_3h, type: int32}
  - {name: last_text, column: avg_daily_trips_last_3h, type: string}
  - {name: top_3h, column: avg_daily_trips_top_k_2_3h, type: "list<int32>"}
  - {name: mean_3h, column: conv_rate_mean_3h, type: float64}
  - {name: variance_3h, column: conv_rate_variance_3h, type: float64}
  - {name: least_3h, column: conv_rate_min_3h, type: float32}
  - {name: rates_3h, column: conv_rate_count_distinct_3h, type: int64}
ttl: 5h
accuracy: exact
schedule: {every: 1h}
owner: rides
"""
TEXT = "\n---\n".join((ENTITY, SOURCE, VIEW))
#: What is computed of the windows at each read, beside the widest of them.
DERIVED = """
  - {name: share_1h, type: float64, sql: "trips_1h / nullif(trips_3h, 0)"}
  - {name: by_one, type: int64, sql: "sum_3h // (trips_1h - 1)"}
  - name: a_word
    type: string
    sql: "case when least_3h < 0.3 then 'low' when last_3h is null then '' else sum_3h::text end"
"""
VARIANCE = "  - {name: variance_3h, column: conv_rate_variance_3h, type: float64}\n"
WITH_DERIVED = TEXT.replace(VARIANCE, VARIANCE + DERIVED.lstrip("\n"))
OUTPUTS = {
    "trips_1h": ("n", "count", HOUR),
    "trips_3h": ("n", "count", 3 * HOUR),
    "sum_3h": ("n", "sum", 3 * HOUR),
    "last_3h": ("n", "last", 3 * HOUR),
}
DRIVERS = 100
QUANTILE = "encode: {steps: [quantile], fit: {from: 2026-01-01, to: 2026-02-01}}"


def exact(cast: Any, text: str = TEXT) -> FeatureViewVersion:
    return make_version(cast, text=text, look=look_at_sources)


def rows_online(version: FeatureViewVersion, at: Any) -> list[dict[str, Any]]:
    found = online(version, {"driver_id": list(range(DRIVERS))}, at=at)
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def rows_offline(version: FeatureViewVersion, at: Any) -> list[dict[str, Any]]:
    found = offline_at(version, {"driver_id": list(range(DRIVERS))}, [at] * DRIVERS)
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def changed(rows: list[Any], chance: random.Random, end: Any) -> list[Any]:
    """Return a source as a later run finds it: rows more, late ones, copies, and some lost."""
    rows = [row for row in rows if chance.random() > 0.1]
    for driver in range(DRIVERS):
        for _ in range(chance.choice((0, 0, 1, 2))):
            since = chance.choice((timedelta(), HOUR, 2 * HOUR, 3 * HOUR, HOUR / 3))
            event = end - since + chance.choice((-US, timedelta(), US))
            created = min(end, event + chance.choice((timedelta(), US, HOUR, 3 * HOUR)))
            rate = chance.choice((None, 0.5, 0.25, 0.1, 0.75))
            row = (driver, min(event, end), created, rate, chance.choice((None, 1, 2, 3)))
            rows += [row] * chance.choice((1, 1, 1, 2))
    return rows


@pytest.mark.parametrize(("says_when_known", "is_partial"), [(True, True), (False, False)])
def test_run_after_run_online_is_the_training_set_of_that_instant(
    cast, sources, online_redis, monkeypatch, says_when_known, is_partial
):
    if is_partial:
        monkeypatch.setattr(online_windows, "MANY_ROWS", 1)
        monkeypatch.setattr(online_windows, "KNOWN_SHARE", 100)
    chance = random.Random(f"{says_when_known} {is_partial}")
    text, outputs = TEXT, OUTPUTS
    if not says_when_known:  # of a tie then counts when a run found it
        text = WITH_DERIVED.replace("created_timestamp: created\n", "")
        text = text.replace("driver_stats.parquet", "driver_stats.csv")
        outputs = {name: asked for name, asked in OUTPUTS.items() if asked[1] != "last"}
    rows: list[Any] = []
    version = None
    for step in range(4):
        end = AT + step * HOUR
        rows = changed(rows, chance, end)
        write_csv(pq.read_table(write_rows(sources, rows)), sources / "driver_stats.csv")
        with committed():
            version = version or exact(cast, text)
            assert materialize(fresh(version), end=end).status == "succeeded"
        if step == 2:  # what Redis loses is loaded again
            for key in online_redis.scan_iter(match=f"w{table_of(version).uid}*"):
                online_redis.delete(key)
            with committed():
                assert materialize(fresh(version), kind=RunKind.RELOAD, end=end).status == (
                    "succeeded"
                )
        for ahead in (timedelta(), HOUR - US, HOUR, 3 * HOUR):
            there, offline = rows_online(version, end + ahead), rows_offline(version, end + ahead)
            for driver, (one, other) in enumerate(zip(there, offline, strict=True)):
                mine = [row for row in rows if row[0] == driver]
                assert same(one, other), (driver, step, ahead, mine)
                loop = values_as_of(
                    seen(mine), (driver,), end + ahead, outputs, ttl=version.spec.ttl
                )
                # What is gone from the source has left its entity behind, with nothing.
                wanted = {name: (loop or {}).get(name) or None for name in outputs}
                assert {name: one[name] or None for name in outputs} == wanted, (step, ahead, mine)


def test_windows_shrink_as_time_passes_between_runs(cast, sources):
    rows = [(1, AT - n * HOUR / 4, AT - n * HOUR / 4, 0.5, n) for n in range(13)]
    write_rows(sources, rows)
    with committed():
        version = exact(cast)
        materialize(version)

    for ahead in (timedelta(), US, HOUR / 4 - US, HOUR, 3 * HOUR, 8 * HOUR, 8 * HOUR + US):
        found = rows_online(version, AT + ahead)[1]
        loop = values_as_of(seen(rows), (1,), AT + ahead, OUTPUTS, ttl=version.spec.ttl)
        assert {name: found[name] for name in OUTPUTS} == (loop or dict.fromkeys(OUTPUTS)), ahead


def test_what_the_source_loses_is_gone_online_from_the_run_that_found_it_gone(cast, sources):
    """Also one of several copies, one that comes back, and all there is of an entity."""
    kept, lost = (1, AT - HOUR, AT - HOUR, 0.5, 7), (1, AT - HOUR / 2, AT - HOUR / 2, 0.25, 5)
    other, version, found = (2, AT - HOUR / 2, AT - HOUR / 2, 0.5, 1), None, []
    steps = ([kept, lost, lost, *[other] * 20_000], [kept, lost], [kept], [kept, lost])
    for step, rows in enumerate(steps):
        write_rows(sources, rows)
        at = AT + step * HOUR / 4
        with committed():
            version = version or exact(cast)
            assert materialize(fresh(version), end=at).status == "succeeded"
        there, offline = rows_online(version, at)[1:3], rows_offline(version, at)[1:3]
        assert all(map(same, there, offline)), step
        found.append([(each["trips_3h"], each["sum_3h"], each["last_3h"]) for each in there])

    nothing = (0, None, None)
    assert found == [
        [(3, 17, 5), (20_000, 20_000, 1)],
        [(2, 12, 5), nothing],
        [(1, 7, 7), nothing],
        [(2, 12, 5), nothing],
    ]


def events_in(client: Any) -> dict[bytes, dict[bytes, bytes]]:
    return {key: client.hgetall(key) for key in client.scan_iter(match="w*")}


def test_an_entity_with_too_many_events_fails_the_run_which_loads_nothing(
    cast, sources, online_redis
):
    """What it has stored of others is no difference of a certificate: it is said to be late."""
    rows = [(driver, AT - HOUR, AT - HOUR, 0.5, 1) for driver in (1, 2, 7)]
    write_rows(sources, rows)
    with committed():
        version = exact(cast)
        assert materialize(version, end=AT - HOUR).status == "succeeded"
    before = events_in(online_redis)
    rows += [(1, AT - HOUR / 2, AT - HOUR / 2, 0.5, 2)]
    write_rows(sources, rows + [(7, AT - n * US, AT - n * US, 0.5, n) for n in range(1200)])
    for hours in range(3):  # trying again changes nothing
        with committed():
            run = materialize(fresh(version), end=AT + hours * HOUR)
        assert run.status == "failed"
        assert "driver_id 7 has more than 64 KB of events within the 0:01:48 of one" in run.error
        assert events_in(online_redis) == before
    done = certified(version, at=AT)
    assert (done.status, done.compared, done.late) == ("equal", 3, 2)
    assert "1 equal, none differ; 2 with what is stored and not loaded yet" in words_of(done)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("accuracy: exact", "accuracy: exact\nonline: false"), "exact says how online reads"),
        (("windows: [3h]}", "windows: [3h, unbounded]}"), "keep every row in memory"),
        (("sum_3h, type: int64", "sum_3h, type: int32"), None),
        (("sum_3h, type: int64", "sum_3h, type: 'decimal(10,2)'"), None),
        (("mean_3h, type: float64", "mean_3h, type: float32"), "mean gives"),
        (
            (VARIANCE, "  - {name: x, type: int64, sql: len(top_3h)}\n"),
            "at each read: input 'top_3h'",
        ),
        (("schedule: {every: 1h}\n", ""), "aggregations need a schedule"),
        (("last_3h, type: int32", "last_3h, type: string"), None),
        (
            (
                "least_3h, column: conv_rate_min_3h, type: float32",
                "least_3h, column: conv_rate_min_3h, type: string",
            ),
            "no text of numbers",
        ),
        (
            ("conv_rate_mean_3h, type: float64", f"conv_rate_mean_3h, type: float64, {QUANTILE}"),
            "quantile is not; take",
        ),
    ],
)
def test_what_cannot_be_made_at_reads_is_refused(cast, sources, change, said):
    write_rows(sources, [(1, AT, AT, 0.5, 1)])
    text = TEXT.replace(*change)
    assert text != TEXT
    if said is None:
        exact(cast, text)
        return
    with pytest.raises(AssayError, match=said):
        exact(cast, text)


def test_the_plan_says_who_gets_what_and_how_much_memory_it_takes(cast, sources):
    write_rows(sources, [(1, AT - n * HOUR, AT - n * HOUR, 0.5, n) for n in range(10)])
    planned = apply(TEXT, cast, look=look_at_sources)

    said = " ".join(warning for each in planned for warning in each.warnings)
    assert "online reads and training sets both have the windows as of their own instant" in said
    assert "the last 3h, some 103 bytes each, in hops of 1m 48s" in said
    assert "the source has 10 rows now; were they spread evenly, some 4 would be within" in said


def certified(version: FeatureViewVersion, *, at: Any, **wanted: Any) -> Any:
    asked = request_certificate(
        version=fresh(version), at=at, actor=None, **{"sample": None, **wanted}
    )
    certify(certificate_id=asked.pk, worker="worker-1", clock=lambda: at)
    asked.refresh_from_db()
    return asked


def test_a_certificate_compares_windows_as_of_one_instant(cast, sources, online_redis):
    chance = random.Random(7)
    rows = changed([], chance, AT)
    rows += [(driver, AT - HOUR, AT - HOUR, 0.1, 2) for driver in (1, 2, 3, 4, 5)]
    write_rows(sources, rows)
    with committed():
        version = exact(cast)
        materialize(version)
    drivers = len({row[0] for row in rows})
    for at in (AT, AT + HOUR / 2, AT + 9 * HOUR):
        done = certified(version, at=at)
        assert (done.status, done.compared, done.as_of) == ("equal", drivers, at), words_of(done)
    assert certified(version, at=AT, sample=10).status == "equal"

    stem = b"w" + table_of(version).uid.encode()
    kept_for = online_redis.pttl(stem + b"{1}")
    online_redis.delete(stem + b"{1}")
    hops = [name for name in online_redis.hkeys(stem + b"{2}") if name != b"n"]
    online_redis.hdel(stem + b"{2}", *hops)
    online_redis.copy(stem + b"{3}", stem + b"{4711}")
    online_redis.copy(stem + b"{3}", stem + b"nobody")
    for broken, left in ((b"{4}", b"\xc1"), (b"{5}", b"")):
        hop = next(name for name in online_redis.hkeys(stem + broken) if name.isdigit())
        online_redis.hset(stem + broken, hop, online_redis.hget(stem + broken, hop)[:40] + left)
        with pytest.raises(RowsUnreadable, match=r"driver_windows@1\.0\.0: .* cannot be read"):
            online(version, {"driver_id": [1, int(broken[1:2])]}, at=AT)
    assert online(version, {"driver_id": [2]}, at=AT)["trips_3h"] == [0]
    done = certified(version, at=AT)
    assert (done.missing, done.different, done.extra) == (1, 3, 2), words_of(done)
    assert done.compared == drivers + 2
    found = {each["key"]: each for each in done.examples}
    assert found["driver_id=1"]["kind"] == "missing"
    assert "sum_3h" in found["driver_id=2"]["features"]
    assert found["driver_id=4711"]["kind"] == "extra"
    assert f"as of {AT:%Y-%m-%d %H:%M:%S} UTC, all entities: " in words_of(done)

    repair = certified(version, at=AT, sample=7, repair=True)
    assert (repair.differences, repair.repaired) == (6, 6), words_of(repair)
    after = certified(version, at=AT)
    assert (after.status, after.compared, after.late) == ("equal", drivers, 0), words_of(after)
    assert abs(kept_for - online_redis.pttl(stem + b"{1}")) < 300_000
