"""What the admin changes beside versions, through operations: projects, roles, tokens, accounts."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from lib.seen import ChangedMeanwhile
from registry import access, epoch
from registry.choices import Role
from registry.models import ApiToken, AuditEntry, Membership, Project
from registry.operations.people import members, projects, tokens, users

pytestmark = pytest.mark.django_db(transaction=False)

POLICY = {"title": "Rides", "approvals_required": 1, "approvals_required_sensitive": 2}


def url(name: str, *args: object) -> str:
    return reverse(f"admin:{name}", args=args)


def verbs() -> list[str]:
    return list(AuditEntry.objects.order_by("-id").values_list("verb", flat=True))


# --- projects ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "changes"),
    [("owner", True), ("superuser", True), ("steward", False), ("author", False)],
)
def test_who_changes_the_policy_of_a_project(
    as_, cast, who, changes, django_capture_on_commit_callbacks
):
    before = epoch.ensure(cast.project.pk)
    post = POLICY | {"approvals_required": 2, "approvals_required_sensitive": 3}
    post["usage_sampled_one_in"] = 100

    with django_capture_on_commit_callbacks(execute=True):
        response = as_(who).post(url("registry_project_edit", cast.project.pk), post)

    cast.project.refresh_from_db()
    assert cast.project.approvals_required == (2 if changes else 1)
    assert cast.project.usage_sampled_one_in == (100 if changes else 0)
    assert response.status_code == (302 if changes else 422)
    assert ("project.changed" in verbs()) is changes
    assert (epoch.current(cast.project.pk) != before) is changes


@pytest.mark.parametrize(
    ("post", "words"),
    [
        ({"approvals_required": 0}, "greater than or equal to 1"),
        ({"approvals_required": 4}, "no fewer than others"),
        ({"usage_sampled_one_in": -1}, "greater than or equal to 0"),
        ({"usage_sampled_one_in": 1_000_001}, "less than or equal to 1000000"),
    ],
)
def test_what_a_project_refuses_is_said_and_what_was_typed_stays(as_, cast, post, words):
    response = as_("owner").post(
        url("registry_project_edit", cast.project.pk), POLICY | post | {"title": "Typed"}
    )

    assert response.status_code == 422
    assert words in response.text
    assert 'value="Typed"' in response.text
    assert "project.changed" not in verbs()


def shown(page) -> dict[str, str]:
    """Return what the page's forms send back of what they showed, as a browser would."""
    found = re.findall(
        r'<input type="hidden" name="(initial-[^"]+)"(?: value="([^"]*)")?', page.text
    )
    return {name: html.unescape(value) for name, value in found}


def test_a_page_that_is_outdated_changes_nothing_and_says_what_changed(as_, cast):
    client = as_("owner")
    page = url("registry_project_change", cast.project.pk)
    seen = shown(client.get(page))
    edit = url("registry_project_edit", cast.project.pk)
    client.post(edit, POLICY | {"approvals_required": 3, "approvals_required_sensitive": 4})

    response = client.post(edit, POLICY | seen | {"title": "Mine"})

    assert response.status_code == 409
    assert "approvals_required is 3 now, not 1" in html.unescape(response.text)
    assert (shown(response)["initial-approvals_required"], verbs()[0]) == ("3", "project.changed")
    assert Project.objects.get(pk=cast.project.pk).title == "Rides"

    more = {"title": "Mine", "approvals_required": 4}
    client.post(edit, POLICY | shown(response) | more | {"approvals_required_sensitive": 4})
    entry = AuditEntry.objects.latest("id")
    assert (entry.before["approvals_required"], entry.after["approvals_required"]) == (3, 4)
    assert entry.after["title"] == "Mine"


def test_a_page_that_shows_what_still_holds_is_saved(as_, cast):
    client = as_("owner")
    edit = url("registry_project_edit", cast.project.pk)
    seen = shown(client.get(url("registry_project_change", cast.project.pk)))

    assert client.post(edit, POLICY | seen | {"title": "Trips"}).status_code == 302
    assert Project.objects.get(pk=cast.project.pk).title == "Trips"


def test_an_object_loaded_before_another_change_is_outdated_too(cast):
    first, second = (Project.objects.get(pk=cast.project.pk) for _ in range(2))
    change = {"actor": cast.owner, "at": timezone.now(), "title": "rides"}
    projects.change_project(
        project=first, **change, approvals_required=3, approvals_required_sensitive=4
    )

    with pytest.raises(ChangedMeanwhile, match="approvals_required is 3 now, not 1"):
        projects.change_project(
            project=second, **change, approvals_required=1, approvals_required_sensitive=2
        )
    assert Project.objects.get(pk=cast.project.pk).approvals_required == 3


def test_a_text_no_database_takes_is_refused_beside_its_field(as_, cast):
    edit = url("registry_project_edit", cast.project.pk)

    response = as_("owner").post(edit, POLICY | {"title": "a\0b"})
    assert (response.status_code, "Null characters" in response.text) == (422, True)

    response = as_("owner").post(edit, POLICY | {"initial-title": "a\0b"})
    assert response.status_code == 302


def test_a_project_a_role_and_a_token_are_not_named_with_a_null_character(as_, cast):
    client = as_("superuser")
    posts = {
        url("registry_project_add"): {"name": "a\0b"},
        url("registry_project_grant", cast.project.pk): {"username": "a\0b", "role": "owner"},
        url("registry_apitoken_add"): {"name": "a\0b", "user": cast.superuser.pk, "days": 1},
        url("auth_user_change", cast.author.pk): account(cast.author, first_name="a\0b"),
    }

    for address, post in posts.items():
        assert "Null characters are not allowed" in client.post(address, post).text, address
    assert verbs().count("project.created") == 1


def test_only_a_superuser_makes_a_project(as_, cast):
    assert as_("owner").get(url("registry_project_add")).status_code == 403

    response = as_("superuser").post(
        url("registry_project_add"), {"name": "fraud", "title": "Fraud"}
    )
    made = Project.objects.get(name="fraud")
    assert response.url == url("registry_project_change", made.pk)
    assert made.memberships.get().role == Role.OWNER
    assert (
        "use lower-case letters"
        in as_("superuser").post(url("registry_project_add"), {"name": "No!"}).text
    )


# --- roles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "grants"), [("owner", True), ("steward", False), ("author", False)]
)
def test_who_grants_and_revokes_roles(as_, cast, who, grants):
    post = {"username": "outsider", "role": "author"}
    client = as_(who)
    client.post(url("registry_project_grant", cast.project.pk), post)
    assert Membership.objects.filter(user=cast.outsider).exists() is grants

    membership = Membership.objects.get(user=cast.consumer)
    client.post(url("registry_project_revoke", cast.project.pk), {"membership": membership.pk})
    assert Membership.objects.filter(pk=membership.pk).exists() is not grants
    assert ({"membership.granted", "membership.revoked"} <= set(verbs()[:2])) is grants


@pytest.mark.parametrize("who", ["steward", "consumer"])
def test_only_who_may_grant_learns_which_accounts_there_are(as_, cast, who):
    address = url("registry_project_grant", cast.project.pk)

    told = [
        as_(who).post(address, {"username": name, "role": "owner"}, follow=True)
        for name in ("superuser", "nobody_of_this_name")
    ]

    assert len({str(*page.context["messages"]) for page in told}) == 1
    assert [page.redirect_chain[0][1] for page in told] == [302, 302]
    denied = [verb for verb in verbs() if not verb.startswith("user.logged_")]
    assert denied[:2] == ["access.denied"] * 2


@pytest.mark.parametrize(
    ("membership", "words"),
    [
        ("", "Which role?"),
        ("a\0b", "Null characters"),
        *[(text, "no such role here") for text in ("abc", "-1", "9" * 30, "9" * 5000)],
    ],
)
def test_a_role_that_is_none_is_not_revoked(as_, cast, membership, words):
    response = as_("owner").post(
        url("registry_project_revoke", cast.project.pk), {"membership": membership}, follow=True
    )

    (told,) = response.context["messages"]
    assert words in str(told)
    assert "membership.revoked" not in verbs()


def test_a_name_nobody_has_is_refused_beside_the_field(as_, cast):
    response = as_("owner").post(
        url("registry_project_grant", cast.project.pk), {"username": "nobody", "role": "owner"}
    )

    assert response.status_code == 422
    assert "There is no account of this name" in response.text


def test_a_role_of_another_project_is_not_revoked_from_here(as_, cast):
    other = projects.create_project(name="other", actor=cast.outsider, at=timezone.now())
    theirs = other.memberships.get()

    as_("owner").post(url("registry_project_revoke", cast.project.pk), {"membership": theirs.pk})

    assert Membership.objects.filter(pk=theirs.pk).exists()


# --- tokens --------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_never_cached(as_, cast):
    post = {"name": "churn", "user": cast.consumer.pk, "days": 30}
    response = as_("consumer").post(url("registry_apitoken_add"), post)

    token = ApiToken.objects.get()
    assert token.prefix in response.text
    assert "no-store" in response["Cache-Control"]
    text = response.context["text"]
    for page in (url("registry_apitoken_changelist"), url("registry_apitoken_change", token.pk)):
        assert text not in as_("consumer").get(page).text


def test_nobody_makes_a_token_for_another_person(as_, cast):
    post = {"name": "hers", "user": cast.owner.pk, "days": 30}

    for who in ("author", "steward"):
        assert "text" not in as_(who).post(url("registry_apitoken_add"), post).context
    assert not ApiToken.objects.exists()


def test_an_owner_makes_tokens_for_a_service_account_of_the_project(as_, cast):
    service = User.objects.create_user("scorer")
    members.grant_role(
        project=cast.project, user=service, role=Role.CONSUMER, actor=cast.owner, at=timezone.now()
    )
    post = {"name": "scorer", "user": service.pk, "project": cast.project.pk, "days": 30}

    assert as_("owner").post(url("registry_apitoken_add"), post).context["text"]
    assert (
        "text"
        not in as_("owner").post(url("registry_apitoken_add"), post | {"project": ""}).context
    )


def test_nobody_is_offered_to_speak_for_another_superuser(as_, cast):
    root = User.objects.create_user("root", is_superuser=True)
    members.grant_role(
        project=cast.project, user=root, role=Role.CONSUMER, actor=cast.owner, at=timezone.now()
    )
    post = {"name": "x", "user": root.pk, "project": cast.project.pk, "days": 30}

    for who in ("owner", "superuser"):
        response = as_(who).post(url("registry_apitoken_add"), post)
        assert "Select a valid choice" in response.text
    assert not ApiToken.objects.exists()


def test_a_token_whose_maker_is_shut_out_is_shown_as_refused(as_, cast, robot):
    token, _ = tokens.issue_token(
        user=robot, name="ci", actor=cast.owner, at=timezone.now(), project=cast.project
    )
    users.set_active(user=cast.owner, active=False, actor=cast.superuser, at=timezone.now())

    assert "shut out" in as_("superuser").get(url("registry_apitoken_change", token.pk)).text


@pytest.mark.parametrize(
    ("who", "status", "ends"),
    [
        ("consumer", 302, True),
        ("superuser", 302, True),
        ("outsider", 404, False),
        ("owner", 404, False),
    ],
)
def test_who_revokes_a_token(as_, cast, who, status, ends):
    token, _ = tokens.issue_token(
        user=cast.consumer, name="mine", actor=cast.consumer, at=timezone.now()
    )

    assert as_(who).post(url("registry_apitoken_revoke", token.pk)).status_code == status
    token.refresh_from_db()
    assert (token.revoked_at is not None) is ends


# --- accounts ------------------------------------------------------------------------------------


def account(user: User, **changes: object) -> dict[str, str]:
    """Return the form of an account as a browser would send it back."""
    shown = {"username": user.username, "first_name": "", "last_name": "", "email": user.email}
    shown |= {"kind": access.kind_of(user)}
    flags = {name: getattr(user, name) for name in ("is_active", "is_staff", "is_superuser")}
    return (
        shown
        | {name: "on" for name, on in (flags | changes).items() if on is True}
        | {name: value for name, value in changes.items() if isinstance(value, str)}
    )


@pytest.mark.parametrize("who", ["owner", "steward", "author"])
def test_accounts_are_for_superusers(as_, cast, who):
    for page in ("auth_user_changelist", "auth_user_add"):
        assert as_(who).get(url(page)).status_code == 403
    response = as_(who).post(url("auth_user_change", cast.author.pk), account(cast.author))
    assert response.status_code == 403


@pytest.mark.parametrize(
    ("changes", "verb", "moves"),
    [
        ({"is_active": False}, "user.deactivated", True),
        ({"is_superuser": True}, "user.changed", True),
        ({"email": "a@example.com"}, "user.changed", False),
    ],
)
def test_what_changes_rights_changes_every_epoch(
    as_, cast, changes, verb, moves, django_capture_on_commit_callbacks
):
    before = epoch.ensure(cast.project.pk)

    with django_capture_on_commit_callbacks(execute=True):
        as_("superuser").post(
            url("auth_user_change", cast.author.pk), account(cast.author, **changes)
        )

    assert verbs()[0] == verb
    assert (epoch.current(cast.project.pk) != before) is moves


def test_the_last_superuser_stays_one(as_, cast):
    page = url("auth_user_change", cast.superuser.pk)
    response = as_("superuser").post(page, account(cast.superuser, is_superuser=False), follow=True)

    assert "is the last active superuser" in response.text
    assert User.objects.get(pk=cast.superuser.pk).is_superuser


def test_shutting_out_the_last_active_owner_says_what_is_left_to_do(as_, cast):
    page = url("auth_user_change", cast.owner.pk)
    response = as_("superuser").post(page, account(cast.owner, is_active=False), follow=True)

    assert "rides: no active owner is left" in response.text
    assert not User.objects.get(pk=cast.owner.pk).is_active


def test_ones_own_new_password_leaves_its_trace(as_, cast):
    new = {"new_password1": "long-enough-42", "new_password2": "long-enough-42"}

    response = as_("author").post("/admin/password_change/", {"old_password": "no", **new})
    assert (response.status_code, "user.password_changed" in verbs()) == (200, False)

    response = as_("author").post("/admin/password_change/", {"old_password": "pw", **new})
    assert response.status_code == 302
    entry = AuditEntry.objects.named().latest("id")
    assert (entry.verb, entry.actor_name) == ("user.password_changed", "author")
    assert entry.subject_label == "author"
    assert User.objects.get(pk=cast.author.pk).check_password("long-enough-42")


def test_no_group_and_no_django_permission_is_offered(as_, cast):
    page = as_("superuser").get(url("auth_user_change", cast.author.pk)).text

    assert 'name="groups"' not in page
    assert 'name="user_permissions"' not in page
    assert as_("superuser").get("/admin/auth/group/").status_code == 404


def test_a_new_account_and_a_new_password_leave_their_trace(as_, cast):
    client = as_("superuser")
    password = {"password1": "long-enough-42", "password2": "long-enough-42"}
    client.post(url("auth_user_add"), {"username": "mia", "kind": "person", **password})
    made = User.objects.get(username="mia")
    assert verbs()[0] == "user.created"

    client.post(url("auth_user_password_change", made.pk), password)
    assert verbs()[0] == "user.password_changed"


@pytest.mark.parametrize(
    ("kind", "staff", "says"),
    [
        ("person", True, "grant mia a role. Until then they see nothing."),
        ("person", False, "Without admin login they work through the API only."),
        ("service_account", True, "then issue it a token"),
    ],
)
def test_a_new_account_may_log_in_and_its_page_says_the_next_step(as_, cast, kind, staff, says):
    client, page = as_("superuser"), url("auth_user_add")
    form = client.get(page).context["adminform"].form
    assert form["is_staff"].value() is True
    assert "Single Sign-On" not in client.get(page).text

    typed = {"username": "mia", "kind": kind} | ({"is_staff": "on"} if staff else {})
    if kind == "person":
        typed |= {"password1": "long-enough-42", "password2": "long-enough-42"}
    response = client.post(page, typed, follow=True)

    assert says in response.text
    made = User.objects.get(username="mia")
    is_person = kind == "person"
    assert (made.is_staff, made.has_usable_password()) == (staff and is_person, is_person)
    assert (made.account.kind, access.kind_of(made)) == (kind, kind)


def test_the_kind_of_an_account_is_changed_on_its_page(as_, cast, robot):
    client, page = as_("superuser"), url("auth_user_change", robot.pk)
    assert client.get(page).context["adminform"].form["kind"].value() == "service_account"
    password = {"password1": "long-enough-42", "password2": "long-enough-42"}
    response = client.post(url("auth_user_password_change", robot.pk), password, follow=True)
    assert "robot is a service account and gets no password" in response.text
    assert not User.objects.get(pk=robot.pk).has_usable_password()

    client.post(page, account(robot, kind="person"))
    assert access.is_person(robot)
    assert client.post(url("auth_user_password_change", robot.pk), password).status_code == 302
    assert User.objects.get(pk=robot.pk).has_usable_password()


def test_nobody_deletes_an_account(as_, cast):
    response = as_("superuser").post(url("auth_user_delete", cast.author.pk), {"post": "yes"})

    assert response.status_code == 403
    assert User.objects.filter(pk=cast.author.pk).exists()


def test_an_expired_token_is_called_expired(as_, cast):
    tokens.issue_token(
        user=cast.consumer,
        name="old",
        actor=cast.consumer,
        at=timezone.now() - timedelta(days=40),
        days=30,
    )

    assert "expired" in as_("consumer").get(url("registry_apitoken_changelist")).text


def test_a_token_is_limited_on_the_form_and_says_so_on_its_page(as_, cast):
    client = as_("owner")
    asked = {
        "name": "narrow", "user": cast.owner.pk, "project": cast.project.pk, "days": 7,
        "rights": ["read_online"], "networks": "10.1.0.0/16, 127.0.0.1", "views": "",
        "calls_per_minute": 60,
    }  # fmt: skip

    assert "shown this once" in client.post(url("registry_apitoken_add"), asked).text

    token = ApiToken.objects.get(name="narrow")
    assert (token.rights, token.networks) == (["read_online"], ["10.1.0.0/16", "127.0.0.1/32"])
    assert token.calls_per_minute == 60
    page = client.get(url("registry_apitoken_change", token.pk)).text
    assert "10.1.0.0/16, 127.0.0.1/32" in page
    assert "<dd>60</dd>" in page
    assert "Last used" in page
    refused = client.post(url("registry_apitoken_add"), asked | {"networks": "here"})
    assert "write networks as" in refused.text
