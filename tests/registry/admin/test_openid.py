"""Logging in at a real provider: who is let in, as whom, with which roles, and who is not."""

from __future__ import annotations

import socket
import time
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from registry.accounts import openid
from registry.choices import AccountKind, Role
from registry.models import Account, AuditEntry, Identity, Membership
from registry.operations.people import members, passwords, users
from registry.operations.people.identities import find_by_token
from tests.factories import AT, make_service_account
from tests.registry.provider import running

pytestmark = pytest.mark.django_db

US = "assay"
BACKENDS = ["registry.admin.openid.ProviderBackend", "guardian.backends.ObjectPermissionBackend"]


@pytest.fixture(scope="module")
def _running(tmp_path_factory):
    with running(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture
def provider(_running, settings):
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID = _running.url, US
    settings.OIDC_CLIENT_SECRET, settings.OIDC_AUDIENCES = "secret", [US]
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, *BACKENDS[:1]]
    settings.OIDC_ROLES = [("growth", "rides", "author"), ("leads", "rides", "steward")]
    _running.has("ana", preferred_username="ana", groups=["growth"], given_name="Ana")
    return _running


def roles(name="ana"):
    rows = Membership.objects.filter(user__username=name).order_by("role")
    return [(row.role, row.group) for row in rows]


def is_in(client):
    return SESSION_KEY in client.session


# --- the way there and back ----------------------------------------------------------------------


def test_somebody_new_gets_an_account_and_the_roles_of_their_groups(provider, cast):
    client = Client()

    answer = provider.log_in(client, "ana", wanted="/admin/registry/featureview/")

    assert (answer.status_code, answer["Location"]) == (302, "/admin/registry/featureview/")
    assert client.get(answer["Location"]).status_code == 200
    ana = User.objects.get(username="ana")
    assert (ana.first_name, ana.has_usable_password(), ana.is_superuser) == ("Ana", False, False)
    assert Account.objects.get(user=ana).kind == AccountKind.PERSON
    assert Identity.objects.get(user=ana).subject == "ana"
    assert roles() == [("author", "growth")]
    verbs = list(AuditEntry.objects.order_by("id").values_list("verb", flat=True))
    assert verbs[-3:] == ["user.created", "membership.granted", "user.logged_in"]


def test_the_way_there_has_a_state_a_nonce_and_a_challenge(provider):
    asked = parse_qs(urlsplit(Client().get("/admin/openid/login")["Location"]).query)

    assert asked["code_challenge_method"] == ["S256"]
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    assert asked["redirect_uri"] == ["http://testserver/admin/openid/callback"]
    assert asked["scope"] == ["openid profile email"]


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example/", "javascript:x"])
def test_nobody_is_sent_elsewhere_from_here(provider, cast, wanted):
    assert provider.log_in(Client(), "ana", wanted=wanted)["Location"] == "/admin/"


def test_roles_go_with_the_groups_and_those_given_by_hand_stay(provider, cast):
    provider.log_in(Client(), "ana")
    ana = User.objects.get(username="ana")
    members.grant_role(project=cast.project, user=ana, role=Role.OPERATOR, actor=cast.owner, at=AT)
    provider.has("ana", preferred_username="ana", groups=["leads", "others"])

    provider.log_in(Client(), "ana")
    assert roles() == [("operator", ""), ("steward", "leads")]

    provider.has("ana", preferred_username="ana")
    provider.log_in(Client(), "ana")
    assert roles() == [("operator", "")]
    taken = AuditEntry.objects.filter(verb="membership.revoked").order_by("id")
    assert [entry.data["group"] for entry in taken] == ["growth", "leads"]


def test_a_role_that_is_given_by_hand_too_does_not_go_with_its_group(provider, cast):
    provider.log_in(Client(), "ana")
    ana = User.objects.get(username="ana")
    members.grant_role(project=cast.project, user=ana, role=Role.AUTHOR, actor=cast.owner, at=AT)
    provider.has("ana", preferred_username="ana", groups=[])

    provider.log_in(Client(), "ana")

    assert roles() == [("author", "")]


def test_a_group_gives_nothing_in_a_project_that_is_not_there(provider, cast, settings, caplog):
    settings.OIDC_ROLES = [("growth", "nowhere", "owner")]

    assert provider.log_in(Client(), "ana").status_code == 302

    assert roles() == []
    assert "there is no such project" in caplog.text


# --- whose account it is -------------------------------------------------------------------------


def test_nobody_becomes_an_account_by_its_name_or_address(provider, cast):
    provider.has("evil", preferred_username="steward", email="s@x.com", email_verified=True)
    client = Client()

    refused = provider.log_in(client, "evil")

    assert (refused.status_code, is_in(client)) == (403, False)
    assert "cannot be called" in refused.text
    assert Identity.objects.count() == 0
    failed = AuditEntry.objects.get(verb="user.login_failed")
    assert failed.data["code"] == "identity_refused"


def test_an_address_names_nobody_until_the_provider_has_seen_it(provider, cast):
    provider.has("x|1", email="bo@x.com", email_verified=False)
    provider.has("x|2", email="cy@x.com", email_verified=True)
    for subject in ("x|1", "x|2"):
        assert provider.log_in(Client(), subject).status_code == 302

    names = {each.subject: each.user.username for each in Identity.objects.all()}
    assert names["x|2"] == "cy@x.com"
    assert names["x|1"].startswith("person-")


LINK = "/admin/openid/link"


def link(provider, client, subject, password="pw"):
    sent = client.post(LINK, {"password": password})
    if sent.status_code != 302:
        return sent
    back = provider.agree(sent["Location"], subject)
    return client.get(back.replace("http://testserver", ""))


def as_steward():
    client = Client()
    client.post("/admin/login/", {"username": "steward", "password": "pw"})
    return client


def test_whoever_is_logged_in_links_their_account_themselves(provider, cast):
    passwords.note_password_changed(user=cast.steward, actor=cast.steward, at=AT)
    client = as_steward()

    assert link(provider, client, "ana").status_code == 302

    page = client.get(LINK).text
    assert "<code>ana</code>" in page

    assert Identity.objects.get().user == cast.steward
    other = Client()
    provider.log_in(other, "ana")
    assert other.session[SESSION_KEY] == str(cast.steward.pk)
    assert not User.objects.filter(username="ana").exists()
    client.post(LINK, {"unlink": Identity.objects.get().pk, "password": "pw"})
    assert not Identity.objects.exists()


def test_a_browser_that_is_left_or_led_links_nothing(provider, cast):
    passwords.note_password_changed(user=cast.steward, actor=cast.steward, at=AT)
    client = as_steward()

    provider.log_in(client, "ana")  # by an address alone: a log-in, and no link
    assert not Identity.objects.filter(user=cast.steward).exists()
    client = as_steward()
    refused = link(provider, client, "ana", password="wrong")
    assert (refused.status_code, "not your password" in refused.text) == (403, True)
    sent = client.post(LINK, {"password": "pw"})
    assert "prompt=login" in sent["Location"]
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(cast.steward)
    assert strict.post(LINK, {"password": "pw"}).status_code == 403
    assert Client().get(LINK)["Location"].startswith("/admin/login/")


def test_a_password_of_somebody_elses_links_nothing(provider, cast):
    passwords.note_password_changed(user=cast.steward, actor=cast.superuser, at=AT)
    refused = link(provider, as_steward(), "ana")

    assert refused.status_code == 403
    assert "password was set by superuser" in refused.text
    assert Identity.objects.count() == 0


@pytest.mark.parametrize("case", ["shut out", "service account"])
def test_who_may_not_log_in_is_not_let_in_by_the_provider(provider, cast, case):
    provider.log_in(Client(), "ana")
    ana = User.objects.get(username="ana")
    if case == "shut out":
        users.set_active(user=ana, active=False, actor=cast.superuser, at=AT)
    else:
        Identity.objects.update(user=make_service_account("robot", cast))
    client = Client()

    assert provider.log_in(client, "ana").status_code == 403
    assert not is_in(client)


# --- what is refused -----------------------------------------------------------------------------


def test_an_answer_that_nobody_here_asked_for_is_refused(provider, cast):
    mine, theirs = Client(), Client()
    sent = theirs.get("/admin/openid/login")
    back = provider.agree(sent["Location"], "ana").replace("http://testserver", "")

    assert mine.get(back).status_code == 403  # another browser's state
    assert theirs.get(back).status_code == 302
    assert theirs.get(back).status_code == 403  # once is enough
    for nonsense in ("", "?code=x&state=y", "?error=access_denied", "?state="):
        assert Client().get(f"/admin/openid/callback{nonsense}").status_code == 403


@pytest.mark.parametrize(
    ("setting", "claims", "status"),
    [
        ("OIDC_REQUIRED_AMR", {"amr": ["pwd", "mfa"]}, 302),
        ("OIDC_REQUIRED_AMR", {"amr": ["pwd"]}, 403),
        ("OIDC_REQUIRED_AMR", {"amr": "mfa"}, 403),
        ("OIDC_REQUIRED_AMR", {}, 403),
        ("OIDC_REQUIRED_ACR", {"acr": "mfa"}, 302),
        ("OIDC_REQUIRED_ACR", {"acr": "1"}, 403),
    ],
)
def test_a_second_factor_can_be_wanted(provider, cast, settings, setting, claims, status):
    setattr(settings, setting, ["mfa"])
    provider.has("ana", preferred_username="ana", **claims)
    client = Client()

    assert provider.log_in(client, "ana").status_code == status
    assert is_in(client) is (status == 302)


def test_a_provider_that_is_away_or_another_is_named(provider, settings):
    settings.OIDC_ISSUER = "http://127.0.0.1:1"
    away = Client().get("/admin/openid/login")
    settings.OIDC_ISSUER = provider.url.replace("127.0.0.1", "localhost") + "/"
    another = Client().get("/admin/openid/login")

    assert (away.status_code, "does not answer" in away.text) == (503, True)
    assert (another.status_code, "calls itself" in another.text) == (503, True)


def test_without_a_provider_there_are_no_such_pages(db):
    for path in ("login", "callback"):
        assert Client().get(f"/admin/openid/{path}").status_code == 404


# --- passwords beside it -------------------------------------------------------------------------


def test_the_log_in_page_shows_the_way(provider, cast):
    page = Client().get("/admin/login/?next=/admin/registry/project/").text

    assert "Log in with single sign-on" in page
    assert "/admin/openid/login?next=%2Fadmin%2Fregistry%2Fproject%2F" in page
    assert 'name="password"' in page


def test_passwords_can_be_switched_off(provider, cast, settings):
    settings.LOCAL_LOGIN = False
    settings.AUTHENTICATION_BACKENDS = BACKENDS
    client = Client()

    assert 'name="password"' not in client.get("/admin/login/").text
    refused = client.post("/admin/login/", {"username": "owner", "password": "pw"})
    assert (refused.status_code, is_in(client)) == (403, False)
    assert provider.log_in(client, "ana").status_code == 302
    assert client.get("/admin/").status_code == 200


# --- the API -------------------------------------------------------------------------------------


def asked(text):
    return Client().get("/api/v1/whoami", headers={"Authorization": f"Bearer {text}"})


def test_the_api_takes_the_providers_tokens_of_people_who_logged_in(provider, cast):
    token = provider.token_for("ana", audience=US)
    unknown = asked(token)
    assert (unknown.status_code, unknown.json()["code"]) == (401, "identity_unknown")

    provider.log_in(Client(), "ana")

    known = asked(token)
    assert known.status_code == 200
    assert (known.json()["user"], known.json()["projects"]) == ("ana", {"rides": ["author"]})


def test_a_newer_token_takes_roles_away_and_none_gives_any(provider, cast):
    provider.has("ana", preferred_username="ana", groups=["growth", "leads"])
    client = Client()
    provider.log_in(client, "ana")
    claims = {"sub": "ana", "iat": timezone.now().timestamp() + 5}

    find_by_token(claims | {"groups": ["growth", "more"]}, at=AT)
    assert roles() == [("author", "growth")]
    entries = AuditEntry.objects.count()
    for older in ({"iat": 1}, {"iat": claims["iat"]}, {"iat": None}, {"iat": "x"}):
        find_by_token(claims | older | {"groups": []}, at=AT)
    find_by_token(claims | {"iat": claims["iat"] + 5, "groups": ["growth", "leads"]}, at=AT)

    assert (roles(), AuditEntry.objects.count()) == ([("author", "growth")], entries)


@pytest.mark.parametrize(
    "name",
    ["churn@rides", "root", "Admin", "owner.", "-x", "оwner", "a b"],  # noqa: RUF001
)
def test_a_name_that_says_more_than_who_somebody_is_is_not_taken(provider, cast, name):
    provider.has("z|9", preferred_username=name, email="x@y.com")

    assert provider.log_in(Client(), "z|9").status_code == 302

    user = Identity.objects.get().user
    assert (user.username[:7], user.email) == ("person-", "")


def test_a_provider_that_hangs_holds_one_caller_up_and_not_all(provider, cast, settings):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings.OIDC_ISSUER = f"http://127.0.0.1:{silent.getsockname()[1]}"
        openid._away["since"] = -100.0
        text = forged(provider, iss=settings.OIDC_ISSUER)
        began = time.monotonic()
        answers = [asked(text) for _ in range(3)]
        took = time.monotonic() - began
    openid._away["since"] = -100.0

    assert [answer.status_code for answer in answers] == [503] * 3
    assert took < openid.TIMEOUT_SECONDS * 1.8


def test_a_token_for_another_is_not_for_us(provider, cast):
    provider.log_in(Client(), "ana")

    refused = asked(provider.token_for("ana", audience="somebody-else"))

    assert (refused.status_code, refused.json()["code"]) == (401, "provider_token_refused")


def forged(provider, *, key=None, alg="RS256", **changes):
    now = int(timezone.now().timestamp())
    claims = {"iss": provider.url, "aud": US, "sub": "ana", "exp": now + 60, "iat": now} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": alg}, claims, key or RSAKey.generate_key(2048), algorithms=[alg])


def test_nobody_signs_in_the_providers_place(provider, cast):
    provider.log_in(Client(), "ana")
    mine = forged(provider)
    with_our_secret = forged(provider, key=OctKey.import_key("secret" * 6), alg="HS256")
    head, body, _ = mine.split(".")
    for text in (mine, with_our_secret, f"{head}.{body}.", "a.b.c", "..", f"{head}.{body}.AAAA"):
        answer = asked(text)
        assert (answer.status_code, answer.json()["code"]) == (401, "provider_token_refused"), text


@pytest.mark.parametrize(
    "changes",
    [{"exp": 1}, {"exp": None}, {"iss": "https://evil.example"}, {"aud": None}, {"sub": None},
     {"aud": "another"}, {"nbf": 4_000_000_000}],
)  # fmt: skip
def test_what_a_token_says_is_looked_at(provider, cast, monkeypatch, changes):
    """Signed by a key that is taken for the provider's: the rest has to hold by itself."""
    provider.log_in(Client(), "ana")
    key = RSAKey.generate_key(2048)
    client = openid._client()
    monkeypatch.setitem(client.server_metadata, "jwks", {"keys": [key.as_dict(private=False)]})
    assert asked(forged(provider, key=key)).status_code == 200

    answer = asked(forged(provider, key=key, **changes))

    assert (answer.status_code, answer.json()["code"]) == (401, "provider_token_refused")


def test_a_shut_out_persons_token_is_refused(provider, cast):
    provider.log_in(Client(), "ana")
    token = provider.token_for("ana", audience=US)
    users.set_active(
        user=User.objects.get(username="ana"), active=False, actor=cast.superuser, at=AT
    )

    assert asked(token).status_code == 401


def test_who_logged_in_by_the_provider_is_logged_out_like_others(provider, cast):
    client = Client()
    provider.log_in(client, "ana")
    session = client.session
    session["assay_used"] = (timezone.now() - timedelta(hours=2)).isoformat()
    session.save()

    assert client.get("/admin/").status_code == 302
