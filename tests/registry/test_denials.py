"""A refused request is told by what it attempted, which every view says of itself."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.urls import Resolver404, ResolverMatch, get_resolver, resolve
from django.utils import timezone

from lib.errors import Forbidden
from registry.denials import attempt_of, record_denial
from registry.models import AuditEntry
from registry.trail.deeds import deed_of, subject_of
from registry.trail.excess import record_excess
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


@pytest.fixture
def few_refusals(settings):
    settings.REFUSALS, settings.REFUSALS_SECONDS = 3, 600


def denied():
    return AuditEntry.objects.filter(verb="access.denied").count()


def later():
    return timezone.now() + timedelta(minutes=20)


@pytest.mark.django_db
def test_refusals_over_the_limit_are_429_and_counted_in_one_entry(api, cast, few_refusals):
    client = api(cast.consumer)

    answers = [client.get("/api/v1/projects/rides/audit") for _ in range(150)]

    assert [each.status_code for each in answers] == [403] * 3 + [429] * 147
    last = answers[-1]
    assert last.json()["code"] == "refused_too_often"
    assert last.json()["refusal"] == "not_permitted"
    assert "consumer lacks the right view_auditentry" in last.json()["detail"]
    assert 0 < int(last["Retry-After"]) <= 600
    assert denied() == 3
    assert "counted in one entry" in AuditEntry.objects.first().data["then"]

    record_excess(at=later())
    record_excess(at=later())

    (entry,) = AuditEntry.objects.filter(verb="access.denied_more")
    assert (entry.actor_name, entry.project_name) == ("consumer", "rides")
    assert f"{entry.actor_name} {deed_of(entry)} {subject_of(entry)}" == (
        "consumer was refused 147 more times in rides"
    )


@pytest.mark.django_db
def test_whoever_is_refused_too_often_may_still_do_what_they_may(api, cast, few_refusals):
    client = api(cast.consumer)
    for _ in range(5):
        client.get("/api/v1/projects/rides/audit")

    assert client.get("/api/v1/projects/rides/entities").status_code == 200
    assert api(cast.author).get("/api/v1/projects/rides/audit").status_code == 403


@pytest.mark.django_db
def test_strangers_are_counted_by_address_and_hold_up_nobody(api, cast, few_refusals):
    stranger = api(token="assay_unknown")
    path = "/api/v1/projects/rides/entities"
    statuses = [stranger.get(path).status_code for _ in range(3)]
    statuses += [api().get(path).status_code]
    online = api().post("/api/v1/projects/rides/get-online-features", {}, format="json")
    elsewhere = stranger.get(path, REMOTE_ADDR="10.0.0.9").status_code

    assert (statuses, online.status_code, elsewhere) == ([401] * 3 + [429], 429, 401)
    assert api(cast.consumer).get(path).status_code == 200

    record_excess(at=later())

    entries = AuditEntry.objects.filter(actor_pseudonym="anonymous").order_by("pk")
    assert [
        (each.verb, each.subject_label, each.after and each.after["more"]) for each in entries
    ] == [
        ("access.stranger", "127.0.0.1", None),
        ("access.stranger", "10.0.0.9", None),
        ("access.stranger_refused", "127.0.0.1", 4),
    ]


@pytest.mark.django_db
def test_a_button_refused_too_often_says_so(as_, cast, few_refusals):
    project = cast.project
    page = as_("consumer")
    for _ in range(5):
        page.post(f"/admin/registry/project/{project.pk}/grant/", {"user": "x", "role": "owner"})

    assert denied() == 3
    page = page.get("/admin/")
    assert "refusals are only counted" in page.text


@pytest.mark.django_db
def test_refusals_are_limited_while_redis_is_away(api, cast, few_refusals, settings):
    client = api(cast.steward)
    here, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"

    path = "/api/v1/projects/rides/definitions"
    statuses = [client.post(path, {}, format="json").status_code for _ in range(5)]

    settings.REDIS_URL = here
    assert statuses == [403] * 3 + [429] * 2
    api().get(path)  # the next thing that is counted tells Redis
    record_excess(at=later())
    (entry,) = AuditEntry.objects.filter(verb="access.denied_more")
    assert entry.after["more"] == 2
