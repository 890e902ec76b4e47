"""Entries of a stream of Redis as rows of a view: each once, in the order of their ids."""

from __future__ import annotations

import itertools
import json
import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import redis
from django.utils import timezone

from featurestore_project import embedded, processes
from materialization.edges.looks import look_at_sources
from materialization.finding.links import Link
from materialization.models import DeadLetter, StreamPart
from materialization.runner.draining import drain_logs
from materialization.streams import redis_streams
from materialization.streams.reader import MAX_RECORD_BYTES, Waiting
from materialization.streams.redis_streams import RedisReader, id_of, place_of
from registry.choices import EvidencePart, State
from registry.fittings import fitted_of
from registry.spec.connections import RedisConnection
from serving.streams import consumer as consuming
from tests import factories
from tests.factories import make_version
from tests.materialization.ingest.push_world import VIEW, ready
from tests.materialization.run_world import committed, online, snapshot
from tests.materialization.runner.test_assaying import assayed
from tests.servers import free_port
from tests.serving.streams.stream_world import consumer, trip, turn_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

pytestmark = pytest.mark.django_db
KEYS = {"driver_id": [1001, 1002]}
SOURCE = """
kind: DataSource
name: trips
type: redis_stream
connection: events
stream_key: trips
schema: {driver_id: int64, at: timestamp, fare: float64, city: string, seats: int32}
optional: [seats, city]
event_timestamp: at
"""


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Iterator[redis.Redis]:
    """A Redis of somebody else."""
    folder, port = tmp_path_factory.mktemp("other"), free_port()
    binary = str(embedded.find_redis_server())
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    child = processes.start("other-redis", command, log=folder / "redis.log")
    client = redis.Redis(port=port)
    try:
        for _ in range(1200):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        yield client
    finally:
        processes.stop([child])


@pytest.fixture
def stream(other, settings) -> Any:
    other.flushall()
    port = other.connection_pool.connection_kwargs["port"]
    settings.CONNECTIONS = (
        '[events]\nkind = "redis"\nprojects = ["rides"]\nhost = "127.0.0.1"\n'
        f"port = {port}\nplaintext = true"
    )
    return other


def made(cast, source: str):
    text = "\n---\n".join((factories.ENTITY, source, VIEW))
    return ready(cast, text, at=timezone.now() - timedelta(minutes=1))


def reading(stream) -> RedisReader:
    port = stream.connection_pool.connection_kwargs["port"]
    connection = RedisConnection(host="127.0.0.1", port=port, plaintext=True)
    link = Link(name="events", project="rides", connection=connection, secret=str)
    return RedisReader("trips", link)


def fares(version):
    return online(version, KEYS, at=timezone.now())["fare"]


def test_fields_are_columns_and_each_entry_counts_once(cast, stream):
    version = made(cast, SOURCE)
    for row in (trip(1001, 1.5), trip(1001, 2.5, seats=3), trip(1002, "many"), trip(1002, 4)):
        stream.xadd("trips", {name: str(value) for name, value in row.items()})

    with consumer() as one:
        turn_until(one, lambda: fares(version) == [2.5, 4.0])
    for old in (7, 9):
        row = trip(1001, old, at=f"2026-02-0{old}T00:00:00Z")
        stream.xadd("trips", {name: str(value) for name, value in row.items()})
    stream.xadd("trips", {name: str(value) for name, value in trip(1001, "NaN").items()})
    stream.xadd("trips", {"driver_id": "1002"})
    stream.xadd("trips", {name: str(value) for name, value in trip(1002, 5).items()})
    with consumer() as one:
        turn_until(one, lambda: fares(version)[1] == 5.0)
        one.turn(now=time.monotonic() + 10)

    columns = list(DeadLetter.objects.order_by("place").values_list("column", flat=True))
    assert columns == ["fare", "at"]
    assert drain_logs() == 7
    assert StreamPart.objects.get().lag == 0
    assert _fitted_mean(cast) == 8.0


def _fitted_mean(cast) -> float:
    """Fit a feature of the next version on what the stream has brought."""
    fit = "fit: {from: 2020-01-01, to: 2026-03-01}"
    scaled = f"{{name: scaled, column: fare, type: float64, encode: {{steps: [standard], {fit}}}}}"
    view = VIEW.replace("features:", f"features:\n  - {scaled}")
    text = "\n---\n".join((factories.ENTITY, SOURCE, view))
    with committed():
        version = make_version(cast, text=text, state=State.IN_REVIEW, look=look_at_sources)
        part = assayed(version).parts[EvidencePart.FIT]
    assert part["facts"]["features"]["scaled"]["rows_of"] == "last_trip@1.0.0"
    return float(fitted_of(version.spec)["scaled"][0]["mean"])


def test_entries_come_by_bytes_and_one_with_too_many_is_a_dead_letter(cast, stream):
    version = made(cast, SOURCE)
    full = {name: str(value) for name, value in trip(1001, 1).items()}
    large = "x" * (MAX_RECORD_BYTES - 1_000)
    for fare in range(20):
        stream.xadd("trips", full | {"fare": str(fare), "other": large})
    stream.xadd("trips", full | {"city": "x" * (40 << 20)})
    stream.execute_command("XADD", "trips", "*", *itertools.chain(*full.items()), "fare", "2")
    stream.xadd("trips", {f"f{number}": "" for number in range(70_000)})
    stream.xadd("trips", full | {"fare": "99"})
    sent = stream.info("stats")["total_net_output_bytes"]
    reader = reading(stream)

    reader.bounds(0)
    reader.assign({0: 0})
    first = reader.read(1_000)
    with consumer() as one:
        turn_until(one, lambda: fares(version)[0] == 99.0)

    sent = stream.info("stats")["total_net_output_bytes"] - sent
    assert len(first) == 8
    assert 20 * len(large) < sent < 30 * len(large)  # the first eight came twice
    words = DeadLetter.objects.order_by("place").values_list("words", flat=True)
    assert "41,9" in words[0]
    assert "1,048,576 are read" in words[0]
    assert "twice" in words[1]
    assert "1,048,576 are read" in words[2]
    assert len(words) == 3
    letter = DeadLetter.objects.order_by("place")[0]
    assert reader.fetch(0, letter.place).headers == ()
    assert reader.fetch(0, letter.place - 1) is None
    reader.close()


def test_what_waits_is_counted_where_it_is(stream, monkeypatch):
    at_random = random.Random(20261128)
    reader = reading(stream)
    assert reader.waiting(0, 0) is None  # there is none
    ids = [f"{5 + number // 3}-{number % 3}" for number in range(2_600)]
    pipeline = stream.pipeline()
    for each in ids:
        pipeline.xadd("trips", {"a": "x" * at_random.randrange(9_000), "b": "y"}, id=each)
    pipeline.xdel("trips", *at_random.sample(ids, 400), ids[-1])
    pipeline.execute()
    assert reader.waiting(0, 0) is None  # it rests until somebody reads again
    bounds = reader.bounds(0)
    left = [place_of(entry.decode()) for entry, _ in stream.xrange("trips")]
    sent = stream.info("stats")["total_net_output_bytes"]
    for place in (0, bounds.end, *left[:2], *(at_random.randrange(bounds.end) for _ in range(30))):
        behind = sum(each >= place for each in left)
        assert reader.waiting(0, place) == Waiting(behind), place
        assert reader.newest(0) == bounds.end
    assert stream.info("stats")["total_net_output_bytes"] - sent < 50_000

    monkeypatch.setattr(redis_streams, "MOST_COUNTED", 2_000)
    assert reader.waiting(0, 0) == Waiting(2_000, is_least=True)
    monkeypatch.setattr(redis_streams, "MOST_COUNTED_BYTES", 4 << 20)
    counted, is_least = reader.waiting(0, 0)
    assert is_least
    assert 800 < counted <= 1_000  # 4 MiB of 4.5 kB each
    stream.xadd("trips", {"a": "x"}, id=f"9999999-{1 << 63}")
    assert reader.waiting(0, place_of("9999999-0")) == Waiting(1, is_least=True)
    reader.close()


def test_a_field_of_json_and_the_time_of_the_id(cast, stream, online_redis):
    version = made(cast, SOURCE + "json_field: data\nrecord_time: at\n")
    stream.xadd("trips", {"data": json.dumps({"driver_id": 1001, "fare": 1})})
    stream.xadd("trips", {"other": "x"})
    with consumer() as one:
        turn_until(one, lambda: fares(version) == [1.0, None])
        online_redis.flushall()
        stream.xadd("trips", {"data": json.dumps({"driver_id": 1002, "fare": 2, "city": "Bern"})})
        turn_until(one, lambda: drain_logs() > 0)
        drain_logs()

    assert snapshot(version).rows == 2
    assert DeadLetter.objects.count() == 1


def test_what_lies_before_an_id_that_is_not_read_is_taken(cast, stream):
    version = made(cast, SOURCE)
    for row, number in ((trip(1001, 1.5), 1), (trip(1002, 4), 2), (trip(1002, 5), 1 << 20)):
        stream.xadd("trips", {n: str(v) for n, v in row.items()}, id=f"1700000000000-{number}")

    with consumer() as one:
        turn_until(one, lambda: fares(version) == [1.5, 4.0])
        turn_until(one, lambda: "'1700000000000-1048576'" in StreamPart.objects.get().words)

    assert drain_logs() == 2


def test_a_stream_that_is_not_there_or_goes_away_is_said(cast, stream, monkeypatch):
    version = made(cast, SOURCE)

    def words() -> str:
        return " ".join(StreamPart.objects.values_list("words", flat=True))

    with consumer() as one:
        turn_until(one, lambda: "leads to no stream 'trips'" in words())
        stream.set("trips", "text")
        turn_until(one, lambda: "leads to no stream 'trips'" in words())
        stream.delete("trips")
        stream.xadd("trips", {name: str(value) for name, value in trip(1001, 1).items()})
        turn_until(one, lambda: fares(version) == [1.0, None])
        turn_until(one, lambda: not words())
        monkeypatch.setattr(consuming, "LOOK_SECONDS", 0.1)
        monkeypatch.setattr(consuming, "TOPIC_SECONDS", 0.1)
        one._feeds[version.table.pk][1].asks_at = 0.0
        stream.delete("trips")  # while it is read
        turn_until(one, lambda: "leads to no stream 'trips'" in words())
        stream.xadd("trips", {name: str(value) for name, value in trip(1001, 2).items()})
        turn_until(one, lambda: fares(version) == [2.0, None])


@pytest.mark.parametrize("entry", ["0-1", "1526919030474-55", "1526919030474-1048575"])
def test_ids_are_places_and_back(entry):
    assert id_of(place_of(entry)) == entry


@pytest.mark.parametrize("entry", ["1-1048576", "9999999999999999-0", "-1-0", "x-1"])
def test_ids_of_no_clock_are_none(entry):
    with pytest.raises(ValueError, match=r"\d"):
        place_of(entry)
