"""A topic, a view over it, and consumers that are turned by hand.

Not for the process: ``test_consumer_process`` starts that.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from serving.edges import stream_limits
from serving.streams.consumer import Consumer
from tests import factories
from tests.materialization.ingest.push_world import VIEW, ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.models import FeatureViewVersion
    from tests.brokers import Broker

SOURCE = """
kind: DataSource
name: trips
type: kafka
connection: events
topic: {topic}
schema: {{driver_id: int64, at: timestamp, fare: float64, city: string, seats: int32}}
optional: [seats]
event_timestamp: at
"""


def definitions(topic: str, **changed: str) -> str:
    source = SOURCE.format(topic=topic)
    for old, new in changed.items():
        source = source.replace(old, new)
    return "\n---\n".join((factories.ENTITY, source, VIEW))


def connection(broker: Broker) -> str:
    return f"""
[events]
kind = "kafka"
projects = ["rides"]
brokers = ["{broker.address}"]
plaintext = true
"""


def ready_view(cast: factories.Cast, topic: str) -> FeatureViewVersion:
    at = timezone.now() - timedelta(minutes=1)
    return ready(cast, definitions(topic), at=at)


def trip(driver: int, fare: float, **more: Any) -> dict[str, Any]:
    at = timezone.now() - timedelta(seconds=30)
    return {"driver_id": driver, "at": at.isoformat(), "fare": fare, "city": "Bern"} | more


@contextmanager
def consumer(clock: Callable[[], float] = time.monotonic) -> Iterator[Consumer]:
    one = Consumer(limits=stream_limits(), clock=clock)
    try:
        yield one
    finally:
        one.close()


def turn_until(one: Consumer, is_so: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        if not one.turn(now=time.monotonic()):
            time.sleep(0.01)
