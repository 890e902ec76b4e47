"""What decides who decides takes two people, at every door, where there are two."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.urls import reverse

from lib.errors import AssayError
from registry import access, epoch
from registry.access import ActionNotPermitted
from registry.accounts.passwords import PasswordNotYourOwn, has_own_password
from registry.choices import AccountKind, ProposalState, Right, Role, State
from registry.models import AuditEntry, FileRoot, Membership, Project, Proposal
from registry.models.names import pseudonym_of
from registry.operations import deciding
from registry.operations.deciding import (
    ProposalOutdated,
    ProposalOver,
    SecondPersonNeeded,
    accept_proposal,
    refuse_proposal,
    withdraw_proposal,
)
from registry.operations.people import members, passwords, projects, users
from registry.operations.people.proposing import ProposedAlready, SecondPersonTakenAway
from registry.operations.registration import roots
from registry.proposals import ALONE, OPEN_FOR
from tests.factories import AT, approve, give_role, make_project, make_user, make_version, token_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def second_superuser(cast) -> User:
    return make_user("second_superuser", is_staff=True, is_superuser=True)


def grant(cast, user, role=Role.STEWARD, actor=None):
    return members.grant_role(
        project=cast.project, user=user, role=role, actor=actor or cast.owner, at=AT
    )


def proposed(result) -> Proposal:
    assert isinstance(result, Proposal)
    return result


def roles_of(user) -> set[str]:
    return set(Membership.objects.filter(user=user).values_list("role", flat=True))


def last_entry(verb: str) -> AuditEntry:
    return AuditEntry.objects.filter(verb=verb).latest("id")


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


# --- Roles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.STEWARD, Role.OWNER])
def test_a_role_that_decides_waits_for_a_second_person(cast, role):
    proposal = proposed(grant(cast, cast.outsider, role))

    assert roles_of(cast.outsider) == set()
    accept_proposal(proposal=proposal, actor=cast.superuser, at=AT, comment="I know them")

    assert roles_of(cast.outsider) == {role}
    assert access.can(fresh(cast.outsider), Right.APPROVE_FEATUREVIEW, cast.project)
    membership = Membership.objects.get(user=cast.outsider)
    assert (membership.granted_by, membership.accepted_by) == (cast.owner, cast.superuser)
    entry = last_entry("membership.granted")
    assert (entry.actor, entry.data["proposal"]) == (cast.owner, proposal.pk)
    assert entry.data["accepted_by"] == pseudonym_of(cast.superuser)
    assert last_entry("proposal.accepted").actor == cast.superuser


@pytest.mark.parametrize("role", [Role.CONSUMER, Role.AUTHOR, Role.OPERATOR, Role.AUDITOR])
def test_other_roles_and_taking_one_away_wait_for_nobody(cast, role):
    assert isinstance(grant(cast, cast.outsider, role), Membership)
    members.revoke_role(
        project=cast.project, user=cast.steward, role=Role.STEWARD, actor=cast.owner, at=AT
    )

    assert not Proposal.objects.exists()
    assert roles_of(cast.steward) == set()


def test_where_nobody_else_could_agree_it_is_done_and_the_trail_says_so(cast, db):
    User.objects.filter(pk=cast.superuser.pk).update(is_active=False)

    assert isinstance(grant(cast, cast.outsider), Membership)

    assert last_entry("membership.granted").data.items() >= ALONE.items()
    assert Membership.objects.get(user=cast.outsider).hands == [[cast.owner.pk]]


def test_whom_somebody_let_in_alone_is_no_second_person(cast):
    project = make_project("alone", cast.owner)
    User.objects.filter(pk=cast.superuser.pk).update(is_active=False)
    let_in = make_user("let_in")
    give_role(project, let_in, Role.OWNER, cast.owner)

    made = members.grant_role(
        project=project, user=cast.outsider, role=Role.STEWARD, actor=cast.owner, at=AT
    )
    wanted = members.grant_role(
        project=project, user=cast.consumer, role=Role.STEWARD, actor=let_in, at=AT
    )

    assert isinstance(made, Membership)
    accept_proposal(proposal=proposed(wanted), actor=cast.owner, at=AT)
    assert Role.STEWARD in roles_of(cast.consumer)


@pytest.mark.parametrize("who", ["owner", "outsider", "steward", "consumer"])
def test_who_cannot_agree(cast, who):
    proposal = proposed(grant(cast, cast.outsider, Role.OWNER))

    with pytest.raises((SecondPersonNeeded, ActionNotPermitted)):
        accept_proposal(proposal=proposal, actor=getattr(cast, who), at=AT)
    assert Proposal.objects.get().state == ProposalState.PROPOSED
    assert roles_of(cast.outsider) == set()


def test_nobody_agrees_to_what_is_about_themselves(cast):
    give_role(cast.project, cast.consumer, Role.OWNER, cast.owner, accepted_by=cast.superuser)
    proposal = proposed(grant(cast, cast.consumer, Role.STEWARD))

    with pytest.raises(SecondPersonNeeded):
        accept_proposal(proposal=proposal, actor=cast.consumer, at=AT)


def test_a_word_is_not_a_persons_own_whose_password_somebody_set(cast):
    proposal = proposed(grant(cast, cast.outsider))
    superuser = fresh(cast.superuser)
    superuser.set_password("set by the owner")
    superuser.save()
    passwords.note_password_changed(user=superuser, actor=cast.owner, at=AT)

    with pytest.raises(PasswordNotYourOwn):
        accept_proposal(proposal=proposal, actor=superuser, at=AT)


def test_a_proposal_is_checked_against_what_is_so_by_now(cast):
    proposal = proposed(grant(cast, cast.outsider))
    give_role(cast.project, cast.consumer, Role.OWNER, cast.owner)
    members.revoke_role(
        project=cast.project, user=cast.owner, role=Role.OWNER, actor=cast.superuser, at=AT
    )

    with pytest.raises(ActionNotPermitted, match="owner lacks the right manage_members"):
        accept_proposal(proposal=proposal, actor=cast.superuser, at=AT)
    assert roles_of(cast.outsider) == set()


def test_a_proposal_is_over_after_its_time_and_once_somebody_decided(cast):
    late = proposed(grant(cast, cast.outsider))
    with pytest.raises(ProposalOver, match="is expired"):
        accept_proposal(proposal=late, actor=cast.superuser, at=AT + OPEN_FOR)

    refuse_proposal(proposal=late, actor=cast.superuser, at=AT, comment="Who is that?")
    with pytest.raises(ProposalOver, match="is refused"):
        accept_proposal(proposal=late, actor=cast.superuser, at=AT)
    assert last_entry("proposal.refused").data["comment"] == "Who is that?"
    assert roles_of(cast.outsider) == set()


def test_whoever_made_it_takes_it_back(cast):
    proposal = proposed(grant(cast, cast.outsider))

    with pytest.raises(deciding.NotYourProposal):
        withdraw_proposal(proposal=proposal, actor=cast.superuser, at=AT)
    withdraw_proposal(proposal=proposal, actor=cast.owner, at=AT)

    assert Proposal.objects.get().state == ProposalState.WITHDRAWN


def test_a_refusal_needs_a_comment_and_no_comment_is_endless(cast):
    proposal = proposed(grant(cast, cast.outsider))

    for comment in (" ", "x" * 2001, "a\x00b"):
        with pytest.raises(AssayError):
            refuse_proposal(proposal=proposal, actor=cast.superuser, at=AT, comment=comment)


def test_the_same_is_not_proposed_twice(cast):
    grant(cast, cast.outsider)

    with pytest.raises(ProposedAlready):
        grant(cast, cast.outsider)
    assert isinstance(grant(cast, cast.outsider, Role.OWNER), Proposal)


def test_a_role_given_alone_is_agreed_to_afterwards(cast):
    give_role(cast.project, cast.outsider, Role.STEWARD, cast.owner)
    membership = Membership.objects.get(user=cast.outsider)

    for actor in (cast.owner, cast.outsider):
        with pytest.raises((members.CannotAgree, ActionNotPermitted)):
            members.agree_to_role(membership=membership, actor=actor, at=AT)
    members.agree_to_role(membership=membership, actor=cast.superuser, at=AT)

    membership.refresh_from_db()
    assert membership.hands == [[cast.owner.pk], [cast.superuser.pk]]
    assert last_entry("membership.agreed").actor == cast.superuser
    with pytest.raises(members.CannotAgree, match="already"):
        members.agree_to_role(membership=membership, actor=cast.superuser, at=AT)


def test_who_takes_the_others_away_is_not_alone_for_it(cast, second_superuser):
    users.set_active(user=second_superuser, active=False, actor=cast.superuser, at=AT)
    users.set_active(user=cast.owner, active=False, actor=cast.superuser, at=AT)
    lower = {"approvals_required": 1, "approvals_required_sensitive": 1, "title": "Rides"}
    project = Project.objects.get(pk=cast.project.pk)

    with pytest.raises(SecondPersonTakenAway):
        projects.change_project(project=project, actor=cast.superuser, at=AT, **lower)
    with pytest.raises(SecondPersonTakenAway):
        users.set_active(user=second_superuser, active=True, actor=cast.superuser, at=AT)
    later = AT + OPEN_FOR + timedelta(minutes=1)
    projects.change_project(project=project, actor=cast.superuser, at=later, **lower)
    assert last_entry("project.changed").data == ALONE


def test_an_owner_who_revokes_the_other_lets_nobody_in_alone(cast):
    give_role(cast.project, cast.consumer, Role.OWNER, cast.owner, accepted_by=cast.superuser)
    User.objects.filter(pk=cast.superuser.pk).update(is_active=False)
    members.revoke_role(
        project=cast.project, user=cast.owner, role=Role.OWNER, actor=cast.consumer, at=AT
    )

    with pytest.raises(SecondPersonTakenAway):
        grant(cast, cast.outsider, actor=cast.consumer)


def test_making_the_others_programs_leaves_nobody_alone_either(cast, second_superuser):
    give_role(cast.project, cast.superuser, Role.OWNER, cast.owner, accepted_by=second_superuser)
    members.revoke_role(
        project=cast.project, user=cast.owner, role=Role.OWNER, actor=cast.superuser, at=AT
    )
    for other in (second_superuser, cast.owner):
        users.change_user(user=fresh(other), kind=AccountKind.SERVICE, actor=cast.superuser, at=AT)

    with pytest.raises(SecondPersonTakenAway):
        grant(cast, cast.outsider, actor=cast.superuser)


def test_nothing_is_done_alone_by_a_password_of_somebody_else(cast):
    owner = fresh(cast.owner)
    owner.set_password("set by the superuser")
    owner.save()
    passwords.note_password_changed(user=owner, actor=cast.superuser, at=AT)

    with pytest.raises(PasswordNotYourOwn):
        grant(cast, cast.outsider, actor=owner)
    assert roles_of(cast.outsider) == set()


def test_one_who_set_the_others_password_is_not_the_second_person(cast):
    owner = fresh(cast.owner)
    owner.set_password("set by the superuser")
    owner.save()
    passwords.note_password_changed(user=owner, actor=cast.superuser, at=AT)
    other = make_user("other", is_superuser=True)
    with pytest.raises(PasswordNotYourOwn):
        grant(cast, cast.outsider, actor=owner)
    owner.set_password("as if theirs")
    owner.save()
    passwords.note_password_changed(user=owner, actor=owner, at=AT)

    proposal = proposed(grant(cast, cast.outsider, actor=owner))

    with pytest.raises(SecondPersonNeeded):
        accept_proposal(proposal=proposal, actor=cast.superuser, at=AT)
    accept_proposal(proposal=proposal, actor=other, at=AT)


def test_a_superuser_of_the_shell_is_no_second_person(cast):
    ghost = User.objects.create_superuser("ghost", password="pw")
    passwords.note_password_changed(user=ghost, actor=ghost, at=AT)
    proposal = proposed(grant(cast, cast.outsider))

    with pytest.raises(SecondPersonNeeded):
        accept_proposal(proposal=proposal, actor=ghost, at=AT)


@pytest.mark.parametrize("column", ["change", "person", "kind", "proposed_by", "secret"])
def test_what_waits_is_not_swapped(cast, column):
    proposal = proposed(grant(cast, cast.outsider))
    other = {
        "change": {"role": "owner"}, "person": cast.consumer, "kind": "password",
        "proposed_by": cast.superuser, "secret": "another",
    }  # fmt: skip

    with pytest.raises(DatabaseError, match="stays"), transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(**{column: other[column]})


def test_a_deactivation_in_a_shell_is_told_to_readers(cast):
    before = epoch.registered(cast.project.pk).own

    User.objects.filter(pk=cast.consumer.pk).update(is_active=False)

    told = epoch.registered(cast.project.pk).own
    assert (told != before, len(told or "")) == (True, 16)
    User.objects.filter(pk=cast.consumer.pk).update(last_name="Jones")
    assert epoch.registered(cast.project.pk).own == told


# --- The policy ----------------------------------------------------------------------------------


def change(cast, *, usual: int, sensitive: int, title: str = "Rides", evidence=()):
    return projects.change_project(
        project=Project.objects.get(pk=cast.project.pk), actor=cast.owner, at=AT, title=title,
        approvals_required=usual, approvals_required_sensitive=sensitive,
        evidence_required=evidence,
    )  # fmt: skip


def test_a_policy_that_asks_less_waits_and_what_asks_more_does_not(cast):
    assert change(cast, usual=2, sensitive=3, evidence=("profile",)) is None

    proposal = proposed(change(cast, usual=1, sensitive=4, title="New"))

    project = Project.objects.get(pk=cast.project.pk)
    assert (project.title, project.policy) == (
        "New",
        {
            "approvals_required": 2,
            "approvals_required_sensitive": 4,
            "evidence_required": ["profile"],
        },
    )
    accept_proposal(proposal=proposal, actor=cast.superuser, at=AT)
    project.refresh_from_db()
    assert (project.approvals_required, project.evidence_required) == (1, [])


def test_a_policy_that_changed_meanwhile_is_not_changed_back(cast):
    change(cast, usual=3, sensitive=3)
    proposal = proposed(change(cast, usual=2, sensitive=3))
    change(cast, usual=4, sensitive=4)

    with pytest.raises(ProposalOutdated):
        accept_proposal(proposal=proposal, actor=cast.superuser, at=AT)
    assert Project.objects.get(pk=cast.project.pk).approvals_required == 4
    assert Proposal.objects.get().state == ProposalState.PROPOSED


# --- Roots ---------------------------------------------------------------------------------------


@pytest.fixture
def folders(sources):
    for name in ("a", "b"):
        (sources / name).mkdir()
    return str(sources / "a"), str(sources / "b")


def test_where_a_root_points_waits_for_a_second_superuser(cast, folders, second_superuser):
    first, second = folders
    assign = {"project": cast.project, "path": first, "at": AT}
    proposal = proposed(roots.assign_root(actor=cast.superuser, **assign))
    assert not FileRoot.objects.exists()
    with pytest.raises(ActionNotPermitted):
        accept_proposal(proposal=proposal, actor=cast.owner, at=AT)
    accept_proposal(proposal=proposal, actor=second_superuser, at=AT)
    assert FileRoot.objects.get().path == first

    root = FileRoot.objects.get()
    moved = proposed(roots.move_root(root=root, path=second, actor=cast.superuser, at=AT))
    assert FileRoot.objects.get().path == first
    accept_proposal(proposal=moved, actor=second_superuser, at=AT)
    assert FileRoot.objects.get().path == second
    assert last_entry("file_root.moved").data["accepted_by"] == pseudonym_of(second_superuser)


def test_a_root_that_moved_meanwhile_is_not_moved(cast, folders, second_superuser):
    first, second = folders
    root = roots.assign_root(project=cast.project, path=first, actor=None, at=AT)
    moved = proposed(roots.move_root(root=root, path=second, actor=cast.superuser, at=AT))
    FileRoot.objects.update(path=second)

    with pytest.raises(roots.RootMovedMeanwhile):
        accept_proposal(proposal=moved, actor=second_superuser, at=AT)


def test_of_one_superuser_the_trail_says_that_it_was_one(cast, folders):
    roots.assign_root(project=cast.project, path=folders[0], actor=cast.superuser, at=AT)

    assert last_entry("file_root.assigned").data == ALONE


# --- Accounts ------------------------------------------------------------------------------------


def test_to_make_a_superuser_takes_two(cast, second_superuser):
    raised = fresh(cast.outsider)
    raised.is_superuser, raised.first_name = True, "Out"

    proposal = proposed(users.change_user(user=raised, actor=cast.superuser, at=AT))

    assert (fresh(raised).is_superuser, fresh(raised).first_name) == (False, "Out")
    accept_proposal(proposal=proposal, actor=second_superuser, at=AT)
    assert fresh(raised).is_superuser
    hands = [[cast.superuser.pk], [second_superuser.pk]]
    assert fresh(raised).account.raised_by == hands


def test_no_account_is_made_as_a_superuser(cast):
    user = User(username="new", is_superuser=True)

    with pytest.raises(users.NotMadeSuperuser):
        users.add_user(user=user, kind=AccountKind.PERSON, actor=cast.superuser, at=AT)


@pytest.mark.parametrize("what", ["reactivation", "email", "username"])
def test_to_open_an_account_that_decides_takes_two(cast, second_superuser, what):
    steward = fresh(cast.steward)
    if what == "reactivation":
        users.set_active(user=steward, active=False, actor=cast.superuser, at=AT)
        result = users.set_active(user=steward, active=True, actor=cast.superuser, at=AT)
        assert not fresh(steward).is_active
    else:
        setattr(steward, what, "someone@example.org")
        result = users.change_user(user=steward, actor=cast.superuser, at=AT)
        assert getattr(fresh(steward), what) == getattr(cast.steward, what)

    accept_proposal(proposal=proposed(result), actor=second_superuser, at=AT)

    assert "someone@" not in str(list(AuditEntry.objects.values()))
    assert "steward" not in last_entry("proposal.made").after["does"]
    assert fresh(steward).is_active
    if what != "reactivation":
        assert getattr(fresh(steward), what) == "someone@example.org"


def test_who_decides_nothing_is_let_in_again_by_one(cast, second_superuser):
    users.set_active(user=cast.author, active=False, actor=cast.superuser, at=AT)
    assert users.set_active(user=cast.author, active=True, actor=cast.superuser, at=AT) is None

    assert fresh(cast.author).is_active


def test_a_stewards_password_waits_for_a_second_superuser(as_, cast, second_superuser):
    before = fresh(cast.steward).password
    url = reverse("admin:auth_user_password_change", args=[cast.steward.pk])
    form = {"password1": "quite-a-long-one", "password2": "quite-a-long-one"}

    page = as_("superuser").post(url, form | {"usable_password": "true"}, follow=True)

    words = page.content.decode()
    assert "This takes two people" in words
    assert "Password changed successfully" not in words
    assert fresh(cast.steward).password == before
    proposal = Proposal.objects.get()
    assert proposal.secret not in words
    accept_proposal(proposal=proposal, actor=second_superuser, at=AT)
    assert fresh(cast.steward).check_password("quite-a-long-one")
    assert not has_own_password(fresh(cast.steward))
    assert Proposal.objects.get().secret == ""


def test_a_superuser_author_gets_nothing_by_any_of_it(cast):
    """The one superuser of an installation, who writes: whatever they do alone, it stays theirs."""
    version = make_version(cast, state=State.IN_REVIEW)
    version.editors.create(user=cast.superuser, first_at=AT)
    puppet = make_user("puppet")
    give_role(cast.project, puppet, Role.STEWARD, cast.superuser)

    with pytest.raises(AssayError):
        approve(version, puppet)


# --- Doors ---------------------------------------------------------------------------------------

URL = "/api/v1/projects/rides/proposals"


def test_proposals_over_http(api, cast):
    proposal = proposed(grant(cast, cast.outsider))
    Proposal.objects.update(expires_at=AT + timedelta(days=9999))

    listed = api(cast.owner).get(URL).json()
    assert [each["does"] for each in listed["results"]] == ["make outsider steward of rides"]
    assert listed["results"][0]["could_agree"] == ["superuser"]
    assert api(cast.owner).post(f"{URL}/{proposal.pk}/accept").json()["code"] == (
        "second_person_needed"
    )
    for who in (cast.author, cast.steward, cast.consumer):
        assert api(who).get(URL).json()["results"] == []
        assert api(who).post(f"{URL}/{proposal.pk}/accept").status_code == 404
    assert api(cast.outsider).get(URL).status_code == 404
    assert api().get(URL).status_code == 401

    answer = api(cast.superuser).post(f"{URL}/{proposal.pk}/accept", {"comment": "fine"})

    assert (answer.status_code, answer.json()["state"]) == (200, "accepted")
    assert roles_of(cast.outsider) == {Role.STEWARD}
    again = api(cast.superuser).post(f"{URL}/{proposal.pk}/accept")
    assert (again.status_code, again.json()["code"]) == (409, "proposal_over")
    assert api(cast.owner).get(f"{URL}?state=nonsense").status_code == 422
    assert api(cast.owner).post(f"{URL}/99999999999999999999/accept").status_code == 404


def test_a_shell_token_agrees_to_nothing(api, cast, capsys):
    proposal = proposed(grant(cast, cast.outsider))
    Proposal.objects.update(expires_at=AT + timedelta(days=9999))
    call_command("issue_token", "superuser")
    client = api(token=capsys.readouterr().out.strip())

    answer = client.post(f"{URL}/{proposal.pk}/accept")

    assert answer.json()["code"] == "token_may_not_decide"
    assert token_for(cast.superuser)
    assert roles_of(cast.outsider) == set()


def test_the_admins_page_grants_by_two(as_, cast):
    url = reverse("admin:registry_project_grant", args=[cast.project.pk])
    page = as_("owner").post(url, {"username": "outsider", "role": "steward"}, follow=True)
    words = page.content.decode()
    assert "This takes two people" in words
    assert "make outsider steward of rides" in words
    proposal = Proposal.objects.get()
    at = reverse("admin:registry_proposal_change", args=[proposal.pk])

    assert "Agree and do it" not in as_("owner").get(at).content.decode()
    assert as_("steward").get(at).status_code in (302, 403)
    client = as_("superuser")
    assert "Agree and do it" in client.get(at).content.decode()
    done = client.post(reverse("admin:registry_proposal_accept", args=[proposal.pk]), follow=True)

    assert "Agreed, and done: make outsider steward of rides." in done.content.decode()
    assert roles_of(cast.outsider) == {Role.STEWARD}
    assert client.get(reverse("admin:registry_proposal_changelist")).status_code == 200


def test_an_owner_sees_no_proposal_of_accounts(as_, cast, second_superuser):
    raised = fresh(cast.outsider)
    raised.is_superuser = True
    proposal = proposed(users.change_user(user=raised, actor=cast.superuser, at=AT))
    Proposal.objects.update(expires_at=AT + timedelta(days=9999))
    at = reverse("admin:registry_proposal_change", args=[proposal.pk])

    assert as_("owner").get(at).status_code in (302, 403)
    client = as_("superuser")
    assert "is superuser no → yes" in client.get(at).content.decode()
    client.post(reverse("admin:registry_proposal_withdraw", args=[proposal.pk]))
    assert Proposal.objects.get().state == ProposalState.WITHDRAWN
