"""Applying definitions: what it stores, what it leaves alone, what it refuses whole."""

from __future__ import annotations

import pytest
from guardian.shortcuts import assign_perm

from registry.access import ActionNotPermitted
from registry.choices import State
from registry.models import AuditEntry, DataSource, FeatureView, FeatureViewVersion
from registry.operations.lifecycle import releases
from registry.operations.registration.apply import apply_definitions
from registry.reading.parsing import InvalidDefinitions, parse_files
from tests.factories import (
    AT,
    DEFINITIONS,
    ENTITY,
    SOURCE,
    VIEW,
    Report,
    apply,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db


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


def test_what_the_look_finds_is_named_at_its_line(cast):
    def look(*, specs, project, unseen=()):
        return [Report(problems=[(("features", 1, "name"), "the source has no column 'acc_rate'")])]

    with pytest.raises(InvalidDefinitions) as caught:
        apply_definitions(
            parse_files([("f.yaml", DEFINITIONS)]),
            project=cast.project,
            actor=cast.author,
            at=AT,
            look=look,
        )
    (problem,) = caught.value.problems
    line = DEFINITIONS.splitlines().index("  - {name: acc_rate, type: float32}") + 1
    assert (problem.line, problem.value) == (line, "acc_rate")


def wrong_source(*paths):
    """Return a look that finds something wrong at each path."""

    def look(*, specs, project, unseen=()):
        return [
            Report(problems=[(path, f"wrong in {spec.view.name}") for path in paths])
            for spec in specs
        ]

    return look


def problems_with(look, text, cast, **options):
    with pytest.raises(InvalidDefinitions) as caught:
        apply_definitions(
            parse_files([("f.yaml", text)]),
            project=cast.project,
            actor=cast.author,
            at=AT,
            look=look,
            **options,
        )
    return [(problem.line, problem.key, problem.message) for problem in caught.value.problems]


PATH, EVENT = ("source", "path"), ("source", "event_timestamp")


def test_what_is_wrong_with_a_source_is_named_at_its_own_line(cast):
    lines = DEFINITIONS.splitlines()

    assert problems_with(wrong_source(PATH, EVENT), DEFINITIONS, cast) == [
        (lines.index("path: driver_stats.parquet") + 1, "path", "wrong in driver_hourly"),
        (lines.index("event_timestamp: event_timestamp") + 1, "event_timestamp",
         "wrong in driver_hourly"),
    ]  # fmt: skip


def test_a_source_that_is_not_sent_is_named_where_the_view_names_it(cast):
    apply(ENTITY + "\n---\n" + SOURCE, cast)

    ((line, key, message),) = problems_with(wrong_source(PATH), VIEW, cast)

    assert (line, key) == (VIEW.splitlines().index("source: driver_stats") + 1, "source")
    assert message == "data source 'driver_stats', path: wrong in driver_hourly"


def test_a_source_that_no_view_of_the_request_reads_is_looked_at_by_itself(cast):
    line = SOURCE.splitlines().index("path: driver_stats.parquet") + 1
    found = [(line, "path", "wrong in driver_stats")]

    assert problems_with(wrong_source(PATH), SOURCE, cast) == found
    make_version(cast)
    assert problems_with(wrong_source(PATH), SOURCE, cast, look_all=True) == found


def test_two_views_of_one_source_tell_its_problem_once(cast):
    text = DEFINITIONS + "\n---\n" + VIEW.replace("driver_hourly", "driver_daily")

    def look(*, specs, project, unseen=()):
        return [Report(problems=[(PATH, "no file matches")]) for _ in specs]

    assert [key for _, key, _ in problems_with(look, text, cast)] == ["path"]


def test_what_is_wrong_with_the_number_comes_with_what_is_wrong_with_the_data(cast):
    make_version(cast)
    text = VIEW.replace("acc_rate", "accept") + 'version: "1.0.0"'

    keys = [key for _, key, _ in problems_with(wrong_source(("features", 0, "name")), text, cast)]

    assert keys == ["features[0].name", "version"]
    assert FeatureViewVersion.objects.count() == 1


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


def warnings_of(applied):
    return {each.name: each.warnings for each in applied if each.warnings}


def test_a_changed_entity_and_a_source_of_the_same_name_are_told_apart(cast):
    make_version(cast)
    apply("kind: Entity\nname: driver_stats\njoin_keys: [{name: x, type: int64}]", cast)

    entity = "kind: Entity\nname: driver_stats\njoin_keys: [{name: y, type: int64}]"
    assert [each.name for each in apply(entity, cast)] == ["driver_stats"]


def test_a_view_that_follows_its_source_is_based_on_its_newest_version(cast):
    make_version(cast)
    first = VIEW.replace("Conversion rate", "Share") + 'based_on: "1.0.0"'
    make_version(cast, text=first)

    (_, followed) = apply(SOURCE + "description: words\n", cast)

    assert (followed.classification, followed.version) == ("patch", "1.0.2")
    assert followed.draft.based_on.number == "1.0.1"
    assert warnings_of([followed]) == {"driver_hourly": ["uses driver_stats, which changed"]}


def test_a_join_key_that_becomes_a_feature_of_a_view_is_refused_where_it_was_changed(cast):
    make_version(cast)

    with pytest.raises(InvalidDefinitions) as caught:
        apply(ENTITY.replace("driver_id", "Acc_Rate"), cast)

    (problem,) = caught.value.problems
    assert (problem.line, problem.value) == (3, "driver")
    assert "feature view driver_hourly uses it: 'acc_rate' is a join key already" in problem.message


def test_a_version_in_review_keeps_the_source_it_was_submitted_with(cast):
    version = make_version(cast, state=State.IN_REVIEW)

    (_, followed) = apply(SOURCE.replace("driver_stats.parquet", "other.parquet"), cast)

    version.refresh_from_db()
    assert version.spec.source.path == "driver_stats.parquet"
    assert (followed.classification, followed.version) == ("major", "2.0.0")


def test_everybody_who_ever_wrote_a_source_is_an_editor(cast):
    apply(SOURCE, cast, actor=cast.owner)
    apply(SOURCE + "description: words\n", cast, actor=cast.superuser)
    apply(DEFINITIONS, cast)

    draft = FeatureViewVersion.objects.get()
    assert {each.user for each in draft.editors.all()} == {cast.author, cast.owner, cast.superuser}


def test_an_open_draft_that_differs_is_pointed_out(cast):
    make_version(cast)
    apply(VIEW.replace("Conversion rate", "Share"), cast)

    (applied,) = apply(VIEW, cast)

    assert (applied.change, applied.version) == ("unchanged", "1.0.0")
    assert "open draft says something else" in applied.warnings[0]


def test_a_number_somebody_has_is_named_at_its_line(cast):
    make_version(cast)
    make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("acc_rate", "accept"))

    with pytest.raises(InvalidDefinitions) as caught:
        apply(VIEW.replace("acc_rate", "other") + 'based_on: "1.0.0"\nversion: "2.0.0"', cast)

    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == ("version", "2.0.0")
    assert "use 3.0.0" in problem.message


@pytest.mark.parametrize("base", ["9.0.0", "1.0.0"])
def test_a_base_that_is_not_there_or_retired_is_refused(cast, base):
    version = make_version(cast)
    releases.retire_version(version=version, actor=cast.steward, at=AT)

    with pytest.raises(InvalidDefinitions, match="has no submitted version"):
        apply(VIEW + f'based_on: "{base}"', cast)


def test_files_are_read_once_for_a_plan_and_its_submission(cast):
    asked = []

    def counting(*, specs, project, unseen=()):
        asked.extend(spec.view.name for spec in specs)
        return [Report() for _ in specs]

    apply_definitions(
        parse_files([("f.yaml", DEFINITIONS)]),
        project=cast.project,
        actor=cast.author,
        at=AT,
        look=counting,
        submit=True,
    )

    assert asked == ["driver_hourly"]


def test_registering_needs_the_right_on_the_view_too(cast):
    make_version(cast)
    clerk = make_user("clerk")
    assign_perm("add_featureview", clerk, cast.project)

    apply(SOURCE.replace("name: driver_stats", "name: other"), cast, actor=clerk)
    with pytest.raises(ActionNotPermitted, match="change_featureview"):
        apply(VIEW.replace("Conversion rate", "Share"), cast, actor=clerk)
