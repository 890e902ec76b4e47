"""Connections as a project sees them, and trying one against a real server."""

from __future__ import annotations

import json
import logging

import pytest
from django.urls import reverse

from registry.models import AuditEntry, ConnectionTry, DataSource
from registry.spec.made_of import Place
from tests.factories import apply, token_for
from tests.postgres import PASSWORD, make_source

pytestmark = pytest.mark.django_db
CONNECTIONS = "/api/v1/projects/rides/connections"
TEST = f"{CONNECTIONS}/warehouse/test"


@pytest.fixture
def connections(settings, tmp_path, warehouse, cast):
    path = tmp_path / "connections.toml"
    path.write_text(warehouse.toml)
    path.chmod(0o600)
    settings.CONNECTIONS_FILE = str(path)
    settings.CONNECTION_TRY = "materialization.edges.sources.try_connection"
    return path


def headers(user):
    return {"Authorization": f"Bearer {token_for(user)}"}


def press(cast):
    return reverse("admin:registry_project_try_connection", args=[cast.project.pk])


def tried():
    return [each for each in AuditEntry.objects.order_by("pk") if each.verb == "connection.tried"]


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("anonymous", 401), ("outsider", 404), ("consumer", 403), ("author", 403),
        ("auditor", 403), ("steward", 200), ("operator", 200), ("owner", 200),
    ],
)  # fmt: skip
def test_who_runs_things_may_have_one_tried(client, cast, connections, who, status):
    sent = {} if who == "anonymous" else {"headers": headers(getattr(cast, who))}

    answer = client.post(TEST, content_type="application/json", **sent)

    assert answer.status_code == status, answer.content
    assert len(tried()) == (status == 200)
    assert ConnectionTry.objects.count() == (status == 200)


def test_the_list_says_when_it_answered_last_and_where_to_who_writes(client, cast, connections):
    (before,) = client.get(CONNECTIONS, headers=headers(cast.author)).json()["results"]
    client.post(TEST, content_type="application/json", headers=headers(cast.operator))
    (after,) = client.get(CONNECTIONS, headers=headers(cast.author)).json()["results"]
    (read,) = client.get(CONNECTIONS, headers=headers(cast.consumer)).json()["results"]

    assert (before["ok"], before["last_tried"], before["error"]) == (None, None, "")
    assert (after["name"], after["kind"], after["ok"], after["error"]) == (
        "warehouse", "postgres", True, "",
    )  # fmt: skip
    assert after["address"].endswith(":5432/sales")
    assert "address" not in read


def test_why_one_does_not_answer_is_said_and_kept(client, cast, connections, warehouse):
    connections.write_text(warehouse.toml.replace(PASSWORD, "not-the-pass-word"))

    answer = client.post(TEST, content_type="application/json", headers=headers(cast.operator))

    said = (
        "connection warehouse: the server takes no log-in of its user; whoever runs Assay corrects"
        " the connection's `user` or its secret."
    )
    assert (answer.status_code, answer.json()["ok"], answer.json()["error"]) == (200, False, said)
    (entry,) = tried()
    assert entry.data["error"] == said


def test_a_try_of_another_place_says_nothing_of_this_one(client, cast, connections, warehouse):
    client.post(TEST, content_type="application/json", headers=headers(cast.operator))
    connections.write_text(warehouse.toml.replace('"sales"', '"postgres"'))

    (listed,) = client.get(CONNECTIONS, headers=headers(cast.author)).json()["results"]

    assert listed["ok"] is None


def test_one_that_another_project_has_is_not_there(client, cast, connections, warehouse):
    connections.write_text(warehouse.toml.replace('"rides"', '"sales"'))

    answer = client.post(TEST, content_type="application/json", headers=headers(cast.owner))

    assert (answer.status_code, answer.json()["code"]) == (404, "connection_not_found")


@pytest.mark.parametrize("by", ["password", "password_env", "password_file"])
def test_no_secret_is_in_anything_that_is_said(
    client, cast, connections, warehouse, tmp_path, monkeypatch, caplog, as_, by
):
    """Whatever goes well or wrong, everything that a door or a log says is looked through."""
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "secret"
    monkeypatch.setenv("WAREHOUSE_PW", PASSWORD)
    where = {"password": PASSWORD, "password_env": "WAREHOUSE_PW", "password_file": str(secret)}
    text = warehouse.toml.replace(f'password = "{PASSWORD}"', f'{by} = "{where[by]}"')
    said = []
    for change in (str, lambda one: one.replace('"reader"', '"nobody"'), lambda one: one + "\n[x"):
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        connections.write_text(change(text))
        for method, path in (("post", TEST), ("get", CONNECTIONS)):
            ask = getattr(client, method)
            sent = {"content_type": "application/json"} if method == "post" else {}
            said.append(ask(path, headers=headers(cast.owner), **sent).content.decode())
    browser = as_("owner")
    page = f"/admin/registry/project/{cast.project.pk}"
    said.append(browser.get(f"{page}/change/", follow=True).content.decode())
    browser.post(press(cast), {"name": "warehouse"})
    said.append(browser.get(f"{page}/change/", follow=True).content.decode())
    said += [json.dumps(each.data) + str(each.after) for each in AuditEntry.objects.all()]
    said += [each.getMessage() + str(each.exc_text) for each in caplog.records]

    assert len(tried()) >= 2
    assert all(PASSWORD not in each for each in said)


def test_a_sources_page_says_by_what_it_is_read(as_, cast, connections):
    apply(
        """
kind: DataSource
name: purchases
type: postgres
connection: warehouse
table: sales.purchases
event_timestamp: paid_at
""",
        cast,
    )
    source = DataSource.objects.get()

    page = as_("consumer").get(f"/admin/registry/datasource/{source.pk}/change/", follow=True)

    for said in ("postgres", "warehouse", "sales.purchases", "paid_at"):
        assert f">{said}<" in page.content.decode(), said


@pytest.mark.parametrize(
    ("one", "other", "may_share"),
    [
        ({"table": "purchases"}, {"table": "public.purchases"}, True),
        ({"table": "a.purchases"}, {"table": "b.purchases"}, False),
        ({"table": "a.purchases"}, {"query": "SELECT 1 AS x FROM t"}, True),
    ],
)
def test_two_sources_may_be_one_table_and_its_sensitivity_follows(one, other, may_share):
    here, there = (
        Place(name, "identity", make_source(**keys).path_within(), ("", ""))
        for name, keys in (("one", one), ("other", other))
    )

    assert here.is_that_of(there) == may_share
    assert not here.is_that_of(there._replace(root="elsewhere"))


def test_the_project_page_shows_and_tries_them(as_, cast, connections, warehouse):
    browser = as_("operator")
    page = f"/admin/registry/project/{cast.project.pk}"

    before = browser.get(f"{page}/change/", follow=True).content.decode()
    after = browser.post(press(cast), {"name": "warehouse"}, follow=True)

    assert "Not tried yet." in before
    assert "The system behind warehouse answers." in after.content.decode()
    assert "tried by operator." in after.content.decode()
    reader = as_("consumer").get(f"{page}/change/", follow=True).content.decode()
    assert "warehouse" in reader
    assert warehouse.server.socket not in reader
    assert "Try connection" not in reader
