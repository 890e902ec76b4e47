"""Who may read online, and from when on a change counts: from the very next request.

Changes reach a reader through Redis and the database only, so one process stands for any other.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from registry.authentication import TokenExpired
from registry.choices import Role, State
from registry.models import ApiToken, AuditEntry
from registry.operations.lifecycle import releases
from registry.operations.lifecycle.after_glass import confirm_glass
from registry.operations.lifecycle.glass import break_glass
from registry.operations.people import members, tokens
from serving.edges import online_limits
from serving.online.read import get_online_features
from serving.online.request import OnlineRequest
from tests import factories
from tests.serving.online_world import ask, columns, committed, loaded_view

pytestmark = pytest.mark.django_db

REQUEST = {"features": ["driver_hourly:avg_daily_trips"], "entities": {"driver_id": [1001]}}


@pytest.fixture
def version(cast, now):
    return loaded_view(
        cast,
        factories.DEFINITIONS,
        [{"driver_id": 1001, "event": now, "avg_daily_trips": 7}],
        at=now,
    )


@pytest.mark.parametrize(
    ("who", "status", "code"),
    [
        ("outsider", 404, "project_not_found"),
        ("auditor", 403, "not_permitted"),
        ("operator", 403, "not_permitted"),
        ("consumer", 200, None),
        ("author", 200, None),
        ("owner", 200, None),
    ],
)
def test_who_may_read_online(client, cast, version, who, status, code):
    token = factories.token_for(getattr(cast, who))

    for _ in ("cold", "warm"):
        response = ask(client, token, REQUEST)
        assert (response.status_code, response.json().get("code")) == (status, code)


@pytest.mark.parametrize(("token", "code"), [(None, "token_missing"), ("assay_x", "token_unknown")])
def test_without_a_live_token_nobody_reads(client, version, token, code):
    response = ask(client, token, REQUEST)

    assert (response.status_code, response.json()["code"]) == (401, code)
    assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 5000,
        b'{"zz": "\\ud800"}',
        b'{"features": ["a:b"], "entities": {"k": [1e400]}}',
        {"entities": {}},
        {**REQUEST, "entities": {"a": [1], "b": [1, 2]}},
        {**REQUEST, "entities": {"driver_id": [0] * 10_001}},
    ],
)
@pytest.mark.parametrize(("token", "code"), [(None, "token_missing"), ("assay_x", "token_unknown")])
def test_without_a_live_token_nobody_learns_what_is_wrong(client, version, body, token, code):
    response = ask(client, token, body)

    assert (response.status_code, response.json()["code"]) == (401, code)


@pytest.mark.parametrize(
    ("who", "here", "elsewhere"),
    [("nobody", 401, 401), ("outsider", 404, 404), ("owner", 503, 404)],
)
def test_while_redis_is_down_a_project_shows_itself_to_its_members_only(
    client, cast, settings, who, here, elsewhere
):
    token = "assay_x" if who == "nobody" else factories.token_for(getattr(cast, who))
    settings.REDIS_URL = "unix:///nowhere.sock"

    answers = [ask(client, token, REQUEST, project=name) for name in ("rides", "trips")]

    assert [answer.status_code for answer in answers] == [here, elsewhere]


def test_a_denial_leaves_its_trace(client, cast, version):
    ask(client, factories.token_for(cast.auditor), REQUEST)

    assert AuditEntry.objects.latest("id").actor_name == "auditor"


def test_a_revoked_token_is_refused_on_the_very_next_request(client, cast, token, version, now):
    assert ask(client, token, REQUEST).status_code == 200

    with committed():
        tokens.revoke_token(
            token=ApiToken.objects.get(user=cast.consumer), actor=cast.consumer, at=now
        )

    response = ask(client, token, REQUEST)
    assert (response.status_code, response.json()["code"]) == (401, "token_revoked")


def test_a_role_taken_away_counts_from_the_very_next_request(client, cast, token, version, now):
    assert ask(client, token, REQUEST).status_code == 200

    with committed():
        members.revoke_role(
            project=cast.project,
            user=cast.consumer,
            role=Role.CONSUMER,
            actor=cast.owner,
            at=now,
        )

    assert ask(client, token, REQUEST).status_code == 404


def test_a_token_expires_at_its_instant_without_a_change(cast, token, version):
    expires = ApiToken.objects.get(user=cast.consumer).expires_at
    question = {
        "project": "rides",
        "token": token,
        "request": OnlineRequest(**REQUEST),
        "limits": online_limits(),
    }

    get_online_features(**question, at=expires - timedelta(microseconds=1))

    with pytest.raises(TokenExpired):
        get_online_features(**question, at=expires)


def test_a_token_of_one_project_does_not_read_another(client, cast, version, now):
    other = factories.make_project("other", cast.owner)
    _, text = tokens.issue_token(user=cast.owner, name="t", actor=cast.owner, at=now, project=other)

    assert ask(client, text, REQUEST).status_code == 401


def test_a_promoted_version_answers_from_the_very_next_request(client, cast, token, version, now):
    changed = factories.VIEW.replace("type: int32", "type: int64")
    second = loaded_view(
        cast,
        changed,
        [{"driver_id": 1001, "event": now, "avg_daily_trips": 8}],
        at=now,
    )
    before = columns(ask(client, token, REQUEST))["avg_daily_trips"][0]

    with committed():
        releases.promote_version(version=second, actor=cast.steward, at=now)

    assert (before, columns(ask(client, token, REQUEST))["avg_daily_trips"][0]) == ([7], [8])


def test_what_a_kept_plan_refuses_is_asked_again_after_a_change(client, cast, token, version, now):
    """A new default version has another join key: the old plan must not refuse the new question."""
    ask(client, token, REQUEST)
    entity = factories.ENTITY.replace("driver_id", "pilot_id")
    changed = "\n---\n".join((entity, factories.SOURCE, factories.VIEW))
    second = loaded_view(
        cast,
        changed,
        [{"pilot_id": 5, "event": now, "avg_daily_trips": 8}],
        at=now,
    )
    request = {**REQUEST, "entities": {"pilot_id": [5]}}
    refused = ask(client, token, request)

    with committed():
        releases.promote_version(version=second, actor=cast.steward, at=now)

    assert (refused.status_code, refused.json()["code"]) == (422, "missing_join_key")
    assert columns(ask(client, token, request))["avg_daily_trips"][0] == [8]


def test_a_deprecated_version_answers_and_says_so(client, cast, token, version, now):
    with committed():
        releases.deprecate_version(version=version, actor=cast.steward, at=now)

    response = ask(client, token, REQUEST)

    assert response["Assay-Warnings"] == '["driver_hourly@1.0.0 is deprecated."]'
    assert columns(response)["avg_daily_trips"][0] == [7]


def test_what_one_person_approved_alone_answers_and_says_so(client, cast, token, version, now):
    text = factories.VIEW.replace("Conversion rate", "Share")
    with committed():
        second = factories.make_version(cast, state=State.IN_REVIEW, text=text)
        shown = factories.seen(second)
        broken = {"at": now, "packet_hash": shown, "comment": "The scorer is down."}
        break_glass(version=second, actor=cast.owner, **broken)
    request = {**REQUEST, "features": ["driver_hourly@1.0.1:avg_daily_trips"]}

    response = ask(client, token, request)

    assert columns(response)["avg_daily_trips"][0] == [7]
    assert "driver_hourly@1.0.1 was approved by breaking the glass" in response["Assay-Warnings"]
    assert "nobody else has confirmed it" in response["Assay-Warnings"]
    assert "Assay-Warnings" not in ask(client, token, REQUEST)
    with committed():
        confirm_glass(version=second, actor=cast.steward, at=now, packet_hash=shown)
    assert "Assay-Warnings" not in ask(client, token, request)


def test_a_retired_version_is_gone(client, cast, token, version, now):
    pinned = {**REQUEST, "features": ["driver_hourly@1.0.0:avg_daily_trips"]}
    assert ask(client, token, pinned).status_code == 200

    with committed():
        releases.retire_version(
            version=version, actor=cast.steward, at=now, comment="wrong", force=True
        )

    assert ask(client, token, pinned).status_code == 410
    assert ask(client, token, REQUEST).status_code == 503
