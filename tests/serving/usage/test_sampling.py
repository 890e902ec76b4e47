"""Values of one read in so many are kept where the project asks for it, and told to few."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

import msgspec
import pyarrow.compute as pc
import pytest

from lib.media_types import ARROW
from materialization.edges.stores import usage_stream
from registry.models import AuditEntry
from registry.operations.people.projects import BadPolicy, change_project
from serving.choices import Door
from serving.online.rows import AnswerColumn
from serving.usage import buffer, noting, sampling
from serving.usage.buffer import BUFFER
from serving.usage.edges import stored_usage
from serving.usage.noting import Answers, Read, Reading
from serving.usage.rows import rows_of
from serving.usage.sampling import (
    MOST_BYTES,
    MOST_HELD_OF_SECOND,
    TOO_LONG,
    Room,
    Sample,
    Sampling,
    take,
)
from tests import factories
from tests.serving import online_world
from tests.serving.on_demand.world import approve
from tests.serving.online_world import PATH, ask, committed

pytestmark = pytest.mark.django_db

TRIPS, RATE = "driver_hourly:avg_daily_trips", "driver_hourly:acc_rate"
#: Of one sensitive feature and two that are not.
TEXT = factories.DEFINITIONS.replace("description: Conversion rate", "sensitivity: restricted")
BOTH = {"features": [TRIPS, RATE], "entities": {"driver_id": [1001]}}
SAMPLES = {"view": "driver_hourly", "feature": "acc_rate", "samples": "9"}
POLICY: dict[str, Any] = {"title": "", "approvals_required": 1, "approvals_required_sensitive": 2}


@pytest.fixture
def version(cast, now):
    row = {"driver_id": 1001, "event": now, "avg_daily_trips": 7, "conv_rate": 0.5}
    with committed():
        found = factories.make_version(cast, text=TEXT)
        factories.approve(found, cast.second_steward)
        found.refresh_from_db()
        factories.give_grant(cast, cast.consumer, view="driver_hourly")
    online_world.load(found, [row | {"acc_rate": float("nan")}], at=now)
    return found


@pytest.fixture
def sampled(cast):
    """A function that has values of one read in so many be kept."""

    def change(one_in: int, who: str = "owner") -> None:
        actor = getattr(cast, who)
        with committed():
            change_project(
                project=cast.project, actor=actor, at=factories.AT, usage_sampled_one_in=one_in,
                **POLICY,
            )  # fmt: skip

    return change


@pytest.fixture
def samples(usage):
    """A function that asks for the samples of a feature as one of the people."""

    def ask_for(feature: str, who: str = "owner", **more):
        answer = usage(who, view="driver_hourly", feature=feature, samples="9", **more)
        assert answer.status_code == 200, answer.text
        return [(each["status"], each.get("value")) for each in answer.json()["samples"]]

    return ask_for


def test_values_are_kept_from_the_next_read_on_and_until_it_is_taken_back(
    client, token, version, stored, usage, sampled, samples, cast, now
):
    def read(**body) -> None:
        assert ask(client, token, BOTH | body).status_code == 200

    earlier = Answers()
    an_hour_ago = (now - timedelta(hours=1)).replace(second=0, microsecond=0)
    earlier.add_sample(str(version), Sample(an_hour_ago, "avg_daily_trips", "PRESENT", "3"))
    reading = Reading("rides", "r", "", (Read(str(version), ("avg_daily_trips",)),))
    BUFFER.add(earlier.records(reading, Door.ONLINE, at=an_hour_ago))
    read()
    sampled(1)
    said = AuditEntry.objects.filter(verb="project.changed").latest("pk")
    assert (said.before["usage_sampled_one_in"], said.after["usage_sampled_one_in"]) == (0, 1)
    read()
    headers = {"Authorization": f"Bearer {token}", "Accept": ARROW}
    body = json.dumps(BOTH)
    client.post(PATH, data=body, content_type="application/json", headers=headers)
    read(entities={"driver_id": [4]})
    sampled(0)
    read()
    stored()

    assert sorted(samples("avg_daily_trips"), key=str) == [
        ("NOT_FOUND", None), ("PRESENT", 3), ("PRESENT", 7), ("PRESENT", 7),
    ]  # fmt: skip
    assert sorted(samples("acc_rate"), key=str)[1:] == [("PRESENT", "NaN")] * 2
    *newest, last = samples("avg_daily_trips", version="1.0.0", days="1")
    assert (("NOT_FOUND", None) in newest, len(newest), last) == (True, 3, ("PRESENT", 3))
    kept = stored_usage().batches(["samples"], pc.scalar(True))
    lists = [each.as_py() for batch in kept for each in batch["samples"]]
    assert {(one["at"].second, one["at"].microsecond) for each in lists for one in each} == {(0, 0)}
    answer = usage(view="driver_hourly", feature="acc_rate", samples="1").json()
    assert (len(answer["samples"]), answer["samples_dropped"]) == (1, 0)
    assert "samples" not in usage(view="driver_hourly", feature="acc_rate").json()


def test_what_is_sensitive_is_not_sampled_nor_shown_once_it_is(
    client, cast, token, version, stored, usage, sampled
):
    sampled(1)
    ask(client, token, {**BOTH, "features": [TRIPS, "driver_hourly:conv_rate"]})
    stored()
    kept = stored_usage().batches(["samples"], pc.scalar(True))
    named = {
        each["feature"] for batch in kept for some in batch["samples"] for each in some.as_py()
    }
    assert named == {"avg_daily_trips"}

    refused = usage(view="driver_hourly", feature="conv_rate", samples="9")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_sampled")
    assert usage(view="driver_hourly", feature="avg_daily_trips", samples="9").json()["samples"]
    with committed():
        factories.make_version(cast, text=TEXT.replace("y: internal", "y: confidential"))
    refused = usage(view="driver_hourly", feature="avg_daily_trips", samples="9")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_sampled")


def test_what_is_computed_of_it_is_as_sensitive(
    client, cast, token, version, stored, usage, sampled
):
    made = approve(cast)
    with committed():
        factories.approve(made, cast.second_steward)
    sampled(1)
    asked = ["ride_risk:expected_fare", "ride_risk:per_trip"]
    body = {"features": asked, "entities": {"driver_id": [1001], "fare": [14]}}
    assert ask(client, token, body).status_code == 200
    stored()
    kept = stored_usage().batches(["samples"], pc.scalar(True))
    found = [each for batch in kept for some in batch["samples"] for each in some.as_py()]
    assert [(each["feature"], each["value"]) for each in found] == [("per_trip", "2.0")]

    refused = usage(view="ride_risk", feature="expected_fare", samples="9")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_sampled")
    assert "driver_hourly@1.0.0:conv_rate is restricted" in refused.json()["detail"]
    [shown] = usage(view="ride_risk", feature="per_trip", samples="9").json()["samples"]
    assert shown["value"] == 2.0
    with committed():
        factories.make_version(cast, text=TEXT.replace("y: internal", "y: confidential"))
    assert usage(view="ride_risk", feature="per_trip", samples="9").status_code == 403


@pytest.mark.parametrize(
    ("who", "status"),
    [("owner", 200), ("author", 200), ("auditor", 403), ("consumer", 403), ("outsider", 404)],
)
def test_samples_are_for_those_who_read_training_sets_and_see_readers(version, usage, who, status):
    answer = usage(who, view="driver_hourly", feature="acc_rate", samples="9")

    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"samples": "0"}, "write 1 to 1,000"),
        ({"samples": "1001"}, "write 1 to 1,000"),
        ({"samples": "some"}, "write 1 to 1,000"),
        ({"samples": "000001999999"}, "write 1 to 1,000"),
        ({"samples": "000001" + "0" * 5_000}, "write 1 to 1,000"),
        ({"samples": "9"}, "send view and feature"),
        ({**SAMPLES, "reader": "consumer"}, "samples are of no one reader; leave reader out"),
        ({**SAMPLES, "reader": "nobody"}, "leave reader out"),
    ],
)
def test_what_nothing_could_fit_is_refused_in_words(version, usage, parameters, words):
    answer = usage(**parameters)

    assert (answer.status_code, words in answer.json()["detail"]) == (422, True), answer.text


def test_a_project_sets_it_by_its_owners_within_bounds(cast, sampled):
    with pytest.raises(Exception, match="manage_members"):
        sampled(1, who="author")
    with pytest.raises(BadPolicy, match="write 0 to 1,000,000"):
        sampled(1_000_001)


def test_what_has_no_room_is_counted(
    client, token, version, stored, usage, sampled, samples, monkeypatch
):
    monkeypatch.setattr(sampling, "MOST_OF_SECOND", 3)
    monkeypatch.setattr(noting, "MOST_OF_RECORD", 2)
    monkeypatch.setattr(sampling, "MOST_BYTES", 2)
    sampled(1)
    for _ in range(5):
        ask(client, token, BOTH)
    stored()

    answer = usage(view="driver_hourly", feature="acc_rate", samples="9").json()
    kept = samples("acc_rate") + samples("avg_daily_trips")
    assert len(kept) + answer["samples_dropped"] == 2 * 5
    assert set(kept) <= {("PRESENT", None), ("PRESENT", 7)}  # "NaN" has more than two bytes

    monkeypatch.setattr(sampling, "MOST_HELD_OF_SECOND", 40)  # one value of the two
    ask(client, token, BOTH)
    stored()
    again = usage(view="driver_hourly", feature="acc_rate", samples="9").json()
    assert again["samples_dropped"] == answer["samples_dropped"] + 2


def test_reads_are_not_dropped_for_samples(online_redis, monkeypatch):
    monkeypatch.setattr(buffer, "MOST_SAMPLES", 5)
    kept, stream = buffer.Buffer(), usage_stream()

    def send(most_bytes: int) -> tuple[int, ...]:
        """Two reads of two versions, three samples of each: what of it is in the stream."""
        for version in ("v@1.0.0", "w@1.0.0") * 2:
            answers = Answers()
            answers.add(rows=1, seconds=0.1)
            for _ in range(3):
                answers.add_sample(version, Sample(factories.AT, "f", "PRESENT", "7" * MOST_BYTES))
            reading = Reading("rides", "r", "", (Read(version, ("f",)),))
            kept.add(answers.records(reading, Door.ONLINE, at=factories.AT))
        before = stream.last()
        assert kept.send(stream, most_bytes=most_bytes)
        [entry] = stream.entries(after=before, until=stream.last(), count=9)
        told = msgspec.msgpack.decode(entry.data, type=list[noting.UsageRecord])
        return tuple(
            map(sum, zip(*((r.reads, len(r.samples), r.unkept) for r in told), strict=True))
        )

    assert send(1 << 20) == (4, 5, 7)
    assert send(1 << 20) == (4, 5, 7)  # what was sent waits no more
    assert send(12 << 10) == (4, 0, 12)
    assert stream.dropped() == 0


def test_what_is_stored_says_not_which_values_were_of_one_row():
    answers, reading = Answers(), Reading("rides", "r", "", (Read("v@1.0.0", ("a", "b")),))
    for row in range(100):
        for feature in ("a", "b"):
            answers.add_sample("v@1.0.0", Sample(factories.AT, feature, "PRESENT", f"{row:02}"))

    [row] = rows_of(answers.records(reading, Door.ONLINE, at=factories.AT)).to_pylist()

    told = [(each["value"], each["feature"]) for each in row["samples"]]
    assert sorted(told) == [(f"{row:02}", feature) for row in range(100) for feature in "ab"]
    of = {name: [value for value, feature in told if feature == name] for name in "ab"}
    assert sum(a == b for a, b in zip(of["a"], of["b"], strict=True)) < 20


def test_one_in_so_many_is_taken():
    column = AnswerColumn(["x" * MOST_BYTES], ["PRESENT"], [""])
    told = {"is_stored": False, "at": factories.AT}
    taken = [take(Sampling(10, (0,)), [column], rows=1, **told) for _ in range(20_000)]

    assert 1_700 < sum(each is not None for each in taken) < 2_300
    assert take(Sampling(1, (0,)), [column], rows=0, **told) is None


def test_values_of_a_second_take_so_much_memory_and_no_more():
    def taken(*values):
        columns = [AnswerColumn([value], ["PRESENT"], [""]) for value in values]
        places = tuple(range(len(values)))
        told = {"rows": 1, "is_stored": True, "at": factories.AT}
        return take(Sampling(1, places), columns, **told)

    long = ["x" * (1 << 20), ["y"] * 3_000, {"a": ["z" * 20_000]}, [[0.5] * 300] * 9]
    *none, short = taken(*long, "7").values
    assert [value for _, value, _ in none] == [TOO_LONG] * len(long)
    assert short == (len(long), "7", "PRESENT")

    room, count = Room(), 0
    for number in range(400):
        found = room.fit(taken(*(f"{number:015000}" for _ in range(50))))
        count += 0 if found.values is None else sum(len(value) for _, value, _ in found.values)
    assert MOST_HELD_OF_SECOND * 0.9 < count < MOST_HELD_OF_SECOND
    assert room.fit(taken("7")).values is not None  # what is small has room still
    room.clear()
    assert room.fit(taken(*("x" * 15_000 for _ in range(50)))).values is not None


def test_nothing_is_called_too_long_that_is_not():
    chance = random.Random(9)

    def value(depth: int = 0):
        kind = chance.randrange(8 if depth < 6 else 5)
        if kind < 5:
            return (None, chance.randrange(-9, 10), 2**63 - 1, chance.random(), "é" * kind)[kind]
        some = [value(depth + 1) for _ in range(chance.choice((0, 1, 1, 3, 40)))]
        return dict(zip("abc", some, strict=False)) if kind == 7 else some

    least = [[], *([{}] for _ in range(3))]
    for _ in range(120):
        least = [least]
    seen = 0
    for each in (least, [0] * 127, [[]] * 85, [{}] * 85, *(value() for _ in range(3_000))):
        column = AnswerColumn([each], ["PRESENT"], [""])
        told = {"rows": 1, "is_stored": True, "at": factories.AT}
        [(_, kept, _)] = take(Sampling(1, (0,)), [column], **told).values
        is_short = len(msgspec.json.encode(each)) <= MOST_BYTES
        assert not (is_short and kept is TOO_LONG), each
        seen += is_short
    assert seen > 1_000
