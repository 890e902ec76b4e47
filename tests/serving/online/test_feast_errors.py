"""Errors for Feast's own client: its classes for its calls, problem+json for everybody else."""

from __future__ import annotations

import io
import json
import subprocess
from typing import Any

import pytest

from featurestore_project import feast_errors
from tests import factories
from tests.serving.online_world import loaded_view

pytestmark = pytest.mark.django_db

LIBRARY = "python-requests/2.34.2"
#: What its client sends for `get_online_features(["driver_hourly:conv_rate"], …)`.
ITS_QUESTION = {
    "entities": {"driver_id": [1001]},
    "full_feature_names": False,
    "include_feature_view_version_metadata": False,
    "features": ["driver_hourly:conv_rate"],
}


@pytest.fixture
def ask(client, cast, now):
    loaded_view(cast, factories.DEFINITIONS, [], at=now)

    def ask(
        body: dict[str, Any], *, token: str | None, project: str = "rides", **headers: str
    ) -> Any:
        raw = json.dumps(body).encode()
        said = {"User-Agent": LIBRARY, "Accept": "*/*", **headers}
        if token:
            said["Authorization"] = f"Bearer {token}"
        return client.post(
            f"/api/v1/projects/{project}/get-online-features",
            data=raw,
            content_type="application/json",
            headers=said,
            **{"wsgi.input": io.BytesIO(raw)},  # as the server gives it
        )

    return ask


@pytest.mark.parametrize(
    ("changes", "status", "name", "code"),
    [
        ({"features": ["nope:x"]}, 404, "FeatureViewNotFoundException", "reference_not_found"),
        (
            {"features": ["driver_hourly@v9:conv_rate"]},
            404,
            "FeatureViewVersionNotFound",
            "reference_not_found",
        ),
        (
            {"features": ["driver_hourly:nope"]},
            404,
            "SpecifiedFeaturesNotPresentError",
            "reference_not_found",
        ),
        ({"entities": {"user": [1]}}, 422, "EntityNotFoundException", "missing_join_key"),
        (
            {"entities": {"driver_id": [1], "user": [1]}},
            422,
            "EntityNotFoundException",
            "unknown_entity_column",
        ),
        ({"entities": {"driver_id": ["x"]}}, 422, "FeastError", "bad_key_value"),
    ],
)
def test_its_client_gets_its_class_with_our_words(ask, token, changes, status, name, code):
    question = ITS_QUESTION | changes

    plain = ask(question, token=token, **{"User-Agent": "curl/8"})
    response = ask(question, token=token)

    assert (plain.status_code, response.status_code) == (status, status)
    assert plain["Content-Type"] == "application/problem+json"
    assert response["Content-Type"] == "application/json"
    text = response.json()
    assert isinstance(text, str), "its client decodes twice"
    said = json.loads(text)
    assert said == plain.json() | {
        "module": "feast.errors",
        "class": name,
        "message": f"{plain.json()['detail']} ({code})",
    }


def test_a_service_a_project_and_a_right_that_lack_have_theirs(ask, token, cast):
    service = {name: value for name, value in ITS_QUESTION.items() if name != "features"}

    def named(response: Any) -> str:
        return str(json.loads(response.json())["class"])

    missing = ask(service | {"feature_service": "nope"}, token=token)
    assert named(missing) == "FeatureServiceNotFoundException"
    hidden = ask(ITS_QUESTION, token=token, project="elsewhere")
    assert named(hidden) == "ProjectNotFoundException"
    stranger = ask(ITS_QUESTION, token=None)
    assert (stranger.status_code, named(stranger)) == (401, "FeastPermissionError")
    assert stranger["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (ITS_QUESTION, {"User-Agent": "python-httpx/0.28"}),
        (ITS_QUESTION, {"Accept": "application/problem+json, */*;q=0.5"}),
        ({"entities": {"driver_id": [1]}, "features": ["nope:x"]}, {}),
        (ITS_QUESTION | {"more": 1}, {}),
        (
            {
                name: value
                for name, value in ITS_QUESTION.items()
                if name != "include_feature_view_version_metadata"
            },
            {},
        ),
    ],
)
def test_whoever_else_uses_its_library_or_its_members_gets_problem_json(ask, body, headers):
    response = ask(body, token=None, **headers)

    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "token_missing"


def test_every_class_is_one_of_feasts(feast_python):
    names = {
        *feast_errors.BY_CODE.values(),
        *feast_errors.BY_PART.values(),
        *feast_errors.BY_STATUS.values(),
        feast_errors.OTHERWISE,
    }
    code = (
        f"from {feast_errors.MODULE} import {', '.join(sorted(names))}, FeastError\n"
        f"assert all(issubclass(each, FeastError) for each in [{', '.join(sorted(names))}])"
    )

    done = subprocess.run([feast_python, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
