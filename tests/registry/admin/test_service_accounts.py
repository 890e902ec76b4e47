"""Service accounts in the admin: who sees and makes them, the first token, shut out and let in."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from registry.choices import Role
from registry.models import Account, ApiToken, AuditEntry, ServiceAccount
from registry.operations.people.service_accounts import make_service_account
from registry.operations.people.tokens import issue_token
from tests import factories

pytestmark = pytest.mark.django_db(transaction=False)

LIST = "/admin/registry/serviceaccount/"


@pytest.fixture
def account(cast):
    """A program of the project, with a token."""
    made = make_service_account(
        project=cast.project, name="churn", role=Role.CONSUMER, actor=cast.owner,
        at=timezone.now(), description="Churn model",
    )  # fmt: skip
    issue_token(
        user=made.user, name="production", actor=cast.owner, at=timezone.now(),
        project=cast.project,
    )  # fmt: skip
    return ServiceAccount.objects.get(pk=made.pk)


def page(account: Account, step: str = "change") -> str:
    return reverse(f"admin:registry_serviceaccount_{step}", args=[account.pk])


def typed(cast, **more):
    return {
        "project": cast.project.pk, "name": "scorer", "role": "consumer", "token_name": "nightly",
        "days": 30, **more,
    }  # fmt: skip


def test_an_account_is_made_with_its_first_token_which_is_shown_once(as_, cast):
    sent = typed(
        cast, description="Scores", rights=["read_online"], networks="10.1.0.0/16", owner="author"
    )
    answer = as_("owner").post(f"{LIST}add/", sent)

    made = ServiceAccount.objects.get()
    token = ApiToken.objects.get(user=made.user)
    assert (str(made), made.owner, made.description) == ("scorer@rides", cast.author, "Scores")
    assert [(each.project, each.role) for each in made.user.memberships.all()] == [
        (cast.project, Role.CONSUMER)
    ]
    assert (token.name, token.project, token.rights, token.networks) == (
        "nightly", cast.project, ["read_online"], ["10.1.0.0/16"],
    )  # fmt: skip
    text = answer.context["text"]
    assert text in answer.text
    assert "no-store" in answer["Cache-Control"]
    assert page(made) in answer.text
    assert text not in as_("owner").get(page(made)).text
    verbs = {"service_account.created", "membership.granted", "api_token.issued"}
    assert verbs <= set(AuditEntry.objects.filter(actor=cast.owner).values_list("verb", flat=True))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "Not This"}, "use a to z"),
        ({"owner": "nobody-here"}, "has no member"),
        ({"networks": "not-a-network"}, "write networks as"),
        ({"views": "no_such_view"}, "has no feature view"),
        ({"days": 10**9}, "a token lives 1 to"),
        ({"role": "steward"}, "Select a valid choice"),
        ({"rights": ["manage_members"]}, "Select a valid choice"),
        ({"token_name": ""}, "This field is required"),
        ({"name": "a\0b"}, "Null characters are not allowed"),
        ({"description": "x" * 501}, "at most 500"),
    ],
)
def test_what_means_nothing_makes_neither_account_nor_token(as_, cast, more, words):
    answer = as_("owner").post(f"{LIST}add/", typed(cast, **more))

    assert words.lower() in answer.text.lower()
    assert not Account.objects.filter(user__username__contains="@").exists()
    assert not ApiToken.objects.exists()


def test_only_who_manages_the_members_sees_and_changes_them(as_, cast, account):
    for who in ("author", "steward", "auditor", "consumer", "outsider"):
        client = as_(who)
        assert client.get(LIST).status_code == 403, who
        assert client.get(f"{LIST}add/").status_code == 403, who
        client.post(f"{LIST}add/", typed(cast))
        assert client.post(page(account, "shut_out")).status_code == 404, who
    assert ServiceAccount.objects.count() == 1
    assert User.objects.get(pk=account.user_id).is_active
    for who in ("owner", "superuser"):
        assert "churn@rides" in as_(who).get(LIST).text


def test_another_projects_owner_sees_none_of_them(as_, cast, account):
    other = factories.make_project("fraud", cast.superuser)
    factories.give_role(other, cast.outsider, Role.OWNER, cast.superuser)
    client = as_("outsider")

    text = client.get(LIST).text
    assert "churn@rides" not in text
    assert "No service accounts yet" in text
    assert "an account of its own" in text
    assert client.get(page(account)).status_code == 302
    assert client.post(page(account, "edit"), {"description": "mine"}).status_code == 404
    refused = client.post(f"{LIST}add/", typed(cast))
    assert "Select a valid choice" in refused.text
    account.refresh_from_db()
    assert account.description == "Churn model"


def test_the_page_says_what_it_may_and_each_token_with_its_limits(as_, cast, account):
    token = ApiToken.objects.get()
    at = timezone.now()
    ApiToken.objects.filter(pk=token.pk).update(last_used_at=at, networks=["10.2.0.0/16"])
    text = as_("owner").get(page(account)).text

    for words in ("Churn model", "consumer", "10.2.0.0/16", at.isoformat(), "production"):
        assert words in text
    assert token.expires_at.isoformat() in text
    assert reverse("admin:registry_apitoken_change", args=[token.pk]) in text
    listed = as_("owner").get(LIST).text
    assert at.isoformat() in listed
    assert token.expires_at.isoformat() in listed


def test_persons_and_accounts_of_no_project_are_not_listed(as_, cast, account, robot):
    text = as_("superuser").get(LIST).text

    assert "churn@rides" in text
    assert ">robot<" not in text
    assert page(robot.account) not in text
    assert as_("superuser").get(page(robot.account)).status_code == 302


def test_shut_out_ends_its_tokens_at_once_and_let_in_takes_them_up_again(as_, api, cast):
    client = as_("owner")
    text = client.post(f"{LIST}add/", typed(cast)).context["text"]
    account, program = ServiceAccount.objects.get(), api(token=text)
    assert program.get("/api/v1/projects/rides/feature-views").status_code == 200

    client.post(page(account, "shut_out"))
    assert program.get("/api/v1/projects/rides/feature-views").status_code == 401
    shown = client.get(page(account)).text
    assert "shut out" in shown
    assert page(account, "let_in") in shown

    client.post(page(account, "let_in"))
    assert program.get("/api/v1/projects/rides/feature-views").status_code == 200
    entries = AuditEntry.objects.filter(verb="service_account.changed")
    assert [each.after["is_active"] for each in entries.order_by("pk")] == [False, True]


def test_its_words_and_who_is_asked_are_changed(as_, cast, account):
    client = as_("owner")
    client.post(page(account, "edit"), {"description": "New", "owner": "author"})
    account = ServiceAccount.objects.get()
    assert (account.description, account.owner) == ("New", cast.author)

    said = client.post(page(account, "edit"), {"description": "x", "owner": "auhtor"}, follow=True)
    assert "author" in said.text
    assert "has no member" in said.text
    client.post(page(account, "edit"), {"description": "Newer", "owner": ""})
    account = ServiceAccount.objects.get()
    assert (account.description, account.owner) == ("Newer", cast.author)
    long = client.post(page(account, "edit"), {"description": "x" * 501})
    assert long.status_code == 422


def test_another_token_is_asked_for_from_its_page(as_, cast, account):
    address = f"/admin/registry/apitoken/add/?user={account.user_id}&project={cast.project.pk}"
    assert address.replace("&", "&amp;") in as_("owner").get(page(account)).text

    form = as_("owner").get(address).context["form"]
    assert (form["user"].value(), form["project"].value()) == (account.user_id, cast.project.pk)
    for odd in ("x", "9" * 40, "٣", "-1"):
        assert as_("owner").get(f"/admin/registry/apitoken/add/?user={odd}").status_code == 200


def test_how_often_its_tokens_may_call_is_said_and_lifted_on_its_page(as_, account):
    client = as_("owner")

    for sent, kept, shown in ((30, 30, "30, each token"), ("", None, "as many as any token")):
        client.post(page(account, "edit"), {"description": "Scores", "calls_per_minute": sent})
        account.refresh_from_db()
        assert account.calls_per_minute == kept
        assert shown in client.get(page(account)).text
    refused = client.post(page(account, "edit"), {"calls_per_minute": -1})
    assert refused.status_code == 422
