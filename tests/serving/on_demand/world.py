"""An on-demand view over the drivers of the other tests, approved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.operations.lifecycle import reviews
from tests import factories
from tests.serving.online_world import committed

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion

RISK = """
kind: OnDemandFeatureView
name: ride_risk
inputs:
  features: ["driver_hourly:conv_rate", "driver_hourly:avg_daily_trips"]
  request: {fare: float64, seen: timestamp}
features:
  - {name: expected_fare, type: float64, sql: "fare * coalesce(conv_rate, 0)"}
  - {name: per_trip, type: float64, sql: "fare / nullif(avg_daily_trips, 0)"}
  - {name: fare_share, type: int64, sql: "1000 // avg_daily_trips"}
  - {name: idle_minutes, type: int64, sql: "date_diff('minute', seen, now)"}
"""


def approve(cast: factories.Cast, text: str = RISK) -> FeatureViewVersion:
    with committed():
        (applied,) = factories.apply(text, cast, submit=True)
        assert applied.draft is not None
        return reviews.approve_version(
            version=applied.draft,
            packet_hash=factories.seen(applied.draft),
            actor=cast.steward,
            at=factories.AT,
        )
