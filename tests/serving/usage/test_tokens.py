"""What a token that is limited to views is told of usage: nothing of others, whoever read them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.operations.people.tokens import Limits, issue_token
from tests import factories
from tests.serving.on_demand.world import RISK, approve
from tests.serving.online_world import ask, committed

pytestmark = pytest.mark.django_db

SERVICE = "kind: FeatureService\nname: secret\nfeatures: ['ride_risk:per_trip']\n"
PLAIN = "kind: FeatureService\nname: plain\nfeatures: ['driver_hourly:avg_daily_trips']\n"
ROW = {"driver_id": [1001], "fare": [20]}


@pytest.fixture
def read(client, cast, token, version, stored):
    """Both views are read, the one by itself and through the other, by names of services."""
    approve(cast, RISK)
    with committed():
        factories.apply(SERVICE + "---\n" + PLAIN, cast)
    assert ask(client, token, {"feature_service": "secret", "entities": ROW}).status_code == 200
    plain = {"feature_service": "plain", "entities": {"driver_id": [1001]}}
    assert ask(client, token, plain).status_code == 200
    stored()


@pytest.fixture
def told(client, cast):
    """A function that asks by a token of somebody that is limited to one view."""

    def ask_for(who: str = "consumer", of: str = "driver_hourly", **parameters: str):
        with committed():
            user = getattr(cast, who)
            token = issue_token(
                user=user, name="partner", actor=user, at=timezone.now() - timedelta(minutes=1),
                project=cast.project, limits=Limits(views=[of]),
            )[1]  # fmt: skip
        return client.get(
            "/api/v1/projects/rides/usage", parameters, headers={"Authorization": f"Bearer {token}"}
        )

    return ask_for


@pytest.mark.parametrize("who", ["consumer", "author", "owner"])
@pytest.mark.parametrize("by", ["", "feature", "service", "through", "view,version,through,day"])
def test_a_limited_token_is_told_of_no_other_view_or_service(read, told, usage, who, by):
    assert "ride_risk" in usage(by="view,through").text  # it is there to be told

    answer = told(who, by=by)

    assert answer.status_code == 200
    hidden = ("ride_risk", "per_trip", "secret")
    assert [word for word in hidden if word in answer.text] == []
    assert sum(row["reads"] for row in answer.json()["results"]) > 0


def test_by_the_token_a_call_counts_once_for_each_view_that_it_sees(read, told):
    [row] = told(by="reader").json()["results"]
    assert (row["reads"], row["rows"]) == (2, 2)


def test_a_service_that_reads_more_is_as_if_it_were_not(read, told):
    found = told(by="service").json()["results"]
    assert {row["feature_service"] for row in found} == {"plain", ""}

    refused = told(service="secret")
    assert refused.status_code == 404
    assert told(service="plain").json()["count"] == 1


def test_the_other_way_round_it_is_told_of_the_view_that_it_is_for(read, told):
    found = told(of="ride_risk", by="view,service").json()["results"]
    assert {row["feature_view"] for row in found} == {"ride_risk"}


def test_samples_of_what_is_computed_are_for_those_who_read_what_it_is_computed_of(
    read, told, usage
):
    asked = {"view": "ride_risk", "feature": "per_trip", "samples": "9"}
    assert usage(**asked).status_code == 200

    refused = told("owner", of="ride_risk", **asked)
    assert (refused.status_code, "driver_hourly" in refused.json()["detail"]) == (403, True)
    refused = usage(**asked, service="secret")
    assert (refused.status_code, "leave service out" in refused.json()["detail"]) == (422, True)
