"""Masked forms of columns: declared, judged against what the column was approved as, agreed to."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from registry import approval, audit
from registry.choices import State
from registry.mask_keys import MADE, keys_of, make_key, newest_identity, secret_of, trial_keys
from registry.models import AuditEntry, MaskKey
from registry.reading.parsing import InvalidDefinitions
from registry.remembered import sensitivities, sensitivities_now
from registry.spec.hash_keys import hash_keys
from registry.trail.verifying import findings
from tests import factories
from tests.factories import ENTITY, SOURCE, VIEW, approve, make_version

pytestmark = pytest.mark.django_db

RESTRICTED = VIEW.replace("sensitivity: internal", "sensitivity: restricted")
RAW = "{name: avg_daily_trips, type: int32, sensitivity: internal}"
OTHER = VIEW.replace("name: driver_hourly", "name: driver_daily")
BAND = "{name: band, type: string, column: avg_daily_trips, mask: {bucket: [18, 30, 65]}}"
HASHED = "{name: hashed, type: string, column: avg_daily_trips, mask: hash}"
SQL = (
    "sql: SELECT driver_id, event_timestamp, created, conv_rate, acc_rate, {} AS avg_daily_trips"
    " FROM driver_stats\n"
)
BANDS, HASHES = OTHER.replace(RAW, BAND), OTHER.replace(RAW, HASHED)


def text(*documents):
    return "\n---\n".join(documents)


@pytest.fixture
def cast(db, sources):
    return factories.make_cast(root=str(sources))


@pytest.fixture
def restricted(cast):
    """An approved version whose trips are restricted."""
    return agreed(cast, text(ENTITY, SOURCE, RESTRICTED))


def agreed(cast, definitions):
    version = submitted(cast, definitions)
    for steward in (cast.steward, cast.second_steward):
        version.refresh_from_db()
        if version.state == State.IN_REVIEW:
            approve(version, steward)
    version.refresh_from_db()
    assert version.state == State.APPROVED
    return version


def submitted(cast, definitions):
    return make_version(cast, state=State.IN_REVIEW, text=definitions)


@pytest.mark.parametrize(("view", "mask"), [(BANDS, "bucket of 4"), (HASHES, "hash")])
def test_a_masked_form_is_told_and_takes_as_many_as_its_column(cast, restricted, view, mask):
    version = submitted(cast, text(ENTITY, SOURCE, view))

    assert approval.approvals_required(version) == 2
    name = "band" if view is BANDS else "hashed"
    assert (
        f"feature {name}: a masked form ({mask}) of the column driver_stats.avg_daily_trips,"
        " approved as restricted in driver_hourly@1.0.0"
    ) in version.packet["reasons"]
    assert version.sensitivity == "internal"


def test_a_version_that_changes_nothing_of_the_mask_is_settled(cast, restricted):
    agreed(cast, text(ENTITY, SOURCE, BANDS))

    version = submitted(cast, BANDS.replace("Conversion rate", "Rate of conversion"))

    assert (version.packet["guard"], approval.approvals_required(version)) == (False, 1)


@pytest.mark.parametrize(
    "view",
    [
        OTHER.replace(RAW, BAND.replace(", mask: {bucket: [18, 30, 65]}", "")),
        OTHER.replace(RAW, BAND.replace("[18, 30, 65]", "[18, 30, 40, 65]")),
        OTHER.replace(RAW, BAND.replace("{bucket: [18, 30, 65]}", "hash")),
    ],
    ids=["no mask", "finer", "hash"],
)
def test_what_tells_more_than_people_agreed_to_takes_as_many_again(cast, restricted, view):
    agreed(cast, text(ENTITY, SOURCE, BANDS))

    version = submitted(cast, view)

    assert (version.change_class, version.packet["guard"]) == ("major", True)
    assert "feature band: it tells more, and is internal" in version.packet["reasons"]
    assert approval.approvals_required(version) == 2


@pytest.mark.parametrize(
    "sql",
    ["avg_daily_trips + 7", "CASE WHEN avg_daily_trips = 76 THEN 0 ELSE 99 END", "WHERE"],
)
@pytest.mark.parametrize("mask", [BAND, HASHED], ids=["bucket", "hash"])
def test_what_is_masked_is_settled_for_the_same_sql_alone(cast, restricted, mask, sql):
    view = OTHER.replace(RAW, mask)
    agreed(cast, text(ENTITY, SOURCE, view + SQL.format("avg_daily_trips")))
    made = SQL.format(sql if sql != "WHERE" else "avg_daily_trips")
    if sql == "WHERE":
        made = made.replace("stats\n", "stats WHERE avg_daily_trips = 76\n")

    version = submitted(cast, view + made)

    assert (version.packet["guard"], approval.approvals_required(version)) == (True, 2)


def alike(*edges):
    return BAND.replace("[18, 30, 65]", str(list(edges)))


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([alike(*range(1, 100))], "bucket of 100, telling 98 whole numbers"),
        ([alike(0.5, 1.5)], "bucket of 3, telling a whole number"),
        (
            [alike(1, 3, 5), alike(2, 4).replace("name: band", "name: other")],
            "bucket of 4, telling 4 whole numbers",
        ),
        ([alike(10, 20)], "(bucket of 3)"),
    ],
)
def test_buckets_of_one_number_are_told(cast, restricted, features, words):
    version = submitted(cast, OTHER.replace(RAW, "\n  - ".join(features)))

    assert words in str(version.packet["reasons"])


def test_coarser_edges_are_a_major_change_that_weakens_nothing(cast, restricted):
    agreed(cast, text(ENTITY, SOURCE, BANDS))

    version = submitted(cast, BANDS.replace("[18, 30, 65]", "[30, 65]"))

    assert (version.change_class, version.packet["guard"]) == ("major", False)
    reasons = version.packet["reasons"]
    assert reasons == ["feature band: mask bucket of 4 became bucket of 3"]


def test_values_of_what_waits_are_as_closed_as_the_column(cast, restricted):
    version = submitted(cast, text(ENTITY, SOURCE, HASHES))

    assert sensitivities(cast.project, version.spec)["hashed"] == "restricted"


@pytest.mark.parametrize(
    ("after", "level"),
    [
        (BAND.replace(", mask: {bucket: [18, 30, 65]}", ", sensitivity: restricted"), "internal"),
        (BAND.replace("type: string", "type: string, sensitivity: restricted"), "restricted"),
    ],
    ids=["the values", "the same form"],
)
def test_values_that_become_sensitive_later_leave_a_masked_form_open(cast, after, level):
    masked = agreed(cast, text(ENTITY, SOURCE, BANDS))

    agreed(cast, OTHER.replace(RAW, after))

    assert sensitivities_now(masked)["band"] == level


def test_a_feature_computed_of_a_masked_one_is_held_to_the_mask_alone(cast, restricted):
    factories.make_ready(agreed(cast, text(ENTITY, SOURCE, BANDS)))

    version = submitted(
        cast,
        "kind: OnDemandFeatureView\nname: young\ninputs: {features: ['driver_daily:band']}\n"
        "features:\n  - {name: is_young, type: bool, sql: \"band = '<18'\"}\n",
    )

    assert (version.packet["guard"], approval.approvals_required(version)) == (False, 1)


# --- the key --------------------------------------------------------------------------------------


def test_hashes_name_a_key_of_their_project_that_nobody_is_shown(cast):
    version = make_version(cast, state=State.DRAFT, text=text(ENTITY, SOURCE, HASHES))

    key = MaskKey.objects.get(project=cast.project)
    assert version.spec.mask_key == key.identity == newest_identity(cast.project)
    secret = secret_of(key)
    assert keys_of(version.spec) == hash_keys(version.spec, secret)
    assert len(secret) == len(keys_of(version.spec)["hashed"]) == 32
    entry = AuditEntry.objects.get(verb="project.mask_key_made")
    assert entry.actor_id == cast.author.pk
    said = f"{entry.data} {version.spec_json}"
    assert key.identity in said
    assert secret.hex() not in said
    assert bytes(key.wrapped) != secret


def test_a_secret_is_had_by_keys_of_the_server_and_not_by_the_database(cast, settings):
    spec = make_version(cast, state=State.DRAFT, text=text(ENTITY, SOURCE, HASHES)).spec
    keys, audit_keys = keys_of(spec), settings.AUDIT_KEYS

    settings.AUDIT_KEYS = ["another", *audit_keys]
    assert keys_of(spec) == keys

    settings.AUDIT_KEYS = ["another"]
    assert keys_of(spec) == {}
    said = f"key {spec.mask_key} of hashes is not readable by AUDIT_KEY or one before it"
    assert any(said in str(each) for each in findings())


def test_definitions_without_hashes_make_no_key(cast):
    version = make_version(cast, state=State.DRAFT, text=text(ENTITY, SOURCE, BANDS))

    assert version.spec.mask_key == ""
    assert keys_of(version.spec) == {}
    assert not MaskKey.objects.exists()


def test_a_plan_makes_no_key_and_applying_twice_changes_nothing(cast):
    definitions = text(ENTITY, SOURCE, HASHES)
    factories.apply(definitions, cast, dry_run=True)
    assert not MaskKey.objects.exists()

    factories.apply(definitions, cast)

    assert {each.change for each in factories.apply(definitions, cast)} == {"unchanged"}
    assert MaskKey.objects.count() == 1


def test_another_project_has_another_key(cast, sources):
    elsewhere = factories.make_project("elsewhere", cast.owner)
    make_key(elsewhere, cast.owner, factories.AT)
    make_version(cast, state=State.DRAFT, text=text(ENTITY, SOURCE, HASHES))

    one, other = MaskKey.objects.order_by("pk")
    assert one.identity != other.identity
    assert secret_of(one) != secret_of(other)


def test_a_key_that_nobody_made_is_refused_and_found(cast):
    make_key(cast.project, cast.owner, factories.AT)
    forged = MaskKey(
        project=cast.project, number=2, made_at=factories.AT, wrapped=b"mine", digest="1" * 64
    )
    with pytest.raises(DatabaseError, match="needs its entry"), transaction.atomic():
        forged.save()
    assert [str(each) for each in findings()] == []

    after = {"key": forged.identity, "digest": "0" * 64}
    audit.record(actor=cast.owner, verb=MADE, subject=cast.project, after=after, at=factories.AT)
    forged.save()

    said = f"rides: key {forged.identity} of hashes is none that the trail has made"
    assert said in [str(each) for each in findings()]


def test_another_key_is_a_major_change_and_another_table(cast):
    first = agreed(cast, text(ENTITY, SOURCE, HASHES))
    make_key(cast.project, cast.owner, factories.AT, number=2)

    second = submitted(cast, HASHES)

    assert second.change_class == "major"
    assert "the project's key of hashes changed" in second.packet["reasons"]
    assert second.data_fingerprint != first.data_fingerprint


def test_the_first_hash_of_a_view_is_a_feature_more_and_no_other_key(cast):
    agreed(cast, text(ENTITY, SOURCE, VIEW))

    second = submitted(cast, VIEW.replace(RAW, f"{RAW}\n  - {HASHED}"))

    assert second.change_class == "minor"
    assert second.packet["reasons"] == ["feature hashed added, masked (hash)"]


# --- what hashes alike ----------------------------------------------------------------------------

COPIES = SOURCE.replace("name: driver_stats", "name: copies")
OTHER_FILE = COPIES.replace("path: driver_stats", "path: trips")


def key_in(cast, *documents):
    return keys_of(make_version(cast, state=State.DRAFT, text=text(*documents)).spec)["hashed"]


def of_copies(view):
    return view.replace("source: driver_stats", "source: copies")


def test_the_same_column_of_the_same_files_hashes_alike_in_every_view(cast):
    keys = {
        key_in(cast, ENTITY, SOURCE, HASHES),
        key_in(cast, ENTITY, COPIES, of_copies(HASHES.replace("driver_daily", "driver_weekly"))),
        key_in(cast, ENTITY, SOURCE, HASHES + SQL.format("AVG_daily_trips")),
    }

    assert len(keys) == 1


@pytest.mark.parametrize(
    "definitions",
    [
        (ENTITY, OTHER_FILE, of_copies(HASHES)),
        (ENTITY, SOURCE, OTHER.replace(RAW, HASHED.replace("avg_daily_trips", "trips"))),
        (ENTITY, SOURCE, HASHES + SQL.format("avg_daily_trips + acc_rate")),
    ],
    ids=["another file", "another column", "another one with it"],
)
def test_other_columns_hash_otherwise(cast, definitions):
    assert key_in(cast, ENTITY, SOURCE, HASHES) != key_in(cast, *definitions)


def test_nothing_of_the_source_is_masked_where_a_constant_stands(cast):
    with pytest.raises(InvalidDefinitions, match="hashed is made of no column"):
        factories.apply(text(ENTITY, SOURCE, HASHES + SQL.format("'guess'")), cast)


def test_a_trial_has_keys_that_are_not_the_projects(cast):
    spec = make_version(cast, state=State.DRAFT, text=text(ENTITY, SOURCE, HASHES)).spec
    keys = trial_keys()

    assert keys(spec) == keys(spec)
    assert len({each(spec)["hashed"] for each in (keys, trial_keys(), keys_of)}) == 3


NAMED = HASHES.replace("mask: hash", "mask: {hash: trips}")


def test_whoever_hashes_as_others_do_needs_as_many_as_for_what_they_hide(cast):
    hidden = agreed(cast, text(ENTITY, SOURCE, NAMED))
    guesses = of_copies(NAMED.replace("driver_daily", "guesses"))

    version = submitted(cast, text(ENTITY, OTHER_FILE, guesses))

    assert keys_of(version.spec)["hashed"] == keys_of(hidden.spec)["hashed"]
    assert approval.approvals_required(version) == 2
    assert version.packet["guard"]
    assert (
        "feature hashed: its hashes are those of driver_daily:hashed in driver_daily@1.0.0;"
        " whoever reads both can compare them"
    ) in version.packet["reasons"]
    assert sensitivities(cast.project, version.spec)["hashed"] == "restricted"


def test_hashing_as_others_do_is_settled_once_people_agreed(cast):
    agreed(cast, text(ENTITY, SOURCE, NAMED))
    guesses = of_copies(NAMED.replace("driver_daily", "guesses"))
    agreed(cast, text(ENTITY, OTHER_FILE, guesses))

    version = submitted(cast, guesses.replace("Conversion rate", "Rate of conversion"))

    assert (version.packet["guard"], approval.approvals_required(version)) == (False, 1)


def test_a_filter_by_what_is_masked_is_no_masked_form_of_it(cast, restricted):
    sql = SQL.format("avg_daily_trips").replace("stats\n", "stats WHERE avg_daily_trips = 76\n")

    version = submitted(cast, text(ENTITY, SOURCE, HASHES + sql))

    assert "feature hashed: internal, and the column driver_stats.avg_daily_trips was" in str(
        version.packet["reasons"]
    )


# --- what stands beside it ------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["driver_id", "event_timestamp", "created"])
def test_a_mask_over_what_every_row_shows_is_refused(cast, column):
    view = OTHER.replace(RAW, HASHED.replace("column: avg_daily_trips", f"column: {column}"))

    with pytest.raises(InvalidDefinitions, match="hashed: .* stands in every row as it is"):
        factories.apply(text(ENTITY, SOURCE, view), cast)


def test_a_key_under_another_name_in_sql_is_refused_too(cast):
    sql = (
        "sql: SELECT driver_id, event_timestamp, created, conv_rate, acc_rate,"
        " driver_id + 1 AS avg_daily_trips FROM driver_stats\n"
    )

    with pytest.raises(InvalidDefinitions, match="hashed: driver_id stands in every row"):
        factories.apply(text(ENTITY, SOURCE, HASHES + sql), cast)
