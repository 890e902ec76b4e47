"""Breaking the glass: one person's word for a while, and what somebody else says of it after."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from lib.errors import Forbidden
from registry import audit
from registry.access import ActionNotPermitted, ServiceAccountMayNotDecide
from registry.accounts.hands import HandMayNotDecide
from registry.accounts.passwords import PasswordNotYourOwn
from registry.accounts.voices import TokenMayNotDecide
from registry.choices import Look, Role, State, Verdict
from registry.glass import GlassNotConfirmed, cautions, mark_of
from registry.lifecycle import CommentNeeded, EditorMayNotDecide, TransitionNotAllowed
from registry.models import AuditEntry, BrokenGlass, FeatureViewVersion, Review
from registry.models.feature_view_version import StateChanged
from registry.operations.lifecycle import after_glass, glass, releases, submissions
from registry.operations.lifecycle.after_glass import GlassYourOwn, NothingToLookAt
from registry.operations.lifecycle.glass import (
    BadEnd,
    GlassNotForGuards,
    GlassUnlooked,
)
from registry.operations.lifecycle.packets import BaseNotApproved
from registry.operations.lifecycle.steps import BadComment
from registry.operations.lifecycle.voices import AlreadyReviewed, PacketHashMissing
from registry.operations.people import members, tokens
from registry.queries import VersionNotReady, served_version
from registry.trail import verifying
from tests.factories import (
    AT,
    DEFINITIONS,
    VIEW,
    apply,
    approve,
    give_role,
    look,
    make_ready,
    make_service_account,
    make_user,
    make_version,
    seen,
    verbs_of,
    view_of,
    want_approvals,
)
from tests.registry.test_triggers import refused

pytestmark = pytest.mark.django_db
WHY = "The scorer is down, and nobody else is awake."
A_DAY = timedelta(days=1)
FRESH = VIEW.replace("ttl: 2d", "ttl: 2d\nfreshness: 1d")
CHANGED = VIEW.replace("ttl: 2d", "ttl: 3d")


def break_it(version, actor, **options):
    asked = {"packet_hash": seen(version), "at": AT, "comment": WHY} | options
    return glass.break_glass(version=version, actor=actor, **asked)


def confirm(version, actor, **options):
    asked = {"packet_hash": seen(version), "at": AT} | options
    return after_glass.confirm_glass(version=version, actor=actor, **asked)


def object_to(version, actor, **options):
    asked = {"packet_hash": seen(version), "at": AT, "comment": "Wrong column."} | options
    return after_glass.object_to_glass(version=version, actor=actor, **asked)


def fresh(version):
    related = FeatureViewVersion.objects.select_related("feature_view__project", "table", "glass")
    return related.get(pk=version.pk)


def waiting(cast, text=DEFINITIONS, *, by=None):
    """Return a version in review that ``by`` wrote and submitted; the owner if nobody is named."""
    by = by or cast.owner
    applied = apply(text, cast, actor=by)
    draft = next(each.draft for each in applied if each.draft is not None)
    submissions.submit_version(version=draft, actor=by, at=AT, look=look)
    return fresh(draft)


@pytest.fixture
def broken(cast):
    """A second version of a view, of which the first is the default, approved by its author."""
    make_ready(make_version(cast))
    version = break_it(waiting(cast, CHANGED), cast.owner)
    return fresh(version)


def test_whoever_wrote_it_alone_makes_it_approved_and_it_answers_at_once(cast):
    first = make_ready(make_version(cast))
    version = waiting(cast, CHANGED)

    break_it(version, cast.owner)

    version = fresh(version)
    assert (version.state, version.approved_at, version.is_ready) == (State.APPROVED, AT, True)
    assert (version.glass.broken_by, version.glass.reason) == (cast.owner, WHY)
    assert version.glass.ends_at == AT + A_DAY
    assert verbs_of(version) == ["drafted", "submitted", "glass_broken"]
    entry = AuditEntry.objects.get(verb="feature_view_version.glass_broken")
    assert (entry.before, entry.after) == ("in_review", "approved")
    assert entry.data["until"] == (AT + A_DAY).isoformat()
    assert "approved by breaking the glass until 2026-03-02 12:00 UTC" in cautions([version])[0]
    assert cautions([first]) == []
    assert list(verifying.findings()) == []


@pytest.mark.parametrize("who", ["author", "operator", "consumer", "auditor", "outsider"])
def test_who_has_no_right_to_breaks_no_glass(cast, who):
    version = waiting(cast)

    with pytest.raises(ActionNotPermitted):
        break_it(version, getattr(cast, who))
    assert fresh(version).state == State.IN_REVIEW


@pytest.mark.parametrize("who", ["owner", "steward", "superuser"])
def test_who_may_break_one(cast, who):
    assert break_it(waiting(cast), getattr(cast, who)).state == State.APPROVED


def test_a_superuser_breaks_the_glass_of_what_they_wrote_and_does_not_confirm_it(cast):
    version = break_it(waiting(cast, by=cast.superuser), cast.superuser)

    with pytest.raises(EditorMayNotDecide):
        confirm(version, cast.superuser)
    confirm(version, cast.steward)
    assert mark_of(fresh(version)) is None


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"comment": " "}, CommentNeeded),
        ({"comment": "\u200b\u2060\ufeff\u202e" * 9}, CommentNeeded),
        ({"comment": "now, now!"}, CommentNeeded),
        ({"comment": "x" * 10_001}, BadComment),
        ({"comment": "it cannot wait\0"}, BadComment),
        ({"packet_hash": ""}, PacketHashMissing),
        ({"packet_hash": "0" * 64}, StateChanged),
        ({"until": AT}, BadEnd),
        ({"until": AT - A_DAY}, BadEnd),
        ({"until": AT + timedelta(days=7, seconds=1)}, BadEnd),
    ],
)
def test_what_has_to_be_said_is_asked_for(cast, options, error):
    version = waiting(cast)

    with pytest.raises(error):
        break_it(version, cast.owner, **options)
    assert fresh(version).state == State.IN_REVIEW
    assert not BrokenGlass.objects.exists()


def test_it_ends_when_it_is_said_to(cast):
    version = break_it(waiting(cast), cast.owner, until=AT + timedelta(days=7))

    assert version.glass.ends_at == AT + timedelta(days=7)


@pytest.mark.parametrize("state", [State.DRAFT, State.APPROVED])
def test_only_what_waits_for_review_has_a_glass(cast, state):
    with pytest.raises(TransitionNotAllowed):
        break_it(make_version(cast, state=state), cast.owner)


def test_no_program_breaks_a_glass(cast):
    program = make_service_account("ci", cast, Role.STEWARD)

    with pytest.raises(ServiceAccountMayNotDecide):
        break_it(waiting(cast), program)


@pytest.mark.parametrize("is_logged_in", [True, False])
def test_a_token_breaks_one_only_if_its_owner_made_it_when_logged_in(cast, is_logged_in):
    token, _ = tokens.issue_token(
        user=cast.owner, actor=cast.owner, at=AT, name="t", days=1, is_logged_in=is_logged_in
    )
    version = waiting(cast)

    if is_logged_in:
        assert break_it(version, cast.owner, token=token).state == State.APPROVED
    else:
        with pytest.raises(TokenMayNotDecide):
            break_it(version, cast.owner, token=token)


def test_an_account_whose_password_is_anothers_breaks_none(cast):
    puppet = make_user("puppet")
    give_role(cast.project, puppet, Role.STEWARD, cast.owner, accepted_by=cast.superuser)
    puppet.set_password("of the owner")
    puppet.save()

    with pytest.raises(PasswordNotYourOwn):
        break_it(waiting(cast), puppet)


def test_a_puppet_of_whoever_wrote_it_breaks_none(cast):
    puppet = make_user("puppet")
    give_role(cast.project, puppet, Role.STEWARD, cast.owner)

    with pytest.raises(HandMayNotDecide, match="by the word of owner alone, and edited it"):
        break_it(waiting(cast), puppet)


def test_a_right_that_the_shell_stored_breaks_none(cast):
    upstart = make_user("upstart", is_staff=True)
    upstart.is_superuser = True
    upstart.save()

    with pytest.raises(Forbidden):
        break_it(waiting(cast), upstart)


@pytest.mark.parametrize(
    "text",
    [
        FRESH.replace("sensitivity: internal", "sensitivity: public"),
        FRESH.replace("freshness: 1d", "freshness: 3d"),
    ],
    ids=["sensitivity", "freshness"],
)
def test_no_glass_is_broken_to_weaken_a_protection(cast, text):
    make_version(cast, text=DEFINITIONS.replace(VIEW, FRESH))
    version = waiting(cast, text)

    with pytest.raises(GlassNotForGuards, match="weakens a protection"):
        break_it(version, cast.owner)
    assert fresh(version).state == State.IN_REVIEW


def test_what_became_sensitive_since_it_was_submitted_is_a_weakening_too(cast):
    make_version(cast)
    version = waiting(cast, VIEW.replace("name: driver_hourly", "name: driver_daily"))
    text = VIEW.replace("sensitivity: internal", "sensitivity: restricted")
    approve(make_version(cast, text=text), cast.second_steward)

    with pytest.raises(GlassNotForGuards, match="weakens a protection"):
        break_it(version, cast.owner)


def test_a_second_glass_of_a_view_waits_until_somebody_looked_at_the_first(cast):
    first = break_it(waiting(cast), cast.owner)
    other = waiting(cast, VIEW.replace("driver_hourly", "driver_daily"))
    releases.retire_version(version=first, actor=cast.steward, at=AT, comment="x")
    second = waiting(cast, CHANGED)

    with pytest.raises(GlassUnlooked, match=r"driver_hourly@1\.0\.0"):
        break_it(second, cast.owner)
    assert break_it(other, cast.owner).state == State.APPROVED  # of another view

    confirm(fresh(first), cast.steward)
    assert break_it(fresh(second), cast.owner).state == State.APPROVED


def test_the_source_has_to_be_as_it_was_and_the_base_approved(cast):
    first = waiting(cast)
    second = waiting(cast, CHANGED)

    with pytest.raises(BaseNotApproved):
        break_it(second, cast.owner)
    break_it(first, cast.owner)
    with pytest.raises(BaseNotApproved, match="by breaking the glass and not confirmed"):
        approve(fresh(second), cast.steward)
    confirm(fresh(first), cast.steward)
    assert approve(fresh(second), cast.steward).state == State.APPROVED


def test_a_plan_says_that_what_it_is_based_on_is_marked(cast, broken):
    (same,) = apply(CHANGED, cast)
    (other,) = apply(VIEW.replace("ttl: 2d", "ttl: 4d"), cast)

    assert "driver_hourly@1.1.0 was approved by breaking the glass" in same.warnings[0]
    assert "driver_hourly@1.1.0, which it is based on, was approved by" in other.warnings[0]
    assert other.warnings[0].endswith("it is not approved before that is")
    confirm(broken, cast.steward)
    (other,) = apply(VIEW.replace("ttl: 2d", "ttl: 4d"), cast)
    assert other.warnings == []


# --- Afterwards ----------------------------------------------------------------------------------


def test_somebody_else_confirms_and_the_mark_goes(cast, broken):
    confirm(broken, cast.second_steward, comment="It is right.")

    version = fresh(broken)
    assert mark_of(version) is None
    assert (version.state, version.glass.verdict) == (State.APPROVED, Look.CONFIRMED)
    assert version.glass.looked_by == cast.second_steward
    review = Review.objects.get(version=version)
    assert (review.reviewer, review.verdict) == (cast.second_steward, Verdict.APPROVED)
    assert verbs_of(version)[-2:] == ["approved", "glass_confirmed"]
    assert cautions([version]) == []
    assert list(verifying.findings()) == []


def test_the_mark_stays_until_as_many_confirmed_as_are_wanted(cast):
    want_approvals(cast, 2)
    version = break_it(waiting(cast), cast.owner)

    confirm(version, cast.steward)
    assert mark_of(fresh(version)) is not None
    with pytest.raises(AlreadyReviewed):
        confirm(fresh(version), cast.steward)
    confirm(fresh(version), cast.second_steward)

    assert mark_of(fresh(version)) is None
    assert list(verifying.findings()) == []


def test_an_approval_of_before_counts_with_those_of_after(cast):
    want_approvals(cast, 2)
    version = waiting(cast)
    approve(version, cast.steward)
    break_it(fresh(version), cast.owner)

    confirm(fresh(version), cast.second_steward)

    assert mark_of(fresh(version)) is None


@pytest.mark.parametrize(
    ("who", "error"),
    [
        ("owner", EditorMayNotDecide),
        ("author", ActionNotPermitted),
        ("consumer", ActionNotPermitted),
        ("outsider", ActionNotPermitted),
    ],
)
@pytest.mark.parametrize("said", [confirm, object_to])
def test_who_may_not_look_at_it(cast, broken, who, error, said):
    with pytest.raises(error):
        said(broken, getattr(cast, who))
    assert mark_of(fresh(broken)) is not None


@pytest.mark.parametrize("said", [confirm, object_to])
def test_whoever_broke_it_does_not_look_at_it_although_they_wrote_nothing(cast, said):
    version = break_it(waiting(cast), cast.steward)

    with pytest.raises(GlassYourOwn):
        said(version, cast.steward)


def test_the_puppet_of_whoever_broke_it_does_not_confirm_it(cast):
    version = waiting(cast, by=cast.author)
    break_it(version, cast.owner)
    puppet = make_user("puppet")
    give_role(cast.project, puppet, Role.STEWARD, cast.owner)

    with pytest.raises(Forbidden):
        confirm(fresh(version), puppet)


def test_whoever_broke_it_by_their_puppet_does_not_confirm_it(cast):
    puppet = make_user("puppet")
    give_role(cast.project, puppet, Role.STEWARD, cast.owner)
    version = break_it(waiting(cast, by=cast.author), puppet)

    with pytest.raises(HandMayNotDecide, match="by the word of owner alone"):
        confirm(version, cast.owner)


def test_a_look_says_what_was_looked_at(cast, broken):
    with pytest.raises(PacketHashMissing):
        confirm(broken, cast.steward, packet_hash="")
    with pytest.raises(StateChanged):
        object_to(broken, cast.steward, packet_hash="0" * 64)


def test_what_has_no_broken_glass_is_not_looked_at(cast):
    version = make_version(cast)

    for said in (confirm, object_to):
        with pytest.raises(NothingToLookAt, match="not approved by breaking the glass"):
            said(version, cast.second_steward)


def test_an_objection_deprecates_it_and_the_default_goes_back(cast, broken):
    first = view_of(cast).default_version
    releases.promote_version(version=broken, actor=cast.owner, at=AT)

    object_to(fresh(broken), cast.steward)

    version, view = fresh(broken), view_of(cast)
    assert (version.state, version.glass.verdict) == (State.DEPRECATED, Look.OBJECTED)
    assert view.default_version == first
    assert AuditEntry.objects.get(verb="feature_view_version.glass_objected").data["default"] == (
        "driver_hourly@1.0.0"
    )
    assert "whoever looked at it objected" in " ".join(cautions([version]))
    for lead in (releases.promote_version, releases.restore_version):
        with pytest.raises((GlassNotConfirmed, TransitionNotAllowed)):
            lead(version=fresh(broken), actor=cast.owner, at=AT)
    with pytest.raises(NothingToLookAt, match="was objected already"):
        confirm(version, cast.second_steward)
    with pytest.raises(BaseNotApproved, match="breaking the glass"):
        approve(waiting(cast, VIEW.replace("ttl: 2d", "ttl: 4d")), cast.steward)
    assert list(verifying.findings()) == []


def test_a_default_that_nothing_was_before_is_none_any_more(cast):
    version = make_ready(break_it(waiting(cast), cast.owner))
    assert view_of(cast).default_version == version

    object_to(version, cast.steward)

    assert view_of(cast).default_version is None
    said = AuditEntry.objects.get(verb="feature_view_version.glass_objected").data
    assert said["default"] == ""
    with pytest.raises(VersionNotReady, match="or its broken glass not confirmed"):
        served_version(project=cast.project, view="driver_hourly", pin=None)
    assert list(verifying.findings()) == []


def twice(version, cast):
    """Promote a version that is the default already."""
    for _ in range(2):
        releases.promote_version(version=fresh(version), actor=cast.owner, at=AT)


def test_a_default_that_was_promoted_twice_goes_back_to_another(cast, broken):
    first = view_of(cast).default_version
    twice(broken, cast)

    object_to(fresh(broken), cast.steward)

    assert view_of(cast).default_version == first
    assert list(verifying.findings()) == []


def test_whose_hand_broke_it_is_settled_when_it_was_broken(cast):
    puppet = make_user("puppet")
    give_role(cast.project, puppet, Role.OWNER, cast.owner)
    version = break_it(waiting(cast, by=puppet), puppet)
    members.revoke_role(project=cast.project, user=puppet, role=Role.OWNER, actor=cast.owner, at=AT)

    for said in (confirm, object_to):
        with pytest.raises(HandMayNotDecide, match="by the word of owner alone"):
            said(fresh(version), cast.owner)
    confirm(fresh(version), cast.steward)


# --- At the end ----------------------------------------------------------------------------------


def test_what_nobody_looked_at_in_its_time_is_deprecated_and_the_default_goes_back(cast, broken):
    first = view_of(cast).default_version
    releases.promote_version(version=broken, actor=cast.owner, at=AT)

    after_glass.end_glasses(at=AT + A_DAY - timedelta(seconds=1))
    assert fresh(broken).state == State.APPROVED
    after_glass.end_glasses(at=AT + A_DAY)
    after_glass.end_glasses(at=AT + 2 * A_DAY)

    assert fresh(broken).state == State.DEPRECATED
    assert view_of(cast).default_version == first
    assert verbs_of(broken).count("glass_ended") == 1
    assert list(verifying.findings()) == []
    with pytest.raises(GlassNotConfirmed, match="nobody else has confirmed it"):
        releases.restore_version(version=fresh(broken), actor=cast.owner, at=AT + A_DAY)

    confirm(fresh(broken), cast.steward, at=AT + A_DAY)
    assert fresh(broken).state == State.DEPRECATED
    releases.restore_version(version=fresh(broken), actor=cast.owner, at=AT + A_DAY)
    assert fresh(broken).state == State.APPROVED
    assert list(verifying.findings()) == []


def test_what_was_deprecated_before_its_end_is_not_the_default_after_it(cast, broken):
    first = view_of(cast).default_version
    twice(broken, cast)
    releases.deprecate_version(version=fresh(broken), actor=cast.owner, at=AT)

    after_glass.end_glasses(at=AT + A_DAY)
    after_glass.end_glasses(at=AT + A_DAY)

    assert view_of(cast).default_version == first
    assert verbs_of(broken).count("glass_ended") == 1
    assert list(verifying.findings()) == []


def test_a_first_version_is_not_the_default_after_its_end(cast):
    version = make_ready(break_it(waiting(cast), cast.owner))

    after_glass.end_glasses(at=AT + A_DAY)

    assert (view_of(cast).default_version, fresh(version).state) == (None, State.DEPRECATED)
    assert list(verifying.findings()) == []


def test_the_end_counts_although_no_sweep_came(cast, broken):
    with pytest.raises(GlassNotConfirmed):
        releases.promote_version(version=broken, actor=cast.owner, at=AT + A_DAY)
    releases.deprecate_version(version=fresh(broken), actor=cast.owner, at=AT)
    releases.restore_version(version=fresh(broken), actor=cast.owner, at=AT)
    releases.deprecate_version(version=fresh(broken), actor=cast.owner, at=AT)
    with pytest.raises(GlassNotConfirmed):
        releases.restore_version(version=fresh(broken), actor=cast.owner, at=AT + A_DAY)


def test_what_becomes_ready_after_its_end_is_not_the_default_by_itself(cast):
    version = break_it(waiting(cast), cast.owner)

    make_ready(version, at=AT + A_DAY)

    assert view_of(cast).default_version is None


def test_what_was_confirmed_does_not_end(cast, broken):
    confirm(broken, cast.steward)

    after_glass.end_glasses(at=AT + 9 * A_DAY)

    assert fresh(broken).state == State.APPROVED


# --- By SQL --------------------------------------------------------------------------------------


def forged(version, actor, **columns):
    """Store a row as ``break_glass`` would, with an entry of its own."""
    with transaction.atomic():
        entry = audit.record(
            actor=actor, verb="feature_view_version.glass_broken", subject=version, at=AT,
            before="in_review", after="approved",
            data={"packet_hash": seen(version), "comment": WHY, "until": AT.isoformat()},
        )  # fmt: skip
    about = {
        "version": version, "packet_hash": version.packet_hash, "decided_on": seen(version),
        "broken_by": actor, "reason": WHY, "broken_at": AT, "ends_at": AT + A_DAY,
        "audit_entry": entry, "hands": [],
    }  # fmt: skip
    return BrokenGlass(**(about | columns))


def test_no_version_is_approved_by_sql_without_a_glass(cast):
    version = waiting(cast)

    with refused("needs the approvals that are wanted"), transaction.atomic():
        FeatureViewVersion.objects.filter(pk=version.pk).update(state=State.APPROVED)


def test_a_glass_needs_its_own_entry(cast):
    version, other = waiting(cast), make_version(cast, text=VIEW.replace("hourly", "daily"))
    of_other = AuditEntry.objects.filter(subject_id=str(other.pk)).latest("id")

    for columns in ({"audit_entry": of_other}, {"broken_by": cast.steward}, {"decided_on": "x"}):
        with refused("a broken glass needs its entry"), transaction.atomic():
            forged(version, cast.owner, **columns).save()


def test_a_glass_is_of_what_waits_and_nobody_has_looked_at_it(cast):
    version = make_version(cast)

    with refused("a glass is broken of what waits for review"), transaction.atomic():
        forged(version, cast.owner).save()
    second = waiting(cast, CHANGED)
    with refused("a glass is broken of what waits for review"), transaction.atomic():
        forged(second, cast.owner, verdict=Look.CONFIRMED).save()


def test_a_glass_by_sql_weakens_no_protection_and_is_one_of_its_view(cast):
    make_version(cast)
    version = waiting(cast, VIEW.replace("sensitivity: internal", "sensitivity: public"))
    with refused("a glass never weakens a protection"), transaction.atomic():
        forged(version, cast.owner).save()

    submissions.withdraw_version(version=version, actor=cast.owner, at=AT)
    apply(CHANGED, cast, actor=cast.owner)
    submissions.submit_version(version=fresh(version), actor=cast.owner, at=AT, look=look)
    break_it(fresh(version), cast.owner)
    second = waiting(cast, VIEW.replace("ttl: 2d", "ttl: 4d"))
    with refused("one broken glass of a view at a time"), transaction.atomic():
        forged(second, cast.owner).save()


@pytest.mark.parametrize(
    "columns",
    [
        {"reason": "none"}, {"hands": [[]]}, {"ends_at": AT + 30 * A_DAY}, {"packet_hash": "x"},
        {"verdict": ""},
        {"verdict": "fine"},
    ],
    ids=lambda columns: str(columns)[:26],
)  # fmt: skip
def test_a_broken_glass_stays_as_it_was_broken(broken, columns):
    with refused("a broken glass stays as it was broken"), transaction.atomic():
        BrokenGlass.objects.filter(version=broken).update(**columns)


def looked(broken, actor, verdict):
    """Have SQL say that somebody looked, beside an entry that says so."""
    with transaction.atomic():
        entry = audit.record(
            actor=actor, verb=f"feature_view_version.glass_{verdict}", subject=broken, at=AT
        )
    rows = BrokenGlass.objects.filter(version=broken)
    with transaction.atomic():
        rows.update(verdict=verdict, looked_by=actor, looked_at=AT, look_entry=entry)


def test_a_look_by_sql_needs_its_entry_another_person_and_the_approvals(cast, broken):
    rows = BrokenGlass.objects.filter(version=broken)
    with refused("a look at a broken glass needs its entry"), transaction.atomic():
        rows.update(verdict=Look.OBJECTED, looked_by=cast.steward, looked_at=AT)
    with refused("somebody else looks at a broken glass"):
        looked(broken, cast.owner, Look.OBJECTED)
    with refused("a confirmed glass needs the approvals that are wanted"):
        looked(broken, cast.steward, Look.CONFIRMED)


def test_a_broken_glass_is_neither_deleted_nor_changed_once_somebody_looked(cast, broken):
    with refused("a broken glass stays known"), transaction.atomic():
        BrokenGlass.objects.filter(version=broken).delete()
    confirm(broken, cast.steward)
    with refused("a broken glass stays as it was broken"), transaction.atomic():
        BrokenGlass.objects.filter(version=broken).update(comment="x")


def test_reviews_of_what_is_approved_are_taken_only_while_its_glass_waits(cast, broken):
    confirm(broken, cast.steward)

    with transaction.atomic():
        entry = audit.record(
            actor=cast.second_steward, verb="feature_view_version.approved", subject=broken, at=AT,
            data={"packet_hash": seen(broken)},
        )  # fmt: skip
    with refused("a review is of what waits for one"), transaction.atomic():
        Review.objects.create(
            version=broken, reviewer=cast.second_steward, verdict=Verdict.APPROVED,
            packet_hash=broken.packet_hash, decided_on=seen(broken), audit_entry=entry,
            created_at=AT,
        )  # fmt: skip
