"""Service accounts and tokens over HTTP: made by owners, limited, rotated, ended.

And what each limit keeps out, at the doors that the registry has.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from registry.accounts import token_uses
from registry.accounts.passwords import reads_as_own
from registry.authentication import find_token
from registry.choices import State
from registry.models import ApiToken, AuditEntry
from registry.operations.people import passwords
from registry.operations.people.tokens import Limits, NotYourToken, issue_token
from tests import factories

pytestmark = pytest.mark.django_db

PROJECT = "/api/v1/projects/rides"
ACCOUNTS, TOKENS = f"{PROJECT}/service-accounts", f"{PROJECT}/tokens"
CHURN = {"name": "churn", "role": "consumer", "description": "The churn model in production"}
DEFINITIONS = f"{PROJECT}/definitions"


@pytest.fixture
def owner(api, cast):
    return api(cast.owner)


@pytest.fixture
def churn(owner):
    assert owner.post(ACCOUNTS, CHURN).status_code == 201


def code(answer):
    return answer.status_code, answer.json().get("code")


def issue(client, **asked):
    answer = client.post(TOKENS, {"name": "production", "service_account": "churn"} | asked)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def limited(user, project, **limits):
    asked = {"name": "t", "actor": user, "at": timezone.now(), "project": project}
    return issue_token(user=user, limits=Limits(**limits), **asked)[1]


# --- service accounts ----------------------------------------------------------------------------


def test_an_owner_makes_an_account_for_a_program(owner, cast):
    made = owner.post(ACCOUNTS, CHURN)

    assert made.status_code == 201
    body = made.json()
    assert (body["name"], body["account"], body["owner"]) == ("churn", "churn@rides", "owner")
    assert (body["roles"], body["active"]) == (["consumer"], True)
    assert body["description"] == CHURN["description"]
    listed = owner.get(ACCOUNTS).json()["results"]
    assert [(each["name"], each["live_tokens"]) for each in listed] == [("churn", 0)]
    entry = AuditEntry.objects.get(verb="service_account.created")
    assert (entry.actor_id, entry.after["role"]) == (cast.owner.pk, "consumer")
    assert code(owner.post(ACCOUNTS, CHURN)) == (409, "name_taken")


@pytest.mark.parametrize("who", ["author", "steward", "operator", "consumer", "auditor"])
def test_nobody_else_manages_them(api, cast, churn, who):
    client = api(getattr(cast, who))

    for answer in (
        client.get(ACCOUNTS),
        client.post(ACCOUNTS, CHURN | {"name": "mine"}),
        client.get(f"{ACCOUNTS}/churn"),
        client.post(f"{ACCOUNTS}/churn", {"active": False}),
        client.post(TOKENS, {"name": "x", "service_account": "churn"}),
    ):
        assert code(answer) == (403, "not_permitted")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"name": "Churn"}, 422),
        ({"name": "сhurn"}, 422),  # noqa: RUF001 - the first letter is Cyrillic
        ({"name": "a" * 41}, 422),
        ({"name": ""}, 422),
        ({"role": "king"}, 422),
        ({"role": "steward"}, 422),
        ({"owner": "outsider"}, 422),
        ({"owner": "nobody\x00"}, 422),
        ({"description": "x" * 501}, 422),
        ({"description": 7}, 422),
        ({"colour": "red"}, 422),
    ],
)
def test_what_an_account_cannot_be_is_said(owner, asked, status):
    assert owner.post(ACCOUNTS, CHURN | asked).status_code == status


def test_an_account_is_given_another_owner_and_shut_out_at_once(api, owner, churn, cast):
    token = issue(owner)["token"]
    assert api(token=token).get(f"{PROJECT}/entities").status_code == 200

    changed = owner.post(f"{ACCOUNTS}/churn", {"owner": "author", "active": False})

    assert (changed.json()["owner"], changed.json()["active"]) == ("author", False)
    assert code(api(token=token).get(f"{PROJECT}/entities")) == (401, "token_unknown")
    owner.post(f"{ACCOUNTS}/churn", {"active": True})
    assert api(token=token).get(f"{PROJECT}/entities").status_code == 200


def test_another_project_has_none_of_them(api, owner, churn, cast):
    other = factories.make_project("food", cast.outsider)
    client = api(cast.outsider)

    assert client.get(f"/api/v1/projects/{other}/service-accounts").json()["count"] == 0
    answer = client.post(
        f"/api/v1/projects/{other}/tokens", {"name": "x", "service_account": "churn"}
    )
    assert code(answer) == (404, "service_account_not_found")


# --- tokens --------------------------------------------------------------------------------------


def test_the_text_of_a_token_is_in_one_answer_only(owner, churn):
    made = owner.post(TOKENS, {"name": "production", "service_account": "churn"})

    assert made["Cache-Control"] == "no-store"
    text = made.json()["token"]
    assert text.startswith("assay_")
    for page in (TOKENS, f"{ACCOUNTS}/churn"):
        assert text not in owner.get(page).content.decode()
    assert ApiToken.objects.get(user__username="churn@rides").project.name == "rides"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"views": ["driver_hourlyy"]}, "Did you mean"),
        ({"rights": ["read_onlin"]}, "Did you mean"),
        ({"networks": ["10.0.0.0/33"]}, "write networks as"),
        ({"networks": ["10.1.2.3/8"]}, "write networks as"),
        ({"networks": ["10.0.0.1"] * 101}, "at most 100"),
        ({"days": 0}, "lives 1 to"),
        ({"days": 100_000}, "lives 1 to"),
        ({"days": None}, "days"),
        ({"name": " "}, "name the token"),
        ({"views": "driver_hourly"}, "views"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(owner, churn, cast, asked, says):
    factories.make_version(cast)
    answer = owner.post(TOKENS, {"name": "x", "service_account": "churn"} | asked)

    assert (answer.status_code, says in answer.json()["detail"]) == (422, True), answer.json()


def test_a_token_is_for_its_rights_alone(api, cast):
    client = api(token=limited(cast.owner, cast.project, rights=["read_online"]))

    assert client.get(f"{PROJECT}/feature-views").status_code == 200  # that it is there
    assert code(client.get(f"{PROJECT}/audit")) == (403, "token_too_narrow")
    assert code(client.post(DEFINITIONS, {"definitions": []}))[0] == 403
    assert code(client.get(ACCOUNTS)) == (403, "token_too_narrow")
    assert client.get("/api/v1/whoami").json()["limits"]["rights"] == ["read_online"]


def test_a_token_is_for_its_views_alone(api, cast):
    factories.make_version(cast)
    factories.make_version(cast, text=factories.VIEW.replace("driver_hourly", "other"))
    client = api(token=limited(cast.owner, cast.project, views=["other"]))

    assert client.get(f"{PROJECT}/feature-views/other/versions/1.0.0").status_code == 200
    refused = client.get(f"{PROJECT}/feature-views/driver_hourly/versions/1.0.0")
    assert code(refused) == (403, "token_too_narrow")
    assert code(client.post(DEFINITIONS, {"definitions": []}))[0] == 403


def test_a_token_is_for_its_networks_alone(api, cast):
    client = api(token=limited(cast.owner, cast.project, networks=["10.1.0.0/16", "2001:db8::/32"]))

    for address, status in {
        "10.1.255.1": 200, "::ffff:10.1.0.1": 200, "2001:db8::7": 200, "10.2.0.1": 401,
        "2001:db9::7": 401, "": 401, "unknown": 401,
    }.items():  # fmt: skip
        answer = client.get(f"{PROJECT}/entities", REMOTE_ADDR=address)
        assert answer.status_code == status, address
    said = client.get(f"{PROJECT}/entities", REMOTE_ADDR="10.2.0.1").json()
    assert (said["code"], "10.1." in said["detail"]) == ("token_from_elsewhere", False)
    # Nobody says in a header where they come from, unless a proxy of ours says it.
    forged = {"REMOTE_ADDR": "10.2.0.1", "HTTP_X_FORWARDED_FOR": "10.1.0.1"}
    assert client.get(f"{PROJECT}/entities", **forged).status_code == 401


def test_a_superusers_token_for_a_project_does_nothing_elsewhere(api, cast):
    factories.make_project("food", cast.outsider)
    client = api(token=limited(cast.superuser, cast.project))

    assert [p["name"] for p in client.get("/api/v1/projects").json()["results"]] == ["rides"]
    assert client.get("/api/v1/projects/food/entities").status_code == 401


# --- a token makes no stronger one ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "asked"),
    [
        ({"rights": ["view_project", "manage_members"]}, {"rights": ["read_online"]}),
        ({"rights": ["view_project", "manage_members"]}, {}),
        ({"networks": ["10.1.0.0/16", "127.0.0.1"]}, {}),
        ({"networks": ["10.1.0.0/16", "127.0.0.1"]}, {"networks": ["10.0.0.0/8"]}),
        ({"networks": ["10.1.0.0/16", "127.0.0.1"]}, {"networks": ["::/0"]}),
        ({}, {"service_account": None, "days": 200}),
    ],
)
def test_a_token_makes_none_that_is_for_more(api, owner, churn, cast, limits, asked):
    client = api(token=limited(cast.owner, cast.project, **limits))

    answer = client.post(TOKENS, {"name": "x", "service_account": "churn", "days": 1} | asked)

    assert code(answer) == (403, "not_your_token")


def test_a_token_for_reading_makes_and_ends_no_others(api, owner, churn, cast):
    victim = issue(owner)
    client = api(token=limited(cast.owner, cast.project, rights=["read_online"]))

    assert client.post(TOKENS, {"name": "x", "service_account": "churn"}).status_code == 403
    assert client.post(TOKENS, {"name": "x"}).status_code == 403
    assert client.post(f"{TOKENS}/{victim['id']}/revoke", {}).status_code in (403, 404)
    assert client.post(f"{TOKENS}/{victim['id']}/rotate", {}).status_code in (403, 404)
    assert ApiToken.objects.get(pk=victim["id"]).revoked_at is None


def test_the_narrower_of_a_narrow_token_is_made(api, owner, churn, cast):
    limits = {"networks": ["10.1.0.0/16", "127.0.0.1/32"]}
    client = api(token=limited(cast.owner, cast.project, **limits))

    made = issue(client, networks=["10.1.2.0/24"], days=1)

    assert made["networks"] == ["10.1.2.0/24"]


# --- rotation, use and end -----------------------------------------------------------------------


def test_a_token_is_rotated_with_an_overlap(api, owner, churn):
    old = issue(owner, rights=["read_online"], networks=["127.0.0.1"], days=30)

    made = owner.post(f"{TOKENS}/{old['id']}/rotate", {"overlap_hours": 2}).json()

    assert (made["replaces"], made["rights"]) == (old["id"], ["read_online"])
    assert made["networks"] == ["127.0.0.1/32"]
    assert made["token"] != old["token"]
    for text in (old["token"], made["token"]):
        assert api(token=text).get("/api/v1/whoami").status_code == 200
    row = ApiToken.objects.get(pk=old["id"])
    assert timedelta(hours=1) < row.expires_at - timezone.now() <= timedelta(hours=2)
    assert code(owner.post(f"{TOKENS}/{old['id']}/rotate", {})) == (409, "token_not_live")
    assert AuditEntry.objects.filter(verb="api_token.rotated").count() == 1


def test_without_an_overlap_the_old_one_ends_at_once(api, owner, churn):
    old = issue(owner)
    assert api(token=old["token"]).get("/api/v1/whoami").status_code == 200

    assert owner.post(f"{TOKENS}/{old['id']}/rotate", {"overlap_hours": 0}).status_code == 201

    assert code(api(token=old["token"]).get("/api/v1/whoami")) == (401, "token_expired")


@pytest.mark.parametrize("asked", [{"overlap_hours": -1}, {"overlap_hours": 721}, {"days": 0}])
def test_a_rotation_has_bounds(owner, churn, asked):
    token = issue(owner)

    assert owner.post(f"{TOKENS}/{token['id']}/rotate", asked).status_code == 422


def test_a_token_is_ended_by_those_who_see_it(api, owner, churn, cast):
    token = issue(owner)

    assert code(api(cast.author).post(f"{TOKENS}/{token['id']}/revoke", {})) == (
        404,
        "token_not_found",
    )
    assert owner.post(f"{TOKENS}/{token['id']}/revoke", {}).json()["state"] == "revoked"
    assert code(api(token=token["token"]).get("/api/v1/whoami")) == (401, "token_revoked")
    live = owner.get(f"{TOKENS}?live=true").json()["results"]
    assert token["id"] not in [each["id"] for each in live]


def test_when_a_token_was_used_is_told(api, owner, churn, monkeypatch):
    monkeypatch.setattr(token_uses, "_noted", {})  # of other tests' tokens
    token = issue(owner)
    before = timezone.now()
    api(token=token["token"]).get("/api/v1/whoami")

    later = timezone.now() + timedelta(minutes=2)

    def used_meanwhile(execute: Any, *said: Any) -> Any:
        token_uses.note_uses({token["id"]: later})
        return execute(*said)

    with connection.execute_wrapper(used_meanwhile):
        token_uses.record_uses(at=timezone.now())

    used = ApiToken.objects.get(pk=token["id"]).last_used_at
    assert before <= used <= timezone.now()
    token_uses.record_uses(at=later)
    assert ApiToken.objects.get(pk=token["id"]).last_used_at == later
    shown = owner.get(f"{ACCOUNTS}/churn").json()["tokens"][0]["last_used_at"]
    assert shown is not None


# --- what needs no right but to see the project, and who is behind a token -----------------------


def test_a_token_for_reading_does_none_of_what_people_do_to_each_other(api, cast):
    version = factories.make_version(cast, state=State.IN_REVIEW)
    client = api(token=limited(cast.owner, cast.project, rights=["read_online"]))
    at = f"{PROJECT}/feature-views/driver_hourly/versions/1.0.0"
    ends_at = (timezone.now() + timedelta(days=1)).isoformat()
    grant = {"feature_view": "driver_hourly", "purpose": "x", "ends_at": ends_at}

    for path, body in {
        f"{at}/comments": {"body": "looks fine"},
        f"{at}/reviewers": {"reviewers": ["steward"]},
        f"{PROJECT}/grants": grant,
    }.items():
        answer = client.post(path, body)
        assert answer.status_code == 403, (path, answer.json())
    assert not version.asked.exists()


def test_nobody_makes_a_token_that_speaks_for_another_person(cast):
    for actor in (cast.superuser, cast.owner):
        with pytest.raises(NotYourToken):
            issue_token(
                user=cast.consumer, name="t", actor=actor, at=timezone.now(), project=cast.project
            )


def test_a_person_reads_by_their_grants_with_a_token_of_their_own_alone(cast):
    own = factories.token_for(cast.consumer)
    shell = issue_token(user=cast.consumer, name="t", actor=cast.consumer, at=timezone.now())[1]

    assert reads_as_own(find_token(own, at=timezone.now()).user)
    assert not reads_as_own(find_token(shell, at=timezone.now()).user)
    passwords.note_password_changed(user=cast.consumer, actor=cast.superuser, at=timezone.now())
    assert not reads_as_own(cast.consumer)


@pytest.mark.parametrize(
    "asked",
    [
        {"name": "a\x00b"},
        {"service_account": "a\x00b"},
        {"rights": ["x" * 90_000]},
        {"views": ["\x00"]},
        {"networks": ["x" * 90_000]},
        {"service_account": "x" * 90_000},
    ],
)
def test_nonsense_is_refused_and_not_said_again(owner, cast, asked):
    answer = owner.post(TOKENS, {"name": "x", "days": 1} | asked)

    assert answer.status_code in (404, 422)
    assert len(answer.content) < 2000


def test_a_token_and_an_account_may_have_limits_of_calls(api, cast, churn):
    owner = api(cast.owner)

    made = issue(owner, calls_per_minute=60)
    changed = owner.post(f"{ACCOUNTS}/churn", {"calls_per_minute": 600}).json()
    lifted = owner.post(f"{ACCOUNTS}/churn", {"calls_per_minute": 0}).json()

    assert made["calls_per_minute"] == 60
    assert api(token=made["token"]).get("/api/v1/whoami").json()["limits"]["calls_per_minute"] == 60
    assert (changed["calls_per_minute"], lifted["calls_per_minute"]) == (600, None)
    for path, body in ((f"{ACCOUNTS}/churn", {}), (TOKENS, {"name": "x"})):
        refused = owner.post(path, {**body, "calls_per_minute": -1})
        assert refused.status_code == 422
        assert "whole number" in refused.json()["detail"]
