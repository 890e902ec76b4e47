"""Views that read what nobody approved yet: applied together, submitted level by level.

Not for what may be read at all (``test_reads``) nor for values (``tests/journeys``).
"""

from __future__ import annotations

import pytest
from django.urls import reverse

from registry.choices import InStep, Kind, State
from registry.models import FeatureViewVersion
from registry.operations.lifecycle import submissions
from registry.operations.registration.exported import exported, names_in
from registry.operations.registration.origins import Commit
from registry.operations.registration.reads import (
    UnreadableView,
    WaitsForApproval,
    waits_for,
)
from registry.operations.registration.registered import registered_one
from registry.reading.parsing import InvalidDefinitions
from registry.reading.writing import written
from registry.trail.verifying import version_findings
from tests import factories
from tests.factories import AT, make_version

pytestmark = pytest.mark.django_db
PARTS = """
kind: Entity
name: ride
join_keys: [{name: ride_id, type: int64}]
---
kind: DataSource
name: rides
type: file
path: rides.parquet
event_timestamp: at
"""
#: In the order in which nobody can take them: the third reads the second, and that the first.
LEVELS = ("fares", "worth", "driver_hourly")


def reader(name, of, *, feature="conv_rate", gives="value", on="{driver_id: driver}"):
    called = of.partition("@")[0]
    return f"""
kind: FeatureView
name: {name}
entities: [ride]
source: rides
views: [{{features: ["{of}:{feature}"], on: {on}}}]
sql: SELECT ride_id, at, price * {called}.{feature} AS {gives} FROM rides
features: [{{name: {gives}, type: float64}}]
"""


WORTH = reader("worth", "driver_hourly")
FARES = reader("fares", "worth", feature="value", gives="fare", on="{}")
FOLDER = "\n---\n".join((FARES, WORTH, PARTS, factories.DEFINITIONS))


def submit(version, actor):
    return submissions.submit_version(version=version, actor=actor, at=AT, look=factories.look)


def views_in(applied):
    return {each.name: each for each in applied if each.kind is Kind.FEATURE_VIEW}


def newest(cast, name):
    found = FeatureViewVersion.objects.select_related("feature_view__project")
    return found.filter(feature_view__project=cast.project, feature_view__name=name).latest("pk")


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_folder_is_taken_in_the_order_of_what_is_read(cast, dry_run):
    applied = factories.apply(FOLDER, cast, submit=True, dry_run=dry_run)

    assert [each.name for each in applied if each.kind is Kind.FEATURE_VIEW] == [*LEVELS[::-1]]
    found = views_in(applied)
    assert {name: (found[name].state, found[name].waits_for) for name in LEVELS} == {
        "driver_hourly": (State.IN_REVIEW, ()),
        "worth": (State.DRAFT, ("driver_hourly@1.0.0",)),
        "fares": (State.DRAFT, ("worth@1.0.0",)),
    }
    assert "waits for worth@1.0.0 to be approved; then submit it" in found["fares"].warnings


def test_sent_again_level_by_level_all_is_approved(cast):
    factories.apply(FOLDER, cast, submit=True)
    for name in LEVELS[::-1]:
        assert newest(cast, name).state == State.IN_REVIEW
        factories.approve(newest(cast, name), cast.steward)
        factories.apply(FOLDER, cast, submit=True)

    fares, worth = newest(cast, "fares"), newest(cast, "worth")
    assert {newest(cast, name).state for name in LEVELS} == {State.APPROVED}
    assert [str(read) for read in fares.spec.reads] == ["worth@1.0.0"]
    assert fares.spec.reads[0].data == worth.data_fingerprint
    assert {each.change for each in factories.apply(FOLDER, cast, submit=True)} == {"unchanged"}
    assert not list(version_findings([fares, worth]))


def test_sent_again_before_that_nothing_changes(cast):
    factories.apply(FOLDER, cast, submit=True)

    again = factories.apply(FOLDER, cast, submit=True)

    assert {each.change for each in again} == {"unchanged"}
    assert views_in(again)["fares"].waits_for == ("worth@1.0.0",)


@pytest.mark.parametrize("state", [State.DRAFT, State.IN_REVIEW])
def test_what_reads_something_unapproved_is_not_submitted(cast, state):
    make_version(cast, state=state)
    draft = views_in(factories.apply(f"{PARTS}\n---\n{WORTH}", cast))["worth"].draft

    (read,) = draft.spec.reads
    assert (read.version, read.data, read.features) == ("", "", {"conv_rate": "float32"})
    with pytest.raises(WaitsForApproval, match="driver_hourly@1.0.0 to be approved") as told:
        submit(draft, cast.author)
    assert told.value.data["waits_for"] == ["driver_hourly@1.0.0"]


def test_it_is_settled_when_it_is_submitted(cast):
    upstream = make_version(cast, state=State.IN_REVIEW)
    factories.apply(f"{PARTS}\n---\n{WORTH}", cast)
    assert waits_for(newest(cast, "worth")) == ("driver_hourly@1.0.0",)
    factories.approve(upstream, cast.steward)
    assert waits_for(newest(cast, "worth")) == ()

    version = submit(newest(cast, "worth"), cast.author)

    assert version.spec.view.views[0].features == ("driver_hourly@1.0.0:conv_rate",)
    (read,) = version.spec.reads
    assert (read.version, read.data) == ("1.0.0", upstream.data_fingerprint)
    assert not list(version_findings([version]))


def test_what_is_read_may_be_another_by_the_time_it_is_submitted(cast):
    upstream = make_version(cast, state=State.IN_REVIEW)
    factories.apply(f"{PARTS}\n---\n{WORTH}", cast)
    submissions.withdraw_version(version=upstream, actor=cast.author, at=AT)
    without = factories.DEFINITIONS.replace(
        "  - {name: conv_rate, type: float32, description: Conversion rate}\n", ""
    )
    make_version(cast, text=without)

    with pytest.raises(UnreadableView, match="has no feature 'conv_rate'"):
        submit(newest(cast, "worth"), cast.author)


def test_what_an_approved_version_has_is_read_of_that(cast):
    make_version(cast)
    changed = factories.DEFINITIONS.replace("ttl: 2d", "ttl: 3d")

    applied = factories.apply(f"{changed}\n---\n{PARTS}\n---\n{WORTH}", cast, submit=True)

    assert [each.state for each in views_in(applied).values()] == [State.IN_REVIEW] * 2
    assert newest(cast, "worth").spec.reads[0].version == "1.0.0"


@pytest.mark.parametrize("pin", ["", "@1.1.0", "@v1"])
def test_a_feature_that_is_sent_together_with_its_reader_is_waited_for(cast, pin):
    make_version(cast)
    more = factories.DEFINITIONS.replace("ttl: 2d", "  - {name: km, type: float32}\nttl: 2d")
    of_km = reader("worth", f"driver_hourly{pin}", feature="km")

    applied = factories.apply(f"{of_km}\n---\n{PARTS}\n---\n{more}", cast, submit=True)

    assert views_in(applied)["worth"].waits_for == ("driver_hourly@1.1.0",)
    factories.approve(newest(cast, "driver_hourly"), cast.steward)
    assert submit(newest(cast, "worth"), cast.author).spec.reads[0].version == "1.1.0"


WRONG = {
    "feature": (
        reader("worth", "driver_hourly", feature="conv"),
        "driver_hourly@draft has no feature 'conv'. Did you mean 'conv_rate'?",
    ),
    "key": (
        reader("worth", "driver_hourly", on="{driver: driver}"),
        "'driver' is no join key of driver_hourly@draft",
    ),
    "number": (reader("worth", "driver_hourly@2.0.0"), "no approved version '2.0.0'"),
    "view": (reader("worth", "nobody"), "there is no feature view 'nobody' to read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_names_are_checked_against_what_is_sent(cast, case):
    text, words = WRONG[case]
    folder = f"{text}\n---\n{PARTS}\n---\n{factories.DEFINITIONS}"

    with pytest.raises(InvalidDefinitions) as refused:
        factories.apply(folder, cast, dry_run=True)

    assert [words in each.message for each in refused.value.problems] == [True]


def test_who_reads_what_is_refused_is_not_at_fault(cast):
    broken = factories.DEFINITIONS.replace("entities: [driver]", "entities: [nobody]")

    with pytest.raises(InvalidDefinitions) as refused:
        factories.apply(f"{FARES}\n---\n{WORTH}\n---\n{PARTS}\n---\n{broken}", cast)

    assert ["no entity 'nobody'" in each.message for each in refused.value.problems] == [True]


def circle(*names):
    return "\n---\n".join(
        reader(one, other, feature="value", on="{}")
        for one, other in zip(names, (*names[1:], names[0]), strict=True)
    )


@pytest.mark.parametrize("names", [("a", "b"), ("c", "a", "b"), ("a", "b", "c", "d")])
def test_a_circle_is_refused_by_name(cast, names):
    with pytest.raises(InvalidDefinitions) as refused:
        factories.apply(f"{PARTS}\n---\n{circle(*names)}", cast, dry_run=True)

    (problem,) = refused.value.problems
    assert problem.message.endswith("to be approved first; take one out.")
    for one, other in zip(names, (*names[1:], names[0]), strict=True):
        assert f"{one} reads {other}" in problem.message


def test_a_circle_through_drafts_that_are_there_is_refused(cast):
    plain = reader("a", "driver_hourly")
    factories.apply(f"{factories.DEFINITIONS}\n---\n{PARTS}\n---\n{plain}", cast)
    factories.apply(reader("b", "a", feature="value", on="{}"), cast)

    with pytest.raises(InvalidDefinitions, match="a reads b, b reads a"):
        factories.apply(reader("a", "b", feature="value", on="{}"), cast)


def test_versions_of_two_views_may_read_each_other_in_turn(cast):
    make_version(cast, text=f"{factories.DEFINITIONS}")
    make_version(cast, text=f"{PARTS}\n---\n{reader('a', 'driver_hourly')}")
    make_version(cast, text=reader("b", "a", feature="value", on="{}"))

    version = make_version(cast, text=reader("a", "b", feature="value", on="{}"))

    assert [str(read) for read in version.spec.reads] == ["b@1.0.0"]


def test_the_export_of_a_project_is_applied_to_an_empty_one(cast):
    factories.apply(FOLDER, cast, submit=True)
    for name in LEVELS[::-1]:
        factories.approve(newest(cast, name), cast.steward)
        factories.apply(FOLDER, cast, submit=True)
    found = exported(names_in(cast.project, State), cast.project)
    text = "\n---\n".join(written(each.kind, each.spec) for each in found)
    cast.project = factories.make_project("another", cast.author)

    applied = views_in(factories.apply(text, cast, submit=True))

    assert "worth@1.0.0:value" in text
    assert {name: each.waits_for for name, each in applied.items()} == {
        "driver_hourly": (),
        "worth": ("driver_hourly@1.0.0",),
        "fares": ("worth@1.0.0",),
    }


def test_drafts_that_wait_are_exported_as_they_were_written(cast):
    factories.apply(FOLDER, cast)
    found = exported(names_in(cast.project, ["draft"]), cast.project, state="draft")
    text = "\n---\n".join(written(each.kind, each.spec) for each in found)

    assert "driver_hourly:conv_rate" in text
    assert {each.change for each in factories.apply(text, cast)} == {"unchanged"}


def test_a_change_of_its_source_leaves_a_draft_waiting(cast):
    factories.apply(FOLDER, cast, submit=True)

    moved = PARTS.replace("rides.parquet", "others.parquet")
    applied = views_in(factories.apply(moved, cast, submit=True))

    assert applied["worth"].waits_for == ("driver_hourly@1.0.0",)
    assert applied["worth"].state == State.DRAFT


def test_what_is_approved_meanwhile_is_settled_by_a_change_of_the_source(cast):
    factories.apply(FOLDER, cast, submit=True)
    factories.approve(newest(cast, "driver_hourly"), cast.steward)

    moved = PARTS.replace("rides.parquet", "others.parquet")
    applied = views_in(factories.apply(moved, cast, submit=True))

    assert (applied["worth"].state, applied["worth"].waits_for) == (State.IN_REVIEW, ())
    assert applied["fares"].waits_for == ("worth@1.0.0",)


def test_who_may_only_plan_is_told_the_same(cast):
    factories.apply(FOLDER, cast, submit=True)

    told = views_in(factories.apply(FOLDER, cast, submit=True, dry_run=True, detailed=True))

    assert told["worth"].waits_for == ("driver_hourly@1.0.0",)


def test_its_page_and_the_api_say_what_it_waits_for(cast, client, api):
    factories.apply(FOLDER, cast, submit=True)
    draft = newest(cast, "worth")
    path = "/api/v1/projects/rides/feature-views/worth/versions/draft"
    client.force_login(cast.author)
    page = reverse("admin:registry_featureviewversion_change", args=[draft.pk])

    waiting = client.get(page).content.decode()
    assert "Waits for driver_hourly@1.0.0 to be approved." in waiting
    assert "Submit for review" not in waiting
    assert api(cast.author).get(path).json()["waits_for"] == ["driver_hourly@1.0.0"]
    refused = api(cast.author).post(f"{path}/submit")
    assert (refused.status_code, refused.json()["code"], refused.json()["waits_for"]) == (
        409, "waits_for_approval", ["driver_hourly@1.0.0"],
    )  # fmt: skip

    factories.approve(newest(cast, "driver_hourly"), cast.steward)
    assert "Submit for review" in client.get(page).content.decode()
    assert api(cast.author).get(path).json()["waits_for"] == []


def test_what_a_draft_reads_no_more_stands_in_its_way(cast, client, api):
    factories.apply(FOLDER, cast)
    draft = newest(cast, "worth")
    rate = "  - {name: conv_rate,"
    lines = factories.DEFINITIONS.splitlines(keepends=True)
    factories.apply("".join(line for line in lines if not line.startswith(rate)), cast)
    path = "/api/v1/projects/rides/feature-views/worth/versions/draft"
    client.force_login(cast.author)

    assert waits_for(draft) == ("driver_hourly",)
    assert api(cast.author).get(path).json()["waits_for"] == ["driver_hourly"]
    page = reverse("admin:registry_featureviewversion_change", args=[draft.pk])
    shown = client.get(page).content.decode()
    assert "What it reads of driver_hourly is not there as it is written." in shown
    assert "has no feature" in shown
    assert "Submit for review" not in shown
    refused = api(cast.author).post(f"{path}/submit")
    assert (refused.status_code, refused.json()["code"]) == (422, "unreadable_view")


@pytest.mark.parametrize("submit", [True, False])
@pytest.mark.parametrize("pin", ["", "@1.0.0", "@v1"])
def test_all_that_is_sent_together_is_looked_at_at_once(cast, submit, pin):
    looks = []

    def looking(*, specs, project, unseen=()):
        looks.append(sorted(spec.view.name for spec in specs))
        return factories.look(specs=specs, project=project)

    text = FOLDER.replace("worth:value", f"worth{pin}:value")
    factories.apply(text, cast, submit=submit, look=looking)

    assert looks == [sorted(LEVELS)]


def test_a_view_that_is_sent_otherwise_than_its_draft_is_looked_at_as_it_is_sent(cast):
    factories.apply(FOLDER, cast)
    looks = []

    def looking(*, specs, project, unseen=()):
        looks.append({spec.view.name: spec for spec in specs})
        return factories.look(specs=specs, project=project)

    other = "{name: conv_rate, type: float64"
    factories.apply(
        FOLDER.replace("{name: conv_rate, type: float32", other), cast, look=looking, look_all=True
    )

    assert [sorted(each) for each in looks] == [sorted(LEVELS)]
    assert looks[0]["worth"].reads[0].features == {"conv_rate": "float64"}
    assert newest(cast, "worth").spec.reads[0].features == {"conv_rate": "float64"}


def test_its_commit_goes_on_saying_it_when_it_is_submitted(cast):
    commit = Commit("https://example.org/features", "abc1234", "main")
    factories.apply(FOLDER, cast, submit=True, commit=commit)
    view = factories.view_of(cast, "worth")
    assert registered_one(view).standing == InStep.WAITS
    factories.approve(newest(cast, "driver_hourly"), cast.steward)

    submit(newest(cast, "worth"), cast.author)
    assert registered_one(view).standing == InStep.WAITS
    factories.approve(newest(cast, "worth"), cast.steward)

    assert registered_one(view).standing == InStep.IN_STEP


def test_how_sensitive_what_is_waited_for_is_counts_when_it_is_submitted(cast):
    column = "name: conv_rate, type: float32,"
    folder = FOLDER.replace(column, f"{column} sensitivity: restricted,")
    told = views_in(factories.apply(folder, cast, submit=True))["worth"]
    assert any("driver_hourly:conv_rate, which is restricted there" in w for w in told.warnings)
    factories.approve(newest(cast, "driver_hourly"), cast.steward)
    factories.approve(newest(cast, "driver_hourly"), cast.second_steward)

    version = submit(newest(cast, "worth"), cast.author)

    assert version.packet["guard"]
    assert version.packet["approvals_required"] == 2
