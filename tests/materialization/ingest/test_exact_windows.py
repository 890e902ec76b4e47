"""Windows over pushed rows: as of each read and of each row of a training set, in both stores.

Not for random histories (``test_many_histories``), nor for what functions make of types.
"""

from __future__ import annotations

import math
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lib.instants import to_us
from materialization.choices import RunKind
from materialization.edges.stores import online_store
from materialization.ingest.events import event_layout
from materialization.ingest.refusals import RowsRefused
from materialization.ingest.taking import TooManyEvents
from materialization.runner.draining import drain_logs
from materialization.stores import online_commands
from materialization.stores.inspection import GRACE
from materialization.stores.online_commands import TooManyEventsRead
from registry.choices import Role
from registry.spec.aggregate_functions import LastK
from serving.edges import push_limits
from serving.ingest.pushing import Caller
from serving.ingest.pushing import push as push_rows
from serving.ingest.request import PushRequest
from serving.online import windows
from tests import factories
from tests.materialization.aggregation_cases import same
from tests.materialization.ingest.push_world import ready
from tests.materialization.ingest.window_world import (
    HOUR,
    OUTPUTS,
    STAMPED,
    TOLD,
    VIEW,
    definitions,
    push,
)
from tests.materialization.run_world import (
    AT,
    committed,
    materialize,
    offline,
    online,
    online_answer,
    table_of,
)
from tests.oracle_ticks import corrected, values_as_of

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.django_db
US = timedelta(microseconds=1)
DRIVERS = [1, 2, 3, 4]
EMPTY = dict.fromkeys(OUTPUTS) | {"fare_count_1h": 0}


def loop(
    rows: list[dict[str, Any]], at: datetime, told_by: str | None = None
) -> dict[str, list[Any]]:
    """Return what the slow and obviously right way gives of each driver at an instant."""
    asked = {
        name: (column, LastK(k=3) if function == "last_k" else function, hours * HOUR)
        for name, (column, function, hours) in OUTPUTS.items()
    }
    there = corrected(rows, told_by=told_by)
    found = [values_as_of(there, (driver,), at, asked) for driver in DRIVERS]
    return {name: [each[name] if each else None for each in found] for name in OUTPUTS}


def test_an_event_is_in_the_very_next_read_and_leaves_with_time_alone(cast):
    version = ready(cast, definitions())
    event = AT + HOUR / 2
    push(cast, [{"key": (1,), "event": event, "fare": 12.5}], event)

    def read(at: datetime) -> dict[str, Any]:
        return {name: each[0] for name, each in online(version, {"driver_id": [1]}, at=at).items()}

    assert read(event)["fare_sum_1h"] == 12.5
    assert read(event + HOUR - US)["fare_sum_1h"] == 12.5
    gone = read(event + HOUR)
    assert (gone["fare_sum_1h"], gone["fare_count_1h"], gone["fare_sum_3h"]) == (None, 0, 12.5)
    assert read(event + 3 * HOUR) == EMPTY
    assert read(event + 1000 * HOUR) == EMPTY


def test_what_redis_lost_is_loaded_from_what_was_drained(cast, online_redis):
    """Also that an entity is there whose events are all out, and which of two rows is right."""
    version = ready(cast, definitions(source=STAMPED))
    rows = [
        {"key": (1,), "event": AT - 9 * HOUR, "created": AT - 9 * HOUR, "fare": 9.0},
        {"key": (2,), "event": AT - HOUR / 2, "created": AT - HOUR / 2, "fare": 1.0},
        {"key": (2,), "event": AT - HOUR / 2, "created": AT - US, "fare": 2.0},
        {"key": (2,), "event": AT - HOUR / 4, "created": AT - HOUR / 4, "fare": 0.5},
        # Too late for any window: it tells of nobody.
        {"key": (3,), "event": AT - 5 * HOUR, "created": AT, "fare": 5.0},
    ]
    push(cast, rows, AT)
    before = online(version, {"driver_id": DRIVERS}, at=AT)
    assert same(before, loop(rows, AT))
    assert before["fare_sum_1h"] == [None, 2.5, None, None]
    assert before["fare_count_1h"] == [0, 2, None, None]
    drain_logs()

    for key in online_redis.scan_iter(match=f"w{table_of(version).uid}*"):
        online_redis.delete(key)
    assert online(version, {"driver_id": DRIVERS}, at=AT)["fare_count_1h"] == [None] * 4
    with committed():
        assert materialize(version, kind=RunKind.RELOAD, end=AT).status == "succeeded"

    assert online(version, {"driver_id": DRIVERS}, at=AT) == before


def test_a_ttl_ends_an_entity_and_its_memory(cast, online_redis):
    version = ready(cast, definitions(VIEW + "ttl: 2h\n"))
    push(cast, [{"key": (1,), "event": AT, "fare": 1.0}], AT)
    (key,) = online_redis.scan_iter(match=f"w{table_of(version).uid}*")

    assert online(version, {"driver_id": [1]}, at=AT + 5 * HOUR)["fare_count_1h"] == [0]
    answer = online_answer(version, {"driver_id": [1]}, at=AT + 5 * HOUR + US)
    assert {column.statuses[0] for column in answer.columns[1:]} == {"OUTSIDE_MAX_AGE"}
    drain_logs()
    for at in (AT + 5 * HOUR, AT + 5 * HOUR + US):
        assert offline(version, {"driver_id": [1]}, at=at) == online(
            version, {"driver_id": [1]}, at=at
        )
    assert 0 < online_redis.pttl(key) <= (5 * HOUR + GRACE) / timedelta(milliseconds=1)


def test_hops_that_no_window_reaches_any_more_go_with_the_next_event(cast, online_redis):
    version = ready(cast, definitions())
    for hours in range(12):
        at = AT + hours * HOUR
        push(cast, [{"key": (1,), "event": at, "fare": 1.0}], at)
    (key,) = online_redis.scan_iter(match=f"w{table_of(version).uid}*")

    hops = [field for field in online_redis.hkeys(key) if field != b"n"]

    assert len(hops) <= 4
    assert online(version, {"driver_id": [1]}, at=at)["fare_sum_3h"] == [3.0]


def test_an_entity_with_very_many_events_of_one_time_is_refused_and_stays_exact(cast):
    version = ready(cast, definitions())
    rows = [{"key": (1,), "event": AT - n * US, "fare": 1.0} for n in range(1, 1001)]
    push(cast, rows, AT)

    with pytest.raises(TooManyEvents, match="driver_id 1 has 64 KB of events within the 0:01:48"):
        push(
            cast, [{"key": (1,), "event": AT - n * US, "fare": 1.0} for n in range(1001, 3001)], AT
        )
    push(cast, [{"key": (2,), "event": AT, "fare": 1.0}], AT)

    assert online(version, {"driver_id": [1, 2]}, at=AT)["fare_sum_1h"] == [1000.0, 1.0]
    times = [(AT - n * US).isoformat() for n in range(1001, 2001)]
    df = {"driver_id": [1] * 900 + [2] * 100, "at": times, "fare": [1.0] * 1000}
    caller = Caller(cast.owner.pk, "rides", "twice", b"")
    asked = PushRequest("trips", df, partial=True)
    said, again = (
        push_rows(cast.owner, caller, asked, limits=push_limits(), at=AT) for _ in range(2)
    )
    assert (said["taken"], said["refused_count"], len(said["refused"])) == (
        again["taken"],
        again["refused_count"],
        100,
    )
    assert again["repeated"]
    assert {(each["column"], each["value"]) for each in said["refused"]} == {("driver_id", "1")}
    assert said["taken"] + said["refused_count"] == 1000
    sums = [900.0 + said["taken"], 101.0]
    assert online(version, {"driver_id": [1, 2]}, at=AT)["fare_sum_1h"] == sums
    drain_logs()
    assert offline(version, {"driver_id": [1, 2]}, at=AT)["fare_sum_1h"] == sums


def test_values_that_no_file_has_are_not_listed(cast, client):
    ready(cast, definitions())
    push(cast, [{"key": (1,), "event": AT, "fare": 1.0}], AT)
    drain_logs()

    answer = client.get(
        "/api/v1/projects/rides/offline-files?feature_view=spending",
        headers={"Authorization": f"Bearer {factories.token_for(cast.owner)}"},
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "windows_not_stored")


def test_event_timing_has_the_last_of_each_event_and_warns_of_nothing(cast, client):
    ready(cast, definitions())
    push(cast, [{"key": (1,), "event": AT - HOUR / 2, "fare": 1.0}], AT)
    push(cast, [{"key": (1,), "event": AT - HOUR / 2, "fare": 2.0}], AT + HOUR)
    drain_logs()
    asked = {"driver_id": [1], "event_timestamp": [(AT - HOUR / 4).isoformat()]}

    answer = client.post(
        "/api/v1/projects/rides/get-historical-features",
        data={"features": ["spending:fare_sum_1h"], "entities": asked, "timing": "event"},
        content_type="application/json",
        headers={"Authorization": f"Bearer {factories.token_for(cast.owner)}"},
    ).json()

    assert answer["results"][-1]["values"] == [2.0]
    assert "warnings" not in answer["metadata"]


def test_nothing_is_written_to_windows_themselves(cast, client):
    ready(cast, definitions())
    token = factories.token_for(factories.make_service_account("stream", cast, Role.PRODUCER))
    df = {"driver_id": [1], "event_timestamp": ["2026-01-01T00:00:00Z"], "fare_sum_1h": [1.0]}

    answer = client.post(
        "/api/v1/projects/rides/write-to-online-store",
        data={"feature_view_name": "spending", "df": df},
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "windows_not_written")


def test_hops_with_many_events_are_told_by_what_is_known_of_them(cast, online_redis):
    """Until an event comes to them late, or corrects one that is there; and not of times before."""
    version = ready(cast, definitions())
    rows = [
        {"key": (1,), "event": AT + n * timedelta(seconds=1), "fare": n / 10} for n in range(3600)
    ]
    for start in range(0, 3600, 600):
        push(cast, rows[start : start + 600], rows[start + 599]["event"])
    (key,) = online_redis.scan_iter(match=f"w{table_of(version).uid}*")
    asked, end = {"driver_id": [1]}, AT + HOUR

    def known() -> int:
        return sum(field.startswith(b"p") for field in online_redis.hkeys(key))

    before = online(version, asked, at=end)
    assert known() == windows.MOST_LOOKED_AT
    assert online(version, asked, at=end) == before
    assert known() > 30
    assert online(version, asked, at=end) == before
    late = {"key": (1,), "event": AT + HOUR / 2 + US, "fare": 1e6}
    right = {**rows[1000], "fare": -1e6}
    count = known()
    push(cast, [late, right], end)
    assert known() == count - 2
    found = online(version, asked, at=end)
    now = [row for row in [*rows, late, right] if row is not rows[1000]]
    # The first of them left an hour's window at that instant.
    assert found["fare_count_1h"] == [3600]
    assert found["fare_sum_3h"] == [math.fsum(row["fare"] for row in now)]
    assert found["fare_min_1h"] == [-1e6]
    drain_logs()
    for at in (end, end + US, end + HOUR / 3, end + 2 * HOUR):
        for _ in range(2):
            assert online(version, asked, at=at) == offline(version, asked, at=at)


def test_a_reader_whose_clock_is_behind_has_what_was_pushed(cast):
    version = ready(cast, definitions())
    push(cast, [{"key": (1,), "event": AT - HOUR, "fare": 1.0}], AT)
    push(cast, [{"key": (1,), "event": AT + HOUR / 4, "fare": 2.0}], AT + HOUR / 4)
    push(cast, [{"key": (2,), "event": AT, "fare": 3.0}], AT)

    answer = online_answer(version, {"driver_id": [1, 2]}, at=AT - US, stored=True)

    sums = next(c for n, c in zip(answer.names, answer.columns, strict=True) if n == "fare_sum_1h")
    assert (sums.values, sums.event_timestamps) == (
        (2.0, 3.0),
        (to_us(AT + HOUR / 4), to_us(AT)),
    )


CONDITIONS = """
kind: FeatureView
name: spending
entities: [driver]
source: trips
accuracy: temporal
aggregations:
  - {column: fare, name: paid, functions: [sum, count], windows: [1h], where: "city = 'Bern'"}
  - {column: fare, functions: [sum, count], windows: [1h]}
features:
  - {name: paid_sum_1h, type: float64}
  - {name: paid_count_1h, type: int64}
  - {name: fare_sum_1h, type: float64}
  - {name: fare_count_1h, type: int64}
"""


def test_conditions_say_which_rows_count_and_corrections_change_it(cast):
    version = ready(cast, definitions(CONDITIONS))
    chance = random.Random(7)
    known: list[dict[str, Any]] = []
    at, asked = AT, {"driver_id": DRIVERS}
    is_paid = lambda row: row["city"] == "Bern"  # noqa: E731
    outputs = {
        "paid_sum_1h": ("fare", "sum", HOUR, is_paid),
        "paid_count_1h": ("fare", "count", HOUR, is_paid),
        "fare_sum_1h": ("fare", "sum", HOUR),
        "fare_count_1h": ("fare", "count", HOUR),
    }

    def wanted(at: datetime) -> dict[str, list[Any]]:
        rows = corrected(known)
        found = [values_as_of(rows, (driver,), at, outputs) for driver in DRIVERS]
        return {name: [each[name] if each else None for each in found] for name in outputs}

    for _ in range(12):
        at += chance.choice([US, HOUR / 4])
        events = [row["event"] for row in known] or [at]
        rows = [
            {
                "key": (chance.choice(DRIVERS[:2]),),
                "event": chance.choice([at, chance.choice(events)]),
                "created": at,
                "fare": chance.choice([None, 1.5, 2.0]),
                "city": chance.choice([None, "Bern", "Basel"]),
            }
            for _ in range(3)
        ]
        push(cast, rows, at)
        known += rows
        assert same(online(version, asked, at=at), wanted(at))
    drain_logs()
    for ahead in (timedelta(), HOUR / 2, HOUR, 2 * HOUR):
        assert same(online(version, asked, at=at + ahead), wanted(at + ahead))
        assert offline(version, asked, at=at + ahead) == online(version, asked, at=at + ahead)


def test_an_event_without_what_tells_it_is_refused(cast):
    ready(cast, definitions(source=TOLD))

    with pytest.raises(RowsRefused, match="column 'city': it tells events apart"):
        push(cast, [{"key": (1,), "event": AT, "created": AT, "fare": 1.0}], AT)


def test_the_walk_takes_away_what_no_window_reaches_of_entities_that_are_silent(cast, online_redis):
    version = ready(cast, definitions())
    for hours in range(3):
        at = AT + hours * HOUR
        push(cast, [{"key": (1,), "event": at, "fare": 1.0}], at)
    (key,) = online_redis.scan_iter(match=f"w{table_of(version).uid}*")

    def walk(at: datetime) -> int:
        known = dict.fromkeys([table_of(version).uid], True)
        return online_store().expire(known=lambda uids: known, at=at, pace=1e9).trimmed

    assert walk(AT + 2 * HOUR) == 0
    assert walk(AT + 4.5 * HOUR) == 1
    assert len([each for each in online_redis.hkeys(key) if each.isdigit()]) == 1
    assert online(version, {"driver_id": [1]}, at=AT + 4.5 * HOUR)["fare_sum_3h"] == [1.0]
    assert walk(AT + 9 * HOUR) == 1
    assert online_redis.hkeys(key) == [b"n"]
    assert online(version, {"driver_id": [1]}, at=AT + 9 * HOUR)["fare_count_1h"] == [0]


def test_rows_that_are_sent_again_need_no_room_and_correct_what_is_there(cast):
    """Also within one push, and where a hop is nearly full; each hop is written once."""
    version = ready(cast, definitions())
    rows = [{"key": (1,), "event": AT - n * US, "fare": 1.0} for n in range(1, 1001)]
    push(cast, rows, AT)
    asked = {"driver_id": [1]}

    push(cast, rows, AT + US)
    twice = [*({**row, "fare": 5.0} for row in rows), *({**row, "fare": 2.0} for row in rows)]
    push(cast, twice, AT + 2 * US)

    found = online(version, asked, at=AT + 2 * US)
    assert (found["fare_count_1h"], found["fare_sum_1h"]) == ([1000], [2000.0])
    drain_logs()
    assert offline(version, asked, at=AT + 2 * US) == found


def test_a_push_of_many_corrections_writes_each_hop_once(cast, online_redis):
    """By how much Redis moves: each of them in a field of its own is 64 KB for each."""
    ready(cast, definitions())
    rows = [{"key": (1,), "event": AT - n * US, "fare": 1.0} for n in range(1, 1001)]
    push(cast, rows, AT)
    before = online_redis.info("commandstats")["cmdstat_hset"]["calls"]

    push(cast, [{**row, "fare": 2.0} for row in rows], AT + US)

    assert online_redis.info("commandstats")["cmdstat_hset"]["calls"] - before < 10


def test_a_server_without_scripts_behind_a_dead_connection_answers(cast, online_redis):
    """As Redis is when it was started again: both are found out one after the other."""
    version = ready(cast, definitions())
    push(cast, [{"key": (1,), "event": AT - US, "fare": 1.0}], AT)
    layout = event_layout(version.spec, uid=table_of(version).uid)
    asked = [(layout, layout.entity.tags([[1]]))]
    before = online_store().read(1, (), asked, now=to_us(AT))

    online_redis.script_flush()
    online_redis.client_kill_filter(_type="normal", skipme=True)

    assert online_store().read(1, (), asked, now=to_us(AT)) == before
    assert before.tables[0] is not None


def test_an_entity_that_is_asked_for_often_is_read_once(cast, online_redis):
    version = ready(cast, definitions())
    rows = [{"key": (1,), "event": AT - n * US, "fare": 1.0} for n in range(1, 1001)]
    push(cast, rows, AT)
    online(version, {"driver_id": [1]}, at=AT)
    sent = online_redis.info("stats")["total_net_output_bytes"]

    found = online(version, {"driver_id": [1, 2] * 500}, at=AT)

    assert found["fare_count_1h"] == [1000, None] * 500
    assert online_redis.info("stats")["total_net_output_bytes"] - sent < 100_000


def test_much_is_read_some_entities_at_a_time_and_too_much_is_refused(cast, monkeypatch):
    version = ready(cast, definitions())
    rows = [
        {"key": (driver,), "event": AT - n * US, "fare": 1.0}
        for driver in range(1, 301)
        for n in range(1, 1001)
    ]
    for start in range(0, len(rows), 50_000):
        push(cast, rows[start : start + 50_000], AT)
    asked = {"driver_id": list(range(301))}

    assert online(version, asked, at=AT)["fare_count_1h"] == [None, *[1000] * 300]
    monkeypatch.setattr(online_commands, "MOST_READ", 8 << 20)
    with pytest.raises(TooManyEventsRead, match="more than"):
        online(version, asked, at=AT)
