"""Questions about features: who asks, answers, accepts and closes, through API and page."""

from __future__ import annotations

import pytest
from django.urls import reverse

from registry.models import Answer, AuditEntry, Question
from registry.operations import questions
from tests.factories import make_ready, make_version
from tests.registry.api.test_tokens import limited

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects/rides/questions"
ASKED = {"feature": "driver_hourly:conv_rate", "text": "Is it **per day**?"}


@pytest.fixture
def version(cast):
    return make_ready(make_version(cast))


@pytest.fixture
def question(api, cast, version):
    response = api(cast.consumer).post(URL, ASKED, format="json")
    assert response.status_code == 201, response.content
    return Question.objects.get()


def said(api, user, question, step: str, **body: object):
    return api(user).post(f"{URL}/{question.pk}/{step}", body, format="json")


@pytest.mark.parametrize(
    ("who", "asks", "answers"),
    [
        ("anonymous", 401, 401),
        ("outsider", 404, 404),
        ("consumer", 201, 201),
        ("auditor", 201, 403),
        ("operator", 201, 403),
        ("author", 201, 201),
        ("steward", 201, 201),
        ("owner", 201, 201),
        ("superuser", 201, 201),
    ],
)
def test_members_ask_and_those_who_know_the_view_answer(api, cast, question, who, asks, answers):
    client = api() if who == "anonymous" else api(getattr(cast, who))

    assert client.post(URL, ASKED, format="json").status_code == asks
    answer = client.post(f"{URL}/{question.pk}/answers", {"text": "Yes"}, format="json")
    assert answer.status_code == answers
    assert client.get(URL).status_code == (asks if asks > 400 else 200)


def test_a_question_is_asked_answered_accepted_closed_and_opened(api, cast, question):
    answer = said(api, cast.author, question, "answers", text="Per day, UTC.").json()["answers"][0]
    accepted = said(api, cast.consumer, question, "accept", answer=answer["id"]).json()
    closed = said(api, cast.author, question, "close").json()

    assert accepted["accepted"] == answer["id"]
    assert closed["closed_by"] == "author"
    assert said(api, cast.author, question, "answers", text="More").status_code == 409
    assert said(api, cast.author, question, "close").status_code == 409
    assert said(api, cast.consumer, question, "reopen").json()["closed_at"] is None
    verbs = AuditEntry.objects.filter(verb__startswith="question.").order_by("pk")
    assert [each.verb.partition(".")[2] for each in verbs] == [
        "asked", "answered", "accepted", "closed", "reopened",
    ]  # fmt: skip
    assert "Per day" not in str([(each.before, each.after, each.data) for each in verbs])


def test_lists_are_of_a_feature_a_view_or_a_state(api, cast, question):
    client = api(cast.auditor)
    count = lambda **query: client.get(URL, query).json()["count"]  # noqa: E731

    assert count() == count(feature="driver_hourly") == count(state="open") == 1
    assert count(feature="driver_hourly:conv_rate") == 1
    assert count(feature="driver_hourly@1.0.0:conv_rate") == 1
    assert count(feature="driver_hourly:acc_rate") == count(state="closed") == 0
    assert client.get(URL, {"state": "lost"}).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"feature": "driver_hourly:conv_rat", "text": "x"}, 404, "question_not_found"),
        ({"feature": "driver_hourl:conv_rate", "text": "x"}, 404, "feature_view_not_found"),
        ({"feature": "conv_rate", "text": "x"}, 422, "invalid_reference"),
        (ASKED | {"text": " "}, 422, "invalid_text"),
        (ASKED | {"text": "x" * 4001}, 422, "invalid_text"),
        (ASKED | {"text": "a\x00b"}, 422, "invalid_text"),
        (ASKED | {"text": "x" * 1_000_000}, 413, None),
        ({"text": "x"}, 422, None),
        ({**ASKED, "colour": "red"}, 422, None),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(api, cast, version, body, status, code):
    response = api(cast.consumer).post(URL, body, format="json")

    assert response.status_code == status
    assert code is None or response.json()["code"] == code


def test_answers_of_other_questions_and_numbers_of_none_are_refused(api, cast, question):
    api(cast.consumer).post(URL, ASKED, format="json")
    other = Question.objects.first()
    answer = said(api, cast.author, other, "answers", text="x").json()["answers"][0]

    assert said(api, cast.author, question, "accept", answer=answer["id"]).status_code == 404
    assert said(api, cast.author, question, "accept", answer=-1).status_code == 404
    assert said(api, cast.author, question, "accept", answer=10**30).status_code in (404, 422)
    for number in ("9" * 30, "9" * 5000):
        assert api(cast.author).post(f"{URL}/{number}/close").status_code == 404


def test_there_is_a_bound_to_what_is_asked_and_answered(api, cast, question, monkeypatch):
    monkeypatch.setattr(questions, "MOST_OPEN", 1)
    monkeypatch.setattr(questions, "MOST_ANSWERS", 1)
    said(api, cast.author, question, "answers", text="x")

    assert api(cast.consumer).post(URL, ASKED, format="json").status_code == 409
    assert said(api, cast.author, question, "answers", text="x").status_code == 409


def test_who_is_called_like_the_owner_of_a_view_does_not_answer_for_it(api, cast, question):
    type(cast.auditor).objects.filter(pk=cast.auditor.pk).update(username="rides")

    assert said(api, cast.auditor, question, "answers", text="x").status_code == 403


def test_one_person_cannot_take_all_the_room_of_a_view(api, cast, question, monkeypatch):
    monkeypatch.setattr(questions, "MOST_OF_ONE", 1)

    refused = api(cast.consumer).post(URL, ASKED, format="json")

    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_questions")
    assert api(cast.auditor).post(URL, ASKED, format="json").status_code == 201


def test_a_token_for_reading_asks_and_answers_nothing_in_its_persons_name(api, cast, question):
    client = api(token=limited(cast.author, cast.project, rights=["read_online"]))

    for path, body in ((URL, ASKED), (f"{URL}/{question.pk}/answers", {"text": "x"})):
        assert client.post(path, body, format="json").status_code == 403
    assert Question.objects.count() == 1
    assert not Answer.objects.exists()


# --- the page ----------------------------------------------------------------------------------


def page(feature, step: str) -> str:
    return reverse(f"admin:registry_feature_{step}", args=[feature.pk])


def test_people_ask_and_answer_on_the_features_page(as_, cast, version):
    """The consumer has no staff rights: asking and answering back is all that may be sent."""
    type(cast.consumer).objects.filter(pk=cast.consumer.pk).update(is_staff=False)
    feature = version.features.get(name="conv_rate")
    hostile = "**Why?** <script>alert(1)</script> =1+1"
    asked = as_("consumer").post(page(feature, "ask"), {"text": hostile}, follow=True)
    question = Question.objects.get()

    assert "<strong>Why?</strong>" in asked.text
    assert "<script>alert(1)" not in asked.text
    body = {"question": question.pk, "text": "So."}
    as_("author").post(page(feature, "answer"), body)
    answer = Answer.objects.get()
    chosen = {"question": question.pk, "answer": answer.pk}
    shown = as_("consumer").post(page(feature, "accept"), chosen, follow=True)
    assert "accepted" in shown.text
    closed = as_("consumer").post(page(feature, "close"), {"question": question.pk}, follow=True)
    assert "Open again" in closed.text


def test_what_the_page_may_not_store_is_said_and_not_stored(as_, cast, version):
    feature = version.features.get(name="conv_rate")
    long = as_("consumer").post(page(feature, "ask"), {"text": "x" * 1_000_000}, follow=True)
    nothing = as_("consumer").post(page(feature, "answer"), {"question": "x"}, follow=True)
    huge = as_("consumer").post(page(feature, "close"), {"question": "9" * 5000}, follow=True)

    assert "at most 4000" in long.text
    assert "has no question 0" in nothing.text
    assert "has no question 0" in huge.text
    assert not Question.objects.exists()
    as_("author").post(page(feature, "ask"), {"text": "y"})
    question = Question.objects.get()
    refused = as_("auditor").post(
        page(feature, "answer"), {"question": question.pk, "text": "z"}, follow=True
    )
    assert "neither asked" in refused.text
    assert not Answer.objects.exists()
    assert as_("outsider").post(page(feature, "ask"), {"text": "y"}).status_code == 404
