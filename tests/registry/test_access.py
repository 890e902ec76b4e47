"""Who may do what: roles, rights on single views, and what a token or an account still carries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import AnonymousUser, User
from django.core.management import CommandError, call_command
from django.utils import timezone
from guardian.shortcuts import assign_perm

from lib.errors import Forbidden
from registry import access, audit
from registry.access import (
    ActionNotPermitted,
    FeatureViewNotFound,
    ProjectNotFound,
)
from registry.accounts.hands import hands_of
from registry.choices import AccountKind, Role, State
from registry.models import Account, ApiToken, AuditEntry, Membership
from registry.operations.deciding import accept_proposal
from registry.operations.lifecycle.reviews import approve_version
from registry.operations.people import members, passwords, projects, tokens, users
from registry.operations.people.passwords import ServiceAccountHasNoLogin
from registry.roles import sync_permissions
from registry.spec.versions import BadVersion
from registry.trail import verifying
from tests.factories import (
    AT,
    VIEW,
    give_role,
    make_project,
    make_service_account,
    make_user,
    make_version,
    seen,
    token_for,
)

pytestmark = pytest.mark.django_db

WHOAMI = "/api/v1/whoami"
ENTITIES = "/api/v1/projects/rides/entities"
#: Said once more in full: a right that moves to another role should be seen twice.
RIGHTS = {
    "consumer": "view_project read_online read_offline",
    "author": "view_project read_online read_offline plan_featureview add_featureview"
    " change_featureview materialize_featureview",
    "steward": "view_project approve_featureview break_featureview_glass release_featureview"
    " view_auditentry materialize_featureview change_schedule give_readgrant test_connection"
    " end_dataset",
    "operator": "view_project materialize_featureview change_schedule test_connection",
    "auditor": "view_project view_auditentry",
    "owner": "view_project read_online read_offline push_featureview plan_featureview"
    " add_featureview change_featureview approve_featureview break_featureview_glass"
    " release_featureview view_auditentry materialize_featureview change_schedule"
    " manage_members give_readgrant test_connection end_dataset",
    "outsider": "",
}


@pytest.mark.parametrize("who", list(RIGHTS))
def test_the_rights_of_each_role(cast, who):
    assert access.permissions(getattr(cast, who), cast.project) == set(RIGHTS[who].split())


@pytest.mark.parametrize("who", list(RIGHTS))
def test_a_view_carries_the_rights_of_its_project(cast, who):
    view = make_version(cast).feature_view

    assert access.permissions(getattr(cast, who), view) == set(RIGHTS[who].split())


def test_a_superuser_may_everything_and_nobody_nothing(cast):
    everything = set(" ".join(RIGHTS.values()).split())

    assert everything <= access.permissions(cast.superuser, cast.project)
    assert access.permissions(AnonymousUser(), cast.project) == frozenset()
    assert not access.visible_projects(AnonymousUser()).exists()


def test_two_roles_add_up_and_one_can_be_taken_away(cast):
    grant(cast, cast.auditor, Role.CONSUMER)
    assert access.can(cast.auditor, "read_online", cast.project)

    members.revoke_role(
        project=cast.project, user=cast.auditor, role=Role.AUDITOR, actor=cast.owner, at=AT
    )

    assert access.permissions(fresh(cast.auditor), cast.project) == set(RIGHTS["consumer"].split())


def grant(cast, user, role, *, actor=None):
    give_role(cast.project, user, role, actor or cast.owner, accepted_by=cast.superuser)


def fresh(user: User) -> User:
    return User.objects.get(pk=user.pk)


def test_a_lacking_right_names_itself_and_the_roles_that_have_it(cast):
    with pytest.raises(ActionNotPermitted) as caught:
        access.require(cast.consumer, "view_auditentry", cast.project)

    assert caught.value.message == (
        "consumer lacks the right view_auditentry on rides;"
        " roles that have it: steward, auditor, owner."
    )
    assert caught.value.data == {"permission": "view_auditentry", "project": "rides"}


def test_a_right_on_one_view_is_only_that(cast):
    view = make_version(cast).feature_view
    other = make_version(cast, text=VIEW.replace("driver_hourly", "driver_daily")).feature_view
    assign_perm("read_online", cast.operator, view)

    operator = fresh(cast.operator)
    assert access.can(operator, "read_online", view)
    assert not access.can(operator, "read_online", other)
    assert not access.can(operator, "read_online", cast.project)
    found = access.access_feature_view(operator, "rides", "driver_hourly", "read_online")
    assert found == view


def test_a_right_on_one_view_lets_nobody_into_the_project(cast):
    assign_perm("read_online", cast.outsider, make_version(cast).feature_view)

    with pytest.raises(ProjectNotFound):
        access.access_feature_view(fresh(cast.outsider), "rides", "driver_hourly", "read_online")


def test_what_may_not_be_seen_is_not_suggested(cast):
    make_project("secret", cast.superuser)

    with pytest.raises(ProjectNotFound) as caught:
        access.access_project(cast.consumer, "secre")
    assert "secret" not in caught.value.message

    with pytest.raises(FeatureViewNotFound, match="has no feature view 'driver_hourly'"):
        access.access_feature_view(cast.superuser, "secret", "driver_hourly")


@pytest.mark.parametrize("number", ["", "1", "1.0", "1.0.0-rc1", "latest", "1.0.0\n", "١.0.0"])
def test_a_malformed_number_is_told_so(cast, number):
    make_version(cast)

    with pytest.raises(BadVersion, match="three numbers"):
        access.access_version(cast.consumer, "rides", "driver_hourly", number)


def test_draft_names_the_newest_draft(cast):
    draft = make_version(cast, state=State.DRAFT)

    assert access.access_version(cast.consumer, "rides", "driver_hourly", "draft") == draft


def test_only_those_who_manage_members_give_roles(cast):
    for who in ("author", "steward", "operator", "consumer", "outsider"):
        with pytest.raises(ActionNotPermitted):
            grant(cast, cast.outsider, Role.OWNER, actor=getattr(cast, who))
    assert not Membership.objects.filter(user=cast.outsider).exists()


def test_the_last_owner_stays(cast):
    with pytest.raises(members.LastOwner):
        take(cast, cast.owner, Role.OWNER)

    grant(cast, cast.steward, Role.OWNER)
    take(cast, cast.owner, Role.OWNER)
    assert not access.visible_projects(fresh(cast.owner)).exists()


def test_the_last_active_owner_stays_though_another_is_shut_out(cast):
    grant(cast, cast.steward, Role.OWNER)
    users.set_active(user=cast.steward, active=False, actor=cast.superuser, at=AT)

    with pytest.raises(members.LastOwner, match="owner is the last active owner of rides"):
        take(cast, cast.owner, Role.OWNER)


def test_shutting_out_the_last_active_owner_names_the_project_in_the_trail(cast):
    for who in (cast.author, cast.owner):
        users.set_active(user=who, active=False, actor=cast.superuser, at=AT)

    told = AuditEntry.objects.filter(verb="user.deactivated").order_by("id")
    assert [entry.data.get("without_active_owner") for entry in told] == [None, ["rides"]]


#: What somebody does with the account they were loaded with; each needs a right of a superuser.
DEEDS = {
    "grant": lambda cast, actor: grant(cast, cast.outsider, Role.CONSUMER, actor=actor),
    "revoke": lambda cast, actor: members.revoke_role(
        project=cast.project, user=cast.author, role=Role.AUTHOR, actor=actor, at=AT
    ),
    "change": lambda cast, actor: projects.change_project(
        project=cast.project,
        actor=actor,
        at=AT,
        title="Theirs",
        approvals_required=1,
        approvals_required_sensitive=1,
    ),
    "issue": lambda cast, actor: tokens.issue_token(
        user=User.objects.get(username="robot"),
        name="x",
        actor=actor,
        at=AT,
        project=cast.project,
    ),
    "end a token": lambda cast, actor: tokens.revoke_token(
        token=ApiToken.objects.get(user=cast.consumer), actor=actor, at=AT
    ),
    "shut out": lambda cast, actor: users.set_active(
        user=cast.author, active=False, actor=actor, at=AT
    ),
    "make an account": lambda _, actor: users.add_user(
        user=User(username="mia"), kind=AccountKind.PERSON, actor=actor, at=AT
    ),
    "change an account": lambda cast, actor: users.change_user(
        user=cast.author, actor=actor, at=AT
    ),
}


@pytest.mark.parametrize("deed", list(DEEDS))
@pytest.mark.parametrize("lost", ["is_superuser", "is_active"])
def test_a_right_lost_since_the_account_was_loaded_is_missed(cast, robot, lost, deed):
    token_for(cast.consumer)
    stale = fresh(cast.superuser)
    User.objects.filter(pk=stale.pk).update(**{lost: False})
    entries = AuditEntry.objects.count()

    with pytest.raises(Forbidden):
        DEEDS[deed](cast, stale)
    assert AuditEntry.objects.count() == entries


def take(cast, user, role):
    members.revoke_role(project=cast.project, user=user, role=role, actor=cast.owner, at=AT)


def test_only_a_superuser_shuts_an_account(cast):
    with pytest.raises(ActionNotPermitted):
        users.set_active(user=cast.author, active=False, actor=cast.owner, at=AT)
    assert fresh(cast.author).is_active


def code(response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_no_token_and_what_is_none(api, cast):
    assert code(api().get(ENTITIES)) == (401, "unauthenticated")
    assert code(api(token="assay_nonsense").get(ENTITIES)) == (401, "token_unknown")
    assert code(api(token="\xfc").get(ENTITIES)) == (401, "token_unknown")
    assert api().get(ENTITIES)["WWW-Authenticate"] == 'Bearer realm="assay"'
    client = api()
    client.credentials(HTTP_AUTHORIZATION="Basic b3duZXI6cHc=")
    assert client.get(ENTITIES).status_code == 401


def test_an_expired_token_says_when(api, cast):
    text = token_for(cast.consumer)
    at = timezone.now().replace(microsecond=0) - timedelta(days=1)
    ApiToken.objects.update(expires_at=at)

    response = api(token=text).get(ENTITIES)

    assert code(response) == (401, "token_expired")
    assert f"{at:%Y-%m-%dT%H:%M:%SZ}" in response.json()["detail"]


def test_a_revoked_token_is_refused_from_the_next_request(api, cast):
    client = api(cast.consumer)
    assert client.get(ENTITIES).status_code == 200

    token = ApiToken.objects.get()
    tokens.revoke_token(token=token, actor=cast.consumer, at=timezone.now())

    assert code(client.get(ENTITIES)) == (401, "token_revoked")


def test_an_account_shut_out_is_refused_from_the_next_request(api, cast):
    client = api(cast.consumer)
    users.set_active(user=cast.consumer, active=False, actor=cast.superuser, at=AT)

    assert code(client.get(ENTITIES)) == (401, "token_unknown")

    users.set_active(user=cast.consumer, active=True, actor=cast.superuser, at=AT)
    assert client.get(ENTITIES).status_code == 200


def test_a_role_taken_away_hides_the_project_from_the_next_request(api, cast):
    client = api(cast.consumer)
    take(cast, cast.consumer, Role.CONSUMER)

    assert client.get(ENTITIES).status_code == 404


def test_a_token_for_one_project_knows_no_other(api, cast):
    other = make_project("trips", cast.owner)
    _, text = tokens.issue_token(
        user=cast.owner, name="rides", actor=cast.owner, at=timezone.now(), project=cast.project
    )
    client = api(token=text)

    assert client.get(ENTITIES).status_code == 200
    assert code(client.get(ENTITIES.replace("rides", other.name))) == (401, "token_unknown")
    assert client.get("/api/v1/projects").json() == {
        "results": [{"name": "rides", "title": "rides"}]
    }
    assert client.get(WHOAMI).json()["projects"] == {"rides": ["owner"]}


def test_whoami_says_who_until_when_and_what(api, cast):
    grant(cast, cast.consumer, Role.AUDITOR)

    body = api(cast.consumer).get(WHOAMI).json()

    token = ApiToken.objects.get()
    assert (body["user"], body["token"]) == ("consumer", token.prefix)
    assert body["projects"] == {"rides": ["auditor", "consumer"]}
    assert body["expires_at"].endswith("Z")
    assert api(cast.outsider).get(WHOAMI).json()["projects"] == {}
    assert api().get(WHOAMI).status_code == 401


# --- what an account is --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "mark", "is_person"),
    [
        ("pw", None, True),
        (None, None, False),
        ("", None, False),
        ("pw", AccountKind.PERSON, True),
        (None, AccountKind.PERSON, True),
        ("pw", AccountKind.SERVICE, False),
        (None, AccountKind.SERVICE, False),
    ],
)
def test_who_is_a_person(cast, password, mark, is_person):
    """The mark says it; of what has none, only an account that somebody can log in to is one."""
    mia = User(username="mia")
    if password == "":
        mia.save()  # as a shell might: what Django itself calls a usable password
    else:
        mia = User.objects.create_user("mia", password=password)
    if mark is not None:
        Account.objects.create(user=mia, kind=mark, set_by=cast.superuser, set_at=AT)

    assert access.is_person(mia) is is_person


def test_a_persons_account_needs_no_password(cast):
    mia = User(username="mia", password=make_password(None))
    users.add_user(user=mia, kind=AccountKind.PERSON, actor=cast.superuser, at=AT)
    grant(cast, mia, Role.STEWARD)
    version = make_version(cast, state=State.IN_REVIEW)

    approve_version(version=version, packet_hash=seen(version), actor=fresh(mia), at=AT)

    assert version.state == State.APPROVED


def test_an_account_that_becomes_a_services_loses_its_login_and_its_say(cast):
    token_for(cast.steward)
    members.revoke_role(
        project=cast.project, user=cast.steward, role=Role.STEWARD, actor=cast.owner, at=AT
    )
    users.change_user(
        user=fresh(cast.steward), kind=AccountKind.SERVICE, actor=cast.superuser, at=AT
    )

    steward = fresh(cast.steward)
    assert (steward.is_staff, steward.has_usable_password()) == (False, False)
    changed, password = AuditEntry.objects.order_by("-id")[:2]
    assert (changed.verb, password.verb) == ("user.changed", "user.password_changed")
    assert (changed.before["kind"], changed.after["kind"]) == ("person", "service_account")
    version = make_version(cast, state=State.IN_REVIEW)
    with pytest.raises(ActionNotPermitted):
        # Also by an object loaded before: what counts is what is stored.
        approve_version(version=version, packet_hash=seen(version), actor=cast.steward, at=AT)


def test_a_service_account_gets_no_password(cast, robot):
    with pytest.raises(ServiceAccountHasNoLogin, match="change the kind of the account first"):
        passwords.require_login_allowed(robot)

    users.change_user(user=fresh(robot), kind=AccountKind.PERSON, actor=cast.superuser, at=AT)
    passwords.require_login_allowed(robot)
    passwords.require_login_allowed(User.objects.create_user("made_in_a_shell"))


# --- A program is given nothing to decide with ---------------------------------------------------


@pytest.mark.parametrize("role", [Role.STEWARD, Role.OWNER])
def test_a_service_account_is_given_no_role_that_decides(as_, cast, robot, role):
    with pytest.raises(members.ServiceAccountDecidesNothing, match="may be: .*author"):
        members.grant_role(project=cast.project, user=robot, role=role, actor=cast.owner, at=AT)
    with pytest.raises(members.ServiceAccountDecidesNothing):
        grant(cast, robot, role)

    form = {"username": "robot", "role": role}
    page = f"/admin/registry/project/{cast.project.pk}"
    said = as_("owner").post(f"{page}/grant/", form, follow=True).text

    assert "never decides" in said
    assert set(roles_of(cast, robot)) == {Role.AUTHOR}


def test_the_command_makes_no_program_that_decides(cast):
    with pytest.raises(CommandError, match="never decides"):
        call_command(
            "create_user", "ci", "--service", "--role", "rides:steward", "--by", "superuser"
        )

    assert not User.objects.filter(username="ci").exists()


def test_what_became_a_program_while_a_role_waited_does_not_get_it(cast):
    newcomer = make_user("newcomer")
    proposal = members.grant_role(
        project=cast.project, user=newcomer, role=Role.STEWARD, actor=cast.owner, at=AT
    )
    users.change_user(user=newcomer, kind=AccountKind.SERVICE, actor=cast.superuser, at=AT)

    with pytest.raises(members.ServiceAccountDecidesNothing):
        accept_proposal(proposal=proposal, actor=cast.superuser, at=AT)

    assert roles_of(cast, newcomer) == []


@pytest.mark.parametrize(("who", "role"), [("steward", "steward"), ("owner", "owner")])
def test_nobody_with_a_role_that_decides_becomes_a_program(as_, cast, who, role):
    person = fresh(getattr(cast, who))
    said = f"{who} is {role} of rides, and a service account never decides"
    with pytest.raises(members.ServiceAccountDecidesNothing, match=said):
        users.change_user(user=person, kind=AccountKind.SERVICE, actor=cast.superuser, at=AT)

    form = {"username": who, "email": "", "is_active": "on", "kind": AccountKind.SERVICE}
    page = f"/admin/auth/user/{person.pk}/change/"
    assert said in as_("superuser").post(page, form, follow=True).text

    stored = fresh(person)
    assert access.is_person(stored)
    assert (stored.is_staff, stored.has_usable_password()) == (True, True)
    assert roles_of(cast, person) == [role]
    assert not AuditEntry.objects.filter(verb="user.changed").exists()


def test_one_that_kept_such_a_role_as_it_became_a_program_is_named(cast):
    make_service_account("kept", cast, Role.STEWARD)

    (said,) = [str(each) for each in verifying.findings()]
    assert "is a service account and is steward, which decides" in said


def test_one_that_was_given_such_a_role_past_us_is_named(cast, robot):
    assert list(verifying.findings()) == []
    later = AT + timedelta(days=1)
    with members.managing(cast.project, cast.owner):
        hands = hands_of(cast.project, robot, cast.owner)
        audit.record(
            actor=cast.owner, verb="membership.granted", subject=cast.project, at=later,
            after={"user": robot, "role": Role.STEWARD}, data={"hands": hands},
        )  # fmt: skip
        Membership.objects.create(
            project=cast.project, user=robot, role=Role.STEWARD, granted_by=cast.owner,
            granted_at=later, hands=hands,
        )  # fmt: skip
        sync_permissions(cast.project, robot)

    said = [str(each) for each in verifying.findings()]
    assert any("is a service account and is steward, which decides" in each for each in said)


def roles_of(cast, user):
    held = Membership.objects.filter(project=cast.project, user=user)
    return list(held.values_list("role", flat=True))
