"""API tokens: who may make one for whom, what is kept of it, and who may end it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from registry.access import ActionNotPermitted
from registry.authentication import (
    TokenExpired,
    TokenRevoked,
    TokenUnknown,
    bearer_token,
    digest,
    find_token,
)
from registry.models import ApiToken, AuditEntry
from registry.operations.people.tokens import (
    BadTokenRequest,
    NotYourToken,
    issue_token,
    revoke_token,
)
from registry.operations.people.users import set_active
from tests.factories import AT, make_project, make_service_account

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def robot(cast):
    return make_service_account("robot", cast)


def issue(user, actor=None, **options):
    return issue_token(user=user, name="test", actor=actor or user, at=AT, **options)


def test_only_the_hash_is_kept(cast):
    token, text = issue(cast.author)

    assert text.startswith("assay_")
    assert len(text) == len("assay_") + 43
    assert text.startswith(token.prefix)
    stored = ApiToken.objects.values().get()
    assert text not in str(stored)
    assert stored["digest"] == digest(text)
    assert text not in str(list(AuditEntry.objects.values()))


def test_two_tokens_are_never_the_same(cast):
    assert len({issue(cast.author)[1] for _ in range(20)}) == 20


def test_a_token_lives_from_its_making_to_its_end(cast):
    token, text = issue(cast.author, days=1)

    assert find_token(text, at=AT) == token
    assert find_token(text, at=AT + DAY - timedelta(microseconds=1)) == token
    with pytest.raises(TokenExpired, match="expired at 2026-03-02T12:00:00Z. Make a new"):
        find_token(text, at=AT + DAY)


def test_a_revoked_token_says_so_even_when_it_has_expired(cast):
    token, text = issue(cast.author, days=1)
    revoke_token(token=token, actor=cast.author, at=AT)

    with pytest.raises(TokenRevoked, match="revoked at 2026-03-01T12:00:00Z. Make a new"):
        find_token(text, at=AT + 2 * DAY)


@pytest.mark.parametrize("text", ["", "assay_", "assay_x", "x" * 10_000, "\ud7ff\0"])
def test_anything_else_is_unknown(cast, text):
    issue(cast.author)

    with pytest.raises(TokenUnknown, match="not known. Make a new one under API tokens .* owner"):
        find_token(text, at=AT)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Bearer assay_x", "assay_x"),
        ("bearer  assay_x ", "assay_x"),
        ("Bearer", ""),
        ("Basic dXNlcjpwdw==", None),
        ("", None),
    ],
)
def test_what_a_header_carries(header, text):
    assert bearer_token(header) == text


@pytest.mark.parametrize("days", [0, -1, 366, 10**9])
def test_a_life_out_of_bounds_is_refused(cast, days):
    with pytest.raises(BadTokenRequest, match="1 to 365 days"):
        issue(cast.author, days=days)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
def test_a_token_is_named_by_its_use(cast, name):
    with pytest.raises(BadTokenRequest, match="by its use"):
        issue_token(user=cast.author, name=name, actor=cast.author, at=AT)


@pytest.mark.parametrize("who", ["owner", "steward", "author", "outsider"])
def test_nobody_makes_a_token_for_another_person(cast, who):
    with pytest.raises(NotYourToken):
        issue(cast.consumer, actor=getattr(cast, who), project=cast.project)


def test_whoever_manages_a_project_makes_its_service_accounts_tokens(cast, robot):
    token, _ = issue(robot, actor=cast.owner, project=cast.project)
    assert (token.created_by, token.project) == (cast.owner, cast.project)

    with pytest.raises(ActionNotPermitted):
        issue(robot, actor=cast.steward, project=cast.project)
    with pytest.raises(NotYourToken):
        issue(robot, actor=cast.owner)


def test_an_owner_of_one_project_makes_none_for_another(cast, robot):
    other = make_project("trips", cast.superuser)

    with pytest.raises(ActionNotPermitted):
        issue(robot, actor=cast.owner, project=other)


def test_an_account_without_a_role_in_the_project_gets_no_token_from_its_owner(cast, robot):
    make_project("trips", cast.outsider)
    stranger = User.objects.create_user("stranger")

    with pytest.raises(NotYourToken, match="stranger has no role in rides; grant one first"):
        issue(stranger, actor=cast.owner, project=cast.project)


@pytest.mark.parametrize("who", ["owner", "superuser"])
def test_nobody_makes_a_token_for_another_superuser(cast, who):
    root = make_service_account("root", cast)
    User.objects.filter(pk=root.pk).update(is_superuser=True)

    with pytest.raises(NotYourToken, match="root is a superuser"):
        issue(root, actor=getattr(cast, who), project=cast.project)
    assert issue(cast.superuser)[0].created_by == cast.superuser


def test_a_token_lives_no_longer_than_the_account_that_made_it(cast, robot):
    _, text = issue(robot, actor=cast.owner, project=cast.project)

    set_active(user=cast.owner, active=False, actor=cast.superuser, at=AT)
    with pytest.raises(TokenUnknown, match="by an account that is shut out. Make a new"):
        find_token(text, at=AT)

    set_active(user=cast.owner, active=True, actor=cast.superuser, at=AT)
    assert find_token(text, at=AT).user == robot


def test_finding_a_token_is_one_query(cast, django_assert_num_queries):
    _, text = issue(cast.author, project=cast.project)

    with django_assert_num_queries(1):
        found = find_token(text, at=AT)
        assert (found.user, found.project, found.created_by) == (
            cast.author,
            cast.project,
            cast.author,
        )


@pytest.mark.parametrize(
    ("who", "may"),
    [
        ("author", True),
        ("superuser", True),
        ("owner", False),
        ("steward", False),
        ("outsider", False),
    ],
)
def test_who_may_end_a_persons_token(cast, who, may):
    token, _ = issue(cast.author)

    if may:
        revoke_token(token=token, actor=getattr(cast, who), at=AT)
    else:
        with pytest.raises(NotYourToken):
            revoke_token(token=token, actor=getattr(cast, who), at=AT)
    assert ApiToken.objects.get().revoked_at == (AT if may else None)


def test_the_manager_ends_a_token_of_their_project(cast):
    token, _ = issue(cast.author, project=cast.project)

    with pytest.raises(ActionNotPermitted):
        revoke_token(token=token, actor=cast.steward, at=AT)
    revoke_token(token=token, actor=cast.owner, at=AT)

    assert token.revoked_at == AT


def test_ending_it_twice_is_one_entry_and_keeps_the_first_time(cast):
    token, _ = issue(cast.author)
    revoke_token(token=token, actor=cast.author, at=AT)
    revoke_token(token=token, actor=cast.author, at=AT + DAY)

    assert token.revoked_at == AT
    entries = AuditEntry.objects.filter(verb__startswith="api_token").order_by("id")
    assert [entry.verb for entry in entries] == ["api_token.issued", "api_token.revoked"]
