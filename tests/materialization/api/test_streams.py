"""Streams over HTTP: who sees how far they came and what could not be taken, who may do what."""

from __future__ import annotations

import pytest

from materialization import standing
from materialization.models import DeadLetter, StreamPart
from materialization.requests import letters
from materialization.streams.letters import note_again
from registry.models import AuditEntry
from tests.factories import AT, make_version
from tests.materialization.api.test_runs import EVERYBODY, MAY, call, refusal
from tests.materialization.run_world import table_of
from tests.undoing import walk

pytestmark = pytest.mark.django_db
__all__ = ["call"]


@pytest.fixture
def part(cast) -> StreamPart:
    table = table_of(make_version(cast))
    return StreamPart.objects.create(
        table=table,
        stream="trips",
        partition=3,
        state="reading",
        place=7,
        end=12,
        lag=5,
        seen_at=AT,
    )


@pytest.fixture
def letter(part) -> DeadLetter:
    return DeadLetter.objects.create(
        part=part,
        generation=0,
        place=5,
        column="fare",
        words="float64 is asked for.",
        created_at=AT,
    )


@walk("who", EVERYBODY)
def test_who_sees_streams_and_dead_letters(call, letter, who):
    streams, letters = call(who, "get", "streams"), call(who, "get", "dead-letters")

    allowed = who not in ("anonymous", "outsider")
    expected = 200 if allowed else refusal(who)
    assert (streams.status_code, letters.status_code) == (expected, expected)
    if allowed:
        table = letter.part.table.uid
        about = {"feature_view": "driver_hourly", "table": table, "stream": "trips", "partition": 3}
        assert streams.json()["results"] == [
            {
                "id": letter.part.pk,
                **about,
                "state": "reading",
                "words": None,
                "since": None,
                "place": 7,
                "end": 12,
                "lag": 5,
                "lag_is_least": False,
                "seen_at": "2026-03-01T12:00:00Z",
                "letters_removed": 0,
            }
        ]
        assert letters.json()["results"] == [
            {
                "id": letter.pk,
                **about,
                "place": 5,
                "column": "fare",
                "words": "float64 is asked for.",
                "state": "waiting",
                "created_at": "2026-03-01T12:00:00Z",
                "dismissed_at": None,
                "dismissed_by": None,
                "reason": None,
            }
        ]


@walk("who", EVERYBODY)
def test_who_may_have_a_letter_read_again(call, letter, who):
    answer = call(who, "post", f"dead-letters/{letter.pk}/replay")

    may = who in MAY
    assert answer.status_code == (200 if may else refusal(who))
    letter.refresh_from_db()
    assert letter.state == ("asked" if may else "waiting")
    verbs = AuditEntry.objects.filter(verb="dead_letter.replayed").count()
    assert verbs == (1 if may else 0)
    if may:
        again = call(who, "post", f"dead-letters/{letter.pk}/replay")
        assert (again.status_code, again.json()["code"]) == (409, "dead_letter_not_waiting")


@walk("who", EVERYBODY)
def test_who_may_say_where_to_read_on(call, part, who):
    body = {"place": "oldest", "reason": "it was made anew"}
    answer = call(who, "post", f"streams/{part.pk}/read-on", body)

    may = who in MAY
    assert answer.status_code == (200 if may else refusal(who)), answer.content
    part.refresh_from_db()
    assert (part.generation, part.start) == ((1, None) if may else (0, None))
    entries = AuditEntry.objects.filter(verb="stream.moved")
    assert [each.data["reason"] for each in entries] == (["it was made anew"] if may else [])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"reason": "x", "place": "first"}, "oldest"),
        ({"reason": "x", "place": True}, "oldest"),
        ({"reason": "x", "place": -7}, "counted from 0"),
        ({"reason": "x", "place": 2**63}, "counted from 0"),
        ({"reason": " ", "place": 1}, "reason"),
        ({"place": 1}, "reason"),
        ({"reason": "x", "place": 1, "to": 2}, "unknown key 'to'"),
    ],
)
def test_a_place_that_is_none_is_refused_in_words(call, part, body, says):
    answer = call("operator", "post", f"streams/{part.pk}/read-on", body)

    assert answer.status_code in (400, 422)
    assert says in answer.json()["detail"]
    part.refresh_from_db()
    assert part.generation == 0


@walk("who", EVERYBODY)
def test_who_may_dismiss_a_letter(call, letter, who):
    answer = call(who, "post", f"dead-letters/{letter.pk}/dismiss", {"reason": " a test's "})

    may = who in MAY
    assert answer.status_code == (200 if may else refusal(who)), answer.content
    entries = AuditEntry.objects.filter(verb="dead_letter.dismissed")
    assert [each.data["reason"] for each in entries] == (["a test's"] if may else [])
    letter.refresh_from_db()
    assert letter.state == ("dismissed" if may else "waiting")
    if may:
        said = answer.json()
        assert (said["dismissed"], said["still_alike"]) == (1, 0)
        said = said["letter"]
        assert (said["dismissed_by"], said["reason"]) == (who, "a test's")
        again = call(who, "post", f"dead-letters/{letter.pk}/dismiss", {"reason": "x"})
        assert (again.status_code, again.json()["code"]) == (409, "dead_letter_not_waiting")
        back = call(who, "post", f"dead-letters/{letter.pk}/replay").json()
        assert (back["state"], back["dismissed_by"], back["reason"]) == ("asked", None, None)
        (entry,) = AuditEntry.objects.filter(verb="dead_letter.replayed")
        assert entry.data["dismissed"] == "a test's"


def test_a_letter_that_was_left_behind_is_not_read_again(call, letter):
    """Its place is of a stream that was read on elsewhere: who dismissed it, and why, stays."""
    assert call("operator", "post", f"dead-letters/{letter.pk}/dismiss", {"reason": "x"}).json()
    body = {"place": "oldest", "reason": "it was made anew"}
    assert call("operator", "post", f"streams/{letter.part.pk}/read-on", body).status_code == 200

    answer = call("operator", "post", f"dead-letters/{letter.pk}/replay")

    assert (answer.status_code, answer.json()["code"]) == (409, "dead_letter_left_behind")
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("dismissed", "x")


def test_all_alike_are_dismissed_a_bounded_number_at_once(call, letter, monkeypatch):
    part = letter.part
    beside = StreamPart.objects.create(table=part.table, stream="trips", partition=4)
    of_other = StreamPart.objects.create(table=part.table, stream="tours", partition=3)
    alike = {"generation": 0, "column": "fare", "words": letter.words, "created_at": AT}
    make = DeadLetter.objects.create
    same = [make(part=each, place=place, **alike) for each in (part, beside) for place in (6, 7)]
    make(part=part, place=8, **alike | {"column": "at"})
    make(part=part, place=9, **alike | {"words": "another"})
    make(part=of_other, place=6, **alike)
    make(part=part, place=10, state="taken", **alike)
    asked = make(part=part, place=11, state="asked", **alike)
    monkeypatch.setattr(letters, "MOST_AT_ONCE", 3)
    body = {"reason": "x", "alike": True}

    first = call("operator", "post", f"dead-letters/{letter.pk}/dismiss", body).json()
    second = call("operator", "post", f"dead-letters/{same[2].pk}/dismiss", body).json()

    assert (first["dismissed"], first["still_alike"]) == (3, 3)
    assert (second["dismissed"], second["still_alike"]) == (3, 0)
    expected = {letter.pk, asked.pk, *(each.pk for each in same)}
    found = call("operator", "get", "dead-letters?state=dismissed").json()["results"]
    assert {each["id"] for each in found} == expected
    note_again(asked, "fare", "no")  # whoever was reading it meanwhile changes nothing
    asked.refresh_from_db()
    assert asked.state == "dismissed"
    counts = AuditEntry.objects.filter(verb="dead_letter.dismissed").order_by("pk")
    assert [each.data["count"] for each in counts] == [3, 3]
    assert {(each.data["column"], each.data["words"]) for each in counts} == {
        (letter.column, letter.words)
    }
    waiting = {
        (each.labels["stream"], each.labels["partition"]): each.value
        for each in standing.figures(at=AT)
        if each.name == "assay_stream_dead_letters"
    }
    assert waiting == {("trips", "3"): 2, ("trips", "4"): 0, ("tours", "3"): 1}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": " "},
        {"reason": "x" * 2001},
        {"reason": "\0"},
        {"reason": 1},
        {"reason": "x", "alike": 1},
        {"reason": "x", "all": True},
    ],
)
def test_a_dismissal_that_says_no_reason_is_refused_in_words(call, letter, body):
    answer = call("operator", "post", f"dead-letters/{letter.pk}/dismiss", body)

    assert answer.status_code in (400, 422)
    letter.refresh_from_db()
    assert letter.state == "waiting"


def test_what_is_not_there_is_not_found(call, part):
    dismiss = "dead-letters/4711/dismiss"
    assert call("operator", "post", dismiss, {"reason": "x"}).status_code == 404
    assert call("operator", "post", "dead-letters/4711/replay").status_code == 404
    assert call("operator", "post", "streams/4711/read-on", {}).status_code == 404
