"""Answers of deprecated versions say so in headers and metadata, through every door."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from registry.models import AuditEntry, FeatureViewVersion
from registry.operations.lifecycle.releases import deprecate_version, restore_version
from serving.online.door import OnlineFirst
from tests import factories
from tests.serving.historical_world import ask as ask_historical
from tests.serving.historical_world import stored_view
from tests.serving.online_world import ask, call, committed, loaded_view

pytestmark = pytest.mark.django_db

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = datetime(2027, 1, 31, 12, tzinfo=UTC)
TOLD = {"Deprecation": "@1793491200", "Sunset": "Sun, 31 Jan 2027 12:00:00 GMT"}
LINE = {
    "name": "driver_hourly",
    "version": "1.0.0",
    "deprecated_at": "2026-11-01T00:00:00Z",
    "sunset_at": "2027-01-31T12:00:00Z",
}
TRIPS = {"features": ["driver_hourly:avg_daily_trips"], "entities": {"driver_id": [1001]}}
ACTION = "/api/v1/projects/rides/feature-views/driver_hourly/versions/1.0.0/deprecate"


@pytest.fixture
def version(cast, now):
    rows = [{"driver_id": 1001, "event": now, "avg_daily_trips": 7}]
    return loaded_view(cast, factories.DEFINITIONS, rows, at=now)


def deprecate(version, cast, **options) -> None:
    with committed():
        deprecate_version(version=version, actor=cast.steward, at=SINCE, **options)


def told(response) -> dict[str, str]:
    return {name: response[name] for name in ("Deprecation", "Sunset") if name in response}


def context(client, token):
    return client.post(
        "/api/v1/projects/rides/get-feature-context",
        TRIPS,
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )


def test_online_answers_say_since_when_and_until_when(client, cast, token, version):
    assert told(ask(client, token, TRIPS)) == {}
    deprecate(version, cast, until=UNTIL)

    response = ask(client, token, TRIPS)

    assert told(response) == TOLD
    assert response.json()["metadata"]["deprecated"] == [LINE]
    said = "driver_hourly@1.0.0 is deprecated, and answers until 2027-01-31."
    assert json.loads(response["Assay-Warnings"]) == [said]
    assert told(context(client, token)) == TOLD

    with committed():
        restore_version(version=version, actor=cast.steward, at=SINCE)
    again = ask(client, token, TRIPS)
    assert told(again) == {}
    assert "deprecated" not in again.json()["metadata"]


def test_the_short_way_says_it_too(cast, token, version):
    deprecate(version, cast)

    def behind(*_):
        raise AssertionError("the short way answers it")

    status, headers, _ = call(OnlineFirst(behind), body=TRIPS, token=token)

    assert (status, headers["Deprecation"]) == ("200 OK", TOLD["Deprecation"])
    assert "Sunset" not in headers


def test_training_sets_say_it_too(client, cast, token):
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    rows = [{"driver_id": 1001, "event": noon, "avg_daily_trips": 3}]
    deprecate(stored_view(cast, rows, at=noon), cast, until=UNTIL)
    entities = {"driver_id": [1001], "event_timestamp": ["2026-03-01T14:00:00Z"]}

    assert told(ask_historical(client, token, {**TRIPS, "entities": entities})) == TOLD


def test_the_api_takes_until_and_keeps_it_in_version_and_trail(client, cast, version):
    token = factories.token_for(cast.steward)
    headers = {"Authorization": f"Bearer {token}"}
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=90)
    for wrong in ("2020-01-01T00:00:00Z", "2126-01-01T00:00:00Z", "soon"):
        body = {"until": wrong}
        refused = client.post(ACTION, body, content_type="application/json", headers=headers)
        assert refused.status_code in (400, 422), refused.content
        assert "until" in refused.json()["detail"]

    body = {"until": until.isoformat(), "comment": "2.0.0 is better"}
    answer = client.post(ACTION, body, content_type="application/json", headers=headers).json()

    assert answer["sunset_at"] == f"{until:%Y-%m-%dT%H:%M:%S}Z"
    assert answer["deprecated_at"] is not None
    assert FeatureViewVersion.objects.get().sunset_at == until
    entry = AuditEntry.objects.get(verb="feature_view_version.deprecated")
    assert entry.data == {"comment": "2.0.0 is better", "until": until.isoformat()}
