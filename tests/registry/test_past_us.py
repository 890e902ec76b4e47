"""What a shell does to people is in the trail, and what came past it too is found by its look."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from guardian.shortcuts import assign_perm

from featurestore_project import deep_checks
from lib.shells import at_shell
from registry import epoch
from registry.accounts.passwords import has_own_password
from registry.approval import NotAsTold
from registry.authentication import digest
from registry.choices import Role, State
from registry.models import Account, ApiToken, AuditEntry, Membership, ReadGrant
from registry.operations.people import members, service_accounts, users
from registry.roles import sync_permissions
from registry.trail import verifying
from registry.trail.told.accounts import password_digest
from registry.triggers import REMOVAL
from tests.factories import AT, approve, give_grant, make_version, token_for

pytestmark = pytest.mark.django_db
NEWER = "django.contrib.auth.hashers.PBKDF2PasswordHasher"


def found():
    return [str(each) for each in verifying.findings()]


def of(user):
    return User.objects.filter(pk=user.pk)


def by_sql(statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def _saved(user, **columns):
    stored = of(user).get()
    for name, value in columns.items():
        setattr(stored, name, value)
    stored.save()


# --- By a shell, and told ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [
        {"is_superuser": True},
        {"is_active": False},
        {"is_staff": False},
        {"username": "stewart"},
        {"email": "s@example.com"},
        {"password": "another"},
    ],
)
def test_what_a_shell_saves_of_an_account_is_told_and_found_nowhere(cast, columns):
    with at_shell("eve@server"):
        _saved(cast.steward, **columns)

    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.data["changed"]) == ("user.changed", list(columns))
    assert entry.data["shell"] == "eve@server"
    assert "stewart" not in json.dumps(entry.data)
    assert "example.com" not in json.dumps(entry.data)
    assert found() == []


def test_commands_of_djangos_are_told(cast, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a long enough one")
    with at_shell("eve@server"):
        call_command("createsuperuser", "--noinput", username="ghost", email="")
        ghost = User.objects.get(username="ghost")
        ghost.set_password("another")
        ghost.save()
        ghost.groups.add(Group.objects.create(name="any"))
        Group.objects.get().user_set.remove(ghost)

    entries = AuditEntry.objects.filter(subject_type="user", subject_id=str(entry_of(cast)))
    verbs = list(entries.order_by("pk").values_list("verb", flat=True))
    assert verbs == ["user.created", *["user.changed"] * 3]
    assert found() == []


def entry_of(cast):
    """Return the key of the account that was made last."""
    made = AuditEntry.objects.filter(verb="user.created").latest("pk")
    assert made.subject_id != str(cast.outsider.pk)
    return int(made.subject_id)


# --- Past the trail, and found -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"is_superuser": True}, "it is a superuser's or not"),
        ({"is_active": False}, "let in or shut out"),
        ({"is_staff": False}, "may use the admin or not"),
        ({"username": "stewart"}, "has another name"),
        ({"email": "s@example.com"}, "another e-mail address"),
        ({"password": "!" + "x" * 40}, "another password"),
    ],
)
def test_what_an_update_changes_of_an_account_is_found(cast, columns, said):
    of(cast.steward).update(**columns)

    lines = found()
    assert any(f"account {cast.steward.pk} (person-" in each and said in each for each in lines)
    assert "something to say" in deep_checks.check_trail()


def test_an_account_that_came_past_the_trail_is_found(cast):
    made = User.objects.create_user("made", password="pw")

    assert any(f"account {made.pk}" in each and "who made it" in each for each in found())


@pytest.mark.parametrize("is_told", [True, False])
def test_an_account_that_went_is_told_or_found(cast, is_told):
    with at_shell("eve@server"):
        made = User.objects.create_user("made")
    if is_told:
        made.delete()
    else:
        by_sql("DELETE FROM registry_pseudonym WHERE user_id = %s", made.pk)
        by_sql("UPDATE registry_usedname SET user_id = NULL WHERE user_id = %s", made.pk)
        by_sql("DELETE FROM auth_user WHERE id = %s", made.pk)

    said = f"account {made.pk}: it is not there any more"
    assert any(said in each for each in found()) is not is_told


def test_a_group_or_a_right_of_djangos_is_found(cast):
    cast.consumer.groups.add(Group.objects.create(name="any"))

    assert any("it has groups, or rights" in each for each in found())


# --- What is as it should be ---------------------------------------------------------------------


def test_a_log_in_that_stores_the_password_anew_leaves_whose_it_is(cast, client, settings):
    of(cast.steward).update(last_login=AT)
    before = of(cast.steward).get()
    settings.PASSWORD_HASHERS = [NEWER, *settings.PASSWORD_HASHERS]
    assert client.login(username="steward", password="pw")

    now = of(cast.steward).get()
    assert now.password != before.password
    assert has_own_password(now)
    assert AuditEntry.objects.filter(verb="user.password_renewed").count() == 1
    assert found() == []


def test_a_password_that_came_past_the_trail_is_not_cleared_by_a_log_in(cast, client, settings):
    stored = of(cast.steward).get()
    stored.set_password("evil")
    of(cast.steward).update(password=stored.password)
    settings.PASSWORD_HASHERS = [NEWER, *settings.PASSWORD_HASHERS]
    client.login(username="steward", password="evil")

    assert not has_own_password(of(cast.steward).get())
    assert any("another password" in each for each in found())


def test_all_that_the_operations_do_is_as_it_should_be(cast):
    made = service_accounts.make_service_account(
        project=cast.project, name="nightly", role=Role.CONSUMER, actor=cast.owner, at=AT
    )
    service_accounts.change_service_account(account=made, actor=cast.owner, at=AT, active=False)
    steward = of(cast.steward).get()
    steward.email, steward.is_staff = "s@example.com", False
    users.change_user(user=steward, actor=cast.superuser, at=AT)
    users.set_active(user=cast.author, active=False, actor=cast.superuser, at=AT)
    call_command("forget_person", "author", "--by", "superuser")
    token_for(cast.steward)

    assert found() == []


# --- Forged to decide ----------------------------------------------------------------------------

ROLE = """INSERT INTO registry_membership (project_id, user_id, role, granted_by_id, granted_at,
    "group", accepted_by_id, agreed_at, hands) VALUES (%s, %s, %s, %s, %s, '', %s, %s, %s)"""
PASSWORD = """INSERT INTO registry_passwordchange (user_id, set_by_id, set_at, digest)
    VALUES (%s, %s, %s, %s)"""
ACCOUNT = """INSERT INTO registry_account (user_id, kind, set_by_id, set_at, raised_by, description)
    VALUES (%s, 'person', %s, %s, %s, '')"""
TOKEN = """INSERT INTO registry_apitoken (user_id, name, prefix, digest, created_by_id, created_at,
    expires_at, may_decide, views, rights, networks)
    VALUES (%s, 't', 'fs_x', %s, %s, %s, %s, %s, '[]', '[]', '[]')"""


def _hands(cast, user):
    """The role of a puppet whom one person let in is made anew, by two who never did."""
    role = Membership.objects.get(user=user)
    by_sql("DELETE FROM registry_membership WHERE id = %s", role.pk)
    hands = json.dumps([[cast.owner.pk], [cast.auditor.pk]])
    by = cast.auditor.pk, role.granted_at, hands
    by_sql(ROLE, role.project_id, user.pk, role.role, cast.owner.pk, role.granted_at, *by)


def _password(cast, user):
    stored = of(user).get()
    stored.set_password("evil")
    of(user).update(password=stored.password)
    by_sql(PASSWORD, user.pk, user.pk, AT, password_digest(stored))


def _raised(cast, user):
    of(user).update(is_superuser=True)
    Account.objects.filter(user=user).delete()
    by_sql(ACCOUNT, user.pk, user.pk, AT, json.dumps([[cast.owner.pk], [cast.steward.pk]]))


def _back(cast, user):
    """A role that was taken is put back as it was."""
    role = Membership.objects.get(user=user)
    members.revoke_role(project=cast.project, user=user, role=Role.STEWARD, actor=cast.owner, at=AT)
    second = role.accepted_by_id, role.agreed_at, json.dumps(role.hands)
    by_sql(ROLE, role.project_id, user.pk, role.role, cast.owner.pk, role.granted_at, *second)
    sync_permissions(cast.project, user)


def _token(cast, user):
    now = AT + timedelta(days=9999)
    by_sql(TOKEN, user.pk, digest("fs_x"), user.pk, AT, now, True)
    return ApiToken.objects.get(digest=digest("fs_x"))


@pytest.mark.parametrize("forge", [_hands, _password, _back])
def test_the_database_takes_no_word_without_its_entry(cast, forge):
    with pytest.raises(DatabaseError, match="needs its entry"), transaction.atomic():
        forge(cast, cast.steward)


@pytest.mark.parametrize("forge", [_hands, _password, _raised, _back, _token])
def test_nobody_decides_by_rows_that_came_past_the_trail(cast, forge):
    version = make_version(cast, state=State.IN_REVIEW)
    assert found() == []
    for statement in REMOVAL[connection.vendor]:
        by_sql(statement)

    token = forge(cast, cast.steward)

    with pytest.raises(NotAsTold, match=r"verify_audit"):
        approve(version, of(cast.steward).get(), token=token)
    assert found() != []


# --- Heard of by readers -------------------------------------------------------------------------


def _grant_off(cast):
    ReadGrant.objects.update(state="revoked")


@pytest.mark.parametrize(
    "change",
    [
        lambda cast: of(cast.consumer).update(is_active=False),
        lambda cast: ApiToken.objects.update(revoked_at=AT),
        lambda cast: ApiToken.objects.update(rights=["read_offline"]),
        lambda cast: ApiToken.objects.all()._raw_delete("default"),
        lambda cast: by_sql("DELETE FROM registry_projectuserobjectpermission"),
        lambda cast: by_sql("DELETE FROM registry_featureviewuserobjectpermission"),
        _grant_off,
    ],
    ids=["shut out", "token ended", "token limited", "token gone", "rights", "view's", "grant"],
)
def test_what_takes_a_right_past_the_operations_is_heard_of_by_readers(cast, change):
    """Their plans are confirmed by the epoch of the project's row."""
    version = make_version(cast)
    token_for(cast.consumer)
    give_grant(cast, cast.consumer, view="driver_hourly")
    assign_perm("read_online", cast.consumer, version.feature_view)
    before = epoch.registered(cast.project.pk).own

    change(cast)

    assert epoch.registered(cast.project.pk).own != before


def test_that_a_token_is_used_is_no_news(cast):
    token_for(cast.consumer)
    before = epoch.registered(cast.project.pk).own

    ApiToken.objects.update(last_used_at=AT)

    assert epoch.registered(cast.project.pk).own == before
