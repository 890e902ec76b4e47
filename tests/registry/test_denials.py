"""A refused request is told by what it attempted, which every view says of itself."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from django.db import OperationalError, connection
from django.urls import Resolver404, ResolverMatch, get_resolver, resolve

from lib.errors import Forbidden
from registry.deeds import subject_of
from registry.denials import attempt_of, record_denial
from registry.models import AuditEntry
from tests.factories import AT


def api_patterns():
    """Return every path that the apps mount under ``/api/v1``."""
    mounts = [each for each in get_resolver().url_patterns if str(each.pattern) == "api/v1/"]
    return [pattern for mount in mounts for pattern in mount.url_patterns]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            "POST /api/v1/projects/rides/feature-views/driver_hourly/versions/1.1.0/approve",
            "approving driver_hourly@1.1.0",
        ),
        ("POST /admin/registry/featureviewversion/4/act/", "a step of a version"),
        ("POST /admin/registry/apitoken/add/", "issuing a token"),
        ("POST /admin/registry/project/4/grant/", "changing who has which role"),
        ("POST /admin/materialization/materializationrun/7/cancel/", "cancelling run 7"),
        ("POST /admin/materialization/materializationrun/materialize/4/", "starting a run"),
        ("GET /api/v1/projects/rides/audit", "reading the audit trail"),
        ("POST /api/v1/projects/rides/runs/7/cancel", "cancelling run 7"),
        ("POST /api/v1/projects/rides/get-online-features", "reading online features"),
        ("DELETE /api/v1/nothing/known", "DELETE /api/v1/nothing/known"),
    ],
)
def test_the_trail_says_what_a_refused_request_wanted(rf, cast, asked, words):
    method, path = asked.split()
    request = rf.generic(method, path)
    request.user = cast.author
    with suppress(Resolver404):
        request.resolver_match = resolve(path)

    record_denial(request, Forbidden("no"), at=AT)

    denied = AuditEntry.objects.first()
    assert subject_of(denied) == words
    assert (denied.subject_label, denied.data["path"]) == (asked, path)
    assert denied.data["method"] == method


def test_a_refusal_from_before_attempts_were_noted_is_told_by_its_path():
    label = "POST /admin/registry/featureviewversion/4/act/ retire a@1.0.0"

    entry = AuditEntry(verb="access.denied", subject_label=label, data={"code": "not_permitted"})

    assert subject_of(entry) == label


@pytest.mark.parametrize("pattern", api_patterns(), ids=lambda pattern: pattern.name)
def test_every_view_of_the_api_says_what_asking_it_attempts(rf, pattern):
    request = rf.get("/")
    names = pattern.pattern.regex.groupindex
    arguments = dict.fromkeys(names, "x") | ({"action": "approve"} if "action" in names else {})
    request.resolver_match = ResolverMatch(pattern.callback, (), arguments)

    assert re.match("[a-z]+ing ", attempt_of(request))


def deny(connection):
    """Make the database refuse whatever would be appended to the trail."""

    def refuse(execute, sql, params, many, context):
        if "INSERT" in sql and "registry_auditentry" in sql:
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    return connection.execute_wrapper(refuse)


@pytest.mark.django_db
def test_a_denial_that_cannot_be_recorded_is_a_503_and_logged(api, cast, caplog):
    client = api(cast.consumer)

    with deny(connection):
        response = client.get("/api/v1/projects/rides/audit")

    assert (response.status_code, response.json()["code"]) == (503, "denial_not_recorded")
    assert response["Retry-After"]
    assert "consumer, GET /api/v1/projects/rides/audit, not_permitted" in caplog.text
    assert client.get("/api/v1/projects/rides/audit").status_code == 403
