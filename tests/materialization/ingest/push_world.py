"""A push source, a view over it, and the few lines that make it ready.

Not for how rows are taken: the tests push them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.edges.looks import look_at_sources
from tests import factories
from tests.factories import AT, make_version
from tests.materialization.run_world import committed, fresh, materialize

if TYPE_CHECKING:
    from datetime import datetime

    from registry.models import FeatureViewVersion

SOURCE = """
kind: DataSource
name: trips
type: push
schema: {driver_id: int64, at: timestamp, fare: float64, city: string, seats: int32}
optional: [seats]
event_timestamp: at
"""
VIEW = """
kind: FeatureView
name: last_trip
entities: [driver]
source: trips
features:
  - {name: fare, type: float64, checks: {min: 0}}
  - {name: town, type: string, column: city}
  - {name: seats, type: int32}
ttl: 2d
"""
DEFINITIONS = "\n---\n".join((factories.ENTITY, SOURCE, VIEW))


def approved(cast: factories.Cast, text: str = DEFINITIONS) -> FeatureViewVersion:
    with committed():
        return make_version(cast, text=text, look=look_at_sources)


def ready(
    cast: factories.Cast, text: str = DEFINITIONS, *, at: datetime = AT
) -> FeatureViewVersion:
    """Return a version that its first run has made ready, as the sweep would."""
    version = approved(cast, text)
    with committed():
        assert materialize(version, end=at).status == "succeeded"
    return fresh(version)
