"""Records in Avro as rows of a view, by the schemas of a registry."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from materialization.edges.looks import look_at_sources
from materialization.edges.sources import try_connection
from materialization.models import DeadLetter, StreamPart
from materialization.requests.letters import replay_letter
from materialization.runner.draining import drain_logs
from materialization.streams import schema_registry
from materialization.streams.avro import SchemaUnusable
from materialization.streams.reader import StreamUnavailable
from materialization.streams.schema_registry import (
    NEWEST_SECONDS,
    SCHEMA_SECONDS,
    UNKNOWN_SECONDS,
    Patience,
    SchemaRegistry,
)
from registry.choices import State
from serving.streams import consumer as consuming
from serving.streams import feed
from serving.streams.forms import MAX_ASKED
from tests.brokers import running_broker
from tests.factories import make_version
from tests.materialization.ingest.push_world import ready
from tests.materialization.run_world import committed, offline, online
from tests.serving.streams.avro_world import (
    CITY,
    TRIP,
    TRIP_2,
    TRIP_3,
    TRIP_4,
    TRIP_5,
    Schemas,
    connection,
    framed,
)
from tests.serving.streams.stream_world import consumer, definitions, turn_until
from tests.sites import Said, site

pytestmark = pytest.mark.django_db
KEYS = {"driver_id": [1001, 1002]}


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with running_broker(tmp_path_factory.mktemp("broker")) as made:
        yield made


@pytest.fixture
def schemas():
    with site() as made:
        yield Schemas(made)


@pytest.fixture
def topic(broker, schemas, settings):
    settings.CONNECTIONS = connection(broker, schemas)
    name = f"trips-{uuid.uuid4().hex[:8]}"
    broker.create(name)
    schemas.lacks_subject(f"{name}-value")
    return name


def text_of(topic, **changed):
    return definitions(topic, **{"optional: [seats]": "optional: [seats]\nformat: avro", **changed})


def trip(driver, fare, **more):
    at = datetime.now().astimezone() - timedelta(seconds=30)
    return {"driver_id": driver, "at": at, "fare": fare, "city": "Bern"} | more


def ready_view(cast, text):
    return ready(cast, text, at=timezone.now() - timedelta(minutes=1))


def fares(version):
    return online(version, KEYS, at=timezone.now())["fare"]


def letters():
    return list(DeadLetter.objects.order_by("place").values_list("place", "column", "words"))


def words():
    return " ".join(StreamPart.objects.values_list("words", flat=True))


def test_records_are_read_by_the_schemas_that_they_name(broker, schemas, topic, cast):
    schemas.subject(f"{topic}-value", TRIP)
    for number, schema in ((1, TRIP), (2, TRIP_2), (3, TRIP_3), (4, {"type": "array"})):
        schemas.put(number, schema)
    schemas.put(6, "syntax = 'proto3'", schemaType="PROTOBUF")
    schemas.put(7, "x" * (1 << 20))
    schemas.lacks(5)
    schemas.put(8, TRIP_4, references=[{"name": "geo.City", "subject": "city", "version": 2}])
    schemas.subject("city", CITY, "2")
    version = ready_view(cast, text_of(topic))
    one, two = framed(1, TRIP, trip(1001, 12.5)), framed(2, TRIP_2, trip(1002, 8.0, seats=3))
    bad = [
        one[:-1], one + b"\0", b'{"driver_id": 1}', None, framed(3, TRIP_3, trip(1001, None)),
        *(bytes([0, 0, 0, 0, number]) + one[5:] for number in (4, 5, 5, 6, 7)),
        framed(1, TRIP, trip(1001, -1.0)),
    ]  # fmt: skip
    for each in (one, *bad, two):  # of a batch this broker counts one record
        broker.send(topic, each)

    later = [0.0]
    with consumer(lambda: time.monotonic() + later[0]) as reader:
        turn_until(reader, lambda: fares(version) == [12.5, 8.0])
        assert len(letters()) == 11
        broker.send(topic, bytes([0, 0, 0, 0, 8]) + framed(1, TRIP, trip(1001, 13.5))[5:])
        turn_until(reader, lambda: fares(version) == [13.5, 8.0])
        schemas.put(5, TRIP)  # whoever wrote it registers it at last
        later[0] += UNKNOWN_SECONDS
        letter = DeadLetter.objects.filter(words__contains="not in the registry").first()
        with committed():
            replay_letter(letter=letter, actor=cast.owner, at=timezone.now())
        turn_until(reader, lambda: not DeadLetter.objects.filter(state="asked").exists())
        # The newest schema says by now what is read where a record's own has no such field.
        schemas.subject(f"{topic}-value", TRIP_5)
        later[0] += NEWEST_SECONDS
        broker.send(topic, framed(3, TRIP_3, trip(1001, None)))
        turn_until(reader, lambda: fares(version) == [9.5, 8.0])
        asked = schemas.asked_of(f"{topic}-value")
        broker.send(topic, framed(3, TRIP_3, trip(1002, None, city="Thun")))
        turn_until(reader, lambda: fares(version) == [9.5, 9.5])
        assert schemas.asked_of(f"{topic}-value") == asked

    assert online(version, KEYS, at=timezone.now())["seats"] == [7, 7]
    found = letters()
    assert [(place, column) for place, column, _ in found] == [
        (place, "fare" if place in (5, 11) else "") for place in range(1, 12)
    ]
    said = [each for _, _, each in found]
    for place, part in enumerate((
        "schema 1: its bytes are not", "schema 1: it has more bytes", "does not begin with a zero",
        "tombstone", "the record has none", "its schema 4 is no schema of Avro",
        "its schema 5 is not in the registry", "its schema 5 is not in the registry",
        "its schema 6 is of type 'PROTOBUF'", "its schema 7 has more than 262,144 characters",
    )):  # fmt: skip
        assert part in said[place], place
    assert DeadLetter.objects.filter(state="taken").count() == 1
    assert [schemas.asked(number) for number in (1, 2, 3, 4, 6, 7)] == [1] * 6
    assert drain_logs() == 6
    at = timezone.now()
    assert offline(version, KEYS, at=at) == online(version, KEYS, at=at)


def test_a_registry_that_is_away_is_waited_for_and_nothing_is_left_out(
    broker, schemas, topic, cast, monkeypatch
):
    monkeypatch.setattr(feed, "AWAY_SECONDS", 0.1)
    monkeypatch.setattr(schema_registry, "REST_SECONDS", 0.1)
    monkeypatch.setattr(consuming, "LOOK_SECONDS", 0.1)
    schemas.put(1, TRIP)
    schemas.is_away = True
    version = ready_view(cast, text_of(topic))
    broker.send(topic, framed(1, TRIP, trip(1001, 1.0)))

    with consumer() as reader:
        # What one step may take is of all tables; what waits meanwhile is told.
        monkeypatch.setattr(consuming, "SCHEMA_SECONDS", 0.0)
        turn_until(reader, lambda: "the registry took too long" in words())
        turn_until(reader, lambda: StreamPart.objects.get().lag == 1)
        assert schemas.asked(1) == 0
        monkeypatch.setattr(consuming, "SCHEMA_SECONDS", SCHEMA_SECONDS)
        turn_until(reader, lambda: "the registry answers 503" in words())
        # Nor does a wrong address make records of it that cannot be read.
        schemas.site.answers.clear()
        turn_until(reader, lambda: "corrects the url of its schema_registry" in words())
        schemas.is_away = False
        schemas.put(1, TRIP)
        schemas.lacks_subject(f"{topic}-value")
        turn_until(reader, lambda: fares(version) == [1.0, None])

    assert letters() == []


def test_a_registry_that_hangs_holds_up_none_of_another(
    broker, schemas, topic, cast, monkeypatch, settings
):
    for module, name, seconds in (
        (schema_registry, "ANSWER_SECONDS", 0.3),
        (schema_registry, "REST_SECONDS", 0.5),
        (feed, "AWAY_SECONDS", 0.5),
        (consuming, "SCHEMA_SECONDS", 0.6),
    ):
        monkeypatch.setattr(module, name, seconds)
    hung, opened = f"{topic}-hung", threading.Event()
    broker.create(hung, partitions=2)
    with site() as other:
        hanging = Schemas(other)
        hanging.put(1, TRIP)
        path = "/registry/schemas/ids/1"
        answer = other.answers[path]
        other.put(path, lambda asked: (opened.wait(60), answer(asked))[1])
        hanging.lacks_subject(f"{hung}-value")
        away = connection(broker, hanging).replace("events", "away")
        settings.CONNECTIONS = connection(broker, schemas) + away
        renamed = {"name: trips": "name: hung", "connection: events": "connection: away"}
        view = text_of(hung, **renamed).replace("source: trips", "source: hung")
        waiting = ready_view(cast, view.replace("last_trip", "hung_trip"))
        version = ready_view(cast, text_of(topic))
        for partition in (0, 1):
            value = framed(1, TRIP, trip(1001 + partition, 1.0))
            broker.send(hung, value, partition=partition)
        schemas.put(3, TRIP_3)
        schemas.subject(f"{topic}-value", TRIP_5)

        def said():
            parts = StreamPart.objects.filter(stream=hung)
            return [each for each in parts.values_list("words", flat=True) if each]

        monkeypatch.setattr(consuming, "LOOK_SECONDS", 0.1)
        began = time.monotonic()
        with consumer() as reader:
            turn_until(reader, lambda: len(said()) == 2)
            assert len(set(said())) == 1  # who did not ask says what the other heard
            broker.send(topic, framed(3, TRIP_3, trip(1001, None)))
            turn_until(reader, lambda: fares(version) == [9.5, None], seconds=15)
            assert hanging.asked(1) <= 1 + (time.monotonic() - began) / 0.5
            opened.set()
            turn_until(reader, lambda: fares(waiting) == [1.0, 1.0])

    assert letters() == []


def test_however_many_schemas_records_name_few_are_asked_for_at_once(broker, schemas, topic, cast):
    version = ready_view(cast, text_of(topic))
    schemas.put(1, TRIP)
    for number in range(20, 80):
        schemas.lacks(number)
        broker.send(topic, bytes([0, 0, 0, 0, number]))
    for number in range(70, 30, -1):  # more than are kept: some are asked for again
        broker.send(topic, bytes([0, 0, 0, 0, number]))
    broker.send(topic, framed(1, TRIP, trip(1001, 2.0)))
    asked = [len(schemas.site.asked)]
    with consumer() as reader:
        while fares(version) != [2.0, None]:
            reader.turn(now=len(asked) * 10.0)
            asked.append(len(schemas.site.asked))
            assert asked[-1] - asked[-2] <= MAX_ASKED
            assert len(asked) < 1_000
    assert len(letters()) == 100
    assert 61 <= asked[-1] - asked[0] <= 75


def test_a_registry_that_is_slow_is_asked_for_so_long(schemas):
    """The clock goes on with each answer; what schemas refer to is asked for once."""
    told = schemas.site.link(url=schemas.url, user="assay")
    references = [
        {"name": f"geo.City{number}", "subject": f"city{number}", "version": 2}
        for number in range(20)
    ]
    for number in range(20):
        schemas.subject(f"city{number}", {**CITY, "name": f"City{number}"}, "2")
    forbidden, patience = {"error_code": 40301}, Patience(clock=lambda: 0.0)
    schemas.site.put("/registry/schemas/ids/3", Said(forbidden, 403))
    with pytest.raises(StreamUnavailable, match="answers 403"):
        SchemaRegistry(told, patience).schema(3)
    schemas.put(4, TRIP)
    SchemaRegistry(told, patience).schema(4)  # one that refuses some is asked for others at once
    schemas.site.asked.clear()
    schemas.put(1, TRIP_4 | {"name": "A"}, references=references)
    schemas.put(2, TRIP, references=references)
    schemas.subject("trips-value", TRIP, references=references)

    def clock():
        return float(len(schemas.site.asked))

    with pytest.raises(StreamUnavailable, match="took too long"):
        SchemaRegistry(told, Patience(until=9.0, clock=clock)).newest("trips")
    assert clock() == 9

    patience, tries = Patience(clock=clock), 1
    registry = SchemaRegistry(told, patience)
    began = clock()
    while not registry.knows(2):
        before = clock()
        patience.give(SCHEMA_SECONDS)
        try:
            registry.schema(2)
        except StreamUnavailable:
            tries += 1
        assert clock() - before <= SCHEMA_SECONDS
    assert clock() - began == 20 + tries
    assert tries == 4
    patience.give(SCHEMA_SECONDS)
    with pytest.raises(SchemaUnusable, match="is no schema of Avro"):
        registry.schema(1)  # what both refer to is there
    assert clock() - began == 21 + tries


def test_keys_are_read_as_avro_and_as_json(broker, schemas, topic, cast):
    schemas.put(1, TRIP)
    key = {"type": "record", "name": "Key", "fields": [{"name": "driver_id", "type": "long"}]}
    schemas.put(2, key)
    schemas.put(3, '"long"')
    value = framed(1, TRIP, trip(0, 5.0))
    columns = "key: driver_id\nkey_format: avro\nevent_timestamp:"
    version = ready_view(cast, text_of(topic, **{"event_timestamp:": columns}))
    for each in (b"1001", framed(2, key, {"driver_id": 1001}), framed(3, "string", "x")):
        broker.send(topic, value, key=each)
    broker.send(topic, value, key=framed(3, "long", 1002))
    with consumer() as reader:
        turn_until(reader, lambda: fares(version) == [5.0, 5.0])
    assert [(place, column) for place, column, _ in letters()] == [
        (0, "driver_id"), (2, "driver_id")
    ]  # fmt: skip


def test_keys_of_json_are_values_or_objects(broker, schemas, topic, cast):
    plain = f"{topic}-json"
    broker.create(plain)
    key = "key: driver_id\nkey_format: json\nevent_timestamp:"
    version = ready_view(cast, definitions(plain, **{"event_timestamp:": key}))
    at = timezone.now() - timedelta(seconds=30)
    value = {"at": at.isoformat(), "fare": 5, "city": "Bern"}
    for each in (b"1001", b'"1001"', b"{}", b"{", None, b'{"driver_id": 1002, "x": 1}'):
        broker.send(plain, value, key=each)
    with consumer() as reader:
        turn_until(reader, lambda: fares(version) == [5.0, 5.0])
    assert [(place, column) for place, column, _ in letters()] == [
        (place, "driver_id") for place in (1, 2, 3, 4)
    ]


def test_a_plan_says_what_the_newest_schema_has_not(broker, schemas, topic, cast, settings):
    def seen(text):
        draft = make_version(cast, state=State.DRAFT, text=text)
        (look,) = look_at_sources(specs=[draft.spec], project=cast.project)
        return look

    schemas.subject(f"{topic}-value", TRIP, references=[])
    fitting = seen(text_of(topic))
    assert (fitting.problems, [w for w in fitting.warnings if "schema" in w]) == ([], [])

    schemas.subject(f"{topic}-value", TRIP_3)
    asked = schemas.asked_of(f"{topic}-value")
    draft = make_version(cast, state=State.DRAFT, text=text_of(topic))
    for look in look_at_sources(specs=[draft.spec] * 3, project=cast.project):
        [(path, said)] = look.problems
        assert path == ("source", "schema", "fare")
        assert said.startswith(f"the newest schema of subject {topic}-value: it has no such field.")
    assert schemas.asked_of(f"{topic}-value") == asked + 1
    schemas.is_away = True
    away = seen(text_of(topic))
    assert away.problems == []
    assert any("nothing was compared" in each for each in away.warnings)

    settings.CONNECTIONS = settings.CONNECTIONS.partition("[events.schema_registry]")[0]
    (problem,) = seen(text_of(topic)).problems
    assert problem[0] == ("source", "connection")
    assert "leads to no registry of their schemas" in problem[1]


def test_trying_a_connection_asks_its_registry_too(broker, schemas, topic, cast):
    with pytest.raises(StreamUnavailable, match="corrects the url"):
        try_connection(name="events", project=cast.project)
    schemas.site.put("/registry/subjects", Said({"error_code": 401}, 401))
    with pytest.raises(StreamUnavailable, match="gives its schema_registry another secret"):
        try_connection(name="events", project=cast.project)
    schemas.site.put("/registry/subjects", Said(["a-value"]))
    try_connection(name="events", project=cast.project)
