"""get-online-features: wrong requests, and a Redis that is down, emptied or not loaded."""

from __future__ import annotations

import pytest
from django.utils import timezone

from lib.connections import get_redis
from materialization.edges.stores import online_store
from tests import factories
from tests.serving.online_world import ask, columns, load, loaded_view

pytestmark = pytest.mark.django_db

ROWS = {"driver_id": [1001]}
TRIPS = ["driver_hourly:avg_daily_trips"]
REQUEST = {"features": TRIPS, "entities": ROWS}
DEEP = b'{"features": ["%s"], "entities": {"driver_id": [%s]}}' % (
    TRIPS[0].encode(),
    b"[" * 900 + b"]" * 900,
)
OFFLINE_ONLY = factories.VIEW.replace("driver_hourly", "driver_offline") + "online: false\n"


@pytest.fixture
def version(cast):
    now = timezone.now()
    return loaded_view(
        cast,
        factories.DEFINITIONS,
        [{"driver_id": 1001, "event": now, "avg_daily_trips": 7}],
        at=now,
    )


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"{", 422, "invalid_request", "not JSON"),
        (b"[]", 422, "invalid_request", "object"),
        (b"", 422, "invalid_request", "not JSON"),
        (b'{"entities": {"k": ["\xff"]}}', 422, "invalid_request", "not JSON: 'utf-8'"),
        (b"[" * 5000, 422, "invalid_request", "nested too deeply"),
        (b'{"entities": {"k": [' + b"[" * 5000, 422, "invalid_request", "nested too deeply"),
        (b'{"zz": "\\ud800"}', 422, "invalid_request", "not JSON"),
        (b'{"\\ud800": 1}', 422, "invalid_request", "not JSON"),
        (b'{"entities": {"k": [1e400]}}', 422, "invalid_request", "Number out of range"),
        (b'{"zz": 1, "entities": {"k": [1e400]}}', 422, "invalid_request", "Number out of range"),
        (DEEP, 422, "bad_key_value", "a deeply nested value is not"),
        ({"feature_service": "a\0", "entities": ROWS}, 422, "invalid_request", "NUL"),
        ({"features": ["a\0:b"], "entities": ROWS}, 422, "invalid_reference", "view:feature"),
        ({"features": TRIPS}, 422, "invalid_request", "entities"),
        ({"entities": ROWS}, 422, "invalid_request", "feature_service"),
        (
            {"features": TRIPS, "feature_service": "x", "entities": ROWS},
            422,
            "invalid_request",
            "either",
        ),
        ({**REQUEST, "featuers": []}, 422, "invalid_request", "Did you mean 'features'?"),
        ({"features": [1], "entities": ROWS}, 422, "invalid_request", "str"),
        ({"features": TRIPS, "entities": {"driver_id": 1001}}, 422, "invalid_request", "array"),
        (
            {"features": ["driver_hourly"], "entities": ROWS},
            422,
            "invalid_reference",
            "view:feature",
        ),
        (
            {"features": ["driver_hourli:x"], "entities": ROWS},
            404,
            "reference_not_found",
            "'driver_hourly'",
        ),
        (
            {"features": ["driver_hourly:conv_rat"], "entities": ROWS},
            404,
            "reference_not_found",
            "'conv_rate'",
        ),
        (
            {"features": ["driver_hourly@9.0.0:conv_rate"], "entities": ROWS},
            404,
            "reference_not_found",
            "1.0.0",
        ),
        ({"feature_service": "churn", "entities": ROWS}, 404, "feature_service_not_found", "churn"),
        ({"features": TRIPS, "entities": {}}, 422, "missing_join_key", "driver_hourly needs"),
        ({"features": TRIPS, "entities": {"driver": [1]}}, 422, "missing_join_key", "'driver_id'"),
        (
            {"features": TRIPS, "entities": {**ROWS, "driver_ids": [1]}},
            422,
            "unknown_entity_column",
            "'driver_id'",
        ),
        ({"features": TRIPS, "entities": {**ROWS, "b": [1, 2]}}, 422, "unequal_lengths", "b has 2"),
        (
            {"features": TRIPS * 2, "entities": ROWS, "full_feature_names": True},
            422,
            "feature_name_collision",
            "'driver_hourly:avg_daily_trips' is asked for twice; name it once.",
        ),
        (
            {"features": TRIPS, "entities": {"driver_id": [0] * 10_001}},
            413,
            "too_many_entity_rows",
            "at most 10000",
        ),
    ],
)
def test_a_request_that_cannot_be_right_is_told_why(
    client, token, version, body, status, code, says
):
    for _ in ("cold", "warm"):
        response = ask(client, token, body)

        assert (response.status_code, response.json()["code"]) == (status, code)
        assert says in response.json()["detail"]
        assert response["Content-Type"] == "application/problem+json"


def test_a_body_over_the_limit_is_refused_before_it_is_read(client, token, version, settings):
    settings.ONLINE_MAX_BYTES = 100

    response = ask(
        client, token, {"features": TRIPS, "entities": {"driver_id": list(range(1_000))}}
    )

    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert response.json()["limit"] == 100


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_only_post_is_accepted(client, token, method):
    path = "/api/v1/projects/rides/get-online-features"

    assert (
        getattr(client, method)(path, headers={"Authorization": f"Bearer {token}"}).status_code
        == 405
    )


def test_a_view_that_is_not_online_says_where_it_can_be_read(client, token, cast, version):
    loaded_view(cast, OFFLINE_ONLY, [], at=timezone.now())

    response = ask(client, token, {"features": ["driver_offline:conv_rate"], "entities": ROWS})

    assert (response.status_code, response.json()["code"]) == (422, "not_served_online")
    assert "get-historical-features" in response.json()["detail"]


def test_a_version_that_was_never_materialized_is_not_ready(client, token, cast):
    factories.make_version(cast)

    response = ask(client, token, REQUEST)

    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert response["Retry-After"] == "1"


def test_a_table_without_its_marker_is_not_loaded_and_never_not_found(client, token, version):
    assert ask(client, token, REQUEST).status_code == 200
    online_store().drop(version.table.uid)

    response = ask(client, token, REQUEST)

    assert (response.status_code, response.json()["code"]) == (503, "not_loaded")
    assert response.json()["version"] == "driver_hourly@1.0.0"


def test_an_emptied_redis_is_said_and_recovers_by_itself(client, token, version):
    now = timezone.now()
    assert ask(client, token, REQUEST).status_code == 200
    get_redis().flushall()

    assert ask(client, token, REQUEST).json()["code"] == "not_loaded"

    load(version, [{"driver_id": 1001, "event": now, "avg_daily_trips": 8}], at=now)
    assert columns(ask(client, token, REQUEST))["avg_daily_trips"][0] == [8]


def test_a_redis_that_is_down_is_said_and_recovers_by_itself(client, token, version, settings):
    assert ask(client, token, REQUEST).status_code == 200
    url = settings.REDIS_URL
    settings.REDIS_URL = "unix:///nowhere.sock"

    response = ask(client, token, REQUEST)

    assert (response.status_code, response.json()["code"]) == (503, "redis_unreachable")
    settings.REDIS_URL = url
    assert ask(client, token, REQUEST).status_code == 200


def test_a_new_connection_to_the_same_redis_costs_no_plans(
    client, token, version, settings, django_assert_num_queries
):
    settings.PLAN_CONFIRM_SECONDS = 600
    ask(client, token, REQUEST)
    get_redis().connection_pool.disconnect()

    with django_assert_num_queries(0):
        assert ask(client, token, REQUEST).status_code == 200
