"""Windows over the records of a topic: exact at each read; what has no room is a dead letter."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from materialization.models import DeadLetter
from materialization.requests.certificates import request_certificate
from materialization.runner.certifying import certify
from tests import factories
from tests.brokers import running_broker
from tests.materialization.ingest.push_world import ready
from tests.materialization.run_world import offline, online
from tests.serving.streams.stream_world import SOURCE, connection, consumer, trip, turn_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.models import FeatureViewVersion
    from tests.brokers import Broker

pytestmark = pytest.mark.django_db
VIEW = """
kind: FeatureView
name: spending
entities: [driver]
source: trips
accuracy: temporal
aggregations:
  - {column: fare, functions: [sum, count], windows: [1h]}
  - {column: city, functions: [last], windows: [1h]}
features:
  - {name: fare_sum_1h, type: float64}
  - {name: fare_count_1h, type: int64}
  - {name: city_last_1h, type: string}
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("broker")) as made:
        yield made


def test_a_record_without_room_is_a_dead_letter_and_windows_go_on(cast, settings, broker):
    settings.CONNECTIONS = connection(broker)
    topic = f"trips-{uuid.uuid4().hex[:8]}"
    broker.create(topic)
    text = "\n---\n".join((factories.ENTITY, SOURCE.format(topic=topic), VIEW))
    version: FeatureViewVersion = ready(cast, text, at=timezone.now())
    asked = {"driver_id": [1001, 1002]}
    broker.send(
        topic, trip(1001, 1.5), trip(1001, 2.5), trip(1002, 4, city="x" * 70_000), trip(1002, 8)
    )

    with consumer() as one:
        turn_until(
            one, lambda: online(version, asked, at=timezone.now())["fare_sum_1h"] == [4.0, 8.0]
        )

    (letter,) = DeadLetter.objects.all()
    assert "its entity has as many events" in letter.words
    assert "1002" not in letter.words  # no value of a record is kept
    at = timezone.now()
    made = request_certificate(version=version, sample=None, at=at, actor=None)
    certify(certificate_id=made.pk, worker="w", clock=timezone.now)  # it has them stored
    made.refresh_from_db()
    assert (made.status, made.equal) == ("equal", 2)
    assert offline(version, asked, at=at) == online(version, asked, at=at)
