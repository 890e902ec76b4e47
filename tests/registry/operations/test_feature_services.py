"""Registering feature services: references checked, the star expanded, each change a version."""

from __future__ import annotations

import pytest

from registry.models import FeatureService
from registry.operations.lifecycle import releases
from registry.reading.parsing import InvalidDefinitions
from tests.factories import AT, DEFINITIONS, VIEW, apply, make_version

pytestmark = pytest.mark.django_db

SERVICE = """
kind: FeatureService
name: eta_model
features: ["driver_hourly:*"]
"""


def test_a_service_expands_its_star_once(cast):
    apply(DEFINITIONS + "\n---\n" + SERVICE, cast)

    service = FeatureService.objects.get()
    assert [str(member) for member in service.current.members.all()] == [
        "driver_hourly:conv_rate",
        "driver_hourly:acc_rate",
        "driver_hourly:avg_daily_trips",
    ]


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("driver_hurly:acc_rate", "Did you mean 'driver_hourly'"),
        ("driver_hourly:acc_rat", "Did you mean 'acc_rate'"),
        ("driver_hourly@9.0.0:acc_rate", "no version '9.0.0'"),
    ],
)
def test_a_reference_to_what_is_not_there_names_the_nearest(cast, reference, says):
    make_version(cast)

    with pytest.raises(InvalidDefinitions, match=says):
        apply(SERVICE.replace("driver_hourly:*", reference), cast)


def test_every_wrong_reference_is_named_and_the_nearest_of_the_first_ones(
    cast, django_assert_max_num_queries
):
    make_version(cast)
    wrong = [f"driver_hurly:rate_{n}" for n in range(200)]
    wrong += [f"driver_hourly:rate_{n}" for n in range(200)]
    wrong += [f"driver_hourly@9.0.{n % 2}:rate_{n}" for n in range(200)]

    with django_assert_max_num_queries(60), pytest.raises(InvalidDefinitions) as caught:
        apply(SERVICE.replace('["driver_hourly:*"]', str(wrong)), cast)

    messages = [problem.message for problem in caught.value.problems]
    assert len(messages) == 600
    assert ["Did you mean" in message for message in messages] == [True] * 10 + [False] * 590


def test_a_reference_to_a_view_that_is_refused_itself_is_not_at_fault(cast):
    text = DEFINITIONS.replace("entities: [driver]", "entities: [drivr]") + "\n---\n" + SERVICE

    with pytest.raises(InvalidDefinitions) as caught:
        apply(text.replace("driver_hourly:*", "driver_hourly:acc_rate"), cast)

    assert [problem.key for problem in caught.value.problems] == ["entities[0]"]


def test_a_wrong_reference_does_not_hide_what_else_is_not_there(cast):
    text = DEFINITIONS.replace("[driver]", "[drivr]").replace("source: driver_stats", "source: s")

    with pytest.raises(InvalidDefinitions) as caught:
        apply(text + "\n---\n" + SERVICE.replace("driver_hourly:*", "nowhere:x"), cast)

    keys = [problem.key for problem in caught.value.problems]
    assert keys == ["entities[0]", "source", "features[0]"]


def test_a_changed_service_becomes_its_next_version(cast):
    apply(DEFINITIONS + "\n---\n" + SERVICE, cast)
    apply(SERVICE.replace("driver_hourly:*", "driver_hourly:acc_rate"), cast)

    service = FeatureService.objects.get()
    assert service.current.version == 2
    assert service.versions.count() == 2


def test_a_pinned_member_is_held_to_its_version(cast):
    version = make_version(cast)
    apply(SERVICE.replace("driver_hourly:*", "driver_hourly@1.0.0:acc_rate"), cast)

    (member,) = FeatureService.objects.get().current.members.all()
    assert (member.version, member.pin) == (version, "1.0.0")


def test_a_service_may_be_registered_with_the_version_it_waits_for(cast):
    text = DEFINITIONS + 'version: "1.0.0"\n---\n' + SERVICE
    apply(text.replace("driver_hourly:*", "driver_hourly@1.0.0:acc_rate"), cast)

    (member,) = FeatureService.objects.get().current.members.all()
    assert (member.version, str(member)) == (None, "driver_hourly@1.0.0:acc_rate")


@pytest.mark.parametrize(
    ("references", "says"),
    [
        (["driver_hourly@1.0.0:acc_rate"], "has no version '1.0.0' to use"),
        (["driver_hourly@v1:acc_rate"], "has no version 'v1' to use"),
        (["driver_hourly:acc_rate", "driver_hourly:*"], "driver_hourly:acc_rate a second time"),
    ],
)
def test_a_service_takes_no_retired_version_and_nothing_twice(cast, references, says):
    retired = make_version(cast)
    make_version(cast, text=VIEW.replace("ttl: 2d", "ttl: 1d"))
    releases.retire_version(version=retired, actor=cast.steward, at=AT)

    with pytest.raises(InvalidDefinitions, match=says):
        apply(SERVICE.replace('["driver_hourly:*"]', str(references)), cast)
