"""What the database refuses of versions, whoever asks and however: the last of the doors."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from registry import audit
from registry.choices import Role, State, Verdict
from registry.guards.tables import GUARDS
from registry.mask_keys import make_key
from registry.models import (
    AuditEntry,
    AuditHead,
    FeatureViewVersion,
    Fitting,
    Review,
    VersionEditor,
)
from registry.operations.lifecycle.commenting import On, add_comment
from registry.operations.lifecycle.glass import break_glass
from registry.operations.people import members
from registry.triggers import faults
from tests.factories import (
    AT,
    DEFINITIONS,
    apply,
    give_grant,
    make_ready,
    make_version,
    seen,
    token_for,
    want_approvals,
)

pytestmark = pytest.mark.django_db
sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="OR REPLACE is SQLite's")
postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite lacks it")

VIEW_OF_ANOTHER_NAME = DEFINITIONS.replace("driver_hourly", "driver_daily")
SERVICE = """
kind: FeatureService
name: churn
features: ["driver_hourly:conv_rate"]
"""
ON_DEMAND = """
kind: OnDemandFeatureView
name: twice
inputs: {features: ["driver_hourly:conv_rate"]}
features: [{name: doubled, type: float64, sql: "2 * conv_rate"}]
"""


def refused(match: str):
    return pytest.raises(DatabaseError, match=match)


def rows(version):
    return FeatureViewVersion.objects.filter(pk=version.pk)


@pytest.mark.parametrize("state", [State.IN_REVIEW, State.APPROVED])
@pytest.mark.parametrize(
    "change",
    [
        {"spec_json": "{}"}, {"data_fingerprint": "0" * 64}, {"metadata_fingerprint": "0" * 64},
        {"patch": 7}, {"packet": {}}, {"packet_hash": "0" * 64}, {"table": None},
        {"submitted_by": None}, {"change_class": "patch"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_submitted_version_never_changes(cast, state, change):
    version = make_version(cast, state=state)

    with refused("a submitted version never changes"), transaction.atomic():
        rows(version).update(**change)


def test_a_draft_changes_freely(cast):
    version = make_version(cast, state=State.DRAFT)

    assert rows(version).update(spec_json=version.spec_json + " ") == 1


def test_a_submitted_version_is_never_deleted(cast):
    version = make_version(cast)

    with refused("a submitted version is never deleted"), transaction.atomic():
        rows(version)._raw_delete("default")


def test_a_version_begins_as_a_draft(cast):
    version = make_version(cast, state=State.DRAFT)
    version.pk, version.state = None, State.RETIRED
    version.major = version.minor = version.patch = 1
    version.table = make_version(cast).table

    with refused("a version begins as a draft"), transaction.atomic():
        version.save(force_insert=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (State.DRAFT, State.APPROVED), (State.IN_REVIEW, State.RETIRED),
        (State.APPROVED, State.DRAFT), (State.APPROVED, State.IN_REVIEW),
    ],
)  # fmt: skip
def test_states_move_along_the_lifecycle_only(cast, before, after):
    version = make_version(cast, state=before)

    with refused("the lifecycle has no such step|submitted_is_numbered"), transaction.atomic():
        rows(version).update(state=after)


@pytest.mark.parametrize("reviewer", [None, "author"])
def test_nobody_approves_their_own(cast, reviewer):
    version = make_version(cast, state=State.IN_REVIEW)
    if reviewer:
        review(version, getattr(cast, reviewer))

    with refused("of people who did not edit it"), transaction.atomic():
        rows(version).update(state=State.APPROVED)


def test_what_somebody_else_approved_may_become_approved(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    review(version, cast.steward)
    assert VersionEditor.objects.filter(version=version, user=cast.author).exists()

    assert rows(version).update(state=State.APPROVED) == 1
    make_ready(version)


@pytest.mark.parametrize("policy", ["at submit", "now"])
def test_what_wants_two_approvals_is_not_approved_by_one(cast, policy):
    want_approvals(cast, 2 if policy == "at submit" else 1)
    version = make_version(cast, state=State.IN_REVIEW)
    want_approvals(cast, 1 if policy == "at submit" else 2)
    review(version, cast.steward)

    with refused("the approvals that are wanted"), transaction.atomic():
        rows(version).update(state=State.APPROVED)
    review(version, cast.second_steward)
    assert rows(version).update(state=State.APPROVED) == 1


def test_an_approval_of_another_submission_is_not_stored(cast):
    version = make_version(cast, state=State.IN_REVIEW)

    with refused("a review is of what waits for one"), transaction.atomic():
        review(version, cast.steward, packet_hash="0" * 64)


FORGED = {
    "of somebody else": {"actor": "owner"},
    "of a rejection": {"verb": "feature_view_version.rejected"},
    "of another packet": {"data": {"packet_hash": "0" * 64}},
    "of another version": {"subject": "other"},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_review_says_what_its_entry_says(cast, forged):
    version = make_version(cast, state=State.IN_REVIEW)
    other = make_version(cast, state=State.IN_REVIEW, text=VIEW_OF_ANOTHER_NAME)
    said = dict(forged)
    if "actor" in said:
        said["actor"] = getattr(cast, said["actor"])
    if "subject" in said:
        said["subject"] = other
    wrong = entry_of(version, cast.steward, **said)

    with refused("a review needs its entry"), transaction.atomic():
        review(version, cast.steward, entry=wrong)


def test_an_entry_stands_for_one_review(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    entry = review(version, cast.steward).audit_entry

    with pytest.raises(DatabaseError), transaction.atomic():
        review(version, cast.steward, entry=entry, verdict=Verdict.REJECTED)


def test_a_fixture_brings_no_review_without_an_entry(cast, tmp_path):
    version = make_version(cast, state=State.IN_REVIEW)
    columns = {
        "version": version.pk, "reviewer": cast.steward.pk, "verdict": Verdict.APPROVED,
        "packet_hash": version.packet_hash, "decided_on": seen(version),
        "audit_entry": AuditEntry.objects.latest("pk").pk, "created_at": AT.isoformat(),
    }  # fmt: skip
    fixture = tmp_path / "forged.json"
    fixture.write_text(json.dumps([{"model": "registry.review", "fields": columns}]))

    with refused("a review needs its entry"):
        call_command("loaddata", str(fixture))


KEPT = {
    "registry_review": "a review stays",
    "registry_brokenglass": "a broken glass stays|a look at a broken glass needs",
    "registry_versioneditor": "who edited something stays known",
    "registry_datasource_editors": "who edited something stays known",
    "registry_entity_editors": "who edited something stays known",
    "registry_versionnumber": "a number that was given stays given",
    "registry_feature": "the features of a submitted version stay",
    "registry_featureserviceversion": "a version of a service never changes",
    "registry_featureservicemember": "a version of a service never changes",
    "registry_audithead": "the head of the trail",
    "registry_auditentry": "append-only",
    "registry_evidence": "evidence that is in never changes",
    "registry_reviewcomment": "what was said",
    "registry_reviewpassage": "what was said of a line",
    "registry_usedname": "a name that was used stays so",
    "registry_readgrant": "never deleted|asked for stays|no such step",
    "registry_passwordchange": "who set a password stays known",
    "registry_policychange": "what a policy wanted stays known",
    "registry_maskkey": "a key of hashes stays",
    "registry_fitting": "was fitted to",
}


@pytest.fixture
def everything(cast):
    """A row of each guarded table, that of evidence computed."""
    version = make_version(cast)
    apply(SERVICE, cast)
    waiting = make_version(cast, state=State.IN_REVIEW, text=ON_DEMAND)
    urgent = make_version(cast, state=State.IN_REVIEW, text=VIEW_OF_ANOTHER_NAME)
    break_glass(
        version=urgent, actor=cast.owner, at=AT, packet_hash=seen(urgent), comment="It cannot wait."
    )
    add_comment(version=waiting, body="Why?", actor=cast.steward, at=AT, on=On("definition", 1))
    give_grant(cast, cast.consumer, view="driver_hourly")
    want_approvals(cast, 2)
    token_for(cast.author)
    make_key(cast.project, cast.owner, AT)
    Fitting.objects.create(version=version, content="x", parameters="[]", made_at=AT)
    members.grant_role(
        project=cast.project, user=cast.outsider, role=Role.STEWARD, actor=cast.owner, at=AT
    )
    return version


@pytest.mark.parametrize("table", KEPT)
def test_what_decides_is_neither_deleted_nor_changed(everything, table):
    of_it = "WHERE status = 'computed'" if table == "registry_evidence" else ""
    with refused(KEPT[table]), transaction.atomic():
        run(f"DELETE FROM {table} {of_it}")
    with refused(f"{KEPT[table]}|never replaced"), transaction.atomic():
        run(f"UPDATE {table} SET id = id + 1000 {of_it}")


def test_a_table_without_rules_has_none_to_break():
    others = {"featureviewversion", "pseudonym", "membership", "project", "apitoken", "proposal"}
    assert {*KEPT, *(f"registry_{each}" for each in others)} == {*GUARDS}


@sqlite
@pytest.mark.parametrize("table", GUARDS)
def test_sqlite_replaces_no_row(everything, table):
    of_it = "WHERE status = 'computed'" if table == "registry_evidence" else ""
    names = columns_of(table).replace("group,", '"group",')

    with refused("replaced|append-only|begins as a draft|stay|never"), transaction.atomic():
        run(f"INSERT OR REPLACE INTO {table} ({names}) SELECT {names} FROM {table} {of_it} LIMIT 1")


@sqlite
def test_sqlite_swaps_no_approved_version(cast):
    version = make_version(cast)
    names = columns_of("registry_featureviewversion")

    for kept in (names, names.replace("id, ", "", 1)):  # by its id, and by its number
        said = kept.replace("state", "'draft'").replace("spec_json", "'{}'")
        swap = f"INSERT OR REPLACE INTO registry_featureviewversion ({kept}) SELECT {said}"
        with refused("a row that stays is never replaced"), transaction.atomic():
            run(f"{swap} FROM registry_featureviewversion")
    assert rows(version).get().state == State.APPROVED


@sqlite
def test_sqlite_moves_no_draft_over_an_approved_version(cast):
    version = make_version(cast)
    draft = make_version(cast, state=State.DRAFT, text=VIEW_OF_ANOTHER_NAME)
    over = "UPDATE OR REPLACE registry_featureviewversion SET {} WHERE id = %s"

    with refused("replaced|keeps its id"), transaction.atomic():
        run(over.format(f"id = {version.pk}"), draft.pk)
    moved = f"feature_view_id = {version.feature_view_id}, major = 1, minor = 0, patch = 0"
    with refused("replaced|keeps its id"), transaction.atomic():
        run(over.format(moved), draft.pk)
    assert rows(version).exists()


@postgresql
@pytest.mark.parametrize("table", [*GUARDS, "auth_user"])
def test_postgresql_empties_no_table(everything, table):
    with refused("append-only, and never emptied"), transaction.atomic():
        run("SET CONSTRAINTS ALL IMMEDIATE")
        run(f"TRUNCATE {table} CASCADE")


@postgresql
def test_postgresql_passes_no_rule_by_as_a_replica(everything):
    with refused("a review stays"), transaction.atomic():
        run("SET LOCAL session_replication_role = replica")
        run("DELETE FROM registry_review")


@postgresql
@pytest.mark.parametrize("shadow", ["evil.", "pg_temp."])
def test_postgresql_asks_our_own_tables_whatever_path_a_session_has(cast, shadow):
    """A trail of somebody's own says that who is a steward was made an owner."""
    trail = f"{shadow}registry_auditentry"
    if shadow == "evil.":
        run("CREATE SCHEMA evil")
    run(f"CREATE TABLE {trail} AS SELECT * FROM public.registry_auditentry")
    run(
        f"UPDATE {trail} SET after = jsonb_set(after, '{{role}}', '\"owner\"')"
        " WHERE verb = 'membership.granted'"
    )
    names = columns_of("registry_membership").replace("id, ", "", 1).replace("group,", '"group",')
    said = names.replace("role", "'owner'")

    with refused("a role needs its entry"), transaction.atomic():
        run("SET LOCAL search_path = evil, public")
        run(
            f"INSERT INTO public.registry_membership ({names}) SELECT {said}"
            " FROM public.registry_membership WHERE role = 'steward'"
        )


def test_an_entry_follows_the_newest_one(cast):
    first, last = AuditEntry.objects.earliest("pk"), AuditEntry.objects.latest("pk")

    for previous in (audit.GENESIS, first.hash):
        with refused("follows the newest one"), transaction.atomic():
            forged(last, previous_hash=previous).save(force_insert=True)
    with refused("append-only|never replaced"), transaction.atomic():
        forged(last, pk=first.pk, previous_hash=last.hash).save(force_insert=True)


def test_the_head_only_moves_on(cast):
    older = AuditEntry.objects.earliest("pk")

    for said in ({"count": 1}, {"count": 10_000, "hash": older.hash}):
        with refused("moves on, to its newest entry"), transaction.atomic():
            AuditHead.objects.update(**said)


# --- Whether the triggers are there --------------------------------------------------------------


def test_a_database_as_the_migrations_make_it_lacks_no_trigger(db):
    assert list(faults(connection)) == []


SABOTAGE = {
    "sqlite": {
        "registry_review_rule_0 is missing": ["DROP TRIGGER registry_review_rule_0"],
        "registry_review_rule_0 is not the one": [
            "DROP TRIGGER registry_review_rule_0",
            "CREATE TRIGGER registry_review_rule_0 BEFORE UPDATE ON registry_review"
            " WHEN 1 = 0 BEGIN SELECT RAISE(ABORT, 'never'); END",
        ],
        "quiet on registry_review is none of ours": [
            "CREATE TRIGGER quiet AFTER INSERT ON registry_review BEGIN SELECT 1; END"
        ],
        "registry_review_rule_1 is not the one": [
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_master SET sql = replace(sql, 'ABORT', 'IGNORE')"
            " WHERE name = 'registry_review_rule_1'",
            "PRAGMA writable_schema = OFF",
        ],
        "triggers of auth_user are missing": ["DROP TRIGGER auth_user_told"],
    },
    "postgresql": {
        "registry_review_rules is missing": [
            "DROP TRIGGER registry_review_rules ON registry_review"
        ],
        "registry_review_rules is off": ["ALTER TABLE registry_review DISABLE TRIGGER USER"],
        "registry_review_no_truncate is off": [
            "ALTER TABLE registry_review ENABLE TRIGGER registry_review_no_truncate"
        ],
        "registry_review_rules is not the one": [
            "CREATE OR REPLACE FUNCTION registry_review_check() RETURNS trigger"
            " LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"
        ],
        "rule quiet on registry_review is none of ours": [
            "CREATE RULE quiet AS ON INSERT TO registry_review DO INSTEAD NOTHING"
        ],
        "auth_user_told is missing": ["DROP TRIGGER auth_user_told ON auth_user"],
        "auth_user_told is off": ["ALTER TABLE auth_user ENABLE TRIGGER auth_user_told"],
        "registry_review_rules on registry_evidence is none of ours": [
            "CREATE TRIGGER registry_review_rules BEFORE INSERT ON registry_evidence"
            " FOR EACH ROW EXECUTE FUNCTION registry_review_check()"
        ],
        "registry_review_rules is not the one that was": [
            "ALTER FUNCTION registry_review_check() SET search_path = evil, public"
        ],
        "row security on registry_review": [
            "ALTER TABLE registry_review ENABLE ROW LEVEL SECURITY"
        ],
        "trigger quiet on registry_review is none of ours": [
            "CREATE TRIGGER quiet BEFORE INSERT ON registry_review"
            " FOR EACH ROW EXECUTE FUNCTION registry_feature_check()"
        ],
    },
}[connection.vendor]


@pytest.mark.parametrize("said", SABOTAGE)
def test_a_trigger_that_is_gone_or_off_or_another_is_named(cast, said):
    for statement in SABOTAGE[said]:
        run(statement)

    assert any(said in fault for fault in faults(connection))


# --- Forging -------------------------------------------------------------------------------------


def review(version, reviewer, *, packet_hash: str = "", verdict=Verdict.APPROVED, entry=None):
    """Store a review without asking anybody, with its entry unless another is given."""
    return Review.objects.create(
        version=version, reviewer=reviewer, verdict=verdict, created_at=AT,
        packet_hash=packet_hash or version.packet_hash, decided_on=version.packet_hash,
        audit_entry=entry or entry_of(version, reviewer),
    )  # fmt: skip


def entry_of(version, reviewer, **said):
    facts = {
        "actor": reviewer, "verb": "feature_view_version.approved", "subject": version,
        "data": {"packet_hash": version.packet_hash}, "at": AT,
    }  # fmt: skip
    return audit.record(**(facts | said))


def forged(entry, **columns):
    copied = {each.attname: getattr(entry, each.attname) for each in AuditEntry._meta.fields}
    return AuditEntry(**(copied | {"id": None, "hash": "f" * 64} | columns))


def run(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def columns_of(table):
    with connection.cursor() as cursor:
        return ", ".join(
            each.name for each in connection.introspection.get_table_description(cursor, table)
        )
