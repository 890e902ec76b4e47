"""Records of a topic as rows of a view: online when read, offline when drained, each once."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from materialization.models import Alert, DeadLetter, StreamPart
from materialization.requests.letters import dismiss_letters, replay_letter
from materialization.requests.streams import OLDEST, read_on, watch_streams
from materialization.runner.draining import drain_logs
from materialization.streams.letters import letters_asked
from registry.models import FeatureTable
from tests.brokers import Broker, running_broker
from tests.factories import AT
from tests.materialization.ingest.push_world import ready
from tests.materialization.run_world import committed, offline, online, snapshot
from tests.serving.streams.stream_world import (
    connection,
    consumer,
    definitions,
    ready_view,
    trip,
    turn_until,
)

pytestmark = pytest.mark.django_db
KEYS = {"driver_id": [1001, 1002]}


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with running_broker(tmp_path_factory.mktemp("broker")) as made:
        yield made


@pytest.fixture
def topic(broker, settings):
    settings.CONNECTIONS = connection(broker)
    name = f"trips-{uuid.uuid4().hex[:8]}"
    broker.create(name)
    return name


@pytest.fixture
def version(cast, topic):
    return ready_view(cast, topic)


def fares(version):
    return online(version, KEYS, at=timezone.now())["fare"]


def test_a_record_is_online_when_it_is_read_and_offline_when_drained(broker, topic, version):
    broker.send(topic, trip(1001, 12.5), trip(1002, 8, seats=3))

    with consumer() as one:
        turn_until(one, lambda: fares(version) == [12.5, 8.0])
        broker.send(topic, trip(1001, 13.5))
        turn_until(one, lambda: fares(version) == [13.5, 8.0])

    assert drain_logs() == 3
    at = timezone.now()
    assert offline(version, KEYS, at=at) == online(version, KEYS, at=at)
    part = StreamPart.objects.get()
    assert (part.stream, part.partition, part.consumer) == (topic, 0, "")


def test_who_comes_after_reads_on_where_the_last_one_stood(broker, topic, version):
    broker.send(topic, trip(1001, 1))
    with consumer() as one:
        turn_until(one, lambda: fares(version) == [1.0, None])
    broker.send(topic, trip(1002, 2))
    with consumer() as one:
        turn_until(one, lambda: fares(version) == [1.0, 2.0])

    assert drain_logs() == 2
    assert snapshot(version).rows == 2


def test_a_redis_that_lost_everything_has_read_again_what_was_not_stored(
    broker, topic, version, online_redis
):
    broker.send(topic, trip(1001, 1))
    with consumer() as one:
        turn_until(one, lambda: fares(version) == [1.0, None])
        drain_logs()
        broker.send(topic, trip(1002, 2))
        turn_until(one, lambda: fares(version) == [1.0, 2.0])

    online_redis.flushall()
    with consumer() as one:
        turn_until(one, lambda: drain_logs() == 1)

    assert snapshot(version).rows == 2


def test_what_cannot_be_taken_is_told_once_and_holds_up_nothing(broker, topic, version):
    bad = [b"\xff", b"[1]", None, trip(1001, -1), trip(1001, "x"), {"driver_id": 1001}, b"[" * 9999]
    broker.send(topic, trip(1001, 1), *bad, trip(1002, 2))

    with consumer() as one:
        turn_until(one, lambda: fares(version) == [1.0, 2.0])

    letters = list(DeadLetter.objects.order_by("place").values_list("place", "column"))
    assert letters == [
        (1, ""), (2, ""), (3, ""), (4, "fare"), (5, "fare"), (6, "at"), (7, "")
    ]  # fmt: skip
    assert drain_logs() == 2


def test_a_full_log_holds_the_stream_up_and_drops_nothing(broker, topic, version, settings):
    settings.PUSH_MAX_WAITING = 1
    broker.send(topic, trip(1001, 1))
    with consumer() as one:
        turn_until(one, lambda: fares(version) == [1.0, None])
        broker.send(topic, trip(1001, 2), trip(1002, 3))
        turn_until(one, lambda: "PUSH_MAX_WAITING" in words())
        assert fares(version) == [1.0, None]
        assert drain_logs() == 1
        turn_until(one, lambda: fares(version) == [2.0, 3.0])
        turn_until(one, lambda: not words())

    assert drain_logs() == 2
    assert StreamPart.objects.get().lag == 0


def test_a_topic_that_was_made_anew_stops_the_stream_until_somebody_decides(
    broker, topic, version, cast
):
    broker.send(topic, trip(1001, 1), trip(1001, 2), trip(1002, 3))
    with consumer() as one:
        turn_until(one, lambda: fares(version) == [2.0, 3.0])
    broker.delete(topic)
    broker.create(topic)
    broker.send(topic, trip(1001, 4))

    with consumer() as one:
        turn_until(one, lambda: StreamPart.objects.get().state == "stopped")
        assert "not the one that was read" in words()
        settle_alerts()
        assert [(each.subject, each.closed_at) for each in Alert.objects.all()] == [
            (str(version), None)
        ]
        part = StreamPart.objects.get()
        with committed():
            read_on(part=part, place=OLDEST, actor=cast.owner, reason="anew", at=timezone.now())
        turn_until(one, lambda: fares(version) == [4.0, 3.0])

    assert drain_logs() == 4
    settle_alerts()
    assert not Alert.objects.open().exists()


def test_a_topic_that_is_not_there_is_said_and_read_once_it_is(broker, topic, cast):
    later = f"{topic}-later"
    version = ready_view(cast, later)
    with consumer() as one:
        start = time.monotonic() - 100
        one.turn(now=start)
        one.turn(now=start + 5)
        assert f"no topic '{later}'" in (said := words())
        StreamPart.objects.update(since=timezone.now() - timedelta(minutes=2))
        for seconds in range(6, 72, 2):
            one.turn(now=start + seconds)
            assert words() == said
        settle_alerts()
        assert [each.subject for each in Alert.objects.open()] == [str(version)]
        broker.create(later)
        broker.send(later, trip(1001, 1))
        turn_until(one, lambda: fares(version) == [1.0, None])


def test_brokers_that_do_not_answer_are_said(cast, settings):
    settings.CONNECTIONS = connection(Broker("127.0.0.1:1"))
    ready_view(cast, "trips")
    with consumer() as one:
        turn_until(one, lambda: "events" in words())
        assert "do not do what is asked of them" in words()


def test_two_consumers_share_partitions_and_the_one_that_stays_takes_all(broker, topic, cast):
    wide = f"{topic}-wide"
    broker.create(wide, partitions=4)
    version = ready_view(cast, wide)
    for partition in range(4):
        broker.send(wide, trip(1001, partition), partition=partition)

    with consumer() as one:
        with consumer() as two:
            for now in (0.0, 6.0, 12.0):
                for each in (one, two):
                    each.turn(now=now)
            owners = Counter(StreamPart.objects.values_list("consumer", flat=True))
            assert owners == {one.name: 2, two.name: 2}
        one.turn(now=18.0)
        assert set(StreamPart.objects.values_list("consumer", flat=True)) == {one.name}
        drained: list[int] = []
        turn_until(one, lambda: bool(drained.append(drain_logs())) or sum(drained) == 4)

    assert snapshot(version).rows == 4


def test_a_dead_letter_is_read_again_when_somebody_asks(broker, topic, version, cast):
    broker.send(topic, trip(1001, 5), b"no JSON")
    with consumer() as one:
        turn_until(one, lambda: DeadLetter.objects.count() == 1)
        # As of a record that could not be taken then.
        first = DeadLetter.objects.get()
        DeadLetter.objects.create(part=first.part, generation=0, place=0, words="x", created_at=AT)
        for letter in DeadLetter.objects.all():
            with committed():
                replay_letter(letter=letter, actor=cast.owner, at=timezone.now())
        turn_until(one, lambda: not DeadLetter.objects.filter(state="asked").exists())

        states = DeadLetter.objects.order_by("place").values_list("state", flat=True)
        assert list(states) == ["taken", "waiting"]
        DeadLetter.objects.filter(place=0).update(state="asked")  # its note was lost
        turn_until(one, lambda: not DeadLetter.objects.filter(state="asked").exists())
    assert fares(version) == [5.0, None]
    assert drain_logs() == 2  # read as it came, and once more


def test_who_dismisses_a_letter_in_time_has_its_record_left_out(
    broker, topic, version, cast, monkeypatch
):
    broker.send(topic, b"no JSON")
    with consumer() as one:
        turn_until(one, lambda: DeadLetter.objects.count() == 1)
        broker.send(topic, trip(1001, 5))
        turn_until(one, lambda: fares(version) == [5.0, None])
        letter = DeadLetter.objects.get()
        # As of a record that can be taken by now.
        DeadLetter.objects.filter(pk=letter.pk).update(place=1, state="asked")

        def found_then_dismissed(parts: list[int], *, most: int) -> list[DeadLetter]:
            found = letters_asked(parts, most=most)
            for each in found:
                dismiss_letters(
                    letter=each, alike=False, actor=cast.owner, reason="x", at=timezone.now()
                )
            return found

        monkeypatch.setattr("serving.streams.consumer.letters_asked", found_then_dismissed)
        turn_until(one, lambda: not DeadLetter.objects.filter(state="asked").exists())

    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("dismissed", "x")
    assert drain_logs() == 1


def test_keys_headers_and_times_of_records_are_columns(broker, topic, cast):
    text = definitions(f"{topic}-parts").replace(
        "optional: [seats]",
        "optional: [seats]\nkey: driver_id\nheaders: {city: x-city}\nrecord_time: at",
    )
    broker.create(f"{topic}-parts")
    version = ready(cast, text, at=timezone.now() - timedelta(minutes=1))
    headers = [("x-city", b"Bern"), ("x-city", "Zürich".encode())]
    broker.send(f"{topic}-parts", {"fare": 7}, key=b"1001", headers=headers)

    with consumer() as one:
        turn_until(one, lambda: fares(version) == [7.0, None])
    assert online(version, KEYS, at=timezone.now())["town"] == ["Zürich", None]


def words() -> str:
    return " ".join(StreamPart.objects.values_list("words", flat=True))


def settle_alerts() -> None:
    # A version that became ready a moment ago is given time.
    FeatureTable.objects.update(ready_at=timezone.now() - timedelta(minutes=5))
    with committed():
        watch_streams(at=timezone.now())
