"""Which number a submission gets: the least its change allows, and never another version's."""

from __future__ import annotations

import pytest
from django.db.models import ProtectedError

from registry.choices import State
from registry.models import FeatureViewVersion
from registry.operations.lifecycle import releases, reviews, submissions
from registry.operations.lifecycle.numbers import VersionTaken, give_number
from registry.reading.parsing import InvalidDefinitions
from tests.factories import AT, DEFINITIONS, VIEW, apply, look, make_version, seen

pytestmark = pytest.mark.django_db


def loaded(version):
    return FeatureViewVersion.objects.get(pk=version.pk)


def test_a_rejected_version_keeps_its_number(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    reviews.reject_version(
        version=version, packet_hash=seen(version), actor=cast.steward, at=AT, comment="no"
    )
    submissions.submit_version(version=version, actor=cast.author, at=AT, look=look)

    assert version.number == "1.0.0"


def test_a_number_once_taken_is_never_given_again(cast):
    make_version(cast, state=State.IN_REVIEW)
    second = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("acc_rate", "accept"))
    submissions.withdraw_version(version=second, actor=cast.author, at=AT)
    submissions.submit_version(version=second, actor=cast.author, at=AT, look=look)

    assert second.number == "2.0.0"


def test_a_number_given_up_is_not_given_to_another(cast):
    make_version(cast)
    words = VIEW.replace("Conversion rate", "Share")
    version = make_version(cast, state=State.IN_REVIEW, text=words)
    assert version.number == "1.0.1"
    submissions.withdraw_version(version=version, actor=cast.author, at=AT)
    apply(VIEW.replace("acc_rate", "accept"), cast, submit=True)
    assert loaded(version).number == "2.0.0"

    other = make_version(cast, state=State.IN_REVIEW, text=words + 'based_on: "1.0.0"')
    assert other.number == "1.0.2"
    submissions.withdraw_version(version=other, actor=cast.author, at=AT)
    with pytest.raises(InvalidDefinitions, match="driver_hourly@1.0.1 was given already"):
        apply(words + 'based_on: "1.0.0"\nversion: "1.0.1"', cast)


@pytest.mark.parametrize(
    ("text", "free"),
    [(VIEW.replace("acc_rate", "accept"), "2.0.0"), (VIEW.replace("Conversion", "The"), "1.0.1")],
)
def test_who_asks_for_a_number_that_is_gone_is_told_the_least_free_one(cast, text, free):
    make_version(cast)

    with pytest.raises(InvalidDefinitions, match=f"1.0.0 was given already; use {free} or leave"):
        apply(text + 'version: "1.0.0"', cast)


def test_who_asks_for_too_low_a_number_is_not_told_one_that_is_gone(cast):
    make_version(cast)
    make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("acc_rate", "accept"))

    with pytest.raises(InvalidDefinitions, match="1.2.0 is too low .* use 3.0.0 or leave it out"):
        apply(VIEW.replace("acc_rate", "ar") + 'based_on: "1.0.0"\nversion: "1.2.0"', cast)


def test_the_number_asked_for_is_had(cast):
    make_version(cast, text=DEFINITIONS + 'version: "0.4.0"')
    version = make_version(cast, text=VIEW.replace("acc_rate", "accept") + 'version: "7.0.0"')

    assert version.number == "7.0.0"
    assert make_version(cast, text=VIEW).number == "8.0.0"


def test_a_view_begins_again_after_its_last_version_was_retired(cast):
    releases.retire_version(version=make_version(cast), actor=cast.steward, at=AT)

    version = make_version(cast, text=VIEW)

    assert (version.number, version.packet["reasons"]) == ("2.0.0", ["first version"])


def test_whoever_is_second_to_take_a_free_number_is_told(cast):
    first = make_version(cast, state=State.IN_REVIEW)
    second = make_version(cast, state=State.DRAFT, text=VIEW.replace("acc_rate", "accept"))

    with pytest.raises(VersionTaken, match="1.0.0 was taken a moment ago; submit again"):
        give_number(second, first.version)
    give_number(first, first.version)  # its own, as when it is submitted anew


def test_a_version_keeps_every_number_it_was_given(cast):
    make_version(cast)
    version = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("Conversion", "The"))
    submissions.withdraw_version(version=version, actor=cast.author, at=AT)
    apply(VIEW.replace("acc_rate", "accept"), cast, submit=True)

    assert [str(each) for each in version.numbers.order_by("pk")] == [
        "driver_hourly@1.0.1",
        "driver_hourly@2.0.0",
    ]
    with pytest.raises(ProtectedError):
        version.delete()
