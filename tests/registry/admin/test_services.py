"""A service's page and answer: how each member stands, with what is the matter."""

from __future__ import annotations

import pytest
from django.urls import reverse

from registry.models import FeatureService
from registry.operations.lifecycle import releases
from registry.service_health import Health, health_of
from tests.factories import AT, VIEW, apply, make_ready, make_version

pytestmark = pytest.mark.django_db

SERVICE = """
kind: FeatureService
name: eta_model
description: "**Arrival** times"
features:
  - "driver_hourly:conv_rate"
  - "driver_hourly@1.0.0:acc_rate"
  - "driver_hourly@2.0.0:acc_rate"
context: "<b>converts</b> {conv_rate:.2f}"
"""


@pytest.fixture
def service(cast):
    first = make_ready(make_version(cast))
    make_version(cast, text=VIEW.replace("float32, description", "float64, description"))
    apply(SERVICE, cast)
    releases.deprecate_version(version=first, actor=cast.steward, at=AT, comment="Old")
    return FeatureService.objects.get()


def found(service):
    members = list(service.current.members.select_related("feature_view"))
    return [(str(each.member), each.health) for each in health_of(service.project, members)]


def test_each_member_says_what_is_the_matter(service):
    assert found(service) == [
        ("driver_hourly:conv_rate", Health.DEPRECATED),
        ("driver_hourly@1.0.0:acc_rate", Health.DEPRECATED),
        ("driver_hourly@2.0.0:acc_rate", Health.NOT_READY),
    ]


def test_a_member_that_its_default_lacks_is_broken(cast, service):
    made = make_ready(make_version(cast, text=VIEW.replace("conv_rate", "conversion")))
    releases.promote_version(
        version=made, actor=cast.steward, at=AT, force=True, comment="Known to break"
    )

    assert found(service)[0] == ("driver_hourly:conv_rate", Health.BROKEN)


def test_page_and_api_say_the_same(as_, service):
    client = as_("consumer")
    page = client.get(reverse("admin:registry_featureservice_change", args=[service.pk])).text
    answer = client.get("/api/v1/projects/rides/feature-services/eta_model").json()

    assert "1 member not ready" in page
    assert "2 members deprecated" in page
    assert "<strong>Arrival</strong> times" in page
    assert "feature_service=&#x27;eta_model&#x27;" in page
    assert "&lt;b&gt;converts&lt;/b&gt; {conv_rate:.2f}" in page
    assert answer["context"] == "<b>converts</b> {conv_rate:.2f}"
    assert [each["health"] for each in answer["health"]] == [
        "deprecated", "deprecated", "not_ready",
    ]  # fmt: skip
    assert answer["health"][2]["why"] == "driver_hourly@2.0.0 is approved and not materialized yet."
