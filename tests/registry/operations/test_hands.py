"""One person has one voice: passwords, accounts, roles and tokens that are somebody else's hand."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.urls import reverse
from guardian.shortcuts import assign_perm

from lib.shells import at_shell
from registry import approval
from registry.access import ActionNotPermitted
from registry.accounts.hands import HandMayNotDecide
from registry.accounts.passwords import PasswordNotYourOwn
from registry.accounts.voices import TokenMayNotDecide
from registry.approval import NotAskedAtSubmit
from registry.choices import AccountKind, Action, EvidencePart, Role, State
from registry.evidence import EvidenceMissing, computed, sealed
from registry.models import (
    ApiToken,
    AuditEntry,
    Evidence,
    FeatureViewVersion,
    Membership,
    PasswordChange,
    PolicyChange,
    Project,
)
from registry.operations.deciding import accept_proposal
from registry.operations.lifecycle import submissions
from registry.operations.people import members, passwords, projects, users
from tests.factories import (
    AT,
    DEFINITIONS,
    VIEW,
    apply,
    approve,
    give_role,
    look,
    make_user,
    make_version,
    seen,
    token_for,
)

pytestmark = pytest.mark.django_db

RESTRICTED = DEFINITIONS.replace("sensitivity: internal", "sensitivity: restricted")
BASE = "/api/v1/projects/rides/feature-views/driver_hourly/versions/1.0.0"


@pytest.fixture
def by_superuser(cast) -> FeatureViewVersion:
    """What a superuser wrote and submitted, waiting for review."""
    apply(DEFINITIONS, cast, actor=cast.superuser)
    version = FeatureViewVersion.objects.get()
    return submissions.submit_version(version=version, actor=cast.superuser, at=AT, look=look)


def set_password(user: User, password: str, *, by: User, at=AT) -> User:
    """Set a password as the form of an account does."""
    user = User.objects.get(pk=user.pk)
    user.set_password(password)
    user.save(update_fields=["password"])
    passwords.note_password_changed(user=user, actor=by, at=at)
    return user


def page_of(version) -> str:
    return reverse("admin:registry_featureviewversion_change", args=[version.pk])


# --- Passwords -----------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["operation", "api", "admin"])
def test_a_superuser_who_sets_a_stewards_password_does_not_decide_as_them(
    api, as_, cast, by_superuser, door
):
    token = token_for(cast.steward)
    set_password(cast.steward, "mine now", by=cast.superuser)

    if door == "operation":
        with pytest.raises(PasswordNotYourOwn, match="steward's password was set by superuser"):
            approve(by_superuser, cast.steward)
    elif door == "api":
        body = {"packet_hash": seen(by_superuser)}
        answer = api(token=token).post(f"{BASE}/approve", body)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")
    else:
        cast.steward.refresh_from_db()
        client = as_("steward")
        form = {"action": "approve", "packet_hash": seen(by_superuser)}
        url = reverse("admin:registry_featureviewversion_act", args=[by_superuser.pk])
        answer = client.post(url, form, follow=True)
        assert "password was set by superuser" in answer.content.decode()
    by_superuser.refresh_from_db()
    assert (by_superuser.state, by_superuser.reviews.count()) == (State.IN_REVIEW, 0)


def test_changing_it_afterwards_as_if_they_were_its_owner_does_not_help(cast, by_superuser):
    set_password(cast.steward, "mine now", by=cast.superuser)
    steward = set_password(cast.steward, "as if hers", by=cast.steward)

    with pytest.raises(HandMayNotDecide, match="superuser set steward's password once"):
        approve(by_superuser, steward)


def test_nor_does_doing_both_before_the_draft_is_begun(cast):
    early = AT.replace(day=1, hour=13)
    set_password(cast.steward, "mine now", by=cast.superuser, at=early)
    steward = set_password(cast.steward, "as if hers", by=cast.steward, at=early)
    version = version_of(cast, cast.superuser, at=AT.replace(day=2))

    with pytest.raises(HandMayNotDecide, match="changing it afterwards proves nothing"):
        approve(version, steward)

    third = make_user("third", is_superuser=True)
    membership = Membership.objects.get(user=steward)
    members.agree_to_role(membership=membership, actor=third, at=AT.replace(day=3))
    assert approve(version, steward).state == State.APPROVED


def version_of(cast, actor: User, *, at=AT) -> FeatureViewVersion:
    """Return what somebody wrote at some time and submitted."""
    apply(DEFINITIONS, cast, actor=actor)
    version = FeatureViewVersion.objects.select_related("feature_view__project").get()
    return submissions.submit_version(version=version, actor=actor, at=at, look=look)


def test_a_password_of_ones_own_decides_again(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    set_password(cast.steward, "a first one", by=cast.superuser)
    with pytest.raises(PasswordNotYourOwn):
        approve(version, cast.steward)

    steward = set_password(cast.steward, "her own", by=cast.steward)

    assert approve(version, steward).state == State.APPROVED


def test_a_password_set_in_a_shell_is_nobodys_own(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    steward = User.objects.get(pk=cast.steward.pk)
    steward.set_password("by the way")
    steward.save()

    with pytest.raises(PasswordNotYourOwn, match="set by somebody at the shell of the server"):
        approve(version, steward)


def test_the_admin_says_who_set_a_password_and_its_owner_makes_it_theirs(as_, cast):
    version = make_version(cast, state=State.IN_REVIEW)
    new = {"password1": "quite-a-long-one", "password2": "quite-a-long-one"}
    url = reverse("admin:auth_user_password_change", args=[cast.steward.pk])
    as_("superuser").post(url, new | {"usable_password": "true"})
    cast.steward.refresh_from_db()
    client = as_("steward")
    assert "password was set by superuser" in client.get(page_of(version)).content.decode()

    own = {"new_password1": "another-long-one", "new_password2": "another-long-one"}
    client.post(reverse("admin:password_change"), own | {"old_password": "quite-a-long-one"})

    assert "Your decision" in client.get(page_of(version)).content.decode()


def test_two_voices_of_one_person_are_one(cast):
    version = make_version(cast, state=State.IN_REVIEW, text=RESTRICTED)
    set_password(cast.steward, "set by the owner", by=cast.owner)
    steward = set_password(cast.steward, "as if hers", by=cast.steward)
    approve(version, cast.owner)

    with pytest.raises(HandMayNotDecide, match="has approved it already"):
        approve(version, steward)


# --- Accounts and roles --------------------------------------------------------------------------


def puppet(cast, *, by: User, accepted_by: User | None = None, at=AT) -> User:
    """Make an account as a superuser does, give it a password of its own and the role."""
    user = users.add_user(
        user=User(username="puppet", is_staff=True),
        kind=AccountKind.PERSON,
        actor=cast.superuser,
        at=AT,
    )
    user = set_password(user, "as if theirs", by=user)
    give_role(cast.project, user, Role.STEWARD, by, accepted_by=accepted_by, at=at)
    return user


def test_an_account_that_the_author_let_in_alone_does_not_approve(cast):
    user = puppet(cast, by=cast.superuser)
    draft = make_version(cast, state=State.DRAFT)
    apply(VIEW.replace("Conversion rate", "Share"), cast, actor=cast.superuser)
    version = submissions.submit_version(
        version=FeatureViewVersion.objects.get(pk=draft.pk), actor=cast.author, at=AT, look=look
    )

    with pytest.raises(HandMayNotDecide, match="superuser set puppet's password once"):
        approve(version, user)


def test_nor_does_one_that_was_let_in_by_an_account_the_author_let_in(cast):
    draft = make_version(cast, state=State.DRAFT)
    first = make_user("first")
    give_role(cast.project, first, Role.OWNER, cast.superuser)
    second = make_user("second")
    give_role(cast.project, second, Role.STEWARD, first)
    apply(VIEW.replace("Conversion rate", "Share"), cast, actor=cast.superuser)
    version = submissions.submit_version(
        version=FeatureViewVersion.objects.get(pk=draft.pk), actor=cast.author, at=AT, look=look
    )
    members.revoke_role(project=cast.project, user=first, role=Role.OWNER, actor=cast.owner, at=AT)

    with pytest.raises(HandMayNotDecide):
        approve(version, second)


def test_a_second_persons_word_makes_it_an_account_of_its_own(cast):
    later = AT.replace(hour=14)
    user = puppet(cast, by=cast.superuser, accepted_by=cast.owner, at=later)

    assert approve(version_of(cast, cast.superuser), user).state == State.APPROVED


def test_a_superuser_whom_the_author_made_one_does_not_approve(cast, by_superuser):
    raised = User.objects.get(pk=cast.outsider.pk)
    raised.is_superuser = True
    users.change_user(user=raised, actor=cast.superuser, at=AT)

    with pytest.raises((HandMayNotDecide, NotAskedAtSubmit)):
        approve(by_superuser, raised)
    submissions.withdraw_version(version=by_superuser, actor=cast.superuser, at=AT)
    again = submissions.submit_version(
        version=by_superuser, actor=cast.superuser, at=AT.replace(hour=13), look=look
    )
    with pytest.raises(HandMayNotDecide, match="by the word of superuser alone"):
        approve(again, raised)


def test_a_right_given_at_the_shell_is_nobodys_word(cast):
    draft = make_version(cast, state=State.DRAFT)
    user = make_user("stored")
    assign_perm("approve_featureview", user, draft.feature_view)
    version = submissions.submit_version(version=draft, actor=cast.author, at=AT, look=look)

    with pytest.raises(HandMayNotDecide, match="stored at the shell of the server"):
        approve(version, user)


def _ghost():
    """Return a superuser of the shell who set their own password afterwards."""
    with at_shell("eve@server"):
        ghost = User.objects.create_superuser("ghost", password="pw")
    passwords.note_password_changed(user=ghost, actor=ghost, at=AT)
    return ghost


def test_a_superuser_made_at_the_shell_has_nobodys_word_but_the_first(cast):
    ghost = _ghost()
    version = make_version(cast, state=State.IN_REVIEW)

    with pytest.raises(HandMayNotDecide, match="stored at the shell of the server"):
        approve(version, ghost)

    for is_superuser in (False, True):
        ghost.is_superuser = is_superuser
        users.change_user(user=ghost, actor=cast.superuser, at=AT)
    assert approve(version, User.objects.get(pk=ghost.pk)).state == State.APPROVED


def test_a_ghost_of_the_shell_does_not_become_the_first(cast):
    ghost = _ghost()
    old = User.objects.get(pk=cast.superuser.pk)
    old.is_superuser = False
    users.change_user(user=old, actor=ghost, at=AT)
    version = make_version(cast, state=State.IN_REVIEW)

    with pytest.raises(HandMayNotDecide, match="stored at the shell of the server"):
        approve(version, ghost)


def test_the_first_superuser_of_an_installation_is_marked_as_that(db):
    first = User.objects.create_superuser("first", password="pw")
    second = User.objects.create_superuser("second", password="pw")

    assert first.account.raised_by == [[]]
    assert not hasattr(second, "account")


def test_what_a_shell_does_to_accounts_is_in_the_trail(cast):
    with at_shell("eve@server"):
        ghost = User.objects.create_superuser("ghost", password="pw")
        ghost.set_password("another")
        ghost.save()
        call_command("issue_token", "ghost")

    rows = AuditEntry.objects.order_by("-id")[:3]
    assert [(row.verb, row.data["shell"]) for row in rows] == [
        ("api_token.issued", "eve@server"),
        ("user.changed", "eve@server"),
        ("user.created", "eve@server"),
    ]
    assert rows[1].data["changed"] == ["password"]
    assert "shell" not in AuditEntry.objects.order_by("id")[0].data


FORGED = "needs its entry in the audit trail|stays as it was given|stays what it was issued as"


@pytest.mark.parametrize(
    "forge",
    [
        lambda cast: Membership.objects.create(
            project=cast.project, user=cast.outsider, role=Role.STEWARD, granted_at=AT,
            granted_by=cast.owner, hands=[[cast.owner.pk], [cast.superuser.pk]],
        ),
        lambda cast: Membership.objects.filter(user=cast.steward).update(hands=[[99999]]),
        lambda cast: Membership.objects.filter(user=cast.consumer).update(role=Role.STEWARD),
        lambda cast: Membership.objects.filter(user=cast.steward).update(user=cast.outsider),
        lambda cast: ApiToken.objects.update(may_decide=True),
        lambda cast: ApiToken.objects.update(user=cast.steward),
        lambda cast: Project.objects.update(approvals_required=1),
        lambda cast: Project.objects.update(approvals_required_sensitive=1),
        lambda cast: PasswordChange.objects.all().delete(),
        lambda cast: PasswordChange.objects.update(set_by=cast.steward),
        lambda cast: PolicyChange.objects.all().delete(),
    ],
    ids=[
        "a role", "hands", "another role", "another's role", "a shell's token", "another's token",
        "a policy", "a sensitive policy", "who set a password", "another setter", "policies",
    ],
)  # fmt: skip
def test_what_decides_who_decides_is_not_forged_in_the_database(cast, forge):
    change_policy(cast, usual=2)
    call_command("issue_token", "author")

    with (
        pytest.raises(DatabaseError, match=rf"{FORGED}|stays known"),
        transaction.atomic(),
    ):
        forge(cast)


# --- Frozen at submit ----------------------------------------------------------------------------


def test_who_got_the_right_after_submit_does_not_decide_until_it_is_submitted_again(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    give_role(cast.project, cast.consumer, Role.STEWARD, cast.owner)

    with pytest.raises(NotAskedAtSubmit, match="consumer could not approve"):
        approve(version, cast.consumer)

    submissions.withdraw_version(version=version, actor=cast.author, at=AT)
    submissions.submit_version(
        version=version, actor=cast.author, at=AT.replace(hour=13), look=look
    )
    assert approve(version, cast.consumer).state == State.APPROVED


def test_two_people_who_edited_none_of_it_admit_somebody_afterwards(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    give_role(cast.project, cast.consumer, Role.STEWARD, cast.owner, accepted_by=cast.superuser)

    assert approve(version, cast.consumer).state == State.APPROVED


def test_an_editor_admits_nobody(cast, by_superuser):
    give_role(cast.project, cast.consumer, Role.STEWARD, cast.owner, accepted_by=cast.superuser)

    with pytest.raises(NotAskedAtSubmit):
        approve(by_superuser, cast.consumer)


def test_who_lost_the_right_meanwhile_does_not_decide(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    members.revoke_role(
        project=cast.project, user=cast.steward, role=Role.STEWARD, actor=cast.owner, at=AT
    )

    with pytest.raises(ActionNotPermitted):
        approve(version, cast.steward)


# --- The policy ----------------------------------------------------------------------------------


def change_policy(cast, *, usual: int, evidence: tuple[str, ...] = (), at=AT) -> None:
    proposal = projects.change_project(
        project=Project.objects.get(pk=cast.project.pk), actor=cast.owner, at=at, title="Rides",
        approvals_required=usual, approvals_required_sensitive=max(usual, 2),
        evidence_required=evidence,
    )  # fmt: skip
    if proposal:
        accept_proposal(proposal=proposal, actor=cast.superuser, at=at)


def test_a_policy_lowered_between_withdraw_and_submit_does_not_count(cast):
    change_policy(cast, usual=2)
    version = make_version(cast, state=State.IN_REVIEW)
    submissions.withdraw_version(version=version, actor=cast.author, at=AT)
    change_policy(cast, usual=1)
    version = FeatureViewVersion.objects.select_related("feature_view__project").get()
    submissions.submit_version(
        version=version, actor=cast.author, at=AT.replace(hour=13), look=look
    )

    assert approval.approvals_required(version) == 2
    assert approve(version, cast.steward).state == State.IN_REVIEW


def test_nor_does_the_evidence_that_it_stopped_asking_for(cast):
    change_policy(cast, usual=1, evidence=(EvidencePart.PROFILE,))
    version = make_version(cast, state=State.IN_REVIEW)
    change_policy(cast, usual=1)
    version = FeatureViewVersion.objects.select_related("feature_view__project").get()

    with pytest.raises(EvidenceMissing, match="wants profile"):
        approve(version, cast.steward)


def test_a_policy_from_before_the_draft_does_not_count(cast):
    change_policy(cast, usual=3, at=AT.replace(hour=10))
    change_policy(cast, usual=1, at=AT.replace(hour=11))

    assert make_version(cast).state == State.APPROVED


# --- Tokens --------------------------------------------------------------------------------------


def test_a_token_made_in_the_shell_never_decides(api, cast, capsys):
    version = make_version(cast, state=State.IN_REVIEW)
    call_command("issue_token", "steward")
    text = capsys.readouterr().out.strip()
    body = {"packet_hash": seen(version), "comment": "fine"}

    for action in (Action.APPROVE, Action.REJECT):
        answer = api(token=text).post(f"{BASE}/{action}", body)
        assert (answer.status_code, answer.json()["code"]) == (403, "token_may_not_decide")
    assert api(token=token_for(cast.steward)).post(f"{BASE}/approve", body).status_code == 200


def test_nor_does_one_made_while_the_password_was_somebody_elses(api, as_, cast):
    version = make_version(cast, state=State.IN_REVIEW)
    set_password(cast.steward, "set for her", by=cast.superuser)
    text = token_for(cast.steward)
    set_password(cast.steward, "her own", by=cast.steward)

    answer = api(token=text).post(f"{BASE}/approve", {"packet_hash": seen(version)})

    assert answer.json()["code"] == TokenMayNotDecide.code
    assert not ApiToken.objects.get().may_decide


# --- The evidence --------------------------------------------------------------------------------


def test_an_approval_from_before_the_evidence_is_asked_for_again(api, cast):
    version = make_version(cast, state=State.IN_REVIEW, text=RESTRICTED)
    approve(version, cast.steward)
    store_evidence(version)

    assert approval.approvals_given(version) == 0
    assert approve(version, cast.second_steward).state == State.IN_REVIEW
    review = api(cast.steward).get(f"{BASE}/review").json()
    assert (review["given"], review["required"]) == (1, 2)
    assert [each["current"] for each in review["approvals"]] == [False, True]

    assert approve(version, cast.steward).state == State.APPROVED


def test_the_queue_asks_them_again_as_well(as_, cast):
    version = make_version(cast, state=State.IN_REVIEW, text=RESTRICTED)
    approve(version, cast.steward)
    client = as_("steward")
    assert (
        "You have decided on this submission already"
        in client.get(page_of(version)).content.decode()
    )

    store_evidence(version)

    page = client.get(page_of(version)).content.decode()
    assert "1 of 1 waiting for you" in page
    assert "0 of 2 approvals" in page


def test_the_database_does_not_count_it_either(cast):
    version = make_version(cast, state=State.IN_REVIEW, text=RESTRICTED)
    approve(version, cast.steward)
    store_evidence(version)
    approve(version, cast.second_steward)

    with (
        pytest.raises(DatabaseError, match="a version needs the approvals that are wanted"),
        transaction.atomic(),
    ):
        FeatureViewVersion.objects.filter(pk=version.pk).update(state=State.APPROVED)


def store_evidence(version) -> None:
    """Store what a worker finds out."""
    parts = {str(part): computed({}, {}) for part in EvidencePart}
    Evidence.objects.filter(version=version).update(
        status="computed", parts=parts, computed_at=AT, hash=sealed(version.packet_hash, parts)
    )
