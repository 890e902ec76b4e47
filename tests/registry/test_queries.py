"""Which version a reference reads, and what a request that names one cannot have is told."""

from __future__ import annotations

import pytest
from django.db import connection

from lib.errors import Invalid
from registry import newest
from registry.choices import State
from registry.models import FeatureTable, FeatureView
from registry.newest import newest_of, newest_version, shown_version
from registry.operations.lifecycle import releases, reviews, submissions
from registry.queries import (
    FeatureServiceNotFound,
    ReferenceNotFound,
    VersionNotReady,
    VersionRetired,
    abandoned_tables,
    expand_references,
    served_version,
    service_references,
    tables_named,
)
from registry.spec.references import BadReference, parse_reference
from tests.factories import AT, VIEW, apply, look, make_project, make_ready, make_version, seen

pytestmark = pytest.mark.django_db

ADDED = VIEW.replace("ttl: 2d", "  - {name: rides, type: int64}\nttl: 2d")
RENAMED = VIEW.replace("acc_rate", "accept_rate")


@pytest.fixture
def versions(cast):
    """1.0.0 is ready and the default, 1.1.0 ready, 2.0.0 approved, 2.0.1 in review."""
    first = make_ready(make_version(cast))
    second = make_ready(make_version(cast, text=ADDED))
    third = make_version(cast, text=RENAMED)
    words = RENAMED.replace("Conversion rate", "Share")
    return [first, second, third, make_version(cast, state=State.IN_REVIEW, text=words)]


def served(cast, pin, view="driver_hourly"):
    return served_version(project=cast.project, view=view, pin=pin).number


@pytest.mark.parametrize(
    ("pin", "number"),
    [(None, "1.0.0"), ("1.0.0", "1.0.0"), ("1.1.0", "1.1.0"), ("v1", "1.1.0"), ("1", "1.1.0")],
)
def test_what_a_pin_reads(cast, versions, pin, number):
    assert served(cast, pin) == number


@pytest.mark.parametrize("pin", ["2.0.0", "v2", "2.0.1"])
def test_what_is_not_materialized_is_not_ready(cast, versions, pin):
    with pytest.raises(VersionNotReady, match="not materialized yet"):
        served(cast, pin)


def test_the_newest_ready_one_of_a_major_is_read_while_a_newer_is_made(cast, versions):
    reviews.approve_version(
        version=versions[3], packet_hash=seen(versions[3]), actor=cast.steward, at=AT
    )
    make_ready(versions[2])

    assert served(cast, "v2") == "2.0.1"  # words only: it shares the table
    releases.retire_version(version=version_at(cast, "2.0.1"), actor=cast.steward, at=AT)
    assert served(cast, "v2") == "2.0.0"


def version_at(cast, number):
    return served_version(project=cast.project, view="driver_hourly", pin=number)


def test_a_draft_is_read_by_nobody(cast):
    draft = make_version(cast, state=State.IN_REVIEW)
    submissions.withdraw_version(version=draft, actor=cast.author, at=AT)

    with pytest.raises(ReferenceNotFound):
        served(cast, "1.0.0")


def test_without_a_default_it_is_not_ready(cast):
    make_version(cast)

    with pytest.raises(VersionNotReady, match="has no default version"):
        served(cast, None)


def test_a_retired_one_is_gone_by_whatever_pin(cast, versions):
    for version in versions[:2]:
        releases.retire_version(
            version=version, actor=cast.steward, at=AT, force=True, comment="wrong"
        )

    for pin in ("1.0.0", "1.1.0", "v1"):
        with pytest.raises(VersionRetired, match="was retired"):
            served(cast, pin)


@pytest.mark.parametrize(
    ("view", "pin", "says"),
    [
        ("driver_hurly", None, "Did you mean 'driver_hourly'?"),
        ("driver_hourly", "1.0.9", "Did you mean '1.0.0'?"),
        ("driver_hourly", "v7", "has no version 'v7'"),
    ],
)
def test_what_is_not_there_names_the_nearest(cast, versions, view, pin, says):
    with pytest.raises(ReferenceNotFound) as caught:
        served(cast, pin, view)
    assert says in caught.value.message


def test_a_view_of_another_project_is_not_there(cast, versions):
    other = make_project("trips", cast.owner)

    with pytest.raises(ReferenceNotFound):
        served_version(project=other, view="driver_hourly", pin=None)


def test_a_star_is_what_the_version_read_now_has(cast, versions):
    expanded = expand_references(
        project=cast.project, references=["driver_hourly@v1:*", "driver_hourly:acc_rate"]
    )

    assert [str(each) for each in expanded] == [
        "driver_hourly@v1:conv_rate",
        "driver_hourly@v1:acc_rate",
        "driver_hourly@v1:avg_daily_trips",
        "driver_hourly@v1:rides",
        "driver_hourly:acc_rate",
    ]


def test_a_service_keeps_what_its_star_meant(cast):
    make_ready(make_version(cast))
    apply("kind: FeatureService\nname: eta\nfeatures: ['driver_hourly:*']", cast)
    make_ready(make_version(cast, text=ADDED))

    references = service_references(project=cast.project, name="eta")

    assert [each.feature for each in references] == ["conv_rate", "acc_rate", "avg_daily_trips"]
    with pytest.raises(FeatureServiceNotFound, match="Did you mean 'eta'?"):
        service_references(project=cast.project, name="etta")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "driver_hourly",
        "driver_hourly:",
        ":acc_rate",
        "a:b:c",
        "a@:b",
        "a@x:b",
        "a@1.0:b",
        "a@1.0.0-rc1:b",
        "a@v1.0:b",
        "a@" + "9" * 5000 + ":b",
        "a@v٣:b",
        "a b:c",
        "a:b\n",
    ],
)
def test_a_malformed_reference_names_the_valid_forms(text):
    with pytest.raises(BadReference, match="view@1.2.0:feature") as caught:
        parse_reference(text)
    assert len(caught.value.message) < 250


def test_a_number_too_long_for_any_version_is_refused(cast, versions):
    with pytest.raises(Invalid):
        served(cast, "1.0.9999999999")


def test_a_table_is_abandoned_when_nobody_can_read_it_any_more(cast):
    first = make_ready(make_version(cast))
    words = make_version(cast, text=VIEW.replace("Conversion rate", "Share"))
    force = {"actor": cast.steward, "at": AT, "force": True, "comment": "wrong"}
    table = FeatureTable.objects.get()
    releases.retire_version(version=first, **force)
    assert (abandoned_tables(), tables_named([table.uid, "unknown"])) == ([], {table.uid: True})

    releases.retire_version(version=words, **force)
    assert (abandoned_tables(), tables_named([table.uid])) == ([table], {table.uid: False})


def test_an_open_submission_keeps_its_table(cast):
    first = make_ready(make_version(cast))
    words = VIEW.replace("Conversion rate", "Share")
    version = make_version(cast, state=State.DRAFT, text=words)
    submissions.submit_version(version=version, actor=cast.author, at=AT, look=look)
    releases.retire_version(version=first, actor=cast.steward, at=AT, force=True, comment="wrong")

    assert abandoned_tables() == []


def test_the_newest_version_is_what_an_author_would_look_at(cast):
    """The newest draft, else the highest that is not retired, else the highest of all."""
    first = make_version(cast)
    view = first.feature_view
    second = make_version(cast, text=VIEW.replace("acc_rate", "accept_rate"))
    lower = make_version(cast, text=VIEW.replace("Conversion", "A") + 'based_on: "1.0.0"')
    assert [each.number for each in (first, second, lower)] == ["1.0.0", "2.0.0", "1.0.1"]
    assert newest_version(view) == second  # the highest, not the one made last

    releases.retire_version(version=second, actor=cast.steward, at=AT)
    assert newest_version(view) == lower

    waiting = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("acc_rate", "rate"))
    assert newest_version(view) == waiting
    draft = make_version(cast, state=State.DRAFT, text=VIEW.replace("acc_rate", "acceptance"))
    assert newest_version(view) == draft
    submissions.withdraw_version(version=waiting, actor=cast.author, at=AT)
    assert newest_version(view) == draft  # made after the one withdrawn, which has a number
    assert newest_of(view.versions.all()) == shown_version(view) == draft


def test_of_retired_versions_alone_the_highest_is_the_newest(cast):
    first = make_version(cast)
    second = make_version(cast, text=VIEW.replace("acc_rate", "accept_rate"))
    for version in (second, first):
        releases.retire_version(version=version, actor=cast.steward, at=AT)

    assert newest_version(first.feature_view) == second
    assert newest_version(FeatureView(project=cast.project, name="empty", pk=0)) is None


def test_a_view_that_gets_its_default_meanwhile_is_shown(cast):
    version = make_version(cast)
    views = FeatureView.objects.filter(pk=version.feature_view_id).select_related("default_version")

    def becomes_ready(execute, sql, params, many, context):
        if "row_number" in sql.lower():
            make_ready(version)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(becomes_ready):
        assert newest.shown_versions(views) == {version.feature_view_id: version}
