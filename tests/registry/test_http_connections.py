"""Connections to HTTP servers: how they are written down, who may use one, and trying it."""

from __future__ import annotations

import json
import logging

import pytest

from registry.connections import all_connections, connections_of
from registry.models import AuditEntry, DataSource
from tests.factories import apply, token_for
from tests.sites import TOKEN, Said

SHOP = f"""
[shop]
kind = "http"
url = "https://api.example.com/v1"
token = "{TOKEN}"
projects = ["rides"]
"""
TEST = "/api/v1/projects/rides/connections/shop/test"


@pytest.fixture
def written(settings, tmp_path):
    def write(text: str) -> None:
        path = tmp_path / "connections.toml"
        path.write_text(text)
        path.chmod(0o600)
        settings.CONNECTIONS_FILE = str(path)

    settings.CONNECTION_TRY = "materialization.edges.sources.try_connection"
    return write


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("https:", "ftp:"), "url is written as in https://api.example.com/v1"),
        (("https:", "http:"), "url is https://; say plain_http = true where it cannot be"),
        (("api.example.com", "ann:pw1234@api.example.com"), "url is written as in"),
        (("/v1", "/v1?key=abc"), "url is written as in"),
        (("/v1", "/v1/../v2"), "url leads out of itself"),
        (("/v1", "/v1/%2E./v2"), "url leads out of itself"),
        (("/v1", "/v1/..;/v2"), "url leads out of itself"),
        (("example.com", "example.com:99999"), "ort out of range"),
        (("[shop]", '[shop]\nuser = "a"\nheader = "b"'), "the token is one of"),
        (("[shop]", '[shop]\nuser = "a:b"'), "user is ASCII without a colon"),
        (("[shop]", '[shop]\nheader = "a b"'), "headers are names and values"),
        (("[shop]", '[shop]\nheaders = {A = "b\\nc"}'), "headers are names and values"),
        (("[shop]", '[shop]\nheaders = {Authorization = "abc"}'), "headers may not have authoriz"),
        (("[shop]", '[shop]\nheaders = {Host = "abc"}'), "headers may not have host"),
        (("[shop]", "[shop]\nrequests_per_second = -1"), "a number from 0 to 10000"),
        (("[shop]", "[shop]\nrequests_per_second = nan"), "a number from 0 to 10000"),
        (("[shop]", '[shop]\ntoken_env = "abc"'), "its secret is given more than once"),
    ],
)
def test_what_is_written_wrongly_is_said_without_what_stands_there(written, change, said):
    written(SHOP.replace(*change))

    (fault,) = all_connections().faults
    assert said in fault
    assert TOKEN not in fault
    assert "pw1234" not in fault
    assert "abc" not in fault


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000", "http://localhost/v1/", "http://[::1]:80/v1", "https://10.0.0.1/a"],
)
def test_this_machine_needs_no_certificate(written, url):
    written(SHOP.replace("https://api.example.com/v1", url))

    assert all_connections().faults == ()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "moves"),
    [
        (("example.com", "example.org"), True),
        (("https://api.example.com/v1", "https://api.example.com/v2"), True),
        (("example.com", "example.com:8443"), True),
        (("api.example.com/v1", "API.example.com/v1/"), False),
        ((TOKEN, "another"), False),
        (("[shop]", '[shop]\nuser = "ann"'), False),
        (("[shop]", "[shop]\nrequests_per_second = 2.5"), False),
    ],
)
def test_its_identity_is_where_it_leads(written, cast, change, moves):
    written(SHOP)
    before = connections_of(cast.project)["shop"].identity
    written(SHOP.replace(*change))

    assert (connections_of(cast.project)["shop"].identity != before) is moves


@pytest.mark.django_db
def test_trying_one_says_whether_the_token_is_let_in_and_asks_for_no_data(
    client, cast, written, site, caplog
):
    caplog.set_level(logging.DEBUG)
    written(site.toml)
    sent = {"headers": {"Authorization": f"Bearer {token_for(cast.operator)}"}}
    answers, said = [Said(status=404), Said(status=401), Said(status=503), Said(status=302)], []
    for answer in answers:
        site.put("/v1/", answer)
        said.append(client.post(TEST, content_type="application/json", **sent).json())

    assert [each["ok"] for each in said] == [True, False, False, True]
    assert said[1]["error"] == (
        "connection shop: the server does not let its token in (401); whoever runs Assay gives the"
        " connection another secret."
    )
    assert "answers 503" in said[2]["error"]
    assert {each.path for each in site.asked} == {"/v1/"}
    told = [json.dumps(each) for each in said] + [str(each) for each in AuditEntry.objects.values()]
    assert TOKEN not in "".join([*told, caplog.text])


@pytest.mark.django_db
def test_a_page_and_a_list_show_no_token(client, cast, written, site, as_):
    written(site.toml.replace("token", 'parameter = "api_key"\ntoken'))
    site.put("/v1/", Said(status=200))
    sent = {"headers": {"Authorization": f"Bearer {token_for(cast.owner)}"}}
    client.post(TEST, content_type="application/json", **sent)
    listed = client.get("/api/v1/projects/rides/connections", **sent).json()["results"]
    page = as_("owner").get(f"/admin/registry/project/{cast.project.pk}/change/", follow=True)

    assert (listed[0]["kind"], listed[0]["address"]) == ("http", f"{site.url}/v1")
    assert site.asked[-1].query == {"api_key": TOKEN}
    assert TOKEN not in json.dumps(listed) + page.content.decode()
    assert f"{site.url}/v1" in page.content.decode()


@pytest.mark.django_db
def test_a_sources_page_says_what_is_asked_and_what_comes(as_, cast, written):
    written(SHOP)
    apply(
        """
kind: DataSource
name: orders
type: http
connection: shop
path: sales/orders
parameters: {status: paid, since: "{since}"}
rows: data.orders
paging: {by: cursor, parameter: c, next: data.next}
schema: {id: int64, at: timestamp}
event_timestamp: at
""",
        cast,
    )
    source = DataSource.objects.get()

    page = as_("consumer").get(f"/admin/registry/datasource/{source.pk}/change/", follow=True)

    told = page.content.decode()
    for said in ("http", "shop", "sales/orders", "status=paid", "since={since}", "data.orders",
                 "id: int64"):  # fmt: skip
        assert f">{said}<" in told, said
    assert "<dt>Pages</dt><dd>by cursor</dd>" in told
    assert ">Path<" in told
