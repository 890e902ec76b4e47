"""Chronon's published quickstart: purchases of a user as of each checkout, through the whole way.

Its numbers are computed here once more by a plain loop. The files lie beside the checkout, if at
all; a clone without them skips this.
"""

from __future__ import annotations

import csv
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from materialization.edges.looks import look_at_sources
from tests.factories import make_cast, make_version
from tests.materialization.run_world import committed, materialize
from tests.serving.historical_world import answer, ask

DATA = Path(__file__).parents[3].parent / "shared" / "data"
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real inputs are not here: no folder {DATA}"),
]
DAYS = (3, 14, 30)
DEFINITIONS = (
    """
kind: Entity
name: user
join_keys: [{name: user_id, type: int64}]
---
kind: DataSource
name: purchases
type: file
path: chronon_purchases.csv
event_timestamp: {column: ts, unit: ms}
---
kind: FeatureView
name: purchases_v1
entities: [user]
source: purchases
aggregations:
  - {column: purchase_price, functions: [sum, count, mean], windows: [3d, 14d, 30d]}
  - {column: purchase_price, functions: [{function: last_k, k: 10}], windows: [unbounded]}
accuracy: temporal
features:
"""
    + "".join(
        f"  - {{name: purchase_price_{function}_{days}d, type: {kind}}}\n"
        for days in DAYS
        for function, kind in (("sum", "int64"), ("count", "int64"), ("mean", "float64"))
    )
    + """
  - {name: last_10, column: purchase_price_last_k_10_unbounded, type: list<int64>}
schedule: {every: 1d}
owner: quickstart
"""
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def cast(db, sources):
    with committed():
        return make_cast(root=str(sources))


def rows_of(name):
    with (DATA / name).open(newline="") as file:
        return list(csv.DictReader(file))


def expected(purchases, user, at_ms):
    """Return the values of one checkout; None where the user has bought nothing yet."""
    mine = sorted(
        (int(each["ts"]), int(each["purchase_price"]))
        for each in purchases
        if each["user_id"] == user and int(each["ts"]) <= at_ms
    )
    if not mine:
        return None
    values = {"last_10": [price for _, price in mine][::-1][:10]}
    for days in DAYS:
        since = at_ms - days * 86_400_000
        # Whether an edge belongs to a window differs between stores: no row lies on one.
        assert all(since != ts != at_ms for ts, _ in mine)
        prices = [price for ts, price in mine if ts > since]
        values |= {
            f"purchase_price_sum_{days}d": sum(prices) if prices else None,
            f"purchase_price_count_{days}d": len(prices),
            f"purchase_price_mean_{days}d": sum(prices) / len(prices) if prices else None,
        }
    return values


def test_every_checkout_has_the_purchases_before_it(client, token, cast, sources):
    shutil.copy(DATA / "chronon_purchases.csv", sources)
    purchases, checkouts = rows_of("chronon_purchases.csv"), rows_of("chronon_checkouts.csv")
    with committed():
        version = make_version(cast, text=DEFINITIONS, look=look_at_sources)
        run = materialize(version, end=datetime(2023, 12, 2, tzinfo=UTC))
    assert run.status == "succeeded", run.error
    names = [feature.name for feature in version.spec.features]
    times = [EPOCH + timedelta(milliseconds=int(each["ts"])) for each in checkouts]
    asked = {
        "features": ["purchases_v1:*"],
        "entities": {
            "user_id": [int(each["user_id"]) for each in checkouts],
            "event_timestamp": [time.isoformat() for time in times],
        },
    }

    read = answer(ask(client, token, asked))

    found = [
        dict(zip(names, row, strict=True))
        for row in zip(*(read[name] for name in names), strict=True)
    ]
    wanted = [expected(purchases, each["user_id"], int(each["ts"])) for each in checkouts]
    nothing = dict.fromkeys(names)
    assert found == [each or nothing for each in wanted]
    assert len(wanted) == 200
    assert sum(each is not None for each in wanted) > 150
