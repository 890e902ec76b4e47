"""A view with a Python function, from its package to every reader; and when that changes."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from featurestore_project.deep_checks import check_python
from materialization.edges.looks import look_at_sources
from materialization.openlineage import EventType, Told, event
from registry.choices import EvidencePart, State
from registry.models import FeatureView
from registry.operations.lifecycle import submissions
from registry.operations.registration.apply import apply_definitions
from registry.reading.parsing import InvalidDefinitions, parse_files
from registry.spec.lineage import origins_of
from registry.spec.made_of import made_of
from tests import factories
from tests.distributions import install, uninstall
from tests.materialization.run_world import (
    AT,
    HOUR,
    ROWS,
    committed,
    differences,
    materialize,
    offline,
    online,
    write_rows,
)
from tests.materialization.runner.test_assaying import assayed, part

pytestmark = pytest.mark.django_db

SHARES = """
import pyarrow as pa, pyarrow.compute as pc

def shares(batch):
    rate = pc.cast(batch["conv_rate"], pa.float64())
    busy = pc.greater(batch["avg_daily_trips"], 15)
    said = [None if r is None else '{"rate": %s}' % r for r in rate.to_pylist()]
    return pa.table({"double_rate": pc.multiply(rate, 2.0), "busy": busy, "said": said,
                     "band": batch["avg_daily_trips"]})
"""
VIEW = """
kind: FeatureView
name: driver_shares
entities: [driver]
source: driver_stats
python: {function: shares:shares, columns: [conv_rate, avg_daily_trips]}
features:
  - {name: double_rate, type: float64}
  - {name: busy, type: bool}
  - {name: said, type: json}
  - {name: trips, type: string, column: band, mask: {bucket: [15, 25]}}
"""
TEXT = "\n---\n".join((factories.ENTITY, factories.SOURCE, VIEW))


@pytest.fixture
def packages(tmp_path, settings):
    settings.PYTHON_FOLDER = install(tmp_path / "packages", name="shares", shares=SHARES)
    settings.PYTHON_DISTRIBUTIONS = ["shares"]
    settings.SOURCE_LOOK = "materialization.edges.looks.look_at_sources"
    return tmp_path / "packages"


def apply(cast, text=TEXT, **options):
    return apply_definitions(
        parse_files([("f.yaml", text)]), project=cast.project, actor=cast.author, at=AT,
        look=look_at_sources, **options,
    )  # fmt: skip


def submitted(cast, text=TEXT):
    draft = next(each.draft for each in apply(cast, text) if each.draft is not None)
    return submissions.submit_version(version=draft, actor=cast.author, at=AT, look=look_at_sources)


@pytest.fixture
def version(cast, sources, packages):
    """An approved version over real rows."""
    write_rows(sources, ROWS)
    with committed():
        version = submitted(cast)
        factories.approve(version, cast.steward)
    version.refresh_from_db()
    return version


def test_both_stores_have_what_the_function_makes(version):
    entities = {"driver_id": [1001, 1002, 1003, 4711]}

    for end in (AT - 4 * HOUR, AT):
        assert materialize(version, end=end).status == "succeeded"
        read = offline(version, entities, at=end)
        assert {**online(version, entities, at=end), "said": read["said"]} == read
        compared, found = differences(version, at=end)
        assert (compared > 0, found) == (True, [])

    assert read == {
        "double_rate": [1.5, 0.5, None, None],
        "busy": [False, True, True, None],
        "said": ['{"rate": 0.75}', '{"rate": 0.25}', None, None],
        "trips": ["<15", "[15, 25)", ">=25", None],
    }


def test_what_is_installed_belongs_to_the_version_and_its_review(client, cast, version):
    code = version.spec.code
    client.force_login(cast.consumer)
    page = client.get(reverse("admin:registry_featureviewversion_change", args=[version.pk]))
    said = client.get("/api/v1/projects/rides/feature-views/driver_shares/versions/1.0.0").json()

    assert (code.distribution, code.version) == ("shares", "1.0")
    assert version.packet["code"] == {
        "distribution": "shares", "version": "1.0", "sha256": code.sha256,
    }  # fmt: skip
    assert "shares:shares" in page.content.decode()
    assert code.sha256[:12] in page.content.decode()
    assert code.sha256 in json.dumps(said)


def test_a_run_with_another_package_is_refused_by_name(version, packages):
    uninstall(packages, name="shares")
    install(packages, name="shares", version="1.1", shares=SHARES.replace("2.0", "3.0"))

    run = materialize(version)

    assert (run.status, run.error_code) == ("failed", "python_changed")
    assert "submitted with shares 1.0" in run.error
    assert "is shares 1.1" in run.error

    uninstall(packages, name="shares", version="1.1")
    install(packages, name="shares", shares=SHARES)
    assert materialize(version).status == "succeeded"


def test_the_deep_look_counts_versions_whose_package_is_another(version, packages, settings):
    assert check_python() == "ok"

    uninstall(packages, name="shares")
    assert "1 versions have a Python package that is not the one" in check_python()

    settings.PYTHON_CONFINEMENT = ["moat"]
    assert check_python().endswith("its kernel lacks moat, which PYTHON_CONFINEMENT demands")


def test_a_plan_sees_another_package_though_the_definition_is_the_same(cast, version, packages):
    (unchanged,) = [each for each in apply(cast, dry_run=True) if each.kind == "FeatureView"]
    uninstall(packages, name="shares")
    install(packages, name="shares", version="1.1", shares=SHARES.replace("2.0", "3.0"))

    (changed,) = [each for each in apply(cast, dry_run=True) if each.kind == "FeatureView"]

    assert unchanged.change == "unchanged"
    assert (changed.classification, changed.version) == ("major", "2.0.0")
    assert any("installed package changed: shares 1.0" in each for each in changed.reasons)


def test_two_versions_of_a_packages_logic_are_two_functions_side_by_side(cast, sources, packages):
    both = SHARES + SHARES.partition("\n\n")[2].replace("shares(", "thirds(").replace("2.0", "3.0")
    install(packages, name="shares", shares=both)
    write_rows(sources, ROWS)
    with committed():
        first = submitted(cast)
        factories.approve(first, cast.steward)
        second = submitted(cast, TEXT.replace("shares:shares", "shares:thirds"))
        factories.approve(second, cast.steward)
    first.refresh_from_db()
    second.refresh_from_db()

    assert (first.number, second.number) == ("1.0.0", "2.0.0")
    assert first.table_id != second.table_id
    for each, wanted in ((first, 1.5), (second, 2.25)):
        assert materialize(each).status == "succeeded"
        assert online(each, {"driver_id": [1001]}, at=AT)["double_rate"] == [wanted]


def test_every_feature_counts_as_made_of_every_column_that_is_given(version):
    given = {"conv_rate", "avg_daily_trips", "driver_id", "event_timestamp", "created"}
    spec = version.spec

    assert {name: origin.columns for name, origin in origins_of(spec).items()} == dict.fromkeys(
        ("double_rate", "busy", "said", "trips"), frozenset(given)
    )
    made = {each.name: each for each in made_of(spec)}
    assert made["trips"].mask_said() == "bucket of 3 of what `python` makes"
    told = Told("assay", "rides", "driver_shares", "1.0.0", 1, AT, AT, "backfill")
    assert '"subtype": "TRANSFORMATION"' in json.dumps(event(EventType.COMPLETE, told, spec, at=AT))


def test_a_feature_is_held_to_the_most_sensitive_column_it_is_given(cast, version):
    """``acc_rate`` is not named, so the first version is not held to it; the second is."""
    text = factories.DEFINITIONS.replace(
        "{name: acc_rate, type: float32}",
        "{name: acc_rate, type: float32, sensitivity: restricted}",
    )
    with committed():
        factories.make_version(cast, text=text, state=State.IN_REVIEW)
        for steward in (cast.steward, cast.second_steward):
            (draft,) = FeatureView.objects.get(name="driver_hourly").versions.all()
            if draft.state == State.IN_REVIEW:
                factories.approve(draft, steward)
    wider = TEXT.replace("[conv_rate, avg_daily_trips]", "[conv_rate, acc_rate, avg_daily_trips]")

    (named,) = [each for each in apply(cast, TEXT, dry_run=True) if each.kind == "FeatureView"]
    (planned,) = [each for each in apply(cast, wider, dry_run=True) if each.kind == "FeatureView"]

    assert named.change == "unchanged"
    assert any(
        "feature double_rate: internal, and" in each and "approved as restricted" in each
        for each in planned.reasons
    )


def test_a_plan_with_a_function_that_fails_quotes_nothing(cast, sources, version, packages):
    write_rows(sources, [*ROWS, (1004, AT - 2 * HOUR, AT - 2 * HOUR, 0.5, 7777)])
    loud = "    assert 7777 not in batch['avg_daily_trips'].to_pylist(), '7777 is one too many'\n"
    install(packages, name="shares", shares=SHARES.replace("    rate =", f"{loud}    rate ="))

    with pytest.raises(InvalidDefinitions) as caught:
        apply(cast, TEXT.replace("name: busy", "name: busy, description: at work"))

    (problem,) = caught.value.problems
    assert problem.message.startswith("python shares:shares: it raised AssertionError at line")
    assert "7777" not in problem.message


def test_a_plan_tries_no_row_that_whoever_sends_it_may_not_read(cast, sources, packages, version):
    """Whether a function fails on a row answers any question about it."""
    text = factories.DEFINITIONS.replace(
        "type: float32}", "type: float32, sensitivity: restricted}"
    )
    with committed():
        factories.make_version(cast, text=text, state=State.IN_REVIEW)
        for steward in (cast.steward, cast.second_steward):
            (draft,) = FeatureView.objects.get(name="driver_hourly").versions.all()
            if draft.state == State.IN_REVIEW:
                factories.approve(draft, steward)
    asks = "\ndef asks(batch):\n    assert 0.75 not in batch['acc_rate'].to_pylist()\n"
    install(packages, name="shares", shares=SHARES + asks + "    return shares(batch)\n")
    asking = TEXT.replace(
        "{function: shares:shares, columns: [conv_rate, avg_daily_trips]}", "shares:asks"
    )

    (planned,) = [each for each in apply(cast, asking, dry_run=True) if each.kind == "FeatureView"]

    assert any("no row of source 'driver_stats' was looked at" in each for each in planned.warnings)
    factories.give_grant(cast, cast.author, level="restricted", at=AT)
    with pytest.raises(InvalidDefinitions, match="it raised AssertionError"):
        apply(cast, asking, dry_run=True)


def test_a_column_is_not_called_as_a_time_beside_it(cast, sources, packages):
    write_rows(sources, ROWS)

    with pytest.raises(InvalidDefinitions) as caught:
        apply(cast, TEXT.replace("column: band", "column: created"))

    found = {problem.key: problem.message for problem in caught.value.problems}
    assert "'created' is a join key or a time of the source" in found["features[3].column"]


def test_nothing_listed_refuses_a_plan_in_words(cast, sources, packages, settings):
    write_rows(sources, ROWS)
    settings.PYTHON_DISTRIBUTIONS = []

    with pytest.raises(InvalidDefinitions) as caught:
        apply(cast)

    (problem,) = caught.value.problems
    assert problem.key == "python"
    assert "no Python package is allowed here" in problem.message


def test_evidence_compares_the_rows_of_two_functions(cast, sources, packages):
    both = SHARES + SHARES.partition("\n\n")[2].replace("shares(", "thirds(").replace("2.0", "3.0")
    install(packages, name="shares", shares=both)
    write_rows(sources, ROWS)
    factories.approve(submitted(cast), cast.steward)

    evidence = assayed(submitted(cast, TEXT.replace("shares:shares", "shares:thirds")))

    facts, _ = part(evidence, EvidencePart.COMPARISON)
    assert {name: found["equal"] for name, found in facts["features"].items()} == {
        "double_rate": 2, "busy": 8, "said": 8, "trips": 8,
    }  # fmt: skip


def test_evidence_says_that_the_version_before_cannot_be_computed_any_more(cast, version, packages):
    uninstall(packages, name="shares")
    install(packages, name="shares", version="1.1", shares=SHARES.replace("2.0", "3.0"))

    evidence = assayed(submitted(cast))

    profile, _ = part(evidence, EvidencePart.PROFILE)
    comparison = evidence.parts[EvidencePart.COMPARISON]
    assert profile["after"]["rows"] == 4
    assert (comparison["state"], "is shares 1.1" in comparison["why"]) == ("not_computed", True)
    assert evidence.status == "computed"
