"""Grants over HTTP: who may ask, give, refuse, take back and see; two people; bounds; the trail."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from registry.choices import Role
from registry.grants import standing
from registry.models import AuditEntry, ReadGrant
from registry.operations.people import grants, members, passwords
from tests import factories

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects/rides/grants"
EVERYBODY = [
    "anonymous", "outsider", "consumer", "author", "operator", "auditor", "steward", "owner",
    "superuser",
]  # fmt: skip


@pytest.fixture
def view(cast):
    return factories.make_version(cast).feature_view


def post(client, cast, who, path="", **body):
    headers = {}
    if who != "anonymous":
        headers["Authorization"] = f"Bearer {factories.token_for(getattr(cast, who))}"
    return client.post(
        URL + path, data=json.dumps(body), content_type="application/json", headers=headers
    )


def get(client, cast, who, path="", **query):
    headers = {}
    if who != "anonymous":
        headers["Authorization"] = f"Bearer {factories.token_for(getattr(cast, who))}"
    return client.get(URL + path, query, headers=headers)


def wanted(**more):
    ends_at = (timezone.now() + timedelta(days=30)).isoformat()
    return {"feature_view": "driver_hourly", "purpose": "churn model", "ends_at": ends_at} | more


def asked(client, cast, who="consumer", **more):
    response = post(client, cast, who, **wanted(**more))
    assert response.status_code == 201, response.content
    return response.json()["id"]


def verbs():
    entries = AuditEntry.objects.filter(verb__startswith="read_grant.").order_by("id")
    return [(entry.actor_name, entry.verb) for entry in entries]


@pytest.mark.parametrize(
    ("who", "status"),
    [(who, {"anonymous": 401, "outsider": 404}.get(who, 201)) for who in EVERYBODY],
)
def test_who_may_ask_for_themselves(client, cast, view, who, status):
    response = post(client, cast, who, **wanted())

    assert response.status_code == status, response.content
    assert verbs() == ([(who, "read_grant.asked")] if status == 201 else [])


@pytest.mark.parametrize("step", ["give", "refuse"])
@pytest.mark.parametrize("who", EVERYBODY)
def test_who_may_decide_what_a_consumer_asked_for(client, cast, view, who, step):
    number = asked(client, cast)

    response = post(client, cast, who, f"/{number}/{step}", comment="so be it")

    refusal = {"anonymous": 401, "consumer": 403, "auditor": 403}.get(who, 404)
    may = who in ("steward", "owner", "superuser")
    assert response.status_code == (200 if may else refusal), response.content
    verb = "read_grant.given" if step == "give" else "read_grant.refused"
    assert verbs()[1:] == ([(who, verb)] if may else [])
    state = {"give": "active", "refuse": "refused"}[step]
    assert get(client, cast, "owner", f"/{number}").json()["state"] == (state if may else "asked")


@pytest.mark.parametrize("who", EVERYBODY)
def test_who_may_take_back_what_a_consumer_has(client, cast, view, who):
    number = asked(client, cast)
    post(client, cast, "steward", f"/{number}/give")

    response = post(client, cast, who, f"/{number}/revoke")

    may = who in ("consumer", "steward", "owner", "superuser")
    refusal = {"anonymous": 401, "auditor": 403}.get(who, 404)
    assert response.status_code == (200 if may else refusal), response.content
    assert get(client, cast, "owner", f"/{number}").json()["state"] == (
        "revoked" if may else "active"
    )


@pytest.mark.parametrize("who", EVERYBODY)
def test_who_sees_the_grants_of_others(client, cast, view, who):
    asked(client, cast)

    response = get(client, cast, who)

    refusal = {"anonymous": 401, "outsider": 404}.get(who, 200)
    assert response.status_code == refusal
    if refusal == 200:
        sees = who not in ("author", "operator")
        assert response.json()["count"] == (1 if sees else 0)


@pytest.mark.parametrize("who", ["steward", "owner"])
def test_nobody_gives_what_they_asked_for_while_somebody_else_could(client, cast, view, who):
    number = asked(client, cast, who)

    response = post(client, cast, who, f"/{number}/give")

    assert (response.status_code, response.json()["code"]) == (403, "grant_takes_two")
    assert "other people could" in response.json()["detail"]
    assert ReadGrant.objects.get().state == "asked"


def test_nobody_gives_to_themself_what_somebody_else_asked_for(client, cast, view):
    number = asked(client, cast, "author", user="steward")

    assert post(client, cast, "steward", f"/{number}/give").json()["code"] == "grant_takes_two"
    assert post(client, cast, "second_steward", f"/{number}/give").status_code == 200


def test_nobody_gives_to_a_service_account_what_they_asked_for_it(client, cast, view):
    factories.make_service_account("churn", cast)
    number = asked(client, cast, "steward", user="churn")

    assert post(client, cast, "steward", f"/{number}/give").json()["code"] == "grant_takes_two"
    assert post(client, cast, "owner", f"/{number}/give").status_code == 200


def test_where_one_person_only_could_give_it_that_is_said_and_recorded(client, cast, view):
    for who in (cast.steward, cast.second_steward):
        members.revoke_role(
            project=cast.project, user=who, role=Role.STEWARD, actor=cast.owner, at=factories.AT
        )
    number = asked(client, cast, "owner")
    assert post(client, cast, "owner", f"/{number}/give").json()["code"] == "grant_takes_two"

    cast.superuser.is_active = False
    cast.superuser.save()
    given = post(client, cast, "owner", f"/{number}/give").json()

    assert (given["state"], given["unseconded"]) == ("active", True)
    entry = AuditEntry.objects.get(verb="read_grant.given")
    assert entry.data == {"unseconded": "nobody else could give it"}


def test_a_program_asks_for_nothing(client, cast, view):
    account = factories.make_service_account("bot", cast)
    issue = {"user": account, "name": "bot", "project": cast.project, "at": timezone.now()}
    _, text = factories.tokens.issue_token(**issue, actor=cast.superuser)
    headers = {"Authorization": f"Bearer {text}"}

    ask = client.post(URL, json.dumps(wanted()), "application/json", headers=headers)

    assert ask.json()["code"] == "service_account_may_not_decide"


def test_nobody_gives_by_the_word_of_whoever_asked(client, cast, view):
    cast.puppet = factories.make_user("puppet")
    factories.give_role(cast.project, cast.puppet, Role.STEWARD, cast.owner)
    number = asked(client, cast, "owner")

    assert post(client, cast, "puppet", f"/{number}/give").json()["code"] == "hand_may_not_decide"
    assert "puppet" not in post(client, cast, "owner", f"/{number}/give").json()["detail"]
    assert post(client, cast, "puppet", f"/{asked(client, cast)}/give").status_code == 200


def test_nobody_gives_to_whom_they_could_log_in_as(client, cast, view):
    number = asked(client, cast)
    passwords.note_password_changed(user=cast.consumer, actor=cast.steward, at=factories.AT)
    passwords.note_password_changed(user=cast.consumer, actor=cast.consumer, at=factories.AT)

    answer = post(client, cast, "steward", f"/{number}/give")

    assert answer.json()["code"] == "hand_may_not_decide"
    assert "could be behind what consumer asks" in answer.json()["detail"]
    assert post(client, cast, "second_steward", f"/{number}/give").status_code == 200


def test_nobody_gives_to_a_program_whose_token_they_have(client, cast, view):
    account = factories.make_service_account("churn", cast)
    number = asked(client, cast, "author", user="churn")
    issue = {"user": account, "name": "churn", "project": cast.project, "at": timezone.now()}
    factories.tokens.issue_token(**issue, actor=cast.owner)

    assert post(client, cast, "owner", f"/{number}/give").json()["code"] == "grant_takes_two"
    assert post(client, cast, "steward", f"/{number}/give").status_code == 200


@pytest.mark.parametrize("is_before", [True, False])
def test_nobody_gives_by_a_password_that_somebody_else_set(client, cast, view, is_before):
    number = asked(client, cast)
    text = factories.token_for(cast.steward) if is_before else ""
    passwords.note_password_changed(user=cast.steward, actor=cast.consumer, at=timezone.now())

    headers = {"Authorization": f"Bearer {text or factories.token_for(cast.steward)}"}
    answer = client.post(f"{URL}/{number}/give", b"{}", "application/json", headers=headers)

    refused = "token_revoked" if is_before else "token_may_not_decide"
    assert answer.json()["code"] == refused


def test_a_decision_stands(client, cast, view):
    number = asked(client, cast)
    post(client, cast, "steward", f"/{number}/refuse", comment="ask for less")

    again = post(client, cast, "owner", f"/{number}/give")
    taken = post(client, cast, "owner", f"/{number}/revoke")

    assert [r.json()["code"] for r in (again, taken)] == ["grant_decided"] * 2
    assert "refused already, by steward" in again.json()["detail"]


def test_what_was_to_be_over_by_now_cannot_be_given(client, cast, view):
    grant = ReadGrant.objects.get(pk=asked(client, cast))

    with pytest.raises(grants.GrantOver, match="ask anew"):
        grants.give_grant(grant=grant, by=grants.Hand(cast.steward), at=grant.ends_at)

    assert standing(grant, at=grant.ends_at) == "ended"


FAR = "9999-12-31T23:59:59Z"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"purpose": "  "}, 422, "purpose: write 1 to 1000"),
        ({"purpose": "x" * 1001}, 422, "purpose: write 1 to 1000"),
        ({"purpose": "a\x00b"}, 422, "purpose"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, 422, "within 365 days"),
        ({"ends_at": FAR}, 422, "within 365 days"),
        ({"ends_at": "tomorrow"}, 422, "write an instant"),
        ({"feature_view": ""}, 422, "one feature view or of a level"),
        ({"level": "confidential"}, 422, "one feature view or of a level"),
        ({"feature_view": "", "level": "internal"}, 422, "needs no grant"),
        ({"feature_view": "", "level": "secret"}, 422, "confidential or restricted"),
        ({"feature_view": "nope"}, 404, "no feature view 'nope'"),
        ({"feature_view": "driver\x00_hourly"}, 422, "holds a NUL"),
        ({"user": "outsider"}, 422, "has no role in rides"),
        ({"user": "nobody\x00"}, 422, "holds a NUL"),
        ({"user": "nobody"}, 422, "has no role in rides"),
        ({"user": 7}, 422, "user"),
        ({"until": "x"}, 422, "unknown key 'until'"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_words(client, cast, view, body, status, said):
    response = post(client, cast, "consumer", **wanted(**body))

    assert response.status_code == status, response.content
    assert said in response.json()["detail"]
    assert not ReadGrant.objects.exists()


def test_what_waits_for_a_decision_is_bounded(client, cast, view, monkeypatch):
    monkeypatch.setattr(grants, "MOST_WAITING", 1)
    asked(client, cast)

    assert post(client, cast, "consumer", **wanted()).json()["code"] == "too_many_grants_asked"
    asked(client, cast, "author")


def test_a_list_by_what_they_are_now(client, cast, view, at):
    factories.give_grant(cast, cast.consumer, view="driver_hourly", days=300)
    factories.give_grant(cast, cast.consumer, level="restricted", days=3)
    factories.give_grant(cast, cast.operator, level="confidential", at=at, days=1)
    asked(client, cast)

    def listed(state):
        rows = get(client, cast, "steward", state=state).json()["results"]
        return [row["level"] or row["feature_view"] for row in rows]

    states = "asked", "active", "ending", "ended", "refused"
    assert {state: listed(state) for state in states} == {
        "asked": ["driver_hourly"],
        "active": ["restricted", "driver_hourly"],
        "ending": ["restricted"],
        "ended": ["confidential"],
        "refused": [],
    }
    assert get(client, cast, "steward", user="operator").json()["count"] == 1
    assert get(client, cast, "steward", feature_view="driver_hourly").json()["count"] == 2
    assert get(client, cast, "steward", state="given").status_code == 422


def test_a_right_that_was_lost_gives_nothing(client, cast, view):
    number = asked(client, cast)
    members.revoke_role(
        project=cast.project,
        user=cast.steward,
        role=Role.STEWARD,
        actor=cast.owner,
        at=factories.AT,
    )

    assert post(client, cast, "steward", f"/{number}/give").status_code == 404
