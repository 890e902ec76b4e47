"""Files as they land day after day and hour after hour, against loops in plain Python."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from examples.streaming.generate import generate
from registry.models import FeatureViewVersion
from registry.operations.lifecycle import reviews, submissions
from tests.factories import AT, apply, look, seen
from tests.materialization.run_world import committed, fresh, materialize, offline, online
from tests.oracle import latest_known
from tests.oracle_ticks import evaluate

pytestmark = pytest.mark.django_db
DATA = Path(__file__).parents[2].parent / "shared" / "data"
DEMO = Path(__file__).parents[2] / "examples" / "streaming" / "definitions"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)

PURCHASES = """
kind: Entity
name: buyer
join_keys: [{name: user_id, type: string}]
---
kind: DataSource
name: purchases
type: file
path: purchases/*.csv
event_timestamp: day
---
kind: FeatureView
name: last_purchase
entities: [buyer]
source: purchases
features:
  - {name: purchase_price, type: int64}
owner: shop
"""


def approved(cast, text: str) -> list[FeatureViewVersion]:
    with committed():
        drafts = [each.draft for each in apply(text, cast) if each.draft is not None]
        for draft in drafts:
            submissions.submit_version(version=draft, actor=cast.author, at=AT, look=look)
            reviews.approve_version(
                version=draft, packet_hash=seen(draft), actor=cast.steward, at=AT
            )
    return [fresh(draft) for draft in drafts]


def bring(version, at: datetime) -> None:
    with committed():
        done = materialize(version, end=at, at=at)
    assert done.status == "succeeded", done.error


def read(version, entities: dict[str, list[Any]], at: datetime) -> dict[str, list[Any]]:
    said = online(version, entities, at=at)
    assert said == offline(version, entities, at=at)
    return said


def purchases_by_day() -> dict[date, list[dict[str, str]]]:
    days = defaultdict(list)
    with (DATA / "chronon_purchases.csv").open() as file:
        for row in csv.DictReader(file):
            days[datetime.fromtimestamp(int(row["ts"]) / 1000, UTC).date()].append(row)
    return dict(sorted(days.items())[:14])


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real inputs are not here: no folder {DATA}")
def test_daily_files_that_say_a_date_alone_leave_nobody_with_an_old_purchase(cast, sources):
    """The file of a day lands the morning after, when the day was materialized already."""
    folder, version = sources / "purchases", None
    folder.mkdir()
    latest: dict[str, tuple[date, set[int]]] = {}
    for day, rows in purchases_by_day().items():
        lines = [f"{row['user_id']},{day},{row['purchase_price']}" for row in rows]
        (folder / f"{day}.csv").write_text("\n".join(["user_id,day,purchase_price", *lines]))
        version = version or approved(cast, PURCHASES)[0]
        landed = datetime(day.year, day.month, day.day, 6, tzinfo=UTC) + DAY
        bring(version, landed)
        for row in rows:
            before = latest.get(row["user_id"], (day, set()))
            values = before[1] if before[0] == day else set()
            latest[row["user_id"]] = (day, values | {int(row["purchase_price"])})

    said = read(version, {"user_id": list(latest)}, landed)["purchase_price"]
    assert len(latest) > 50
    assert [
        buyer for buyer, value in zip(latest, said, strict=True) if value not in latest[buyer][1]
    ] == []


def test_the_demo_stopped_and_started_again_later_says_what_its_rows_say(cast, sources):
    begun = datetime(2026, 2, 27, 9, tzinfo=UTC)
    generate(sources, at=begun, users=40, days=9)
    text = "\n---\n".join(path.read_text() for path in sorted(DEMO.glob("*.yaml")))
    versions = {version.feature_view.name: version for version in approved(cast, text)}
    users: list[int] = []
    for at in (begun + 40 * HOUR / 60, begun + HOUR + 20 * HOUR / 60, begun + 30 * HOUR):
        generate(sources, at=at, users=40)
        for version in versions.values():
            bring(version, at)
        events = ds.dataset(sources / "watch_events").to_table().to_pylist()
        segments = ds.dataset(sources / "user_segments").to_table().to_pylist()
        users = sorted({row["user_id"] for row in events})
        asked = {"user_id": users}
        assert read(versions["last_watched"], asked, at)["last_genre"] == [
            _latest(events, user, at, "watched_at")["genre"] for user in users
        ]
        assert read(versions["user_segment"], asked, at)["user_segment"] == [
            _latest(segments, user, at, "as_of")["segment"] for user in users
        ]
        tick = at.replace(minute=0)
        counts = read(versions["watch_activity"], asked, at)
        for name, days in (("watch_count_7d", 7), ("watch_count_30d", 30)):
            assert counts[name] == [
                evaluate("count", _seen(events, user, tick, days * DAY)) for user in users
            ]


def _latest(rows: list[dict[str, Any]], user: int, at: datetime, event: str) -> dict[str, Any]:
    stamped = [
        {
            **row,
            "event_timestamp": row[event],
            "created_timestamp": row["loaded_at"],
            "__sequence": 0,
        }
        for row in rows
    ]
    found = latest_known(stamped, {"user_id": user}, at)
    assert found is not None
    return found


def _seen(rows: list[dict[str, Any]], user: int, tick: datetime, window: timedelta) -> list[Any]:
    return [
        row["title_id"]
        for row in rows
        if row["user_id"] == user
        and tick - window < row["watched_at"]
        and max(row["watched_at"], row["loaded_at"]) <= tick
    ]
