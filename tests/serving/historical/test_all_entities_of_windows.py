"""Training sets without a frame of views whose windows are exact at any instant."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from materialization.edges.looks import look_at_sources
from tests.factories import make_cast, make_version
from tests.materialization.run_world import committed, materialize
from tests.serving.historical_world import answer, ask

pytestmark = pytest.mark.django_db
DEFINITIONS = """
kind: Entity
name: user
join_keys: [{name: user_id, type: int64}]
---
kind: DataSource
name: purchases
type: file
path: purchases.csv
event_timestamp: bought_at
created_timestamp: loaded_at
---
kind: FeatureView
name: spend
entities: [user]
source: purchases
aggregations: [{column: price, functions: [sum, count], windows: [2h]}]
accuracy: temporal
features:
  - {name: price_sum_2h, type: int64}
  - {name: price_count_2h, type: int64}
schedule: {every: 1h}
ttl: 1h
owner: shop
"""
PURCHASES = """user_id,bought_at,loaded_at,price
1,2026-03-01T10:00:00Z,2026-03-01T10:00:00Z,5
2,2026-03-01T10:30:00Z,2026-03-01T11:00:00Z,7
1,2026-03-01T11:30:00Z,2026-03-01T11:30:00Z,2
"""


@pytest.fixture
def spend(db, sources):
    (sources / "purchases.csv").write_text(PURCHASES)
    with committed():
        cast = make_cast(root=str(sources))
        version = make_version(cast, text=DEFINITIONS, look=look_at_sources)
        run = materialize(version, end=datetime(2026, 3, 3, tzinfo=UTC))
    assert run.status == "succeeded", run.error
    return cast


@pytest.fixture
def cast(spend):
    return spend


def times(found):
    stamps = [at[11:16] for at in found["event_timestamp"]]
    return list(zip(stamps, found["user_id"], found["price_sum_2h"], strict=True))


def test_at_instants_there_is_who_bought_something_until_the_ttl_after_the_window(client, token):
    at = [f"2026-03-01T{each}:00Z" for each in ("10:45", "12:00", "13:15", "14:30", "14:31")]
    sent = {"features": ["spend:*"], "all_entities": {"at": at}}

    found = answer(ask(client, token, sent))

    assert times(found) == [
        ("10:45", 1, 5), ("12:00", 1, 2), ("12:00", 2, 7), ("13:15", 1, 2), ("13:15", 2, None),
        ("14:30", 1, None),
    ]  # fmt: skip
    assert found["price_count_2h"] == [1, 1, 1, 1, 0, 0]
    frame = {name: found[name] for name in ("user_id", "event_timestamp")}
    assert answer(ask(client, token, {"features": ["spend:*"], "entities": frame})) == found


def test_in_a_range_there_is_each_time_at_which_something_came_to_count(client, token):
    day = {"start": "2026-03-01", "end": "2026-03-02"}
    sent = {"features": ["spend:*"], "all_entities": day}

    assert times(answer(ask(client, token, sent))) == [
        ("10:00", 1, 5), ("11:00", 2, 7), ("11:30", 1, 7),
    ]  # fmt: skip
    assert times(answer(ask(client, token, {**sent, "timing": "event"}))) == [
        ("10:00", 1, 5), ("10:30", 2, 7), ("11:30", 1, 7),
    ]  # fmt: skip


def test_with_event_timing_an_answer_says_which_late_rows_no_run_reads(client, token):
    sent = {"features": ["spend:*"], "all_entities": {"at": ["2026-03-01T12:00:00Z"]}}

    known, event = (
        ask(client, token, {**sent, "timing": timing}).json()["metadata"].get("warnings", [])
        for timing in ("known", "event")
    )

    assert known == []
    assert event == [
        'spend@1.0.0: with timing "event" its values may lack rows that arrived more than its'
        " longest window after their event: runs do not read further back. With timing"
        ' "known" none is missing.'
    ]


def test_pages_go_on_after_their_last_row(client, token):
    asked = {"start": "2026-03-01", "end": "2026-03-02", "limit": 2}
    sent = {"features": ["spend:*"], "all_entities": asked}

    first = ask(client, token, sent)
    after = first.json()["metadata"]["next"]
    second = ask(client, token, {**sent, "all_entities": {**asked, "after": after}})

    assert times(answer(first)) + times(answer(second)) == [
        ("10:00", 1, 5), ("11:00", 2, 7), ("11:30", 1, 7),
    ]  # fmt: skip
    assert "next" not in second.json()["metadata"]
