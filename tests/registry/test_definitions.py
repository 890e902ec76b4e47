"""Applying definitions: what it stores, what it leaves alone, what it refuses whole."""

from __future__ import annotations

import pytest

from registry.choices import State
from registry.models import AuditEntry, DataSource, FeatureService, FeatureView, FeatureViewVersion
from registry.parsing import InvalidDefinitions
from tests.factories import DEFINITIONS, VIEW, Report, apply, make_version

pytestmark = pytest.mark.django_db

SERVICE = """
kind: FeatureService
name: eta_model
features: ["driver_hourly:*"]
"""


def test_a_dry_run_says_everything_and_stores_nothing(cast):
    applied = apply(DEFINITIONS, cast, dry_run=True)

    assert [(a.kind, a.change, a.version) for a in applied] == [
        ("Entity", "created", None),
        ("DataSource", "created", None),
        ("FeatureView", "created", "1.0.0"),
    ]
    assert not FeatureView.objects.exists()
    assert not AuditEntry.objects.filter(verb="entity.created").exists()


def test_applying_twice_changes_nothing(cast):
    apply(DEFINITIONS, cast)

    assert {a.change for a in apply(DEFINITIONS, cast)} == {"unchanged"}
    assert FeatureViewVersion.objects.count() == 1


def test_a_draft_is_edited_in_place_and_its_editors_are_remembered(cast):
    apply(DEFINITIONS, cast)
    apply(VIEW.replace("Conversion rate", "Share of rides taken"), cast, actor=cast.owner)

    (draft,) = FeatureViewVersion.objects.all()
    assert draft.spec.features[0].description == "Share of rides taken"
    assert {editor.user for editor in draft.editors.all()} == {cast.author, cast.owner}


def test_one_mistake_stores_nothing_of_the_rest(cast):
    with pytest.raises(InvalidDefinitions) as caught:
        apply(DEFINITIONS.replace("source: driver_stats", "source: driver_stat"), cast)

    (problem,) = caught.value.problems
    assert "there is no data source 'driver_stat'. Did you mean 'driver_stats'?" in problem.message
    assert not DataSource.objects.exists()


def test_what_the_probe_finds_is_named_at_its_line(cast):
    def probe(*, spec, project):
        return Report(problems=[(("features", 1, "name"), "the source has no column 'acc_rate'")])

    from registry.operations.definitions import apply_definitions
    from registry.parsing import parse_files
    from tests.factories import AT

    with pytest.raises(InvalidDefinitions) as caught:
        apply_definitions(
            parse_files([("f.yaml", DEFINITIONS)]), project=cast.project, actor=cast.author, at=AT, probe=probe
        )
    (problem,) = caught.value.problems
    line = DEFINITIONS.splitlines().index("  - {name: acc_rate, type: float32}") + 1
    assert (problem.line, problem.value) == (line, "acc_rate")


def test_a_version_lower_than_the_change_needs_is_refused(cast):
    make_version(cast)

    with pytest.raises(InvalidDefinitions, match="1.0.1 is too low for a major change"):
        apply(VIEW.replace("acc_rate", "accept_rate") + 'version: "1.0.1"', cast)


def test_versions_that_differ_in_words_share_their_table(cast):
    first = make_version(cast)
    second = make_version(cast, text=VIEW.replace("Conversion rate", "Share of rides taken"))

    assert second.number == "1.0.1"
    assert second.table == first.table


def test_an_edited_source_makes_major_drafts_of_the_views_that_use_it(cast):
    make_version(cast)
    source = DEFINITIONS.split("---")[1].replace("driver_stats.parquet", "driver_stats_v2.parquet")

    applied = apply(source, cast)

    assert [(a.kind, a.name, a.classification, a.version) for a in applied] == [
        ("DataSource", "driver_stats", None, None),
        ("FeatureView", "driver_hourly", "major", "2.0.0"),
    ]
    assert FeatureViewVersion.objects.filter(state=State.DRAFT).count() == 1
    # What was approved means what it meant.
    approved = FeatureViewVersion.objects.get(state=State.APPROVED)
    assert approved.spec.source.path == "driver_stats.parquet"


def test_whoever_edited_an_embedded_source_counts_as_an_editor(cast):
    apply(DEFINITIONS.split("---")[1], cast, actor=cast.owner)
    apply(DEFINITIONS, cast)

    draft = FeatureViewVersion.objects.get()
    assert {editor.user for editor in draft.editors.all()} == {cast.author, cast.owner}


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


def test_a_changed_service_becomes_its_next_version(cast):
    apply(DEFINITIONS + "\n---\n" + SERVICE, cast)
    apply(SERVICE.replace("driver_hourly:*", "driver_hourly:acc_rate"), cast)

    service = FeatureService.objects.get()
    assert service.current.version == 2
    assert service.versions.count() == 2
