"""`assay mcp` as agents meet it: the library's own client, over stdio and HTTP, a live server."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import anyio
import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from registry.choices import State
from registry.models import ApiToken, AuditEntry, DataSource, FeatureViewVersion
from tests import factories
from tests.client.mcp_callers import (
    http_server,
    over_http,
    over_stdio,
    refused,
    said,
    text_of,
)
from tests.serving.context.test_contexts import SERVICE, USERS
from tests.serving.online_world import load

pytestmark = pytest.mark.django_db(transaction=True)

USER = {"user_id": [1]}
IN_ORDER = [
    "search_features",
    "list_feature_services",
    "describe",
    "read_features",
    "get_feature_context",
    "plan_definitions",
    "propose_definitions",
]
TOOLS = set(IN_ORDER)
#: Calls whose arguments do not fit, and what a model is told of each.
UNFIT: list[tuple[str, dict[str, Any], str]] = [
    (
        "describe",
        {"kind": "table"},
        "describe was not called. kind is \"table\"; give one of 'entity', 'data_source',"
        " 'feature_view', 'feature_service' or 'feature'. name is missing."
        " Call it again with what it takes: kind, name.",
    ),
    (
        "plan_definitions",
        {"definitions": [{}, "x" * 200]},
        f'plan_definitions was not called. definitions[1] is "{"x" * 79}…; give an object.'
        " Call it again with what it takes: definitions.",
    ),
    (
        "search_features",
        {"words": "genre", "lmit": 3},
        'search_features has no argument "lmit".'
        " Call it again with what it takes: words, entity, limit.",
    ),
    ("approve", {}, f"there is no tool 'approve'; there are {', '.join(IN_ORDER)}."),
]


@pytest.fixture
def served(live_server, settings, tmp_path) -> str:
    settings.OFFLINE_STORE = tmp_path / "offline"
    return live_server.url


@pytest.fixture
def cast(served, sources) -> factories.Cast:
    columns = {"user_id": [1], "at": [timezone.now()], "mean_minutes": [31.5]}
    pq.write_table(pa.table(columns), sources / "users.parquet")
    return factories.make_cast(root=str(sources))


@pytest.fixture
def users(cast) -> FeatureViewVersion:
    version = factories.make_version(cast, text=USERS)
    now = timezone.now()
    row = {"event": now - timedelta(hours=3), "segment": "power_user", "watch_count_30d": 47}
    load(version, [{"user_id": 1, "last_genre": "documentary", **row}], at=now)
    factories.apply(SERVICE, cast)
    return version


def test_over_stdio_features_are_found_described_and_read(served, cast, users):
    token = factories.token_for(cast.consumer)
    factories.apply(SERVICE.replace("name: recommender", "name: second"), cast)

    async def talk() -> None:
        async with over_stdio(served, token) as client:
            tools = (await client.list_tools()).tools
            assert {tool.name for tool in tools} == TOOLS
            assert not any("\n  " in (tool.description or "\n  ") for tool in tools)
            found = await said(client, "search_features", words="genre")
            assert "watching:last_genre" in json.dumps(found)
            services = await said(client, "list_feature_services")
            assert [each["name"] for each in services["results"]] == ["recommender", "second"]
            first = await said(client, "list_feature_services", limit=1)
            assert [len(first["results"]), first["count"], services["count"]] == [1, 2, 2]
            for tool, arguments, words in UNFIT:
                assert await refused(client, tool, **arguments) == words
            view = await said(client, "describe", kind="feature_view", name="watching")
            assert view["name"] == "watching"
            read = await said(
                client, "read_features", entities=USER, features=["watching:watch_count_30d"]
            )
            assert read["rows"][0]["watching__watch_count_30d"] == {
                "value": 47,
                "status": "PRESENT",
            }
            told = await said(
                client, "get_feature_context", entities=USER, feature_service="recommender"
            )
            assert told["results"][0]["text"] == (
                "segment=power_user, watched 47 titles in last 30 days, last genre watched:"
                " documentary"
            )

    anyio.run(talk)


@pytest.mark.parametrize("way", ["stdio", "http"])
def test_the_server_is_told_which_program_an_agent_asks_through(peer, way):
    peer.answers_with("GET entities/user", {"name": "user"})

    async def talk(address: str = "") -> None:
        through = over_http(address, "t") if address else over_stdio(peer.url, "t")
        async with through as client:
            await said(client, "describe", kind="entity", name="user")

    if way == "stdio":
        anyio.run(talk)
    else:
        with http_server(peer.url) as address:
            anyio.run(talk, address)
    told = peer.requests[-1].headers["Assay-Asked-Through"]
    assert told == "mcp Scribe ?ada?example.org? 1.2"


def test_resources_and_prompts_of_the_catalogue(served, cast, users):
    token = factories.token_for(cast.consumer)

    async def talk() -> None:
        async with over_stdio(served, token) as client:
            prompts = (await client.list_prompts()).prompts
            assert {each.name for each in prompts} == {"find_features", "propose_feature"}
            prompt = await client.get_prompt("propose_feature", {"need": "late trips"})
            assert "late trips" in text_of(prompt.messages[0].content)
            for uri, has in (
                ("assay://guide", "view:feature"),
                ("assay://catalogue/feature-views", "watching"),
                ("assay://catalogue/feature-views", '"count": 1'),
                ("assay://catalogue/feature-services/recommender", "watching:segment"),
            ):
                read = await client.read_resource(uri)
                assert has in text_of(read.contents[0])
            for uri in ("assay://catalogue/tokens", "assay://catalogue/entities/nobody"):
                with pytest.raises(Exception, match="there are no|nobody"):
                    await client.read_resource(uri)

    anyio.run(talk)


def test_refusals_are_told_in_words(served, cast, users):
    token = factories.token_for(cast.consumer)

    async def talk() -> None:
        async with over_stdio(served, token) as client:
            nothing = await refused(client, "describe", kind="entity", name="usr")
            assert "not_found: " in nothing and "Did you mean 'user'?" in nothing
            zero = await refused(
                client,
                "get_feature_context",
                entities=USER,
                feature_service="recommender",
                max_tokens=0,
            )
            assert "a budget is 1 to" in zero
            many = await refused(
                client, "read_features", entities={"user_id": [1] * 101}, features=["watching:*"]
            )
            assert "at most 100" in many
            assert "1 to 50" in await refused(client, "search_features", limit=1000)
            bad = await refused(client, "plan_definitions", definitions=[{"kind": "FeatureVew"}])
            assert "FeatureView" in bad or "not_permitted" in bad

    anyio.run(talk)


NEW = [
    {
        "kind": "FeatureView",
        "name": "minutes",
        "entities": ["user"],
        "source": "users",
        "features": [{"name": "mean_minutes", "type": "float64"}],
    }
]


def test_a_proposal_is_a_draft_and_nothing_in_use_is_touched(served, cast, users):
    token = factories.token_for(cast.author)
    source = {"kind": "DataSource", "name": "users", "type": "file", "path": "users.parquet"}
    source |= {"event_timestamp": "at", "owner": "somebody else"}
    service = {"kind": "FeatureService", "name": "mine", "features": ["watching:segment"]}

    async def talk() -> None:
        async with over_stdio(served, token) as client:
            plan = await said(client, "plan_definitions", definitions=NEW)
            assert plan["dry_run"] is True
            for other in (source, service):
                words = await refused(client, "propose_definitions", definitions=[*NEW, other])
                assert "not_only_drafts" in words and "at once" in words and "nothing was" in words
            assert not await sync_to_async(_drafts)()
            made = await said(client, "propose_definitions", definitions=NEW)
            assert [each["state"] for each in made["changes"]] == ["draft"]

    anyio.run(talk)
    assert _drafts() == ["minutes"]
    assert DataSource.objects.get(name="users").owner == ""
    draft = FeatureViewVersion.objects.get(feature_view__name="minutes")
    assert AuditEntry.objects.named().filter(subject_label=str(draft)).exists()


def test_a_colleagues_open_draft_is_left_as_it_is(served, cast, users):
    factories.apply(json.dumps(NEW[0] | {"description": "by hand"}), cast, actor=cast.owner)
    token = factories.token_for(cast.author)

    async def talk() -> None:
        async with over_stdio(served, token) as client:
            words = await refused(client, "propose_definitions", definitions=NEW)
            assert "not_only_drafts" in words and "somebody else's" in words

    anyio.run(talk)
    assert "by hand" in FeatureViewVersion.objects.get(feature_view__name="minutes").spec_json


def _drafts() -> list[str]:
    rows = FeatureViewVersion.objects.filter(state=State.DRAFT)
    return [row.feature_view.name for row in rows.select_related("feature_view")]


def test_the_servers_rights_decide_what_a_token_may_propose(served, cast, users):
    token = factories.token_for(cast.consumer)

    async def talk() -> None:
        async with over_stdio(served, token) as client:
            assert "not_permitted" in await refused(client, "propose_definitions", definitions=NEW)

    anyio.run(talk)
    assert not _drafts()


def test_over_http_each_request_is_asked_with_its_own_token(served, cast, users):
    consumer, auditor = (factories.token_for(each) for each in (cast.consumer, cast.auditor))

    async def talk(address: str) -> None:
        asked = {"entities": USER, "features": ["watching:segment"]}
        async with over_http(address, consumer) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
            read = await said(client, "read_features", **asked)
            assert read["rows"][0]["watching__segment"]["value"] == "power_user"
            views = await client.read_resource("assay://catalogue/feature-views")
            assert "watching" in text_of(views.contents[0])
        async with over_http(address, auditor) as client:
            assert "not_permitted" in await refused(client, "read_features", **asked)
        async with over_http(address, "assay_wrong") as client:
            assert "token_unknown" in await refused(client, "read_features", **asked)

    with http_server(served) as address:
        anyio.run(talk, address)
        _refuses_strangers(address, consumer)


def test_a_token_limited_to_networks_is_so_for_whoever_calls(served, cast, users):
    token = factories.token_for(cast.consumer)
    ApiToken.objects.update(networks=["127.0.0.1"])

    async def talk(address: str) -> None:
        asked = {"entities": USER, "features": ["watching:segment"]}
        async with over_http(address, token) as client:
            assert (await said(client, "read_features", **asked))["rows"]
        async with over_http(address, token, own="127.0.0.2") as client:
            words = await refused(client, "read_features", **asked)
            assert "token_from_elsewhere" in words and "127.0.0.2" in words
            assert "token_from_elsewhere" in await refused(client, "search_features")
        for said_more in ("10.0.0.1", "127.0.0.1, nowhere"):
            more = {"Assay-Asked-From": said_more}
            async with over_http(address, token, **more) as client:
                assert "elsewhere" in await refused(client, "read_features", **asked)
        more = {"Assay-Asked-From": "127.0.0.1"}
        async with over_http(address, token, own="127.0.0.2", **more) as client:
            assert "elsewhere" in await refused(client, "read_features", **asked)

    with http_server(served) as address:
        anyio.run(talk, address)


def _refuses_strangers(address: str, token: str) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"Accept": "application/json, text/event-stream"}
    bearer = {"Authorization": f"Bearer {token}", **accept}
    without = httpx2.post(address, json=call, headers=accept)
    page = httpx2.post(address, json=call, headers={**bearer, "Origin": "https://evil.example"})
    rebound = httpx2.post(address, json=call, headers={**bearer, "Host": "evil.example"})

    assert (without.status_code, without.json()["code"]) == (401, "token_missing")
    assert without.headers["WWW-Authenticate"] == "Bearer"
    assert page.status_code == 403
    assert rebound.status_code == 421
