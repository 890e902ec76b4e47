"""Tokens, log-ins by a provider and sessions that somebody else may have made for an account."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from lib.shells import at_shell
from registry.accounts.passwords import PasswordNotYourOwn, has_own_password
from registry.accounts.voices import TokenMayNotDecide, require_own_voice
from registry.choices import Role
from registry.models import ApiToken, AuditEntry, Identity
from registry.operations.people import members, passwords
from registry.operations.people.identities import link_identity
from registry.operations.people.tokens import issue_token, rotate_token
from tests.factories import AT, give_role, make_user

pytestmark = pytest.mark.django_db

CLAIMS = {"sub": "sam-at-the-provider"}


def after(minutes: int):
    return AT + timedelta(minutes=minutes)


def set_password(user: User, *, by: User, at) -> None:
    user = User.objects.get(pk=user.pk)
    user.set_password(f"word of {at}")
    user.save(update_fields=["password"])
    passwords.note_password_changed(user=user, actor=by, at=at)


def token_of(user: User, *, at) -> ApiToken:
    user = User.objects.get(pk=user.pk)
    return issue_token(user=user, actor=user, name="own", at=at, days=300, is_logged_in=True)[0]


@pytest.fixture
def taken(cast) -> User:
    """A steward whose password somebody else set, and changed as if they were the steward."""
    set_password(cast.steward, by=cast.superuser, at=after(1))
    set_password(cast.steward, by=cast.steward, at=after(2))
    return User.objects.get(pk=cast.steward.pk)


def give_anew(cast, *, at) -> None:
    """Have two others take the role and give it again, as refusals advise."""
    other = make_user("other", is_staff=True, is_superuser=True)
    gone = {"user": cast.steward, "role": Role.STEWARD, "actor": cast.owner, "at": at}
    members.revoke_role(project=cast.project, **gone)
    give_role(cast.project, cast.steward, Role.STEWARD, cast.owner, accepted_by=other, at=at)


def test_anothers_password_ends_what_an_account_made_for_itself(cast, settings):
    settings.OIDC_ISSUER = "https://login.example"
    token, robots = token_of(cast.steward, at=AT), token_of(cast.author, at=AT)
    link_identity(CLAIMS, user=cast.steward, at=AT)

    set_password(cast.steward, by=cast.superuser, at=after(1))

    token.refresh_from_db()
    robots.refresh_from_db()
    assert (token.revoked_at, robots.revoked_at) == (after(1), None)
    assert not Identity.objects.exists()
    verbs = AuditEntry.objects.filter(actor=cast.superuser, at=after(1))
    assert {"api_token.revoked", "user.identity_unlinked"} <= {each.verb for each in verbs}


def test_ones_own_password_ends_nothing(cast):
    token = token_of(cast.steward, at=AT)

    set_password(cast.steward, by=cast.steward, at=after(1))

    token.refresh_from_db()
    assert token.revoked_at is None


def test_a_token_from_before_others_vouched_for_an_account_does_not_decide(cast, taken):
    made_by_whom = token_of(taken, at=after(3))
    give_anew(cast, at=after(4))
    own = token_of(taken, at=after(5))

    with pytest.raises(TokenMayNotDecide, match="before others gave their word"):
        require_own_voice(taken, made_by_whom, project="rides")
    require_own_voice(taken, own, project="rides")


def test_a_token_of_whose_password_nobody_else_ever_set_outlives_another_role(cast):
    token = token_of(cast.steward, at=AT)
    give_anew(cast, at=after(1))

    require_own_voice(cast.steward, token, project="rides")


def test_no_log_in_by_a_provider_is_linked_until_others_vouched(cast, taken, settings):
    settings.OIDC_ISSUER = "https://login.example"
    with pytest.raises(PasswordNotYourOwn, match="superuser set steward's password once"):
        link_identity(CLAIMS, user=taken, at=after(3))

    give_anew(cast, at=after(4))

    assert link_identity(CLAIMS, user=taken, at=after(5)).user == taken


def test_a_token_made_at_the_shell_does_not_decide_whatever_is_said_there(cast):
    with at_shell("root@host"):
        token = token_of(cast.steward, at=AT)
        rotated = rotate_token(token=token, actor=cast.steward, at=AT, is_logged_in=True)[0]

    assert not token.may_decide
    assert not rotated.may_decide
    assert token_of(cast.steward, at=AT).may_decide


def test_who_says_at_the_shell_to_be_an_accounts_owner_may_be_anybody(cast):
    with at_shell("root@host"):
        set_password(cast.steward, by=cast.steward, at=after(1))

    assert not has_own_password(User.objects.get(pk=cast.steward.pk))


def test_a_session_made_at_the_shell_is_never_under_way(cast, client):
    client.force_login(cast.steward)
    assert client.get("/admin/").status_code == 200
    client.logout()
    with at_shell("root@host"):
        client.force_login(cast.steward)

    answer = client.get("/admin/")

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/login/?next=/admin/")
