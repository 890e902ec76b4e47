"""What a request says is obeyed or refused: parameters, keys, bodies of every view of the API."""

from __future__ import annotations

import io
import re
from functools import cache
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from lib.api import API
from registry.choices import State
from registry.models import Review
from tests import factories
from tests.registry.test_denials import api_patterns
from tests.serving.online_world import committed

PROJECT = "/api/v1/projects/rides"
APPROVE = f"{PROJECT}/feature-views/driver_hourly/versions/1.0.0/approve"


def view_of(pattern) -> type[API]:
    return pattern.callback.view_class


def path_of(pattern) -> str:
    """Return a path that leads to the pattern; what it names need not be there."""
    known = {"project": "rides", "action": "approve", "run_id": "1", "alert_id": "1"}
    known |= {"certificate_id": "1", "grant_id": "1", "comment_id": "1", "token_id": "1"}
    known |= {
        "proposal_id": "1",
        "step": "accept",
        "question_id": "1",
        "number": "1",
        "check_id": "1",
        "part_id": "1",
        "letter_id": "1",
        "job_id": "1",
    }
    names = pattern.pattern.converters or pattern.pattern.regex.groupindex
    path = str(pattern.pattern).strip("^$")
    path = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"<\1>", path)
    for name in names:
        path = re.sub(rf"<(?:\w+:)?{name}>", known.get(name, "x"), path)
    return f"/api/v1/{path}"


@pytest.mark.django_db
@pytest.mark.parametrize("pattern", api_patterns(), ids=lambda pattern: pattern.name)
def test_every_view_refuses_a_parameter_it_does_not_know(client, pattern):
    cast = factories.make_cast()
    view = view_of(pattern)
    assert issubclass(view, API)
    ask = client.get if hasattr(view, "get") else client.post
    headers = {"Authorization": f"Bearer {factories.token_for(cast.owner)}"}

    answer = ask(f"{path_of(pattern)}?limitt=1", content_type="application/json", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_parameter"), answer.content
    assert "'limitt'" in answer.json()["detail"]
    if "limit" in view.parameters:
        assert "Did you mean 'limit'?" in answer.json()["detail"]
    anonymous = ask(f"{path_of(pattern)}?limitt=1", content_type="application/json")
    # Who logs in has no token yet.
    assert anonymous.status_code == (422 if pattern.name == "login" else 401)


@pytest.mark.parametrize("pattern", api_patterns(), ids=lambda pattern: pattern.name)
def test_the_schema_lists_exactly_the_parameters_a_view_takes(pattern):
    paths = described_paths()
    # ``…/profile`` is a path of its own, though ``…/{action}`` would fit as well.
    fitting = [path for path in paths if _same(path, path_of(pattern))]
    described = paths[min(fitting, key=lambda path: path.count("{"))]

    for method, operation in described.items():
        listed = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"]
        assert sorted(listed) == sorted(view_of(pattern).taken(method.upper()))


@cache
def described_paths() -> dict[str, Any]:
    """What the schema says of each address: made once, it takes as long as a hundred requests."""
    paths: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return paths


def _same(schema_path: str, path: str) -> bool:
    wild = "[^/]+".join(re.escape(part) for part in re.split(r"\{\w+\}", schema_path))
    return re.fullmatch(wild, path) is not None


@pytest.mark.django_db
def test_adding_to_a_list_takes_none_of_its_filters(client, cast):
    client.force_login(cast.owner)

    answer = client.post(f"{PROJECT}/grants?state=asked", b"{}", "application/json")

    assert answer.json()["code"] == "unknown_parameter"


@pytest.mark.django_db
def test_a_parameter_that_is_there_twice_is_refused(client, cast):
    client.force_login(cast.owner)

    answer = client.get(f"{PROJECT}/runs?status=queued&status=failed")

    assert (answer.status_code, answer.json()["code"]) == (422, "repeated_parameter")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("definitions", '{"files": [], "files": []}', "'files' twice"),
        ("materialize", '{"start": "2026-01-01", "end_ts": "2026-01-02"}', "'start_ts'?"),
        ("materialize-incremental", '{"start_ts": "2026-01-01"}', "unknown key 'start_ts'"),
        ("materialize", '{"end_ts": 1, "end_ts": 2}', "'end_ts' twice"),
        ("materialize", '{"disable_event_timestamp": true}', "not offered"),
        (APPROVE, '{"packet_hash": "a", "packet_hash": "b"}', "'packet_hash' twice"),
        (APPROVE, '{"comments": ""}', "Did you mean 'comment'?"),
        (
            "get-online-features",
            '{"features": ["a:b"], "entities": {"k": [1], "k": [2]}}',
            "'k' twice",
        ),
        ("get-historical-features", '{"timing": "event", "timing": "known"}', "'timing' twice"),
        ("get-historical-features?timing=event", "{}", "'timing' and the body is JSON"),
    ],
)
def test_what_would_be_ignored_is_named(client, cast, path, body, says):
    with committed():
        factories.make_version(cast, state=State.IN_REVIEW)
    url = path if path.startswith("/") else f"{PROJECT}/{path}"
    headers = {"Authorization": f"Bearer {factories.token_for(cast.owner)}"}

    answer = client.post(url, body, content_type="application/json", headers=headers)

    assert (answer.status_code, says in answer.json()["detail"]) == (422, True), answer.content


@pytest.mark.django_db
def test_a_body_in_chunks_is_read_by_the_client_of_tests_too(client, cast):
    """Django's own requests have an empty stream where no length is announced."""
    with committed():
        version = factories.make_version(cast, state=State.IN_REVIEW)
    sent = io.BytesIO(b'{"packet_hash": "of another packet"}')

    answer = client.post(
        APPROVE,
        headers={"Authorization": f"Bearer {factories.token_for(cast.steward)}"},
        **{"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": sent},
    )

    assert (answer.status_code, Review.objects.filter(version=version).count()) == (409, 0)


@pytest.mark.django_db
def test_a_form_in_chunks_is_refused_before_it_passes_for_an_empty_one(client):
    answer = client.post("/admin/login/", headers={"Transfer-Encoding": "chunked"})

    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")


@pytest.mark.django_db
def test_a_body_that_breaks_off_is_refused(client, cast):
    answer = client.post(
        f"{PROJECT}/definitions",
        headers={"Authorization": f"Bearer {factories.token_for(cast.author)}"},
        **{
            "CONTENT_LENGTH": "900",
            "CONTENT_TYPE": "application/yaml",
            "wsgi.input": io.BytesIO(factories.ENTITY.encode()),
        },
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")
    assert "of 900 bytes" in answer.json()["detail"]
