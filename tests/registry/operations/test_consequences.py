"""What a plan tells of each change: what differs, who reads it, what breaks; and who may plan."""

from __future__ import annotations

import json

import pytest

from registry.choices import Role, State
from registry.models import AuditEntry, FeatureView
from tests import factories
from tests.factories import DEFINITIONS, VIEW, make_version

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects/rides/definitions?dry_run=true&details=true"
SERVICES = """
kind: FeatureService
name: eta
features: ["driver_hourly:conv_rate", "driver_hourly:acc_rate"]
---
kind: FeatureService
name: old_model
features: ["driver_hourly@1.0.0:conv_rate"]
---
kind: OnDemandFeatureView
name: busy
inputs: {features: ["driver_hourly:conv_rate"], request: {trips: int32}}
features: [{name: ratio, type: float64, sql: "conv_rate * trips"}]
"""
WITHOUT_RATE = VIEW.replace(
    "  - {name: conv_rate, type: float32, description: Conversion rate}\n", ""
)


@pytest.fixture
def planner(cast):
    """A service account that may plan, and nothing else."""
    return factories.make_service_account("ci", cast, Role.PLANNER)


@pytest.fixture
def world(cast):
    """A default version that services and a computed view read, one of them pinned."""
    version = make_version(cast, state=State.APPROVED)
    FeatureView.objects.filter(pk=version.feature_view_id).update(default_version=version)
    factories.apply(SERVICES, cast)
    return version


def plan(client, text, *, url=URL):
    return client.post(url, text, content_type="application/yaml")


def change_of(response, name):
    return next(each for each in response.json()["changes"] if each["name"] == name)


def test_a_removed_feature_says_who_breaks_and_who_goes_on(api, cast, world):
    found = change_of(plan(api(cast.author), "\n" + WITHOUT_RATE), "driver_hourly")

    assert found["class"] == "major"
    assert found["breaks"] == [
        {"kind": "FeatureService", "name": "eta", "why": ["no conv_rate"]},
        {"kind": "OnDemandFeatureView", "name": "busy", "why": ["no conv_rate"]},
    ]
    assert found["following"] == ["eta"]
    assert found["pinned"] == ["old_model: driver_hourly@1.0.0:conv_rate"]
    assert (found["file"], found["line"]) == ("definitions.yaml", 3)
    (difference,) = found["differences"]
    assert difference["path"] == "view.features.conv_rate"
    assert "- name: conv_rate" in difference["lines"].split("\n")


def test_a_service_that_loses_a_feature_breaks_its_readers(api, cast, world):
    text = 'kind: FeatureService\nname: eta\nfeatures: ["driver_hourly@1.0.0:acc_rate"]\n'

    found = change_of(plan(api(cast.author), text), "eta")

    assert found["breaks"] == [
        {"kind": "FeatureService", "name": "eta", "why": ["no driver_hourly:conv_rate"]}
    ]
    assert [each["path"] for each in found["differences"]] == ["features"]


def test_what_follows_a_changed_source_says_what_it_follows(api, cast, world):
    text = factories.SOURCE.replace("driver_stats.parquet", "newer.parquet")

    response = plan(api(cast.author), text)

    source, view = response.json()["changes"]
    assert [each["path"] for each in source["differences"]] == ["path"]
    assert view["because_of"] == ["driver_stats"]
    assert (view["file"], view["line"]) == (None, None)
    assert view["differences"]


def test_nothing_is_told_in_detail_without_being_asked(api, cast, world):
    url = "/api/v1/projects/rides/definitions?dry_run=true"

    assert "breaks" not in json.dumps(plan(api(cast.author), DEFINITIONS, url=url).json())


@pytest.mark.parametrize("submit", ["", "&submit=true"])
def test_a_planner_is_told_what_an_author_is_and_registers_nothing(
    api, cast, world, planner, submit
):
    entries = AuditEntry.objects.count()

    told = plan(api(planner), WITHOUT_RATE, url=URL + submit)

    assert told.status_code == 200
    assert told.json() == plan(api(cast.author), WITHOUT_RATE, url=URL + submit).json()
    assert AuditEntry.objects.exclude(verb__startswith="token").count() <= entries + 2
    refused = plan(api(planner), WITHOUT_RATE, url="/api/v1/projects/rides/definitions")
    assert (refused.status_code, refused.json()["permission"]) == (403, "add_featureview")
    assert not world.feature_view.versions.filter(state=State.DRAFT).exists()


@pytest.mark.parametrize(
    ("who", "status"),
    [("consumer", 403), ("auditor", 403), ("steward", 403), ("outsider", 404), ("owner", 200)],
)
def test_who_may_plan(api, cast, world, who, status):
    response = plan(api(getattr(cast, who)), WITHOUT_RATE)

    assert response.status_code == status
    if status == 403:
        assert response.json()["permission"] == "plan_featureview"
