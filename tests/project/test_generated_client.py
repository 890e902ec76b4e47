"""A client generated of the schema by openapi-python-client has every call, typed problems too."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_project import SNAPSHOT

#: As docs/http-api.md tells people to: the generator knows few media types by itself.
CONFIG = Path(__file__).with_name("openapi-python-client.yaml")
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def schema():
    return json.loads(SNAPSHOT.read_text())


@pytest.fixture(scope="module")
def operations(schema):
    return {
        operation["operationId"]: operation
        for each in schema["paths"].values()
        for method, operation in each.items()
        if method in METHODS
    }


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """Return the folder of the generated package."""
    folder = tmp_path_factory.mktemp("generated") / "assay_generated"
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    command += ["--path", str(SNAPSHOT), "--output-path", str(folder), "--config", str(CONFIG)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING" not in said, said
    return folder


def test_every_call_is_generated_and_can_be_imported(generated, operations, monkeypatch):
    monkeypatch.syspath_prepend(str(generated.parent))
    files = [path for path in generated.glob("api/*/*.py") if path.stem != "__init__"]

    assert {path.stem for path in files} == set(operations)
    for path in files:
        name = f"assay_generated.api.{path.parent.name}.{path.stem}"
        module = importlib.import_module(name)
        assert callable(module.sync_detailed), name


def test_every_call_has_a_tag_a_summary_and_typed_problems(schema, operations):
    known = {tag["name"] for tag in schema["tags"]}
    problem = {"$ref": "#/components/schemas/Problem"}

    for name, operation in operations.items():
        assert set(operation["tags"]) <= known, name
        assert operation["summary"], name
        refused = {s: r for s, r in operation["responses"].items() if s >= "400"}
        assert {"422", "429", "503"} <= refused.keys(), name
        for status, response in refused.items():
            assert response["description"], (name, status)
            assert response["content"]["application/problem+json"]["schema"] == problem


#: Calls that say all they say by their path.
WITHOUT_A_BODY = {
    "acknowledge_alert", "cancel_historical_job", "cancel_run", "close_question", "pause_run",
    "reopen_question", "replay_dead_letter", "resolve_comment", "resume_run", "revoke_token",
    "try_connection", "verify_dataset",
}  # fmt: skip


def test_every_body_says_what_may_be_in_it(schema):
    lacking = set()
    for each in schema["paths"].values():
        if "post" not in each:
            continue
        name = each["post"]["operationId"]
        bodies = each["post"].get("requestBody", {}).get("content", {})
        known = [body["schema"] for body in bodies.values()]
        if not known or not all("properties" in s or s.get("type") == "string" for s in known):
            lacking.add(name)
    assert lacking == WITHOUT_A_BODY


def test_every_answer_says_what_is_in_it(schema):
    lacking = [
        (operation["operationId"], status)
        for each in schema["paths"].values()
        for method, operation in each.items()
        if method in METHODS
        for status, response in operation["responses"].items()
        if status < "300" and "application/json" in response.get("content", {})
        if not said(response["content"]["application/json"]["schema"], schema)
    ]
    assert lacking == []


def said(of, schema):
    """Tell whether a schema names what is in an answer."""
    if "$ref" in of:
        of = schema["components"]["schemas"][of["$ref"].rpartition("/")[2]]
    return bool(of.get("properties"))


def test_generated_answers_are_typed(generated, monkeypatch):
    monkeypatch.syspath_prepend(str(generated.parent))
    models = importlib.import_module("assay_generated.models")

    found = models.GrantAnswerPage.from_dict(
        {
            "count": 1,
            "next": None,
            "previous": None,
            "results": [
                {
                    **dict.fromkeys(models.GrantAnswer.__annotations__),
                    "id": 7,
                    "ends_at": "2026-12-31T00:00:00Z",
                    "asked_at": "2026-11-27T12:00:00Z",
                }
            ],
        }
    )

    (grant,) = found.results
    assert (grant.id, grant.ends_at.year, grant.revoked_at) == (7, 2026, None)
