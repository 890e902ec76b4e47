"""Who read which features, how often and how: noted, stored once, and told to whoever may know."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from lib.connections import RedisUnreachable, get_redis
from materialization.edges.stores import usage_stream
from materialization.stores.usage_stream import Batch, UsageStream
from registry.operations.lifecycle.releases import deprecate_version
from serving.choices import Door
from serving.models import LastRead, StoreLook
from serving.online import watching
from serving.online.watching import WATCH
from serving.usage import buffer as buffers
from serving.usage.draining import drain
from serving.usage.duties import _tidy
from serving.usage.edges import stored_usage
from serving.usage.last_reads import note_last_reads
from serving.usage.noting import Answers, Read, Reading
from serving.usage.standing import SINCE, noted_since, version_usage
from tests import factories
from tests.serving.online_world import ask, committed

pytestmark = pytest.mark.django_db

TRIPS = {"features": ["driver_hourly:avg_daily_trips"], "entities": {"driver_id": [1001, 7]}}
BOTH = {
    "features": ["driver_hourly:avg_daily_trips", "driver_hourly:conv_rate"],
    "entities": {"driver_id": [1001]},
}


def test_reads_are_told_with_who_what_how_many_and_how(client, token, version, stored, usage):
    for _ in range(3):
        assert ask(client, token, TRIPS).status_code == 200
    assert ask(client, token, BOTH).status_code == 200

    assert stored() > 0
    answer = usage().json()

    assert (answer["count"], answer["sees"], answer["dropped"]) == (1, "all", 0)
    [row] = answer["results"]
    assert row.pop("seconds")["slowest"] > 0
    assert row.pop("first_at") <= row.pop("last_at")
    assert row == {
        "feature_view": "driver_hourly",
        "feature_service": "",
        "version": "1.0.0",
        "through": "",
        "reader": "consumer",
        "door": "online",
        "features": ["avg_daily_trips", "conv_rate"],
        "reads": 4,
        "rows": 7,
        "statuses": {"PRESENT": 5, "NULL_VALUE": 0, "NOT_FOUND": 3, "OUTSIDE_MAX_AGE": 0},
    }


def test_features_are_told_apart_when_asked(client, token, version, stored, usage):
    ask(client, token, TRIPS)
    ask(client, token, BOTH)
    stored()

    found = usage(by="feature").json()["results"]
    assert {row["feature"]: (row["reads"], row["rows"]) for row in found} == {
        "avg_daily_trips": (2, 3),
        "conv_rate": (1, 1),
    }
    none = {"NULL_VALUE": 0, "OUTSIDE_MAX_AGE": 0}
    assert {row["feature"]: row["statuses"] for row in found} == {
        "avg_daily_trips": {"PRESENT": 2, "NOT_FOUND": 1} | none,
        "conv_rate": {"PRESENT": 1, "NOT_FOUND": 0} | none,
    }
    [row] = usage(view="driver_hourly", feature="conv_rate").json()["results"]
    assert (row["reads"], row["features"]) == (1, ["conv_rate"])
    assert usage(by="day,door").json()["results"][0]["door"] == "online"


def test_readers_of_deprecated_versions_are_found(client, cast, token, version, stored, usage):
    ask(client, token, TRIPS)
    stored()
    assert usage(state="deprecated").json()["results"] == []
    assert usage(state="approved").json()["results"][0]["reader"] == "consumer"

    with committed():
        deprecate_version(version=version, actor=cast.steward, at=factories.AT)

    [row] = usage(state="deprecated", by="version,reader").json()["results"]
    assert (row["feature_view"], row["version"], row["reader"]) == (
        "driver_hourly",
        "1.0.0",
        "consumer",
    )


@pytest.mark.parametrize(
    ("who", "sees", "readers"),
    [
        ("owner", "all", {"consumer", "author"}),
        ("auditor", "all", {"consumer", "author"}),
        ("author", "all", {"consumer", "author"}),
        ("consumer", "own", {"consumer"}),
    ],
)
def test_others_reads_are_seen_by_whoever_sees_the_trail_or_changes_views(
    client, cast, version, stored, usage, who, sees, readers
):
    for reader in (cast.consumer, cast.author):
        ask(client, factories.token_for(reader), TRIPS)
    stored()

    answer = usage(who).json()

    assert answer["sees"] == sees
    assert {row["reader"] for row in answer["results"]} == readers


def test_strangers_learn_nothing(client, cast, version, usage):
    assert client.get("/api/v1/projects/rides/usage").status_code == 401
    assert usage("outsider").status_code == 404


@pytest.mark.parametrize(
    ("parameters", "status", "words"),
    [
        ({"by": "views"}, 422, "Did you mean"),
        ({"days": "0"}, 422, "1 to 36,500"),
        ({"days": "ten"}, 422, "whole number"),
        ({"days": "99999999999999999999"}, 422, "1 to 36,500"),
        ({"days": "000001999999999"}, 422, "1 to 36,500"),
        ({"days": "000001" + "0" * 5_000}, 422, "1 to 36,500"),
        ({"version": "1.0.0"}, 422, "send view"),
        ({"feature": "conv_rate"}, 422, "send view"),
        ({"view": "driver_hourl"}, 404, "driver_hourly"),
        ({"view": "driver_hourly", "version": "9.0.0"}, 404, "1.0.0"),
        ({"view": "driver_hourly", "feature": "conv_rat"}, 422, "conv_rate"),
        ({"state": "deprecate"}, 422, "deprecated"),
        ({"service": "nobody"}, 404, "no feature service"),
        ({"reader": "a\0b"}, 422, "NUL"),
        ({"since": "2026-01-01"}, 422, "unknown query parameter"),
    ],
)
def test_what_nothing_could_fit_is_refused_in_words(version, usage, parameters, status, words):
    answer = usage(**parameters)

    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.json()


def test_reads_drains_and_drains_that_die_count_each_read_once(
    client, token, version, stored, usage, monkeypatch
):
    """Random schedules: a drain that dies does so between its commit and forgetting what it has."""
    choose, stream, reads = random.Random(7), usage_stream(), 0
    for _ in range(60):
        step = choose.choice(["read", "read", "store", "die"])
        if step == "store":
            stored()
            continue
        ask(client, token, TRIPS)
        reads += 1
        if step == "die":
            with monkeypatch.context() as patch, pytest.raises(_Died):
                patch.setattr(type(stream), "trim", _dies)
                stored()
                stored()
    stored()

    assert stored() == 0
    assert sum(row["reads"] for row in usage().json()["results"]) == reads


class _Died(Exception):
    pass


def _dies(*_, **__):
    raise _Died


def test_a_trail_that_fails_loses_no_note_of_usage(
    client, token, version, stored, usage, monkeypatch
):
    with monkeypatch.context() as patch, suppress(_Died):  # the process's thread may be first
        patch.setattr(watching, "note_reads", _dies)
        ask(client, token, TRIPS)
        WATCH.flush()
    stored()

    [row] = usage().json()["results"]
    assert row["reads"] == 1


def test_what_has_no_room_is_counted(client, token, version, stored, usage, settings):
    settings.USAGE_MAX_WAITING_MB = 0
    ask(client, token, TRIPS)

    assert stored() == 0
    answer = usage().json()
    assert (answer["results"], answer["dropped"]) == ([], 1)


def test_what_a_process_has_no_room_for_is_counted(online_redis, monkeypatch):
    monkeypatch.setattr(buffers, "MOST_WAITING", 1)
    kept, added = buffers.Buffer(), Answers()
    added.add(rows=1, seconds=0.1)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    for number in range(3):
        reading = Reading("rides", "person-1", "", (Read(f"v@1.0.{number}", ("f",)),))
        kept.add(added.records(reading, Door.ONLINE, at=at))

    assert kept.send(usage_stream(), most_bytes=1 << 20)
    assert (usage_stream().dropped(), usage_stream().waiting()) == (2, 1)


def test_what_is_older_than_it_is_kept_is_removed(
    client, token, version, stored, usage, settings, now
):
    ask(client, token, TRIPS)
    stored()
    settings.USAGE_DAYS = 7
    _tidy(now + timedelta(days=6))
    assert (LastRead.objects.count(), len(usage(days=30).json()["results"])) == (1, 1)

    _tidy(now + timedelta(days=9))

    assert (LastRead.objects.count(), usage(days=30).json()["results"]) == (0, [])


def test_what_was_removed_is_not_said_to_have_been_read_by_nobody(
    client, token, version, stored, settings, now
):
    ask(client, token, TRIPS)
    stored()
    settings.USAGE_DAYS = 7
    StoreLook.objects.update_or_create(pk=SINCE, defaults={"looked_at": now - timedelta(days=400)})
    version.approved_at = now - timedelta(days=300)
    _tidy(now + timedelta(days=9))

    said = version_usage([version])[version.pk]

    assert said == {"usage": {"last_read_at": None, "unread_days": 7}}


def test_since_when_reads_are_noted_begins_anew_where_they_were_not(settings, now, version):
    StoreLook.objects.create(pk=SINCE, looked_at=now - timedelta(days=400))
    _tidy(now)
    assert noted_since(now) == now - timedelta(days=400)

    settings.USAGE_DAYS = 0
    _tidy(now)

    assert noted_since(now) == now


def test_when_something_was_last_read_is_written_once_an_hour(version, now):
    def last_after(passed: timedelta):
        answers = Answers()
        answers.add(rows=1, seconds=0.1)
        reading = Reading("rides", "person-1", "", (Read(str(version), ("conv_rate",)),))
        note_last_reads(answers.records(reading, Door.ONLINE, at=now + passed))
        return LastRead.objects.get().read_at - now

    minutes = [last_after(timedelta(minutes=n)) // timedelta(minutes=1) for n in (0, 1, 59, 61, 62)]
    assert minutes == [0, 0, 0, 61, 61]


def test_nothing_is_noted_where_nothing_is_kept(client, token, version, stored, usage, settings):
    settings.USAGE_DAYS = 0
    ask(client, token, TRIPS)

    assert stored() == 0
    assert usage().json()["results"] == []


def test_a_redis_that_lost_the_stream_is_read_from_its_beginning(
    client, token, version, stored, usage
):
    ask(client, token, TRIPS)
    stored()
    get_redis().delete(b"a:{usage}:log", b"a:{usage}:name")
    ask(client, token, TRIPS)
    stored()

    assert sum(row["reads"] for row in usage().json()["results"]) == 2


def test_an_entry_of_another_version_of_ours_holds_nothing_up(
    client, token, version, stored, usage
):
    usage_stream().add(Batch(b"x", 1, b"\xc1", 1), most_bytes=1 << 20)
    ask(client, token, TRIPS)
    stored()

    assert usage().json()["results"][0]["reads"] == 1
    assert drain(usage_stream(), stored_usage()) == 0


def test_a_batch_whose_answer_was_lost_is_counted_once(
    client, token, version, stored, usage, monkeypatch
):
    real = usage_stream().add

    def lost(stream, batch, *, most_bytes):
        real(batch, most_bytes=most_bytes)
        raise RedisUnreachable("cut")

    with monkeypatch.context() as patch:
        patch.setattr(UsageStream, "add", lost)
        ask(client, token, TRIPS)
        WATCH.flush()
        ask(client, token, TRIPS)
        WATCH.flush()
    stored()

    [row] = usage().json()["results"]
    assert row["reads"] == 2
