"""Random schedules of reading, draining, dying and losing against one truth: each record once.

The stream is a list, so that hundreds of schedules fit; Redis and the tables are real. What a
broker does beside is for ``test_consuming``.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest
from django.utils import timezone

from lib.connections import RedisUnreachable
from lib.errors import Invalid
from materialization.edges import stores
from materialization.models import DeadLetter, StreamConsumer, StreamPart
from materialization.requests.streams import OLDEST, read_on
from materialization.runner.draining import drain_logs
from materialization.stores.offline import DeltaOfflineStore
from materialization.stores.offline_protocol import OfflineStoreUnavailable
from materialization.streams.kinds import READERS
from materialization.streams.reader import Bounds, Fault, Record, Waiting
from registry.models import FeatureTable
from registry.spec.sources.streams import KafkaSource
from serving.edges import stream_limits
from serving.streams import consumer as consuming
from serving.streams import taking as feeding
from serving.streams.consumer import Consumer
from serving.streams.reading import UNFORESEEN
from serving.streams.records import read_rows
from tests.materialization.ingest.push_world import ready
from tests.materialization.run_world import committed, online, snapshot
from tests.serving.streams.stream_world import definitions, ready_view

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.django_db
PARTITIONS, DRIVERS = 2, 5
NOWHERE = """
[events]
kind = "kafka"
projects = ["rides"]
brokers = ["127.0.0.1:1"]
plaintext = true
"""


class Stream:
    """Partitions of values; the truth is what was sent."""

    def __init__(self) -> None:
        self.values: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        self.first = [0] * PARTITIONS
        self.identity = "the first"


class Listed:
    """Reads a ``Stream``: as any reader, and no further than it was told to."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._places = stream, dict[int, int]()

    def identity(self) -> str:
        return self._stream.identity

    def partitions(self) -> list[int]:
        return list(range(PARTITIONS))

    def bounds(self, partition: int) -> Bounds:
        return Bounds(self._stream.first[partition], len(self._stream.values[partition]))

    def newest(self, partition: int) -> int | None:
        return len(self._stream.values[partition])

    def waiting(self, partition: int, place: int) -> Waiting:
        return Waiting(len(self._stream.values[partition]) - place)

    def assign(self, places: Mapping[int, int]) -> None:
        self._places = dict(places)

    def fetch(self, partition: int, place: int) -> Record | None:
        if not self._stream.first[partition] <= place < len(self._stream.values[partition]):
            return None
        return Record(partition, place, self._stream.values[partition][place])

    def read(self, most: int) -> list[Record | Fault]:
        found: list[Record | Fault] = []
        for partition, place in self._places.items():
            values = self._stream.values[partition][place : place + most]
            found += [Record(partition, place + n, each) for n, each in enumerate(values)]
            self._places[partition] = place + len(values)
        return found

    def close(self) -> None:
        pass


class Died(BaseException):
    """The process was killed here: nothing behind it is done."""


class Meanwhile(DeltaOfflineStore):
    """The real store; something may happen before a commit, and its answer may be lost."""

    before: Any = None
    is_lost = False

    def commit(self, *args: Any, **options: Any) -> Any:
        happens, type(self).before = self.before, None
        if happens:
            happens()
        result = super().commit(*args, **options)
        if type(self).is_lost:
            type(self).is_lost = False
            raise OfflineStoreUnavailable("the answer was lost")
        return result


class World:
    def __init__(self, version: Any, stream: Stream, redis: Any, seed: int) -> None:
        self.version, self.stream, self.redis = version, stream, redis
        self.dice = random.Random(seed)  # noqa: S311 - a schedule
        self.now = 0.0
        self.sent: Counter[float] = Counter()
        self.bad = 0
        self.kept: dict[bytes, bytes] = {}
        self.dies_at = ""
        self.consumers = [self._consumer()]

    def _consumer(self) -> Consumer:
        return Consumer(limits=stream_limits())

    def send(self) -> None:
        for _ in range(self.dice.randint(1, 4)):
            at = timezone.now() - timedelta(seconds=60)
            fare = float(sum(self.sent.values()))
            value = {"driver_id": self.dice.randrange(DRIVERS), "at": at.isoformat(), "fare": fare}
            partition = self.dice.randrange(PARTITIONS)
            if self.dice.random() < 0.2:
                self.stream.values[partition].append(b"no JSON")
                self.bad += 1
                continue
            self.stream.values[partition].append(json.dumps(value | {"city": "Bern"}).encode())
            self.sent[fare] += 1

    def turn(self) -> None:
        self.now += self.dice.choice((0.1, 6.0))
        one = self.dice.choice(self.consumers)
        try:
            one.turn(now=self.now)
        except Died:
            self.consumers.remove(one)
            self.consumers.append(self._consumer())
            # As after the time that others wait for it.
            StreamPart.objects.filter(consumer=one.name).update(leased_until=timezone.now())
            StreamConsumer.objects.filter(name=one.name).delete()
        self.dies_at = ""

    def die(self) -> None:
        """Have the next consumer die at one of the points between its steps."""
        self.dies_at = self.dice.choice(("read", "letters", "taken", "lost"))
        self.turn()

    def join(self) -> None:
        if len(self.consumers) < 3:
            self.consumers.append(self._consumer())

    def drain(self) -> None:
        drain_logs()

    def drain_beside(self) -> None:
        """Have the drain meet what happens while it is about to commit."""
        Meanwhile.before = self.dice.choice((self.turn, self.go_back, self.lose))
        Meanwhile.is_lost = self.dice.random() < 0.5
        drain_logs()
        Meanwhile.before, Meanwhile.is_lost = None, False

    def keep(self) -> None:
        """Note what Redis has: what it would come back with."""
        self.kept = {key: self.redis.dump(key) for key in self.redis.keys()}  # noqa: SIM118

    def go_back(self) -> None:
        """Have Redis come back as it was, in another process."""
        self.redis.flushall()
        for key, value in self.kept.items():
            self.redis.restore(key, 0, value)
        for key in self.redis.keys("*"):
            if self.redis.type(key) == b"hash" and self.redis.hexists(key, "server"):
                self.redis.hset(key, "server", "the one before")

    def lose(self) -> None:
        self.redis.flushall()

    def end(self) -> None:
        """Let all that is under way come to its end."""
        for _ in range(4):
            for one in list(self.consumers):
                self.now += 6.0
                one.turn(now=self.now)
        drain_logs()

    def stored(self) -> Counter[float]:
        files = snapshot(self.version).files
        return Counter(x for file in files for x in pq.read_table(file)["fare"].to_pylist())


STEPS = {
    World.send: 6, World.turn: 6, World.drain: 3, World.die: 3, World.keep: 2, World.join: 1,
    World.go_back: 1, World.lose: 1, World.drain_beside: 2,
}  # fmt: skip


@pytest.fixture
def stream(monkeypatch, settings):
    made = Stream()
    settings.CONNECTIONS = NOWHERE
    monkeypatch.setitem(READERS, KafkaSource, lambda *_: Listed(made))
    monkeypatch.setitem(stores.OFFLINE, "folder", lambda: Meanwhile(settings.OFFLINE_STORE))
    monkeypatch.setattr(consuming, "end", lambda _: None)
    return made


@pytest.fixture
def version(cast, stream):
    return ready_view(cast, "trips")


def dying(monkeypatch, world: World) -> None:
    """Put points into the consumer at which it dies when the world says so."""
    read_rows, keep_letters, take = (
        getattr(feeding, name) for name in ("read_rows", "keep_letters", "take")
    )

    def at(point: str) -> None:
        if world.dies_at == point:
            raise Died

    def reading(*args: Any) -> Any:
        at("read")
        return read_rows(*args)

    def keeping(*args: Any, **options: Any) -> Any:
        keep_letters(*args, **options)
        at("letters")

    def taking(*args: Any, **options: Any) -> Any:
        take(*args, **options)
        at("taken")
        if world.dies_at == "lost":
            world.dies_at = ""
            raise RedisUnreachable("the answer was lost")

    monkeypatch.setattr(feeding, "read_rows", reading)
    monkeypatch.setattr(feeding, "keep_letters", keeping)
    monkeypatch.setattr(feeding, "take", taking)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_each_record_is_stored_once(
    version, stream, online_redis, monkeypatch, seed
):
    world = World(version, stream, online_redis, seed)
    dying(monkeypatch, world)

    for _ in range(40):
        (step,) = world.dice.choices(list(STEPS), list(STEPS.values()))
        step(world)
    world.end()

    assert world.stored() == world.sent
    assert DeadLetter.objects.count() == world.bad
    places = {part.partition: part.place for part in StreamPart.objects.all()}
    assert places == {n: len(values) for n, values in enumerate(stream.values)}


def test_an_entry_that_is_drained_while_redis_comes_back_is_not_stored_twice(
    version, stream, online_redis, monkeypatch
):
    world = World(version, stream, online_redis, 1)
    world.keep()
    world.send()
    world.consumers[0].turn(now=0.0)
    world.consumers[0].turn(now=0.1)
    world.keep()
    world.send()
    world.consumers[0].turn(now=0.2)

    def come_back() -> None:
        world.go_back()
        world.send()
        for now in (10.0, 20.0):
            world.consumers[0].turn(now=now)

    Meanwhile.before = come_back
    drain_logs()
    world.end()

    assert world.stored() == world.sent


def letters_of_two(version, stream, online_redis) -> tuple[World, list[DeadLetter]]:
    world = World(version, stream, online_redis, 1)
    stream.values[0] += [b"no JSON", b"no JSON"]
    for now in (0.0, 0.1):
        world.consumers[0].turn(now=now)
    DeadLetter.objects.update(state="asked")
    return world, list(DeadLetter.objects.order_by("place"))


def test_a_letter_that_fails_as_nobody_foresaw_ends_nothing(
    version, stream, online_redis, monkeypatch
):
    world, (first, _) = letters_of_two(version, stream, online_redis)
    fetch = Listed.fetch

    def failing(self: Listed, partition: int, place: int) -> Record | None:
        if place == first.place:
            raise OverflowError("date value out of range")
        return fetch(self, partition, place)

    monkeypatch.setattr(Listed, "fetch", failing)
    world.consumers[0].turn(now=10.0)

    letters = list(DeadLetter.objects.order_by("place").values_list("state", "words"))
    assert letters == [("waiting", UNFORESEEN), ("waiting", "it is no JSON in UTF-8.")]
    world.send()
    world.end()
    assert world.stored() == world.sent


@pytest.mark.parametrize("place", ["bounds", "assign", "read", "newest", "partitions"])
def test_a_reader_that_fails_as_nobody_foresaw_ends_nothing(
    version, stream, online_redis, monkeypatch, place
):
    world = World(version, stream, online_redis, 1)

    def failing(*_: Any) -> Any:
        raise KeyError(place)

    with monkeypatch.context() as broken:
        broken.setattr(Listed, place, failing)
        for now in (0.0, 10.0, 20.0):
            world.consumers[0].turn(now=now)
    world.now = 60.0
    world.send()
    world.end()

    assert world.stored() == world.sent
    assert not StreamPart.objects.exclude(words="").exists()


def test_a_record_of_no_year_is_told(version, stream, online_redis):
    source = version.spec.source
    timed = msgspec.structs.replace(source, record_time="at")
    _, reasons = read_rows([Record(0, 0, b"{}", time_ms=2**62)], timed, {"at"})

    assert reasons.by_row[0] == ("at", "its time is in no year that there is.")


def test_a_stream_of_the_same_name_that_has_more_is_not_read_on(version, stream, online_redis):
    world = World(version, stream, online_redis, 1)
    world.send()
    world.end()
    stream.identity = "another"
    for _ in range(9):
        world.send()
    before = world.stored()
    world.now += 40.0
    world.end()

    assert world.stored() == before
    parts = StreamPart.objects.values_list("state", "words")
    assert {state for state, _ in parts} == {"stopped"}
    assert all("not the one that was read" in words for _, words in parts)


@pytest.mark.parametrize("fault", [Invalid("the key of masks is gone"), OSError(28, "no room")])
def test_a_fault_of_the_server_makes_no_record_a_dead_letter(
    version, stream, online_redis, monkeypatch, fault
):
    world = World(version, stream, online_redis, 1)

    def failing(*_: Any, **__: Any) -> Any:
        raise fault

    with monkeypatch.context() as broken:
        broken.setattr(feeding, "judge", failing)
        world.send()
        world.end()
        assert not DeadLetter.objects.exists()
        assert set(StreamPart.objects.values_list("state", flat=True)) <= {"waiting", "reading"}
        assert StreamPart.objects.exclude(words="").exists()
    world.end()

    assert world.stored() == world.sent
    assert not StreamPart.objects.exclude(words="").exists()


def test_a_letter_from_before_somebody_said_where_to_read_on_is_not_taken_too(
    cast, version, stream, online_redis
):
    world, (first, _) = letters_of_two(version, stream, online_redis)
    with committed():
        read_on(part=first.part, place=OLDEST, actor=cast.owner, reason="x", at=timezone.now())
    assert not DeadLetter.objects.filter(part=first.part, generation=0).exists()
    world.end()

    assert DeadLetter.objects.filter(part=first.part).count() == 2
    assert set(DeadLetter.objects.values_list("generation", flat=True)) == {1}


WINDOWS = """
kind: FeatureView
name: spending
entities: [driver]
source: trips
accuracy: temporal
aggregations: [{column: fare, functions: [count], windows: [1h]}]
features: [{name: fares_1h, column: fare_count_1h, type: int64}]
"""


def test_where_nothing_of_the_future_is_kept_a_clock_ahead_is_waited_for(cast, stream):
    source = definitions("trips").rpartition("---")[0]
    version = ready(cast, f"{source}---\n{WINDOWS}", at=timezone.now() - timedelta(minutes=1))
    one = Consumer(limits=stream_limits())

    def come(at: datetime) -> None:
        row = {"driver_id": 1, "at": at.isoformat(), "fare": 1, "city": "Bern"}
        stream.values[0].append(json.dumps(row).encode())

    def count() -> Any:
        return online(version, {"driver_id": [1]}, at=timezone.now())["fares_1h"]

    come(timezone.now() - timedelta(seconds=9))
    one.turn(now=0.0)
    assert count() == [1]
    # Only now, that what is made once is made: the next turn has the three seconds to itself.
    now = timezone.now()
    for ahead in (timedelta(seconds=3), timedelta(days=3)):
        come(now + ahead)
    one.turn(now=0.1)
    assert count() == [1]
    assert not DeadLetter.objects.exists()
    while timezone.now() < now + timedelta(seconds=3):
        time.sleep(0.05)
    for clock in (10.0, 20.0):
        one.turn(now=clock)

    assert count() == [2]
    assert list(DeadLetter.objects.values_list("place", flat=True)) == [2]


def test_a_table_that_was_given_up_is_read_for_under_its_new_name(version, stream, online_redis):
    world = World(version, stream, online_redis, 1)
    world.end()
    (table,) = FeatureTable.objects.filter(versions=version)
    FeatureTable.objects.filter(pk=table.pk).update(uid="anew2345")
    world.now += 10.0
    world.consumers[0].turn(now=world.now)

    ((_, feed),) = world.consumers[0]._feeds.values()
    assert feed.target.table.uid == "anew2345"
