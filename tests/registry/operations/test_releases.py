"""Promote, deprecate, restore, retire: what readers get by default, and how a version ends."""

from __future__ import annotations

import pytest
from django.test import TestCase

from registry import epoch
from registry.access import ActionNotPermitted
from registry.breakage import services_broken_by
from registry.choices import State
from registry.lifecycle import TransitionNotAllowed
from registry.models import AuditEntry, FeatureTable, FeatureViewVersion
from registry.operations.lifecycle import releases, reviews
from registry.operations.lifecycle.releases import (
    ReasonNeeded,
    ServicesBroken,
    VersionInUse,
    VersionNotReadyToPromote,
)
from registry.queries import FeatureServiceBroken, service_references
from tests.factories import AT, VIEW, apply, make_ready, make_version, seen, verbs_of, view_of

pytestmark = pytest.mark.django_db

SECOND = VIEW.replace("acc_rate", "accept_rate")
WORDS = VIEW.replace("Conversion rate", "Share of rides taken")


def service(*references: str) -> str:
    return f"kind: FeatureService\nname: eta_model\nfeatures: {list(references)}"


def default_of(cast) -> str | None:
    version = view_of(cast).default_version
    return version.number if version else None


def promote(version, actor):
    return releases.promote_version(version=version, actor=actor, at=AT)


def retire(version, actor, **options):
    return releases.retire_version(version=version, actor=actor, at=AT, **options)


def test_the_first_ready_version_becomes_the_default_by_itself(cast):
    first = make_version(cast)
    assert default_of(cast) is None

    make_ready(first)
    make_ready(make_version(cast, text=SECOND))

    assert default_of(cast) == "1.0.0"
    assert verbs_of(first) == ["drafted", "submitted", "approved", "promoted"]
    entry = AuditEntry.objects.get(verb="feature_view_version.promoted")
    assert (entry.actor_name, entry.after) == ("system", "1.0.0")


def test_a_table_is_marked_ready_once(cast):
    version = make_ready(make_version(cast))
    entries = AuditEntry.objects.count()

    make_ready(version, at=AT.replace(year=2027))

    assert FeatureViewVersion.objects.get().table.ready_at == AT
    assert AuditEntry.objects.count() == entries


def test_promote_needs_a_ready_version(cast):
    make_ready(make_version(cast))
    second = make_version(cast, text=SECOND)

    with pytest.raises(VersionNotReadyToPromote, match="not materialized yet"):
        promote(second, cast.steward)
    assert default_of(cast) == "1.0.0"


def test_promote_is_the_way_forward_and_the_way_back(cast):
    first = make_ready(make_version(cast))
    second = make_ready(make_version(cast, text=SECOND))

    promote(second, cast.steward)
    assert default_of(cast) == "2.0.0"
    promote(first, cast.steward)
    assert default_of(cast) == "1.0.0"
    entry = AuditEntry.objects.filter(verb="feature_view_version.promoted").first()
    assert (entry.before, entry.after) == ("2.0.0", "1.0.0")


def test_a_version_that_differs_in_words_is_ready_at_once(cast):
    make_ready(make_version(cast))
    words = make_version(cast, text=WORDS)

    assert words.is_ready
    assert default_of(cast) == "1.0.0"
    promote(words, cast.steward)
    assert default_of(cast) == "1.0.1"


def test_a_version_retired_meanwhile_cannot_be_promoted(cast):
    make_ready(make_version(cast))
    second = make_ready(make_version(cast, text=SECOND))
    stale = FeatureViewVersion.objects.get(pk=second.pk)
    retire(second, cast.steward)

    with pytest.raises(TransitionNotAllowed):
        promote(stale, cast.steward)
    assert default_of(cast) == "1.0.0"


def test_a_deprecated_version_still_answers_and_can_be_restored(cast):
    version = make_ready(make_version(cast))

    releases.deprecate_version(version=version, actor=cast.steward, at=AT, comment="old")
    assert (version.state, version.is_ready) == (State.DEPRECATED, True)
    releases.restore_version(version=version, actor=cast.steward, at=AT)
    assert version.state == State.APPROVED


@pytest.mark.parametrize(
    ("references", "used_by"),
    [
        (("driver_hourly@1.0.0:acc_rate",), ["the default", "feature service eta_model"]),
        (("driver_hourly@v1:acc_rate",), ["the default", "feature service eta_model"]),
        (("driver_hourly:acc_rate",), ["the default", "feature service eta_model"]),
        (("driver_hourly@2.0.0:accept_rate",), ["the default"]),
        (("driver_hourly@v2:accept_rate",), ["the default"]),
    ],
)
def test_retire_is_refused_while_somebody_reads_it(api, cast, references, used_by):
    version = make_ready(make_version(cast))
    make_version(cast, text=SECOND)
    apply(service(*references), cast)

    path = "/api/v1/projects/rides/feature-views/driver_hourly/versions/1.0.0/retire"
    response = api(cast.steward).post(path, {"comment": "old"})

    assert (response.status_code, response.json()["code"]) == (409, "version_in_use")
    assert response.json()["used_by"] == used_by
    version.refresh_from_db()
    assert version.state == State.APPROVED


def test_an_earlier_version_of_a_service_pins_nothing(cast):
    make_ready(make_version(cast))
    second = make_ready(make_version(cast, text=SECOND))
    apply(service("driver_hourly@2.0.0:accept_rate"), cast)
    apply(service("driver_hourly@1.0.0:acc_rate"), cast)

    assert retire(second, cast.steward).state == State.RETIRED


def test_who_may_not_retire_learns_nothing_of_who_reads_it(cast):
    version = make_ready(make_version(cast))
    apply(service("driver_hourly:acc_rate"), cast)

    with pytest.raises(ActionNotPermitted) as caught:
        retire(version, cast.author, force=True)
    assert "eta_model" not in caught.value.message


def test_forcing_needs_a_reason_and_leaves_it_in_the_trail(cast):
    version = make_ready(make_version(cast))

    with pytest.raises(VersionInUse):
        retire(version, cast.steward, comment="bad data")
    with pytest.raises(ReasonNeeded):
        retire(version, cast.steward, force=True, comment=" ")
    retire(version, cast.steward, force=True, comment="bad data")

    assert (version.state, default_of(cast)) == (State.RETIRED, None)
    entry = AuditEntry.objects.get(verb="feature_view_version.retired")
    assert entry.data == {"comment": "bad data", "used_by": ["the default"]}


def test_a_regular_run_does_not_undo_a_forced_retirement(cast):
    first = make_ready(make_version(cast))
    second = make_ready(make_version(cast, text=SECOND))
    promote(second, cast.steward)
    retire(second, cast.steward, force=True, comment="bad data")

    make_ready(first)
    assert default_of(cast) is None

    make_ready(make_version(cast, text=SECOND.replace("int32", "int64")))
    assert default_of(cast) == "3.0.0"


def test_retired_is_the_end(cast):
    version = make_version(cast)
    retire(version, cast.steward)

    for step in (releases.restore_version, releases.deprecate_version):
        with pytest.raises(TransitionNotAllowed):
            step(version=version, actor=cast.steward, at=AT)


def test_after_a_forced_retirement_the_next_ready_version_is_the_default(cast):
    first = make_ready(make_version(cast))
    releases.retire_version(
        version=first, actor=cast.steward, at=AT, force=True, comment="It leaked."
    )
    assert view_of(cast).default_version is None

    words = make_version(cast, text=VIEW.replace("owner: rides", "owner: others"))

    assert (words.table, words.is_ready) == (first.table, True)
    assert view_of(cast).default_version == words


def test_a_table_dropped_while_its_run_was_under_way_is_ready_again(cast):
    version = make_ready(make_version(cast))
    stale = FeatureTable.objects.get(versions=version)
    FeatureTable.objects.filter(pk=stale.pk).update(ready_at=None)

    releases.mark_table_ready(table=stale, at=AT, kept_for=None)

    assert FeatureTable.objects.get(pk=stale.pk).ready_at == AT


def test_an_approval_that_makes_a_version_ready_is_a_change_for_readers(cast):
    make_ready(make_version(cast))
    words = VIEW.replace("owner: rides", "owner: others")
    version = make_version(cast, state=State.IN_REVIEW, text=words)
    names = [version.feature_view.name]
    with TestCase.captureOnCommitCallbacks(execute=True):
        _, before = epoch.ensure(cast.project.pk, names)
        reviews.approve_version(
            version=version, packet_hash=seen(version), actor=cast.steward, at=AT
        )

    assert epoch.current(cast.project.pk, names)[1] not in {None, before}


def test_versions_that_judge_differently_share_no_data(cast):
    first = make_version(cast)
    tighter = make_version(
        cast, text=VIEW.replace("name: conv_rate,", "name: conv_rate, checks: {max: 5},")
    )

    assert tighter.spec.features != first.spec.features
    assert tighter.table != first.table
    assert not tighter.is_ready


def test_promoting_a_version_that_lacks_what_a_service_reads_takes_force_and_a_reason(cast, api):
    make_ready(make_version(cast))
    apply(service("driver_hourly:acc_rate", "driver_hourly:conv_rate"), cast)
    (plan,) = apply(SECOND, cast, dry_run=True)
    second = make_ready(make_version(cast, text=SECOND))
    (again,) = apply(SECOND, cast, dry_run=True)
    breaks = "eta_model (no acc_rate)"

    assert f"as the default it breaks {breaks}" in plan.warnings
    assert (again.change, again.warnings) == ("unchanged", plan.warnings)
    assert second.packet["breaks"] == [breaks]
    with pytest.raises(ServicesBroken, match="breaks eta_model") as refused:
        promote(second, cast.steward)
    assert refused.value.data == {"breaks": [breaks]}
    path = "/api/v1/projects/rides/feature-views/driver_hourly/versions/2.0.0/promote"
    client = api(cast.steward)
    assert client.post(path, {"force": True}).json()["code"] == "reason_needed"
    assert default_of(cast) == "1.0.0"
    assert client.post(path, {"force": True, "comment": "agreed"}).status_code == 200
    entry = AuditEntry.objects.filter(verb="feature_view_version.promoted").first()
    assert (entry.data["breaks"], entry.data["comment"]) == ([breaks], "agreed")

    problem = "driver_hourly:acc_rate: the default driver_hourly@2.0.0 has no such feature"
    told = client.get("/api/v1/projects/rides/feature-services/eta_model").json()
    assert told["problems"] == [problem]
    with pytest.raises(FeatureServiceBroken, match=f"eta_model: {problem}"):
        service_references(project=cast.project, name="eta_model")


def test_a_broken_service_stands_on_the_overview_until_it_is_not(cast, as_):
    first = make_ready(make_version(cast))
    apply(service("driver_hourly:acc_rate"), cast)
    second = make_ready(make_version(cast, text=SECOND))
    client = as_("steward")
    assert "Broken services" not in client.get("/admin/").content.decode()

    page = client.get(f"/admin/registry/featureviewversion/{second.pk}/change/").content.decode()
    assert "although that breaks eta_model (no acc_rate)" in page
    releases.promote_version(version=second, actor=cast.steward, at=AT, comment="y", force=True)
    assert "Broken services" in client.get("/admin/").content.decode()
    promote(first, cast.steward)
    assert "Broken services" not in client.get("/admin/").content.decode()


def test_another_type_breaks_what_follows_the_default_and_a_pin_is_not_broken(cast):
    make_ready(make_version(cast))
    other = VIEW.replace("acc_rate, type: float32", "acc_rate, type: string")
    second = make_ready(make_version(cast, text=other))
    apply(service("driver_hourly@1.0.0:acc_rate"), cast)
    assert services_broken_by(second) == []

    apply(service("driver_hourly:acc_rate"), cast)
    assert services_broken_by(second) == ["eta_model (acc_rate is string, was float32)"]


def test_a_default_taken_by_itself_says_what_it_breaks(cast):
    make_version(cast, state=State.DRAFT)
    apply(service("driver_hourly:acc_rate"), cast)
    make_ready(make_version(cast, text=SECOND))

    entry = AuditEntry.objects.get(verb="feature_view_version.promoted")
    assert entry.data["breaks"] == ["eta_model (no acc_rate)"]
