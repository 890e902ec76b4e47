"""Every error of the API is problem+json with a stable code and says nothing it should not."""

from __future__ import annotations

import json
import logging

import pytest
from django.core.exceptions import RequestDataTooBig
from django.http import Http404
from django.test import RequestFactory
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

    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("path", ["/api/v1/nothing-here", "/api/nothing"])
def test_an_unknown_path_of_the_api_is_a_problem_too(client, path):
    response = client.get(path)

    assert (response.status_code, response.json()["code"]) == (404, "not_found")
