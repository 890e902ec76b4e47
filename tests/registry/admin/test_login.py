"""Failed log-ins are recorded and limited: per account and address, and more widely per address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from registry.accounts import logins
from registry.models import AuditEntry
from registry.trail.excess import record_excess
from tests.factories import AT

HERE, ELSEWHERE = "10.0.0.7", "10.0.0.8"


@pytest.fixture(autouse=True)
def small_limits(settings, cast):
    settings.FAILED_LOGINS, settings.FAILED_LOGINS_OF_ADDRESS = 3, 8
    settings.FAILED_LOGINS_SECONDS = 900


def attempt(name, password="wrong", address=HERE, **headers):
    fields = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address).post("/admin/login/", fields, headers=headers)


def statuses(name, times, **how):
    return [attempt(name, **how).status_code for _ in range(times)]


def trail():
    entries = AuditEntry.objects.named().filter(verb__startswith="user.log").order_by("id")
    return [(entry.verb, entry.actor_name, entry.subject_label) for entry in entries]


def test_a_log_in_is_in_the_trail_and_so_is_one_that_fails():
    attempt("steward")
    attempt("steward", "pw")
    attempt("my password instead")

    assert trail() == [
        ("user.login_failed", "anonymous", "steward"),
        ("user.logged_in", "steward", HERE),
        ("user.login_failed", "anonymous", "an unknown account"),
    ]
    assert AuditEntry.objects.filter(data__address=HERE).count() == 2


def test_after_some_failures_no_password_is_tried_for_a_while():
    assert statuses("steward", 3) == [200, 200, 200]

    refused = attempt("steward", "pw")

    assert (refused.status_code, "assay_session" in refused.cookies) == (429, False)
    assert 0 < int(refused["Retry-After"]) <= 900
    assert "3 log-ins from your address have failed" in refused.text
    assert len(trail()) == 3


@pytest.mark.parametrize("variant", [" steward", "steward ", "ｓteward", "steward\0"])
def test_another_spelling_is_the_same_account(variant):
    statuses("steward", 3)

    assert attempt(variant, "pw").status_code == 429


def test_nobody_locks_another_out_from_elsewhere():
    statuses("steward", 20)

    assert attempt("steward", "pw", address=ELSEWHERE).status_code == 302


def test_other_accounts_of_the_address_go_on_until_the_wider_limit():
    statuses("steward", 20)
    assert attempt("author", "pw").status_code == 302

    assert statuses("author", 2) + statuses("owner", 3) == [200] * 5
    assert attempt("auditor", "pw").status_code == 429


def test_a_log_in_that_succeeds_is_not_counted():
    assert statuses("steward", 12, password="pw") == [302] * 12


def test_names_of_nobody_are_limited_like_those_of_accounts():
    assert statuses("nobody here", 4) == [200, 200, 200, 429]


def test_a_header_anybody_can_write_gives_no_new_address(settings):
    for number in range(3):
        attempt("steward", **{"X-Forwarded-For": f"1.1.1.{number}"})
    assert attempt("steward", "pw", **{"X-Forwarded-For": "1.1.1.9"}).status_code == 429

    settings.TRUSTED_PROXIES = 1
    assert attempt("steward", "pw", **{"X-Forwarded-For": "1.1.1.9"}).status_code == 302


def test_a_form_half_filled_in_is_no_attempt():
    assert statuses("", 5) == [200] * 5
    assert statuses("steward", 5, password="") == [200] * 5
    assert trail() == []


def test_the_period_passes():
    for number in range(4):
        if number == 3:
            with pytest.raises(logins.TooManyFailures):
                logins.begin("steward", address=HERE, at=AT)
        else:
            logins.begin("steward", address=HERE, at=AT)

    assert logins.begin("steward", address=HERE, at=AT + timedelta(minutes=15)).user is not None


def test_those_over_the_limit_are_one_entry_with_their_number():
    for name in ["steward"] * 5 + ["nobody here"] * 5 + ["auditor"] * 3:
        try:
            login = logins.begin(name, address=HERE, at=AT)
        except logins.TooManyFailures:
            continue
        logins.fail(login, at=AT)
    assert len(trail()) == 8

    record_excess(at=AT + timedelta(minutes=10))
    assert len(trail()) == 8
    record_excess(at=AT + timedelta(minutes=16))
    record_excess(at=AT + timedelta(minutes=16))

    entries = AuditEntry.objects.named().filter(verb="user.login_refused")
    told = {(e.subject_label, e.after["more"], e.data.get("address")) for e in entries}
    assert told == {("steward", 2, HERE), ("an unknown account", 2, HERE), (HERE, 1, None)}


def test_it_is_limited_while_redis_is_away(settings):
    here, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"

    answers = statuses("operator", 4), attempt("owner", "pw", address=ELSEWHERE).status_code

    settings.REDIS_URL = here
    assert answers == ([200, 200, 200, 429], 302)
