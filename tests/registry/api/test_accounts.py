"""Accounts and passwords over HTTP: what takes two people waits, and no password is anywhere."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from registry.accounts.passwords import has_own_password
from registry.choices import AccountKind
from registry.models import AuditEntry, Proposal
from registry.operations.people import passwords
from tests import factories
from tests.factories import make_user

pytestmark = pytest.mark.django_db

CHANGE, PASSWORD = "/api/v1/accounts/change", "/api/v1/accounts/password"
PROPOSALS = "/api/v1/proposals"
SECRET = "quite-a-long-one"


@pytest.fixture
def second(cast) -> User:
    return make_user("second_superuser", is_staff=True, is_superuser=True)


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


def test_a_superuser_is_made_by_two(api, cast, second):
    sent = {"user": "outsider", "is_superuser": True, "first_name": "Out"}
    answer = api(cast.superuser).post(CHANGE, sent, format="json")

    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert (body["account"]["is_superuser"], body["account"]["first_name"]) == (False, "Out")
    assert body["proposal"]["could_agree"] == ["second_superuser"]
    assert body["alone"] is False
    assert fresh(cast.outsider).first_name == "Out"
    assert not fresh(cast.outsider).is_superuser
    listed = api(second).get(f"{PROPOSALS}?kind=account&state=proposed").json()["results"]
    assert [each["does"] for each in listed] == [
        "change the account outsider: is superuser no → yes"
    ]
    assert listed[0]["project"] is None
    step = f"{PROPOSALS}/{listed[0]['id']}"
    refused = api(cast.superuser).post(f"{step}/accept")
    assert (refused.status_code, refused.json()["code"]) == (403, "second_person_needed")

    done = api(second).post(f"{step}/accept", {"comment": "fine"})

    assert (done.status_code, done.json()["state"]) == (200, "accepted")
    assert fresh(cast.outsider).is_superuser
    assert fresh(cast.outsider).account.raised_by == [[cast.superuser.pk], [second.pk]]


def test_a_stewards_password_waits_and_only_its_hash_does(api, cast, second, caplog):
    caplog.set_level(0)
    before = fresh(cast.steward).password
    answer = api(cast.superuser).post(
        PASSWORD, {"user": "steward", "password": SECRET}, format="json"
    )

    assert answer.status_code == 200, answer.json()
    assert fresh(cast.steward).password == before
    proposal = Proposal.objects.get()
    assert (proposal.kind, proposal.change) == ("password", {})
    assert "$" in proposal.secret
    said = [answer.content.decode(), caplog.text, str(list(AuditEntry.objects.values()))]
    said.append(api(second).get(PROPOSALS).content.decode())
    assert not any(SECRET in text or proposal.secret in text for text in said)

    api(second).post(f"{PROPOSALS}/{proposal.pk}/accept")

    assert fresh(cast.steward).check_password(SECRET)
    assert not has_own_password(fresh(cast.steward))
    assert Proposal.objects.get().secret == ""


def test_a_refused_password_is_forgotten(api, cast, second):
    before = fresh(cast.steward).password
    api(cast.superuser).post(PASSWORD, {"user": "steward", "password": SECRET}, format="json")
    step = f"{PROPOSALS}/{Proposal.objects.get().pk}/refuse"

    assert api(second).post(step).json()["code"] == "comment_needed"
    answer = api(second).post(step, {"comment": "ask them"})

    assert answer.json()["state"] == "refused"
    assert Proposal.objects.get().secret == ""
    assert fresh(cast.steward).password == before


def test_what_takes_one_is_done_at_once(api, cast, second):
    api(cast.superuser).post(PASSWORD, {"user": "author", "password": SECRET}, format="json")
    shut = api(cast.superuser).post(CHANGE, {"user": "steward", "is_active": False}, format="json")

    assert fresh(cast.author).check_password(SECRET)
    assert shut.json()["proposal"] is None
    assert shut.json()["account"]["is_active"] is False
    assert not Proposal.objects.exists()
    api(cast.superuser).post(CHANGE, {"user": "steward", "is_active": True}, format="json")
    assert not fresh(cast.steward).is_active
    assert Proposal.objects.get().change["after"] == {"is_active": True}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("door", ["api", "admin"])
def test_anothers_password_ends_the_tokens_an_account_made(api, as_, cast, door):
    client = api(cast.author)
    if door == "api":
        api(cast.superuser).post(PASSWORD, {"user": "author", "password": SECRET}, format="json")
    else:
        url = reverse("admin:auth_user_password_change", args=[cast.author.pk])
        form = {"password1": SECRET, "password2": SECRET, "usable_password": "true"}
        assert as_("superuser").post(url, form).status_code == 302

    assert fresh(cast.author).check_password(SECRET)
    assert client.get("/api/v1/whoami").status_code == 401


def test_one_superuser_alone_is_told_so(api, as_, cast):
    sent = {"user": "steward", "email": "s@example.org"}
    answer = api(cast.superuser).post(CHANGE, sent, format="json")

    assert answer.json()["alone"] is True
    assert fresh(cast.steward).email == "s@example.org"
    given = api(cast.superuser).post(PASSWORD, {"user": "steward", "password": SECRET})
    assert given.json()["alone"] is True
    url = reverse("admin:auth_user_password_change", args=[cast.steward.pk])
    form = {"password1": SECRET, "password2": SECRET, "usable_password": "true"}
    page = as_("superuser").post(url, form, follow=True)
    assert "Nobody else could agree to that" in page.content.decode()


@pytest.mark.parametrize("who", ["outsider", "consumer", "author", "steward", "owner"])
def test_only_superusers_come_here(api, cast, second, who):
    client = api(getattr(cast, who))
    for url, body in (
        (CHANGE, {"user": "outsider", "is_superuser": True}),
        (CHANGE, {"user": "nobody_is_called_so", "is_superuser": True}),
        (PASSWORD, {"user": "steward", "password": SECRET}),
    ):
        answer = client.post(url, body, format="json")
        assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
    assert client.get("/api/v1/accounts").status_code == 403
    assert client.get(PROPOSALS).status_code == 403
    assert client.post(f"{PROPOSALS}/1/accept").status_code == 403
    assert not User.objects.filter(pk=cast.outsider.pk, is_superuser=True).exists()
    assert "nobody_is_called_so" not in str(list(AuditEntry.objects.values()))


def test_nobody_agrees_to_what_is_about_themselves_or_their_hand_wants(api, cast, second):
    third = make_user("third", is_staff=True, is_superuser=True)
    api(cast.superuser).post(PASSWORD, {"user": "third", "password": SECRET}, format="json")
    step = f"{PROPOSALS}/{Proposal.objects.get().pk}/accept"

    assert api(third).post(step).json()["code"] == "second_person_needed"
    # Whose password the proposer once set is their hand.
    passwords.note_password_changed(user=second, actor=cast.superuser, at=timezone.now())
    passwords.note_password_changed(user=second, actor=second, at=timezone.now())
    assert api(second).post(step).json()["code"] == "second_person_needed"
    assert not fresh(third).check_password(SECRET)


def test_a_wish_is_surely_the_actors_own(api, cast, second, capsys):
    call_command("issue_token", "superuser")
    shell = api(token=capsys.readouterr().out.strip())
    bound = api(
        token=factories.tokens.issue_token(
            user=cast.superuser, name="t", actor=cast.superuser, at=timezone.now(),
            project=cast.project, is_logged_in=True,
        )[1]
    )  # fmt: skip
    bodies = {CHANGE: {"user": "author", "is_active": False}}
    bodies[PASSWORD] = {"user": "author", "password": SECRET}
    for url, body in bodies.items():
        assert shell.post(url, body, format="json").json()["code"] == "token_may_not_decide"
        assert bound.post(url, body, format="json").json()["code"] == "token_too_narrow"
    client = api(cast.superuser)
    cast.superuser.set_password("set past us")
    cast.superuser.save()
    for url, body in bodies.items():
        assert client.post(url, body, format="json").json()["code"] == "password_not_your_own"
    assert fresh(cast.author).is_active
    assert not fresh(cast.author).check_password(SECRET)


def test_ones_own_password_takes_the_old_one(api, cast):
    answer = api(cast.superuser).post(PASSWORD, {"user": "superuser", "password": SECRET})

    assert (answer.status_code, answer.json()["code"]) == (409, "own_password")
    assert not fresh(cast.superuser).check_password(SECRET)


def test_a_program_gets_no_password(api, cast, robot):
    answer = api(cast.superuser).post(PASSWORD, {"user": robot.username, "password": SECRET})

    assert (answer.status_code, answer.json()["code"]) == (409, "service_account_has_no_login")


@pytest.mark.parametrize("secret", ["xqz7", "password1", "a" * 1001, "a\x00" * 10, 7])
def test_a_bad_password_is_refused_and_not_repeated(api, cast, secret):
    body = json.dumps({"user": "author", "password": secret})
    answer = api(cast.superuser).post(PASSWORD, body, content_type="application/json")

    assert answer.status_code == 422
    assert answer.json()["code"] in ("invalid_password", "invalid_body")
    assert str(secret) not in answer.json()["detail"].replace("1000", "")
    assert fresh(cast.author).check_password("pw")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"user": "author"}, 422, "invalid_account"),
        ({"user": "author", "email": "no address"}, 422, "invalid_account"),
        ({"user": "author", "email": "x" * 300 + "@example.org"}, 422, "invalid_account"),
        ({"user": "author", "first_name": "a\x00b"}, 422, "invalid_account"),
        ({"user": "author", "last_name": "x" * 151}, 422, "invalid_account"),
        ({"user": "author", "username": "a b"}, 422, "invalid_account"),
        ({"user": "author", "username": ""}, 422, "invalid_account"),
        ({"user": "author", "username": "steward"}, 409, "name_taken"),
        ({"user": "author", "is_active": "no"}, 422, "invalid_body"),
        ({"user": "author", "is_active": None}, 422, "invalid_body"),
        ({"user": "author", "kind": "robot"}, 422, "invalid_body"),
        ({"user": "author", "superuser": True}, 422, "invalid_body"),
        ({"is_active": False}, 422, "invalid_body"),
        ({"user": "auther", "is_active": False}, 404, "account_not_found"),
        ({"user": "\x00", "is_active": False}, 404, "account_not_found"),
        ({"user": "superuser", "is_superuser": False}, 409, "last_superuser"),
    ],
)
def test_what_no_account_can_be_is_refused(api, cast, body, status, code):
    answer = api(cast.superuser).post(CHANGE, body, format="json")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert fresh(cast.author).email == ""


def test_accounts_are_listed_by_name(api, cast, robot):
    client = api(cast.superuser)
    listed = client.get("/api/v1/accounts?limit=2").json()
    assert listed["count"] == User.objects.count()
    assert len(listed["results"]) == 2
    (one,) = client.get(f"/api/v1/accounts?user={robot.username}").json()["results"]
    assert (one["kind"], one["login"]) == ("service_account", False)
    assert "password" not in one


def test_a_person_is_made_a_program_and_loses_the_login(api, cast):
    answer = api(cast.superuser).post(
        CHANGE, {"user": "author", "kind": AccountKind.SERVICE}, format="json"
    )

    assert answer.json()["account"]["login"] is False
    assert not fresh(cast.author).has_usable_password()
