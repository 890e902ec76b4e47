"""``POST definitions``: every form of body, what it answers, and what it refuses whole."""

from __future__ import annotations

import json

import pytest
from django.utils import timezone

from registry.choices import State
from registry.models import AuditEntry, Entity, FeatureView, FeatureViewVersion
from registry.operations.people import tokens
from tests import factories
from tests.factories import DEFINITIONS, ENTITY, SOURCE, VIEW, view_of

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects/rides/definitions"
OBJECTS = [
    {"kind": "Entity", "name": "driver", "join_keys": [{"name": "driver_id", "type": "int64"}]},
    {
        "kind": "DataSource",
        "name": "driver_stats",
        "type": "file",
        "path": "driver_stats.parquet",
        "event_timestamp": "event_timestamp",
    },
]


def post(client, body, *, kind="application/yaml", query=""):
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return client.post(URL + query, data, content_type=kind)


def test_yaml_becomes_drafts_and_the_answer_says_which(api, cast):
    response = post(api(cast.author), DEFINITIONS)

    assert response.status_code == 200
    assert response.json() == {
        "project": "rides",
        "dry_run": False,
        "not_looked_at": 0,
        "changes": [
            change("Entity", "driver"),
            change("DataSource", "driver_stats"),
            change("FeatureView", "driver_hourly")
            | {
                "class": "first",
                "version": "1.0.0",
                "state": "draft",
                "reasons": ["first version"],
            },
        ],
    }
    assert FeatureViewVersion.objects.get().state == State.DRAFT


def change(kind, name):
    empty = {"class": None, "version": None, "state": None, "reasons": [], "warnings": []}
    empty["waits_for"] = []
    return {"kind": kind, "name": name, "change": "created", **empty}


def test_several_files_come_as_json(api, cast):
    files = [{"path": "b.yaml", "text": VIEW}, {"path": "a.yaml", "text": f"{ENTITY}---\n{SOURCE}"}]

    response = post(api(cast.author), {"files": files}, kind="application/json")

    assert [each["name"] for each in response.json()["changes"]] == [
        "driver",
        "driver_stats",
        "driver_hourly",
    ]


def test_objects_say_the_same_as_yaml(api, cast):
    response = post(api(cast.author), {"definitions": OBJECTS}, kind="application/json")

    assert response.status_code == 200
    assert Entity.objects.get().spec.join_keys[0].type == "int64"


def test_a_dry_run_answers_and_stores_nothing(api, cast):
    response = post(api(cast.author), DEFINITIONS, query="?dry_run=true&submit=true")

    assert response.json()["dry_run"] is True
    assert response.json()["changes"][2]["state"] == "in_review"
    assert not Entity.objects.exists()
    assert not AuditEntry.objects.filter(verb__startswith="feature_view_version").exists()


def test_submit_sends_the_drafts_to_review(api, cast):
    response = post(api(cast.author), DEFINITIONS, query="?submit=true")

    assert response.json()["changes"][2]["state"] == "in_review"
    version = FeatureViewVersion.objects.get()
    assert (version.state, version.number) == (State.IN_REVIEW, "1.0.0")
    again = post(api(cast.author), DEFINITIONS, query="?submit=true").json()["changes"][2]
    assert (again["change"], again["state"], again["version"]) == (
        "unchanged",
        "in_review",
        "1.0.0",
    )


@pytest.mark.parametrize("value", ["maybe", "", "dry"])
def test_a_flag_that_is_neither_yes_nor_no_registers_nothing(api, cast, value):
    response = post(api(cast.author), DEFINITIONS, query=f"?dry_run={value}")

    assert (response.status_code, response.json()["code"]) == (422, "invalid_filter")
    assert not Entity.objects.exists()


def test_every_mistake_is_named_with_its_file_and_line(api, cast):
    files = [
        {"path": "a.yaml", "text": "kind: Entity\nname: driver\njoin_key: []"},
        {"path": "b.yaml", "text": "kind: [\n"},
        {"path": "c.yaml", "text": 'kind: Entity\nname: x\nowner: "a\\0b"\njoin_keys: []'},
    ]

    response = post(api(cast.author), {"files": files}, kind="application/json")

    assert response.status_code == 422
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == "invalid_definition"
    assert [(each["file"], each["line"], each["key"]) for each in body["errors"]] == [
        ("b.yaml", 1, ""),
        ("a.yaml", 3, "join_key"),
        ("c.yaml", 3, "owner"),
        ("c.yaml", 4, "join_keys"),
    ]
    assert "Did you mean 'join_keys'?" in body["errors"][1]["message"]


def test_what_is_not_registered_is_named_with_the_nearest(api, cast):
    post(api(cast.author), f"{ENTITY}---\n{SOURCE}")

    response = post(api(cast.author), VIEW.replace("source: driver_stats", "source: driver_stat"))

    (error,) = response.json()["errors"]
    assert error == {
        "file": "definitions.yaml",
        "line": 5,
        "key": "source",
        "value": "driver_stat",
        "message": "there is no data source 'driver_stat'. Did you mean 'driver_stats'?",
    }
    assert not FeatureView.objects.exists()


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        ("", "application/yaml", 422, "invalid_definition"),
        ("# nothing\n", "application/yaml", 422, "invalid_definition"),
        (b"\xff\xfe", "application/yaml", 422, "invalid_body"),
        ("{", "application/json", 422, "invalid_body"),
        ("[" * 100_000, "application/json", 422, "invalid_body"),
        (b'{"definitions": ["\xff"]}', "application/json", 422, "invalid_body"),
        (b'{"definitions": ["\\ud800"]}', "application/json", 422, "invalid_body"),
        ('{"definitions": [{"kind": ' + "[" * 900, "application/json", 422, "invalid_body"),
        (
            '{"definitions": [{"kind": ' + "[" * 900 + "]" * 900 + "}]}",
            "application/json",
            422,
            "invalid_body",
        ),
        ("[]", "application/json", 422, "invalid_body"),
        ("{}", "application/json", 422, "invalid_body"),
        ('{"files": [{"path": 1, "text": ""}]}', "application/json", 422, "invalid_body"),
        ('{"files": [], "definitions": []}', "application/json", 422, "invalid_body"),
        ('{"definitions": []}', "application/json", 422, "invalid_definition"),
        ('{"definitions": [1]}', "application/json", 422, "invalid_definition"),
        ("a: " + "[" * 5000, "application/yaml", 422, "invalid_definition"),
        ("kind: 0x" + "f" * 5000, "application/yaml", 422, "invalid_definition"),
        (
            VIEW.replace("name:", f"version: 0x{'f' * 5000}\nname:", 1),
            "application/yaml",
            422,
            "invalid_definition",
        ),
        (ENTITY, "text/plain", 415, "unsupported_media_type"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(api, cast, body, kind, status, code):
    response = post(api(cast.author), body, kind=kind)

    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_file_over_two_megabytes_is_refused(api, cast):
    response = post(api(cast.author), "#" + "x" * 2_000_000)

    assert response.status_code == 422
    assert "at most 2000000 bytes" in response.json()["detail"]


def test_more_definitions_than_one_request_may_have_are_refused(api, cast, settings):
    settings.DEFINITIONS_MAX_OBJECTS = 2
    refused = post(api(cast.author), DEFINITIONS)

    assert (refused.status_code, refused.json()["code"]) == (413, "too_many_definitions")
    assert "3 definitions; one request has at most 2" in refused.json()["detail"]
    settings.DEFINITIONS_MAX_OBJECTS = 3
    assert post(api(cast.author), DEFINITIONS).status_code == 200


def test_definitions_are_counted_before_any_is_looked_at(api, cast, settings):
    settings.DEFINITIONS_MAX_OBJECTS = 2
    halves = [{"path": name, "text": "kind: Nope\n---\nkind: Nope"} for name in ("a", "b")]
    sent = [
        ("application/yaml", "---\n".join(["kind: Nope\n"] * 4)),
        ("application/json", {"definitions": [{"kind": "Nope"}] * 4}),
        ("application/json", {"files": halves}),
    ]
    for kind, body in sent:
        refused = post(api(cast.author), body, kind=kind)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_many_definitions")
        assert "4 definitions" in refused.json()["detail"]


def test_a_body_over_the_limit_is_not_read_to_its_end(api, cast, settings):
    settings.DEFINITIONS_MAX_BYTES = 1000

    response = post(api(cast.author), "#" + "x" * 1000)

    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("anonymous", 401),
        ("outsider", 404),
        ("consumer", 403),
        ("auditor", 403),
        ("operator", 403),
        ("steward", 403),
        ("author", 200),
        ("owner", 200),
        ("superuser", 200),
    ],
)
@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_who_may_register(api, cast, who, status, query):
    response = post(api(getattr(cast, who, None)), DEFINITIONS, query=query)

    assert response.status_code == status
    assert Entity.objects.exists() == (status == 200 and not query)
    denied = AuditEntry.objects.filter(verb="access.denied")
    assert denied.count() == (1 if status == 403 else 0)


def test_a_project_that_is_not_there_looks_like_one_that_may_not_be_seen(api, cast):
    here = api(cast.outsider).post(URL, ENTITY, content_type="application/yaml").json()
    nowhere = api(cast.outsider).post(
        URL.replace("rides", "trips"), ENTITY, content_type="application/yaml"
    )

    assert nowhere.status_code == 404
    assert nowhere.json()["detail"].replace("trips", "rides") == here["detail"]


def test_whoever_made_a_robots_token_cannot_approve_what_it_wrote(api, cast, robot):
    _, text = tokens.issue_token(
        user=robot, name="ci", actor=cast.owner, at=timezone.now(), project=cast.project
    )
    post(api(token=text), DEFINITIONS, query="?submit=true")

    path = "/api/v1/projects/rides/feature-views/driver_hourly/versions/1.0.0/approve"
    response = api(cast.owner).post(path)

    assert (response.status_code, response.json()["code"]) == (403, "editor_may_not_decide")
    assert {each.user for each in FeatureViewVersion.objects.get().editors.all()} == {
        robot,
        cast.owner,
    }


def test_whoever_once_wrote_the_source_through_a_robot_counts_as_an_editor(api, cast, robot):
    _, text = tokens.issue_token(
        user=robot, name="ci", actor=cast.owner, at=timezone.now(), project=cast.project
    )
    post(api(token=text), SOURCE)
    post(api(cast.author), SOURCE + "description: words\n")
    post(api(cast.author), DEFINITIONS, query="?submit=true")

    (version,) = view_of(cast).versions.all()
    assert {each.user for each in version.editors.all()} == {robot, cast.owner, cast.author}


def test_a_start_is_a_day_or_an_instant(api, cast):
    post(api(cast.author), DEFINITIONS + "start: 2026-01-01\n")

    start = FeatureViewVersion.objects.get().spec.view.start
    assert start == factories.AT.replace(month=1, day=1, hour=0)
    zoned = DEFINITIONS + 'start: "2026-01-01T02:00:00+02:00"\n'
    assert post(api(cast.author), zoned).json()["changes"][2]["change"] == "unchanged"
