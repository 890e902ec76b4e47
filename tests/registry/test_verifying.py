"""What somebody did who had the database in their hands is found, and named."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from guardian.shortcuts import assign_perm

from featurestore_project import deep_checks
from registry import audit
from registry.choices import AccountKind, EvidenceStatus, Right, Role, State
from registry.models import (
    AuditEntry,
    AuditHead,
    DataSource,
    Evidence,
    FeatureServiceVersion,
    FeatureView,
    FeatureViewVersion,
    FileRoot,
    Membership,
    Project,
    Pseudonym,
    Review,
    VersionEditor,
)
from registry.operations.lifecycle import releases, reviews, submissions
from registry.operations.people import members, users
from registry.operations.registration.roots import assign_root
from registry.trail import verifying
from registry.trail.told.definitions import DefinitionNotAsTold
from registry.trail.told.versions import DraftNotAsTold
from registry.triggers import REMOVAL
from tests.factories import (
    AT,
    DEFINITIONS,
    VIEW,
    apply,
    approve,
    give_grant,
    look,
    make_ready,
    make_version,
    seen,
    want_approvals,
)

pytestmark = pytest.mark.django_db


SERVICE = """
kind: FeatureService
name: churn
features: ["driver_hourly:conv_rate"]
"""


@pytest.fixture
def unguarded(cast):
    """An approved version in a database without any of our triggers."""
    version = make_version(cast)
    with connection.cursor() as cursor:
        for statement in REMOVAL[connection.vendor]:
            cursor.execute(statement)
    return version


def found():
    """Return what is wrong beside the triggers that were taken away."""
    return [str(each) for each in verifying.findings() if each.what != "triggers"]


def rows(version):
    return FeatureViewVersion.objects.filter(pk=version.pk)


def test_nothing_is_wrong_with_a_whole_life(cast):
    want_approvals(cast, 2)
    version = make_version(cast, state=State.IN_REVIEW)
    submissions.withdraw_version(version=version, actor=cast.author, at=AT)
    submissions.submit_version(version=version, actor=cast.author, at=AT, look=look)
    reviews.reject_version(
        version=version, actor=cast.steward, at=AT, packet_hash=seen(version), comment="no"
    )
    later = AT + timedelta(hours=1)
    submissions.submit_version(version=version, actor=cast.author, at=later, look=look)
    for who in (cast.steward, cast.second_steward):
        approve(version, who)
    make_ready(version)
    for step in (
        releases.deprecate_version, releases.restore_version, releases.deprecate_version,
        releases.retire_version,
    ):  # fmt: skip
        forced = {"force": True, "comment": "over"} if step is releases.retire_version else {}
        step(version=version, actor=cast.steward, at=AT, **forced)
    make_version(cast, state=State.DRAFT, text=DEFINITIONS.replace("driver_hourly", "another"))

    assert [str(each) for each in verifying.findings()] == []


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"state": State.RETIRED}, "it is retired, and the trail says approved"),
        ({"packet_hash": "0" * 64}, "its packet is not the one of entry"),
        ({"packet": {"approvals_required": 1}}, "its packet is not what its hash was made of"),
        ({"spec_json": None}, "its definition is not the one its packet was made of"),
    ],
)
def test_a_version_that_was_changed_behind_the_trail_is_named(unguarded, columns, said):
    if "spec_json" in columns:
        columns = {"spec_json": unguarded.spec_json.replace("acc_rate", "bad_rate")}
    rows(unguarded).update(**columns)

    assert any(said in each and "rides/driver_hourly@1.0.0" in each for each in found())


def test_a_version_that_the_trail_does_not_know_is_named(unguarded):
    copied = rows(unguarded).get()
    copied.pk, copied.patch = None, 7
    copied.save(force_insert=True)

    assert any("it is approved, and the trail says nothing of it" in each for each in found())


def test_a_review_that_was_made_up_taken_away_or_changed_is_named(unguarded, cast):
    review = Review.objects.get(version=unguarded)
    Review.objects.filter(pk=review.pk).update(reviewer=cast.owner)
    assert any(f"review {review.pk} is not what entry" in each for each in found())

    review.delete()
    said = found()
    assert any("the review of entry" in each for each in said)
    assert any("0 of 1 approvals are there" in each for each in said)


def test_an_editor_who_was_taken_out_is_named(unguarded):
    VersionEditor.objects.filter(version=unguarded).delete()

    assert any("is not among its editors" in each for each in found())


def test_evidence_that_was_swapped_is_named(unguarded):
    Evidence.objects.filter(version=unguarded).update(status=EvidenceStatus.COMPUTED, hash="0" * 64)

    assert any("is not what the trail has the seal of" in each for each in found())


def test_a_step_that_is_only_in_the_trail_is_named(unguarded, cast):
    audit.record(
        actor=cast.steward, verb="feature_view_version.restored", subject=unguarded, at=AT,
        before=State.DEPRECATED, after=State.APPROVED,
    )  # fmt: skip

    assert any("moves it from deprecated, and it was approved" in each for each in found())


def test_a_forged_approval_is_named_although_it_says_it_is_one(cast, unguarded):
    """Two are wanted; one review is there, and a row that points to somebody else's entry."""
    want_approvals(cast, 2)
    waiting = make_version(cast, state=State.IN_REVIEW, text=DEFINITIONS.replace("hourly", "daily"))
    approve(waiting, cast.steward)
    Review.objects.create(
        version=waiting, reviewer=cast.second_steward, verdict="approved", created_at=AT,
        packet_hash=waiting.packet_hash, decided_on=waiting.packet_hash,
        audit_entry=AuditEntry.objects.earliest("pk"),
    )  # fmt: skip
    rows(waiting).update(state=State.APPROVED)

    said = [each for each in found() if "driver_daily" in each]
    assert any("is not what entry" in each for each in said)
    assert any("it is approved, and the trail says in_review" in each for each in said)


def test_the_command_names_what_is_wrong_and_fails(unguarded, capsys):
    rows(unguarded).update(state=State.RETIRED)

    with pytest.raises(CommandError) as failed:
        call_command("verify_audit")

    said = str(failed.value)
    assert "registry_review" in said
    assert "it is retired, and the trail says approved" in said


def test_a_deep_look_counts_what_is_wrong_and_names_no_view(client, unguarded, cast):
    rows(unguarded).update(state=State.RETIRED)

    said = client.get("/readyz?deep=1").json()["checks"]["trail"]

    assert said.startswith("ok, but the trail has something to say")
    assert "of triggers" in said
    assert "1 of versions" in said
    assert "driver" not in said


def is_of_versions(stage):
    return verifying.STAGES[stage].look is verifying.version_findings


def test_a_deep_look_goes_on_where_the_last_one_stopped(cast, monkeypatch):
    first = make_version(cast)
    second = make_version(cast, text=DEFINITIONS.replace("driver_hourly", "driver_daily"))
    monkeypatch.setattr(verifying, "AT_ONCE", 1)
    stops = []

    stop = verifying.START
    while len(stops) < 100 and (stop != verifying.START or not stops):
        _, stop = verifying.recent_findings(entries=5, seconds=0, after=stop)
        stops.append(stop)

    versions = [each for each in range(len(verifying.STAGES)) if is_of_versions(each)]
    assert [stop.key for stop in stops if stop.stage in versions] == [first.pk, second.pk]
    assert (stops[:-1], stops[-1]) == (sorted(stops[:-1]), verifying.START)
    assert deep_checks.check_trail() == "ok"


@pytest.mark.parametrize("most", [1, 5, 1000])
def test_the_newest_entries_are_walked_up_to_the_head(unguarded, most):
    assert audit.verify_newest(most) is None

    AuditEntry.objects.filter(pk=AuditEntry.objects.latest("pk").pk).update(
        actor_pseudonym="nobody"
    )
    assert audit.verify_newest(most) is not None


def test_a_head_that_is_not_the_newest_entry_is_seen_by_a_short_walk(unguarded):
    newest, older = AuditEntry.objects.order_by("-pk")[:2]
    AuditHead.objects.update(hash=older.hash)
    assert audit.verify_newest(5) is not None

    AuditHead.objects.update(hash=newest.hash)
    assert audit.verify_newest(5) is None


# --- Who decides ---------------------------------------------------------------------------------


def forged_role(cast, version):
    Membership.objects.filter(user=cast.consumer).update(role=Role.STEWARD)


def forged_right(cast, version):
    assign_perm(Right.APPROVE_FEATUREVIEW, cast.consumer, cast.project)


def right_on_one_view(cast, version):
    assign_perm(Right.APPROVE_FEATUREVIEW, cast.consumer, version.feature_view)


def lowered_policy(cast, version):
    Project.objects.update(approvals_required_sensitive=1)


def another_source(cast, version):
    source = DataSource.objects.get()
    DataSource.objects.update(spec_json=source.spec_json.replace("driver_stats", "other_stats"))


def another_draft(cast, version):
    draft = make_version(
        cast, state=State.DRAFT, text=DEFINITIONS.replace("driver_hourly", "another")
    )
    rows(draft).update(spec_json=draft.spec_json.replace("acc_rate", "bad_rate"))


def another_member(cast, version):
    apply(SERVICE, cast)
    FeatureServiceVersion.objects.update(spec_json="{}")


def another_directory(cast, version):
    FileRoot.objects.update(path="/etc")


def shut_out(cast, version):
    User.objects.filter(pk=cast.outsider.pk).update(is_active=False)


def made_superuser(cast, version):
    made = User(username="made")
    users.add_user(user=made, kind=AccountKind.PERSON, actor=cast.superuser, at=AT)
    User.objects.filter(username="made").update(is_superuser=True)


def another_default(cast, version):
    FeatureView.objects.update(default_version=version)


def no_pseudonym(cast, version):
    Pseudonym.objects.filter(user=cast.steward).delete()


def swapped_pseudonym(cast, version):
    Pseudonym.objects.filter(user=cast.steward).delete()
    Pseudonym.objects.create(user=cast.steward)


@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (forged_role, "it is steward, and the trail has nobody who made it that"),
        (forged_role, "is not consumer any more"),
        (forged_right, "has the right approve_featureview, and no role that carries it"),
        (right_on_one_view, "has the right approve_featureview on it alone"),
        (lowered_policy, "approvals_required_sensitive is 1, and the trail says 2"),
        (shut_out, "shut out, and the trail has nobody"),
        (made_superuser, "it is a superuser's or not"),
        (another_source, "its definition is not the one"),
        (another_draft, "its definition is not the one of entry"),
        (another_member, "what it names is not what the trail says"),
        (another_directory, "its directory is not the one"),
        (another_default, "its default is another"),
        (no_pseudonym, "its pseudonym is gone"),
        (swapped_pseudonym, "another pseudonym by now"),
    ],
)
def test_what_decides_who_decides_is_what_the_trail_says(unguarded, cast, sources, forge, said):
    give_grant(cast, cast.consumer, view="driver_hourly")
    assign_root(project=cast.project, path=str(sources), actor=None, at=AT)
    assert found() == []

    forge(cast, unguarded)

    assert any(said in each for each in found())


def test_nothing_is_wrong_with_roles_that_came_and_went(cast):
    give = {"project": cast.project, "user": cast.outsider, "role": Role.CONSUMER, "at": AT}
    for step in (members.grant_role, members.revoke_role, members.grant_role):
        step(actor=cast.owner, **give)

    assert [str(each) for each in verifying.findings()] == []


def test_whoever_has_the_database_and_not_the_key_cannot_append(unguarded, settings):
    """How an entry is hashed everybody may know; the key is the server's."""
    ours, settings.AUDIT_KEYS = settings.AUDIT_KEYS, ["another"]
    audit.record(actor=None, verb="project.changed", subject=None, at=AT)
    settings.AUDIT_KEYS = ours
    assert any("the chain is broken" in each for each in found())

    settings.AUDIT_KEYS = [*ours, "another"]  # a former one of ours
    assert found() == []


def test_a_draft_that_was_changed_past_the_trail_is_not_submitted(cast):
    """By SQL, by somebody who is not among its editors and could approve it."""
    draft = make_version(cast, state=State.DRAFT)
    changed = draft.spec_json.replace("acc_rate", "bad_rate")
    rows(draft).update(spec_json=changed)

    with pytest.raises(DraftNotAsTold, match="Apply the definition anew"):
        submissions.submit_version(version=rows(draft).get(), actor=cast.author, at=AT, look=look)

    apply(DEFINITIONS.replace("acc_rate", "other_rate"), cast, actor=cast.author)
    submitted = submissions.submit_version(
        version=rows(draft).get(), actor=cast.author, at=AT, look=look
    )
    assert submitted.state == State.IN_REVIEW
    submissions.withdraw_version(version=submitted, actor=cast.author, at=AT)
    assert [str(each) for each in verifying.findings()] == []
    submissions.submit_version(version=rows(draft).get(), actor=cast.author, at=AT, look=look)


def test_nothing_is_made_of_a_source_that_was_changed_past_the_trail(cast):
    """There and back: a draft keeps a copy of what the row said for a moment."""
    apply(DEFINITIONS, cast)
    before = DataSource.objects.get().spec_json
    evil = before.replace("driver_stats.parquet", "evil.parquet")
    DataSource.objects.update(spec_json=evil)
    other = VIEW.replace("driver_hourly", "another")

    with pytest.raises(DefinitionNotAsTold, match="data source driver_stats"), transaction.atomic():
        apply(other, cast)

    DataSource.objects.update(spec_json=before)
    (applied,) = apply(other, cast)
    assert "evil" not in applied.draft.spec_json
