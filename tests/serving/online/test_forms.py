"""The forms of an online answer: Arrow says what JSON says, and int64 may be text."""

from __future__ import annotations

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from django.utils import timezone

from assay import ServerError
from assay.answers import Answer
from assay.online import OnlineResponse
from assay.online_arrow import read_stream
from materialization.edges.stores import usage_stream
from registry.choices import Role
from registry.models import Membership
from registry.operations.people.projects import change_project
from serving.online.door import OnlineFirst
from serving.online.watching import WATCH
from serving.usage.draining import drain
from serving.usage.edges import stored_usage
from tests import factories
from tests.serving.online_world import PATH, ask, committed, loaded_view
from tests.serving.online_world import call as call_with
from tests.serving.test_client_values import FEATURES, NAMES, ROWS, TYPES, VIEW, padded, same

pytestmark = pytest.mark.django_db

ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture
def token(db):
    """A row of every type, one with nulls, and beside them keys without a row or a null one."""
    now = timezone.now()
    with committed():
        people = factories.make_cast()
    rows = [
        {
            "driver_id": row,
            "event": now - timedelta(hours=row),
            **{n: padded(TYPES[k])[row] for n, k in NAMES.items()},
        }
        for row in range(ROWS)
    ]
    loaded_view(people, VIEW, rows, at=now)
    return factories.token_for(people.consumer)


REQUEST = {
    "features": FEATURES,
    "entities": {"driver_id": [*range(ROWS), 999, None, 0]},
    "include_feature_view_version_metadata": True,
}


def arrow(client, token, body=REQUEST, accept=ARROW):
    return client.post(
        PATH,
        data=json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}", "Accept": accept},
    )


def test_arrow_says_what_json_says(client, token):
    said = OnlineResponse(ask(client, token, REQUEST).json())

    answer = arrow(client, token)

    assert answer["Content-Type"] == ARROW
    table = pa.ipc.open_stream(answer.content).read_all()
    stamps, statuses, values = said.event_timestamps(), said.statuses(), said.to_arrow()
    for name, kind in {"driver_id": "int64", **NAMES}.items():
        field = table.schema.field(name)
        assert field.metadata[b"assay.value_type"].decode() == kind
        assert field.type == values[name].type
        if kind != "json":
            assert all(map(same, table[name].to_pylist(), values[name].to_pylist())), name
        if name == "driver_id":
            continue
        status = field.metadata[b"assay.status"].decode()
        events = field.metadata[b"assay.event_timestamp"].decode()
        assert (status, events) == (f"{name}:status", "driver_hourly@1.0.0:event_timestamp")
        assert table[status].to_pylist() == statuses[name]
        assert table[events].to_pylist() == stamps[name]
    assert {"NOT_FOUND", "NULL_VALUE", "PRESENT"} <= set(statuses["f0"])
    metadata = json.loads(table.schema.metadata[b"assay"])
    assert metadata["feature_names"] == said.names == table.column_names[: len(said.names)]
    assert metadata["feature_view_metadata"][0]["full_version"] == "1.0.0"


def test_the_client_reads_both_alike(client, token):
    said = OnlineResponse(ask(client, token, REQUEST).json())
    answer = arrow(client, token)

    found = read_stream(Answer(200, {}, answer.content), warnings=["one"])

    assert (len(found), found.names, found.warnings) == (len(said), said.names, ["one"])
    assert found.value_types == said.value_types
    assert found.statuses() == said.statuses()
    assert found.event_timestamps() == said.event_timestamps()
    assert found.metadata.keys() == said.metadata.keys()
    for stamped in (False, True):
        left, right = found.to_dict(stamped), said.to_dict(stamped)
        assert list(left) == list(right)
        assert all(same(left[name], right[name]) for name in left)
        assert found.to_arrow(stamped).schema.equals(said.to_arrow(stamped).schema, True)
        assert list(found.to_df(stamped).dtypes) == list(said.to_df(stamped).dtypes)
    found.check_keys({"driver_id": REQUEST["entities"]["driver_id"]})
    with pytest.raises(ServerError, match="damaged"):
        read_stream(Answer(200, {}, answer.content[:300]), warnings=[])


def test_the_short_way_gives_the_same(client, behind, token):
    def opened(application, environ, start):
        return application({**environ, "HTTP_ACCEPT": ARROW}, start)

    body = {**REQUEST, "include_feature_view_version_metadata": False}
    door = OnlineFirst(behind)
    status, headers, answer = call_with(
        lambda environ, start: opened(door, environ, start), body=body, token=token
    )

    assert (status, headers["Content-Type"], behind.calls) == ("200 OK", ARROW, 0)
    assert answer == arrow(client, token, body).content


@pytest.mark.parametrize(
    ("accept", "status", "form"),
    [
        ("*/*", 200, "application/json"),
        (f"{ARROW};q=0.1, */*", 200, "application/json"),
        (f"application/json;q=0.5, {ARROW}", 200, ARROW),
        ("text/csv", 406, "application/problem+json"),
    ],
)
def test_accept_chooses_or_is_told_what_there_is(client, token, accept, status, form):
    answer = arrow(client, token, accept=accept)

    assert (answer.status_code, answer["Content-Type"]) == (status, form)
    if status == 406:
        assert ARROW in answer.json()["detail"]


def test_int64_is_text_when_asked_also_in_lists_and_keys(client, token):
    names = {kind: name for name, kind in NAMES.items()}
    features = [f"driver_hourly:{names[kind]}" for kind in ("int64", "list<int64>", "int32")]
    body = {"features": features, "entities": {"driver_id": ["0", 1, None]}, "int64_as_text": True}

    keys, numbers, lists, small = (
        each["values"] for each in ask(client, token, body).json()["results"]
    )

    assert keys == ["0", "1", None]
    assert numbers == [str(2**63 - 1), str(-(2**63)), None]
    assert lists == [[str(2**63 - 1), None], [], None]
    assert small == [2**31 - 1, -(2**31), None]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"entities": {"driver_id": ["0"]}, "int64_as_text": False}, "is int64"),
        ({"entities": {"driver_id": ["01"]}}, "is int64"),
        ({"entities": {"driver_id": ["9223372036854775808"]}}, "is int64"),
        ({"entities": {"driver_id": ["٣"]}}, "is int64"),
        ({"entities": {"driver_id": [True]}}, "is int64"),
        ({"int64_as_text": "yes"}, "int64_as_text"),
    ],
)
def test_text_that_is_no_int64_is_refused(client, token, change, says):
    body = {"features": FEATURES[:1], "entities": {"driver_id": [1]}, "int64_as_text": True}

    answer = ask(client, token, body | change)

    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_arrow_has_no_numbers_as_text(client, token):
    answer = arrow(client, token, REQUEST | {"int64_as_text": True})

    assert answer.status_code == 422
    assert "Leave one out" in answer.json()["detail"]


def test_values_are_sampled_alike_in_both_forms(client, token):
    """One value of each type, kept of an answer in JSON and of one in Arrow."""
    owner = Membership.objects.get(role=Role.OWNER)
    with committed():
        change_project(
            project=owner.project, actor=owner.user, at=factories.AT, title="",
            approvals_required=1, approvals_required_sensitive=2, usage_sampled_one_in=1,
        )  # fmt: skip
    WATCH.flush()
    one = REQUEST | {"entities": {"driver_id": [0]}}
    said = ask(client, token, one).json()
    arrow(client, token, one)
    WATCH.flush()
    with committed():
        drain(usage_stream(), stored_usage())

    kept: dict[str, list[str]] = {}
    for batch in stored_usage().batches(["samples"], pc.scalar(True)):
        for sample in (each for some in batch["samples"].to_pylist() for each in some):
            kept.setdefault(sample["feature"], []).append(sample["value"])
    answered = zip(said["metadata"]["feature_names"], said["results"], strict=True)
    values = {name: result["values"][0] for name, result in answered if name != "driver_id"}
    assert {name: list(map(json.loads, texts)) for name, texts in kept.items()} == {
        name: [value, value] for name, value in values.items()
    }
