"""A token that calls too often in a minute is refused until the next; others are not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from featurestore_project import env
from featurestore_project.call_limits import MOST_TOKENS, CallLimits
from registry.authentication import find_token
from registry.choices import Role
from registry.models import AuditEntry
from registry.operations.people import service_accounts, tokens
from tests import factories

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 1, 12, 0, 48, 500_000, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        return self.at


def limited(*, most=2, most_of=(), clock=None):
    def behind(environ, start_response):
        start_response("200 OK", [])
        return [b"answered"]

    return CallLimits(behind, most=most, most_of=dict(most_of), now=clock or Clock())


def call(application, token="assay_a", path="/api/v1/me"):
    """Return status, headers and body of one call."""
    said: list = []
    environ = {"PATH_INFO": path}
    if token:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    body = b"".join(application(environ, lambda *answer: said.extend(answer)))
    return int(said[0].split()[0]), dict(said[1]), body


def test_the_next_minute_begins_anew():
    clock = Clock()
    application = limited(clock=clock)

    assert [call(application)[0] for _ in range(4)] == [200, 200, 429, 429]
    status, headers, body = call(application)
    assert (status, headers["Retry-After"]) == (429, "12")
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["code"] == "too_many_calls"
    assert "2 calls a minute" in json.loads(body)["detail"]
    clock.at += timedelta(seconds=12)
    assert call(application)[0] == 200


def test_each_token_has_its_own_and_who_has_none_is_not_counted():
    application = limited(most=1)

    assert [call(application, "assay_a")[0] for _ in range(2)] == [200, 429]
    assert call(application, "assay_b")[0] == 200
    assert [call(application, "")[0] for _ in range(3)] == [200] * 3


def test_without_a_limit_all_are_answered():
    application = limited(most=0)

    assert {call(application)[0] for _ in range(50)} == {200}


def test_an_account_may_have_another():
    cast = factories.make_cast()
    token, other = factories.token_for(cast.consumer), factories.token_for(cast.owner)
    application = limited(most=1, most_of={"consumer": 3, "owner": 0})

    assert [call(application, token)[0] for _ in range(4)] == [200, 200, 200, 429]
    assert {call(application, other)[0] for _ in range(5)} == {200}
    assert [call(application, "assay_unknown")[0] for _ in range(2)] == [200, 429]


def test_tokens_that_nobody_knows_do_not_fill_the_memory():
    application = limited(most=1)

    for number in range(MOST_TOKENS + 10):
        call(application, f"assay_{number}")

    assert len(application._counted) <= MOST_TOKENS


@pytest.mark.parametrize("later", [0, 60])
def test_tokens_that_nobody_knows_do_not_make_a_token_begin_anew(later):
    clock = Clock()
    application = limited(most=3, clock=clock)
    for number in range(MOST_TOKENS):
        call(application, f"assay_before_{number}")
    clock.at += timedelta(seconds=later)
    assert [call(application)[0] for _ in range(3)] == [200, 200, 200]

    for number in range(MOST_TOKENS + 10):
        call(application, f"assay_{number}")

    assert call(application)[0] == 429


def test_who_has_which_limit_is_asked_once_a_minute_of_all(django_assert_num_queries):
    cast = factories.make_cast()
    token = factories.token_for(cast.consumer)
    clock = Clock()
    application = limited(most=2, most_of={"consumer": 4}, clock=clock)

    with django_assert_num_queries(1):
        for number in range(50):
            call(application, f"assay_{number}")
        assert [call(application, token)[0] for _ in range(5)] == [200] * 4 + [429]
    clock.at += timedelta(minutes=1)
    with django_assert_num_queries(1):
        assert [call(application, token)[0] for _ in range(5)] == [200] * 4 + [429]


@pytest.mark.parametrize(
    ("own", "of_account", "of_server", "allowed"),
    [
        (3, None, 0, 3),
        (None, 2, 0, 2),
        (3, 2, 5, 2),
        (4, 6, 3, 3),
        (None, None, 0, None),
    ],
)
def test_the_least_of_what_token_account_and_server_say_holds(own, of_account, of_server, allowed):
    cast = factories.make_cast()
    at = timezone.now()
    program = service_accounts.make_service_account(
        project=cast.project, name="churn", role=Role.CONSUMER, actor=cast.owner, at=at
    )
    service_accounts.change_service_account(
        account=program, calls_per_minute=of_account, actor=cast.owner, at=at
    )
    token, text = tokens.issue_token(
        user=program.user, name="t", project=cast.project, actor=cast.owner, at=at,
        limits=tokens.Limits(calls_per_minute=own),
    )  # fmt: skip
    clock = Clock()
    clock.at = at
    application = limited(most=of_server, clock=clock)

    answered = [call(application, text)[0] for _ in range(8)]

    assert answered == [200] * (allowed or 8) + [429] * (8 - (allowed or 8))
    successor, _ = tokens.rotate_token(token=token, actor=cast.owner, at=at)
    assert successor.calls_per_minute == own


def test_zero_lifts_the_limit_of_an_account_and_what_is_no_number_is_refused():
    cast, at = factories.make_cast(), timezone.now()
    program = service_accounts.make_service_account(
        project=cast.project, name="churn", role=Role.CONSUMER, actor=cast.owner, at=at
    )

    def changed(calls):
        return service_accounts.change_service_account(
            account=program, calls_per_minute=calls, actor=cast.owner, at=at
        ).calls_per_minute

    assert [changed(60), changed(None), changed(0)] == [60, 60, None]
    for calls in (-1, 10**9):
        with pytest.raises(service_accounts.BadServiceAccount, match="whole number up to"):
            changed(calls)
    entry = AuditEntry.objects.filter(verb="service_account.changed").latest("pk")
    assert (entry.before["calls_per_minute"], entry.after["calls_per_minute"]) == (60, None)


def test_a_token_makes_none_that_may_call_more():
    cast, at = factories.make_cast(), timezone.now()
    _, text = tokens.issue_token(
        user=cast.owner, name="t", project=cast.project, actor=cast.owner, at=at,
        limits=tokens.Limits(calls_per_minute=10),
    )  # fmt: skip
    actor = find_token(text, at=at).user

    def issued(calls):
        limits = tokens.Limits(calls_per_minute=calls)
        return tokens.issue_token(
            user=actor, name="u", project=cast.project, actor=actor, at=at, days=1, limits=limits
        )[0].calls_per_minute

    assert issued(10) == 10
    for calls in (11, None, 0):
        with pytest.raises(tokens.NotYourToken, match="more calls"):
            issued(calls)


def test_what_is_no_call_of_the_api_is_not_counted():
    application = limited(most=1)

    for path in ("/metrics", "/admin/", "/"):
        assert {call(application, path=path)[0] for _ in range(5)} == {200}
    assert [call(application)[0] for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("token", "shown"),
    [("assay_abcdefghijkl", "assay_abcdef…"), ("short-secret", "none of ours")],
)
def test_the_log_shows_of_a_token_what_lists_show_and_of_other_secrets_nothing(
    caplog, token, shown
):
    application = limited(most=1)

    assert [call(application, token)[0] for _ in range(3)] == [200, 429, 429]

    (record,) = caplog.records
    assert shown in record.getMessage()
    assert token[:5] not in record.getMessage() or token.startswith("assay_")
    assert token[12:] not in record.getMessage() or not token[12:]


def test_limits_are_read(monkeypatch):
    monkeypatch.setenv("LIMITS", "rides/churn=6000, ana = 60,a=b=0")

    assert env.env_numbers("LIMITS") == {"rides/churn": 6000, "ana": 60, "a=b": 0}


@pytest.mark.parametrize("text", ["ana", "=5", "ana=-1", "ana=x", "ana=1.5", "ana=1, ana=2"])
def test_what_is_no_limit_is_refused(monkeypatch, text):
    monkeypatch.setenv("LIMITS", text)

    with pytest.raises(env.BadEnvironment, match="LIMITS has"):
        env.env_numbers("LIMITS")
