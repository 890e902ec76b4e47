"""POST search over HTTP: who may, the whole answer, and what is refused, in words."""

from __future__ import annotations

import errno
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.models import VectorIndex
from materialization.runner import indexing
from registry.choices import Role
from registry.models import AuditEntry
from registry.operations.people import members
from registry.operations.people.token_limits import Limits
from registry.operations.people.tokens import issue_token
from registry.trail.excess import record_excess
from serving.choices import Door
from serving.online.watching import WATCH
from serving.search.indexes import INDEXES
from tests import factories
from tests.serving.online_world import ask, committed, loaded_view
from tests.serving.search_world import FEATURE, SCHEMA, TEXT, post, row
from tests.serving.search_world import load as run_load
from tests.serving.search_world import write as write_source

pytestmark = pytest.mark.django_db
NEAR = {"feature": FEATURE, "vector": [1, 0, 0, 0]}


@pytest.fixture
def documents(cast, sources, now):
    rows = [
        row(n, [float(n), 1, 0, 0], pages=n, event_timestamp=now - timedelta(hours=1))
        for n in (1, 2, 3)
    ]
    write_source(sources, [*rows, row(4, None, event_timestamp=now - timedelta(hours=1))])
    with committed():
        version = factories.make_version(cast, text=TEXT)
    run_load(version, end=now)
    return version


def test_the_whole_answer(client, token, documents, now):
    body = {
        **NEAR,
        "metric": "l2",
        "k": 1,
        "filter": {"pages": {"gt": 1}},
        "features": ["documents:pages"],
    }

    response = post(client, token, body)

    assert response.status_code == 200, response.content
    found = response.json()
    assert found["metadata"].pop("indexed_at").endswith("Z")
    assert found["hits"][0].pop("event_timestamp").endswith("Z")
    assert found == {
        "metadata": {
            "feature": "documents@1.0.0:embedding",
            "metric": "l2",
            "value_types": {"document_id": "int64", "pages": "int32"},
            "searched": 3,
            "is_behind": False,
            "is_complete": True,
            "index": "exact",
            "recall": 1.0,
        },
        "hits": [
            {
                "entity": {"document_id": 2},
                "distance": 2**0.5,
                "features": {"pages": 2},
                "statuses": {"pages": "PRESENT"},
            }
        ],
    }


MAY = {"outsider": 404, "auditor": 403, "operator": 403, "consumer": 200, "author": 200}


def test_who_may_read_online_may_search(client, cast, documents):
    tokens = {who: factories.token_for(getattr(cast, who)) for who in MAY}

    found = {who: post(client, token, NEAR).status_code for who, token in tokens.items()}

    assert found == MAY
    assert post(client, None, NEAR).status_code == 401


def test_a_right_that_was_taken_is_gone_at_the_next_search(client, cast, token, documents, now):
    assert post(client, token, NEAR).status_code == 200
    with committed():
        members.revoke_role(
            project=cast.project, user=cast.consumer, role=Role.CONSUMER, actor=cast.owner, at=now
        )

    assert post(client, token, NEAR).status_code in (403, 404)


@pytest.mark.parametrize("sensitive", ["embedding", "pages"])
def test_a_sensitive_feature_takes_a_grant_to_search_and_to_narrow_by(
    client, cast, token, sources, now, sensitive
):
    text = TEXT.replace(f"name: {sensitive},", f"name: {sensitive}, sensitivity: restricted,")
    write_source(sources, [row(1, [1.0, 0, 0, 0], pages=1, event_timestamp=now)])
    with committed():
        version = factories.make_version(cast, text=text)
        factories.approve(version, cast.second_steward)
    run_load(version, end=now)
    body = {**NEAR, "filter": {"pages": 1}}

    refused = post(client, token, body)
    with committed():
        factories.give_grant(cast, cast.consumer, view="documents")
    read = post(client, token, body)
    WATCH.flush()
    record_excess(at=now + timedelta(days=1))

    assert (refused.status_code, read.status_code) == (403, 200), read.content
    assert read.json()["hits"][0]["features"] == {}
    entry = AuditEntry.objects.get(verb="sensitive_features.read")
    assert entry.data["features"] == [sensitive]


REFUSED = [
    (b"{", "not JSON"),
    ({"vector": [1]}, "feature"),
    ({**NEAR, "kk": 1}, "unknown key 'kk'"),
    ({**NEAR, "feature": "documents"}, "write view:feature"),
    ({**NEAR, "feature": "documents:*"}, "one feature"),
    ({**NEAR, "feature": "documents:pages"}, "only features of vector<N>"),
    ({"feature": FEATURE}, '"vector"'),
    ({**NEAR, "entity": {"document_id": 1}}, '"entity"'),
    ({**NEAR, "vector": [1, 0, 0]}, "has 3 numbers, and documents:embedding has 4"),
    ({**NEAR, "vector": []}, "has 0 numbers"),
    ({**NEAR, "vector": [1, 0, "NaN", 0]}, "number 2 of the vector"),
    ({**NEAR, "vector": [1, 0, True, 0]}, "number 2 of the vector"),
    ({**NEAR, "vector": [1, 0, None, 0]}, "number 2 of the vector"),
    ({**NEAR, "vector": [1e39, 0, 0, 0]}, "32 bits"),
    (b'{"feature": "documents:embedding", "vector": [NaN, 0, 0, 0]}', "not JSON"),
    ({**NEAR, "vector": [0, 0, 0, 0]}, "no direction"),
    ({**NEAR, "k": 0}, "1 to 1000"),
    ({**NEAR, "k": 1001}, "1 to 1000"),
    ({**NEAR, "k": 1.5}, "int"),
    ({**NEAR, "metric": "cosin"}, "cosine"),
    ({**NEAR, "exact": 1}, "bool"),
    ({"feature": FEATURE, "entity": {"document_id": 99}}, "has no row"),
    ({"feature": FEATURE, "entity": {"document_id": 4}}, "has null"),
    ({"feature": FEATURE, "entity": {"document_id": None}}, "null"),
    ({"feature": FEATURE, "entity": {"document_id": "1"}}, "int64"),
    ({"feature": FEATURE, "entity": {"document": 1}}, "document_id"),
    ({**NEAR, "filter": {"pages": "1"}}, "int32"),
    ({**NEAR, "filter": {"pages": {"above": 1}}}, "unknown bound 'above'"),
    ({**NEAR, "filter": {"pages": {}}}, "empty"),
    ({**NEAR, "filter": {"pages": []}}, "1 to 1000"),
    ({**NEAR, "filter": {"pages": {"gt": None}}}, "not null"),
    ({**NEAR, "filter": {"price": "NaN"}}, "equals nothing"),
    ({**NEAR, "filter": {"words": ["a"]}}, "list<string>"),
    ({**NEAR, "filter": {"embedding": [1, 2, 3, 4]}}, "vector<4>"),
    ({**NEAR, "filter": {"is_open": {"gt": False}}}, "no order"),
    ({**NEAR, "filter": {"*": 5}}, "`*` is not one"),
    ({**NEAR, "filter": {"nope": 1}, "features": ["documents:*"]}, "no such feature"),
    ({**NEAR, "filter": {str(n): 1 for n in range(33)}}, "at most 32"),
    ({**NEAR, "features": ["documents:pages", "documents:pages", "documents:*"]}, "twice"),
]  # fmt: skip


def test_what_cannot_be_searched_is_refused_in_words(client, token, documents):
    for body, words in REFUSED:
        response = post(client, token, body)

        assert response.status_code == 422, (body, response.content)
        assert words in response.json()["detail"], body


def test_what_is_not_there_is_not_found(client, token, documents):
    for feature in ("documents:nothing", "nothing:embedding", "documents@9.0.0:embedding"):
        for features in ([], ["documents:*"]):
            response = post(client, token, {**NEAR, "feature": feature, "features": features})
            assert response.status_code == 404, response.content


def test_a_filter_by_what_the_version_has_not(client, token, documents):
    response = post(client, token, {**NEAR, "filter": {"page": 1}})

    assert response.status_code == 404
    assert "pages" in response.json()["detail"]


def test_all_features_of_the_version_are_told_with_the_vector(client, token, documents):
    hits = post(
        client, token, {**NEAR, "features": ["documents:*"], "filter": {"pages": 3}}
    ).json()["hits"]

    assert len(hits) == 1
    assert hits[0]["features"]["embedding"] == [3, 1, 0, 0]
    assert set(hits[0]["features"]) >= {"state", "pages", "words", "mark"}


OTHER = """
kind: DataSource
name: reads
type: file
path: reads.parquet
event_timestamp: event_timestamp
---
kind: FeatureView
name: reads
entities: [document]
source: reads
features: [{name: readers, type: int64}]
ttl: 2d
"""


def test_hits_are_joined_with_features_of_other_views(client, cast, token, documents, now):
    loaded_view(cast, OTHER, [{"document_id": 3, "event": now, "readers": 70}], at=now)

    answer = post(client, token, {**NEAR, "k": 2, "features": ["reads:readers"]}).json()

    told = [(hit["entity"], hit["features"], hit["statuses"]) for hit in answer["hits"]]
    assert told == [
        ({"document_id": 3}, {"readers": 70}, {"readers": "PRESENT"}),
        ({"document_id": 2}, {"readers": None}, {"readers": "NOT_FOUND"}),
    ]


PEOPLE = OTHER.replace("reads", "people").replace("[document]", "[person]")


def test_features_of_other_entities_are_refused(client, cast, token, documents, now):
    text = "kind: Entity\nname: person\njoin_keys: [{name: person_id, type: int64}]\n---" + PEOPLE
    loaded_view(cast, text, [{"person_id": 3, "event": now, "readers": 70}], at=now)

    response = post(client, token, {**NEAR, "features": ["people:readers"]})

    assert response.status_code == 422
    assert "get-online-features" in response.json()["detail"]


def test_hits_times_numbers_are_bounded(client, token, cast, sources, now):
    text = TEXT.replace("vector<4>", "vector<4096>")
    write_source(sources, [row(1, [1.0] * 4096, event_timestamp=now)])
    with committed():
        version = factories.make_version(cast, text=text)
    run_load(version, end=now)

    response = post(client, token, {"feature": FEATURE, "vector": [1] * 4096, "k": 1000})

    assert response.status_code == 413
    assert "488" in response.json()["detail"]


@pytest.mark.parametrize("pin", ["@1.0.0", "@v1", "@1"])
def test_a_pin_is_written_as_in_every_read(client, token, documents, pin):
    body = {**NEAR, "feature": f"documents{pin}:embedding", "features": [f"documents{pin}:pages"]}

    answer = post(client, token, body | {"filter": {"pages": [1, 3]}}).json()

    assert answer["metadata"]["feature"] == "documents@1.0.0:embedding"
    assert [hit["features"]["pages"] for hit in answer["hits"]] == [3, 1]


def test_a_filter_that_names_no_feature_is_refused_whatever_is_told(client, token, documents):
    for name, features in (("*", []), ("page", ["documents:*"]), ("a b", []), ("", [])):
        response = post(client, token, {**NEAR, "filter": {name: 1}, "features": features})

        assert response.status_code in (404, 422), (name, response.content)
        assert response.json()["detail"]


DOUBLED = """
kind: OnDemandFeatureView
name: doubled
inputs:
  features: ["documents:pages"]
features:
  - {name: twice, type: int64, sql: "pages * 2"}
---
kind: OnDemandFeatureView
name: scaled
inputs:
  features: ["documents:pages"]
  request: {factor: int64}
features:
  - {name: some, type: int64, sql: "pages * factor"}
"""


def test_what_is_computed_of_hits_is_told_unless_it_takes_a_request_value(
    client, cast, token, documents
):
    for text in DOUBLED.split("---"):
        with committed():
            (applied,) = factories.apply(text, cast, submit=True)
            factories.approve(applied.draft, cast.steward)

    told = post(client, token, {**NEAR, "features": ["doubled:twice"]}).json()
    refused = post(client, token, {**NEAR, "features": ["scaled:some"]})
    searched = post(client, token, {**NEAR, "feature": "doubled:twice"})

    assert [hit["features"]["twice"] for hit in told["hits"]] == [6, 4, 2]
    assert refused.status_code == searched.status_code == 422
    assert "'factor'" in refused.json()["detail"]
    assert "that are stored" in searched.json()["detail"]


KEYED = """
kind: Entity
name: page
join_keys: [{name: url, type: string}, {name: day, type: date}, {name: at, type: timestamp}]
---
kind: DataSource
name: pages
type: file
path: pages.parquet
event_timestamp: event_timestamp
---
kind: FeatureView
name: pages
entities: [page]
source: pages
features: [{name: embedding, type: vector<2>}]
"""


def test_hits_have_all_of_their_keys_as_they_are_sent(client, cast, token, sources, now):
    keys = [
        {"url": url, "day": date(2026, 1, day), "at": datetime(2026, 1, day, 9, tzinfo=UTC)}
        for url, day in (("a/b:c", 1), ("{é}", 2))
    ]
    rows = [
        {**key, "event_timestamp": now, "embedding": [1.0, float(number)]}
        for number, key in enumerate(keys)
    ]
    pq.write_table(pa.Table.from_pylist(rows), sources / "pages.parquet")
    with committed():
        version = factories.make_version(cast, text=KEYED)
    run_load(version, end=now)

    found = post(client, token, {"feature": "pages:embedding", "vector": [1, 0]}).json()["hits"]
    first = found[0]["entity"]
    near = post(client, token, {"feature": "pages:embedding", "entity": first}).json()["hits"]

    assert first == {"url": "a/b:c", "day": "2026-01-01", "at": "2026-01-01T09:00:00.000000Z"}
    assert [hit["entity"] for hit in near] == [found[1]["entity"]]
    assert near[0]["entity"]["url"] == "{é}"


def test_a_file_that_is_gone_or_broken_is_said_and_made_anew(
    client, token, documents, settings, now
):
    for harm in (
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"x" * 99),
    ):
        (path,) = (settings.OFFLINE_STORE / "_vectors").rglob("*.arrow")
        INDEXES.forget()
        harm(path)

        refused = post(client, token, NEAR)

        assert (refused.status_code, refused.json()["code"]) == (503, "not_indexed")
        path.unlink(missing_ok=True)
        assert indexing.index_tables(clock=lambda: now) == 1
        assert len(post(client, token, NEAR).json()["hits"]) == 3


def test_one_process_that_cannot_read_takes_the_index_from_nobody(
    client, token, documents, monkeypatch
):
    def full(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    INDEXES.forget()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        refused = post(client, token, NEAR)

    assert (refused.status_code, refused.json()["code"]) == (503, "kept_file_unavailable")
    assert len(post(client, token, NEAR).json()["hits"]) == 3


def test_nobody_waits_for_a_newer_file_while_there_is_an_older_one(
    client, token, documents, settings, monkeypatch
):
    assert not post(client, token, NEAR).json()["metadata"]["is_behind"]
    old = VectorIndex.objects.get().file
    folder = settings.OFFLINE_STORE / "_vectors"
    new = f"{old.partition('/')[0]}/new.arrow"
    (folder / new).write_bytes((folder / old).read_bytes())
    VectorIndex.objects.update(file=new)
    uid = documents.table.uid

    with INDEXES._bringing[uid]:
        assert len(post(client, token, NEAR).json()["hits"]) == 3
        assert INDEXES._open[uid][0].file == old
    assert len(post(client, token, NEAR).json()["hits"]) == 3
    assert INDEXES._open[uid][0].file == new


def test_numbers_of_all_vectors_of_a_row_count(client, token, cast, sources, now):
    text = TEXT.replace("{name: words, type: list<string>}", "{name: words, type: vector<4096>}")
    table = pa.Table.from_pylist(
        [{"document_id": 1, "event_timestamp": now, "embedding": [1.0] * 4, "words": [1.0] * 4096}]
    )
    for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True):
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(1, kind))
    pq.write_table(table, sources / "documents.parquet")
    with committed():
        version = factories.make_version(cast, text=text)
    run_load(version, end=now)

    refused = post(client, token, {**NEAR, "k": 1000})

    assert refused.status_code == 413
    assert "4100 numbers" in refused.json()["detail"]
    assert len(post(client, token, {**NEAR, "k": 487}).json()["hits"]) == 1


def test_searches_and_their_refusals_are_noted_as_such(client, token, documents):
    WATCH.flush()
    post(client, token, NEAR)
    post(client, token, {**NEAR, "k": 0})

    assert [note.door for note in WATCH._notes.take()[0]] == [Door.SEARCH, Door.SEARCH]


def test_who_may_not_list_entities_may_not_search_them(client, cast, documents, now):
    limits = Limits(rights=["read_online"])
    with committed():
        _, token = issue_token(
            user=cast.consumer, actor=cast.consumer, at=now, name="reads", is_logged_in=True,
            limits=limits,
        )  # fmt: skip
    read = {"features": ["documents:pages"], "entities": {"document_id": [1]}}

    assert ask(client, token, read).status_code == 200
    assert post(client, token, NEAR).status_code == 403
