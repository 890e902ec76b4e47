"""How long a log-in lasts, what ends it, and that its key is never one from before."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings as ours
from django.contrib.auth import SESSION_KEY
from django.test import Client
from django.utils import timezone

from featurestore_project.sessions import BEGAN, USED, is_use, why_over
from tests import factories

COOKIE = ours.SESSION_COOKIE_NAME


@pytest.fixture
def cast(db):
    return factories.make_cast()


def logged_in(name="owner"):
    client = Client()
    client.post("/admin/login/", {"username": name, "password": "pw"})
    assert client.get("/admin/").status_code == 200
    return client


def age(client, **by):
    session = client.session
    for key, minutes in by.items():
        session[key] = (timezone.now() - timedelta(minutes=minutes)).isoformat()
    session.save()


def is_in(client):
    return client.get("/admin/").status_code == 200 and SESSION_KEY in client.session


@pytest.mark.parametrize(
    ("began", "used", "lasts"),
    [(599, 59, True), (600, 0, False), (61, 60, False), (60, 59, True)],
)
def test_a_log_in_ends_after_a_working_day_or_unused(cast, began, used, lasts):
    client = logged_in()
    age(client, **{BEGAN: began, USED: used})

    assert is_in(client) is lasts


def test_who_was_logged_out_is_told_why(cast):
    client = logged_in()
    age(client, **{USED: 61})

    page = client.get("/admin/", follow=True)

    assert "You were logged out: you did nothing here for 60 min." in page.text


def test_a_log_in_that_is_over_is_no_log_in_of_the_api(cast):
    client = logged_in()
    age(client, **{BEGAN: 601})

    assert client.get("/api/v1/whoami").status_code == 401


def test_a_session_that_does_not_say_when_it_began_is_over(cast):
    client = logged_in()
    session = client.session
    del session[BEGAN]
    session.save()

    assert not is_in(client)


def test_use_is_noted_once_a_minute_and_a_page_that_asks_by_itself_is_no_use(cast):
    client = logged_in()
    first = client.session[USED]
    client.get("/admin/")
    assert client.session[USED] == first

    age(client, **{USED: 50})
    before = client.session[USED]
    client.get("/admin/", headers={"Sec-Fetch-Mode": "cors"})
    assert client.session[USED] == before
    client.get("/admin/", headers={"Sec-Fetch-Mode": "navigate"})
    assert client.session[USED] > before


def test_a_form_is_use_however_it_is_sent(rf):
    assert is_use(rf.post("/", headers={"Sec-Fetch-Mode": "cors"}))


def test_a_log_in_gets_a_key_that_nobody_knew_before(cast):
    client = Client()
    client.get("/admin/login/")
    session = client.session
    session["planted"] = True
    session.save()
    client.cookies[COOKIE] = planted = session.session_key

    client.post("/admin/login/", {"username": "owner", "password": "pw"})

    assert client.cookies[COOKIE].value != planted
    assert Client(headers={"Cookie": f"{COOKIE}={planted}"}).get("/admin/").status_code == 302


def test_a_new_password_ends_the_log_ins_elsewhere_and_not_the_own(cast):
    here, elsewhere = logged_in(), logged_in()
    new = {"old_password": "pw", "new_password1": "9d-Kfs_2xk", "new_password2": "9d-Kfs_2xk"}

    assert here.post("/admin/password_change/", new).status_code == 302

    assert is_in(here)
    assert not is_in(elsewhere)


def test_the_cookie_is_for_our_pages_alone(cast):
    cookie = logged_in().cookies[COOKIE]

    assert (cookie["samesite"], cookie["httponly"], cookie["path"]) == ("Lax", True, "/")
    assert cookie["max-age"] == 10 * 3600


def test_an_unreadable_instant_ends_a_log_in():
    assert why_over({BEGAN: 7, USED: "x"}, at=timezone.now())
