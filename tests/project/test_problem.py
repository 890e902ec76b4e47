"""Every error of the API is problem+json with a stable code and says nothing it should not."""

from __future__ import annotations

import io
import json
import logging

import pytest
from django.core.exceptions import RequestDataTooBig
from django.http import Http404
from django.test import Client, RequestFactory
from rest_framework.exceptions import (
    MethodNotAllowed,
    NotAuthenticated,
    ParseError,
    ValidationError,
)
from rest_framework.request import Request

from featurestore_project.problem import STATUS, exception_handler, respond
from lib import errors
from registry.models import AuditEntry
from tests.factories import token_for


class ColumnMissing(errors.Invalid):
    code = "column_missing"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.Invalid("no"), 422, "invalid"),
        (ColumnMissing("no"), 422, "column_missing"),
        (errors.Unauthenticated("no"), 401, "unauthenticated"),
        (errors.Forbidden("no"), 403, "forbidden"),
        (errors.NotFound("no"), 404, "not_found"),
        (errors.Conflict("no"), 409, "conflict"),
        (errors.Gone("no"), 410, "gone"),
        (errors.TooLarge("no"), 413, "too_large"),
        (errors.QualityRejected("no"), 422, "quality_rejected"),
        (errors.Unavailable("no"), 503, "unavailable"),
        (Http404(), 404, "not_found"),
        (RequestDataTooBig(), 413, "too_large"),
        (ParseError("no"), 400, "parse_error"),
        (MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (NotAuthenticated(), 401, "unauthenticated"),
        (ValidationError({"name": ["no"]}), 400, "invalid"),
        (RuntimeError("secret inside"), 500, "unexpected"),
    ],
)
def test_each_kind_has_its_status_and_code(error, status, code):
    response = respond(error)

    body = json.loads(response.content)
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert response["Content-Type"] == "application/problem+json"


def test_every_kind_of_refusal_has_a_status():
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.AssayError)
    }

    assert kinds - {errors.AssayError} <= set(STATUS)


def test_an_errors_data_stands_beside_its_message_and_cannot_replace_it():
    response = respond(ColumnMissing("no column 'a'", column="a", known=["b"], status="forged"))

    assert json.loads(response.content) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "code": "column_missing",
        "detail": "no column 'a'",
        "column": "a",
        "known": ["b"],
    }


def test_what_is_unavailable_says_when_to_come_back():
    assert respond(errors.Unavailable("no"))["Retry-After"] == "1"


def test_an_unknown_error_tells_the_log_and_not_the_caller(caplog):
    with caplog.at_level(logging.ERROR):
        response = respond(RuntimeError("password=hunter2"))

    assert b"hunter2" not in response.content
    assert "hunter2" in caplog.text


@pytest.mark.django_db
def test_a_refusal_leaves_its_trace():
    request = Request(RequestFactory().post("/api/v1/projects/rides/definitions"))

    response = exception_handler(errors.Forbidden("not yours"), {"request": request})

    entry = AuditEntry.objects.get()
    assert response.status_code == 403
    assert (entry.verb, entry.subject_label, entry.data["code"]) == (
        "access.denied",
        "POST /api/v1/projects/rides/definitions",
        "forbidden",
    )


def test_a_host_that_is_not_ours_is_a_problem(client):
    response = client.get("/api/schema", headers={"host": "evil.example"})

    assert (response.status_code, response.json()["code"]) == (400, "host_not_allowed")


@pytest.mark.parametrize("path", ["/api/v1/nothing-here", "/api/nothing"])
def test_an_unknown_path_of_the_api_is_a_problem_too(client, path):
    response = client.get(path)

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.fixture
def log(monkeypatch):
    """What the settings' own handler writes."""
    (handler,) = [each for each in logging.getLogger().handlers if each.name == "stderr"]
    stream = io.StringIO()
    monkeypatch.setattr(handler, "stream", stream)
    return stream


@pytest.mark.parametrize("host", ["evil.example", "e" * 5000, "evil\x1b[31m.example", ""])
@pytest.mark.parametrize("path", ["/api/schema", "/admin/login/", "/nothing"])
def test_a_host_that_is_not_ours_is_one_line_of_the_log(client, log, host, path):
    assert client.get(path, headers={"host": host}).status_code == 400

    (line,) = log.getvalue().splitlines()
    assert "Invalid HTTP_HOST header" in line
    assert len(line) < 500
    assert "\x1b" not in line


def test_other_errors_keep_their_traceback(log):
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logging.getLogger("registry").exception("unexpected")

    assert "Traceback" in log.getvalue()


CONTENT_TYPES = [
    "application/json",
    "application/yaml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "nonsense",
]


@pytest.mark.django_db
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_a_log_in_without_its_csrf_token_is_refused_whatever_it_sends(cast, content_type):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(cast.author)
    path = "/api/v1/projects/rides/definitions"

    without = browser.post(path, "a: 1", content_type=content_type)
    browser.get("/admin/password_change/")  # gives the cookie
    token = {"X-CSRFToken": browser.cookies["csrftoken"].value}
    answer = browser.post(path, "a: 1", content_type=content_type, headers=token)

    assert (without.status_code, without.json()["code"]) == (403, "permission_denied")
    takes_it = content_type in {"application/json", "application/yaml"}
    assert answer.status_code == (422 if takes_it else 415)


@pytest.mark.django_db
@pytest.mark.parametrize("header", [{}, {"Authorization": "Token abc"}, {"Authorization": "x"}])
def test_who_sends_no_token_is_told_the_header(client, header):
    answer = client.get("/api/v1/projects", headers=header)

    assert answer.status_code == 401
    assert "`Authorization: Bearer assay_…`" in answer.json()["detail"]
    assert answer["WWW-Authenticate"] == 'Bearer realm="assay"'


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/v1/projects", "/api/v1/projects/rides/get-online-features"])
def test_options_say_the_methods_and_nothing_of_the_code(client, cast, path):
    token = token_for(cast.consumer)

    answer = client.options(path, headers={"Authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert "OPTIONS" in answer["Allow"].split(", ")
