"""Streams and dead letters in the admin: who sees which, who may press what, and what it does."""

from __future__ import annotations

import pytest
from django.urls import reverse

from materialization.models import DeadLetter, StreamPart
from registry.models import AuditEntry
from tests.factories import AT
from tests.materialization.run_world import table_of
from tests.undoing import walk

pytestmark = pytest.mark.django_db
MAY = ("operator", "steward", "author", "owner", "superuser")


@pytest.fixture
def part(version) -> StreamPart:
    return StreamPart.objects.create(
        table=table_of(version),
        stream="trips",
        partition=3,
        state="stopped",
        words="the stream ends at 1",
        place=7,
        end=12,
        lag=5,
        seen_at=AT,
    )


@pytest.fixture
def letter(part) -> DeadLetter:
    return DeadLetter.objects.create(
        part=part, generation=0, place=5, column="fare", words="no float64 <b>", created_at=AT
    )


def page_of(obj, name: str = "change") -> str:
    return reverse(f"admin:materialization_{obj._meta.model_name}_{name}", args=[obj.pk])


def test_lists_say_how_far_streams_were_read_and_what_could_not_be_taken(as_, letter):
    parts = as_("consumer").get(reverse("admin:materialization_streampart_changelist")).text
    letters = as_("consumer").get(reverse("admin:materialization_deadletter_changelist")).text

    assert "trips, partition 3" in parts
    assert "the stream ends at 1" in parts
    assert "5 wait" in parts
    for lag, is_least, said, waiting in (
        (None, False, "it is not known how many wait", "not known: whoever has the stream"),
        (0, False, "nothing waits", "<dd>0</dd>"),
        (10_000, True, "at least 10,000 wait", "<dd>at least 10,000</dd>"),
    ):
        StreamPart.objects.update(lag=lag, lag_is_least=is_least)
        assert (
            said in as_("consumer").get(reverse("admin:materialization_streampart_changelist")).text
        )
        page = " ".join(as_("consumer").get(page_of(letter.part)).text.split())
        assert waiting in page
    assert "trips, partition 3, record 5" in letters
    assert "no float64 &lt;b&gt;" in letters


@walk("who", [*MAY, "consumer", "auditor"])
def test_who_has_a_record_read_again(as_, letter, who):
    client = as_(who)

    offered = "Read it again" in client.get(page_of(letter)).text
    client.post(page_of(letter, "replay"))

    letter.refresh_from_db()
    assert offered == (letter.state == "asked") == (who in MAY)


@walk("who", [*MAY, "consumer", "auditor"])
def test_who_dismisses_a_record_and_those_alike(as_, letter, who):
    client, may = as_(who), who in MAY
    other = DeadLetter.objects.create(
        part=letter.part, generation=0, place=6, column="fare", words=letter.words, created_at=AT
    )

    offered = "Leave out all 2 alike" in client.get(page_of(letter)).text
    client.post(page_of(letter, "dismiss"), {"reason": "", "alike": "1"})
    other.refresh_from_db()
    assert other.state == "waiting"
    said = client.post(
        page_of(letter, "dismiss"), {"reason": "a <b>test</b>", "alike": "1"}, follow=True
    ).text

    other.refresh_from_db()
    assert offered == (other.state == "dismissed") == ("Dismissed: 2." in said) == may
    shown = client.get(page_of(letter)).text
    assert ("a &lt;b&gt;test&lt;/b&gt;" in shown and "Read it again" in shown) == may
    waiting = as_("owner").get(page_of(letter.part)).text
    assert ("None waits." in waiting) == may


@walk("who", [*MAY, "consumer", "auditor"])
def test_who_says_where_to_read_on(as_, part, letter, who):
    client = as_(who)

    shown = client.get(page_of(part)).text
    client.post(page_of(part, "read_on"), {"place": "12", "reason": "made anew"})

    part.refresh_from_db()
    assert "Record 5" in shown
    assert ("Read on there" in shown) == (part.start == 12) == (who in MAY)
    assert AuditEntry.objects.filter(verb="stream.moved").exists() == (who in MAY)


@pytest.mark.parametrize(
    "said", [{"place": "first", "reason": "x"}, {"place": "12"}, {"reason": "x"}, {"place": "²"}]
)
def test_what_is_no_place_changes_nothing_and_says_so(as_, part, said):
    page = as_("owner").post(page_of(part, "read_on"), said, follow=True)

    part.refresh_from_db()
    assert part.generation == 0
    assert "no place" in page.text or "say why" in page.text.lower()
