"""``POST login``: a password for a token of one's own, by the same doors as the admin's."""

from __future__ import annotations

import io

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from registry.models import ApiToken, AuditEntry, Membership
from registry.operations.people import users
from tests.factories import AT

pytestmark = [pytest.mark.django_db, pytest.mark.database("sqlite", "postgresql")]
GIVEN, OWN = "given-9d-Kfs_2xk", "own-9d-Kfs_2xk-long"


@pytest.fixture
def ana(cast):
    """An account whose password a superuser set."""
    user = User(username="ana", is_staff=True)
    user.set_password(GIVEN)
    users.add_user(user=user, kind="person", actor=cast.superuser, at=AT)
    return user


def log_in(**body):
    body = {"username": "ana", "password": GIVEN} | body
    return Client().post("/api/v1/login", body, content_type="application/json")


def whoami(text):
    return Client().get("/api/v1/whoami", headers={"Authorization": f"Bearer {text}"})


def test_anothers_password_takes_one_of_ones_own_first(ana):
    refused = log_in()

    assert (refused.status_code, refused.json()["code"]) == (409, "password_not_your_own")
    assert not AuditEntry.objects.filter(verb="user.logged_in").exists(), "nobody is in yet"
    assert not ApiToken.objects.filter(user=ana).exists()

    made = log_in(new_password=OWN)

    assert made.status_code == 201, made.json()
    assert made["Cache-Control"] == "no-store"
    assert whoami(made.json()["token"]).json()["user"] == "ana"
    assert ApiToken.objects.get(user=ana).may_decide
    assert log_in().json()["code"] == "login_failed"
    assert log_in(password=OWN, token_name="laptop", days=1).json()["name"] == "laptop"


def test_each_leaves_its_entry_and_no_password_anywhere(ana):
    log_in(new_password=OWN)
    log_in(password="wrong-one")

    verbs = AuditEntry.objects.order_by("pk").values_list("verb", flat=True)
    assert [verb for verb in verbs if verb.startswith(("user.l", "user.p", "api_"))][-4:] == [
        "user.password_changed",
        "api_token.issued",
        "user.logged_in",
        "user.login_failed",
    ]
    kept = str(list(AuditEntry.objects.values()))
    assert not [word for word in (GIVEN, OWN, "wrong-one") if word in kept]


@pytest.mark.parametrize(
    "body",
    [
        {"username": "nobody"},
        {"password": "another-one"},
        {"username": "batch"},
        {"username": "ana\0"},
        {"password": f"{GIVEN}\0"},
    ],
)
def test_what_is_wrong_is_not_told(ana, cast, body):
    batch = User(username="batch")
    batch.set_unusable_password()
    users.add_user(user=batch, kind="service_account", actor=cast.superuser, at=AT)

    refused = log_in(**body)

    assert (refused.status_code, refused.json()["code"]) == (401, "login_failed")
    assert refused.json()["detail"] == "no account has this name and this password."


def test_an_account_that_is_shut_out_gets_none(ana):
    User.objects.filter(pk=ana.pk).update(is_active=False)

    assert log_in(new_password=OWN).json()["code"] == "login_failed"
    ana.refresh_from_db()
    assert ana.check_password(GIVEN)


def test_so_many_failures_are_tried_no_more(ana, settings):
    settings.FAILED_LOGINS = 2
    for _ in range(2):
        assert log_in(password="another-one").status_code == 401

    refused = log_in(new_password=OWN)

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_failed_logins")
    assert int(refused["Retry-After"]) > 0
    assert not ApiToken.objects.filter(user=ana).exists()


def test_where_a_provider_knows_people_no_password_is_taken(ana, settings):
    settings.LOCAL_LOGIN = False

    refused = log_in(new_password=OWN)

    assert (refused.status_code, refused.json()["code"]) == (403, "passwords_not_taken")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"new_password": "short"}, "invalid_password"),
        ({"new_password": GIVEN}, "invalid_password"),
        ({"new_password": OWN * 100}, "invalid_password"),
        ({"new_password": f"{OWN}\0"}, "invalid_password"),
        ({"new_password": OWN, "days": 100_000}, "invalid_token_request"),
        ({"new_password": OWN, "token_name": ""}, "invalid_token_request"),
    ],
)
def test_what_no_token_or_password_can_be_changes_nothing(ana, body, code):
    refused = log_in(**body)

    assert refused.status_code == 422
    assert refused.json()["code"] == code
    ana.refresh_from_db()
    assert ana.check_password(GIVEN)
    assert not ApiToken.objects.filter(user=ana).exists()


@pytest.mark.parametrize("body", [{}, {"username": 1, "password": "x"}, {"username": "\0" * 9}])
def test_a_body_of_another_shape_is_said(ana, body):
    refused = Client().post("/api/v1/login", body, content_type="application/json")

    assert refused.status_code == 422
    assert "username" in refused.json()["detail"]


def create(*arguments):
    out = io.StringIO()
    call_command("create_project", "shop", "--owner", "superuser", *arguments, stdout=out)
    return out.getvalue()


def test_a_project_is_made_with_its_people_at_once(ana, cast):
    said = create("--author", "ana", "--steward", "steward", "--consumer", "ana")

    assert said == (
        "project shop created; superuser owns it. ana is consumer. ana is author."
        " steward is steward.\n"
    )
    held = Membership.objects.filter(project__name="shop", user=ana)
    assert {each.role for each in held} == {"author", "consumer"}


def test_a_project_with_somebody_who_is_not_there_is_not_made(cast):
    with pytest.raises(CommandError, match="no user 'grace'; `manage.py create_user`"):
        create("--steward", "grace")

    assert not Membership.objects.filter(project__name="shop").exists()
