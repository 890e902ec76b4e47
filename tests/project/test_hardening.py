"""What every answer says to browsers, and the host names the server answers to."""

from __future__ import annotations

import pytest
from django.test import Client

from tests import factories

PAGES = ["/admin/login/", "/api/docs", "/static/registry/admin.css", "/admin/nothing"]
ANSWERS = ["/api/v1/whoami", "/api/schema", "/api/v1/nothing"]
READ = "/api/v1/projects/rides/get-online-features"


def directives(answer):
    parts = answer["Content-Security-Policy"].split("; ")
    return {name: sources for name, _, sources in (part.partition(" ") for part in parts)}


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*PAGES, *ANSWERS])
def test_every_answer_says_what_browsers_may_do_with_it(path):
    answer = Client().get(path)

    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "geolocation=()" in answer["Permissions-Policy"]
    said = directives(answer)
    assert said["frame-ancestors"] == "'none'"
    assert said["base-uri"] == "'none'"
    script = said.get("script-src", said["default-src"])
    assert "unsafe-inline" not in script
    assert ("'self'" in script) is (path not in ANSWERS)


@pytest.mark.django_db
def test_browsers_insist_on_https_where_they_came_by_it(settings):
    settings.SECURE_HSTS_SECONDS = 60

    assert "Strict-Transport-Security" not in Client().get("/admin/login/")
    assert Client().get("/admin/login/", secure=True)["Strict-Transport-Security"] == "max-age=60"


@pytest.mark.django_db
def test_no_page_of_the_documentation_has_a_script_in_it():
    page = Client().get("/api/docs").text

    assert "<script>" not in page
    assert "?script=" in page


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/api/v1/whoami", READ])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "a b", ""])
def test_no_door_answers_to_a_host_that_is_not_ours(path, host):
    ask = Client().post if path == READ else Client().get
    answer = ask(path, headers={"Host": host}, SERVER_NAME="evil.example")

    assert answer.status_code == 400
    if path.startswith("/api/"):
        assert answer.json()["code"] == "host_not_allowed"


@pytest.mark.django_db
def test_a_role_lets_no_service_account_decide(client):
    cast = factories.make_cast()
    factories.make_version(cast)
    robot = factories.make_service_account("robot", cast, role=factories.Role.STEWARD)
    version = "/api/v1/projects/rides/feature-views/driver_hourly/versions/1.0.0"
    headers = {"Authorization": f"Bearer {factories.token_for(robot)}"}

    for action in ("approve", "reject", "promote", "deprecate", "restore", "retire"):
        body = {"comment": "x", "packet_hash": "x"} if action in ("approve", "reject") else {}
        answer = client.post(
            f"{version}/{action}", body, content_type="application/json", headers=headers
        )
        assert (action, answer.status_code, answer.json()["code"]) == (
            action,
            403,
            "service_account_may_not_decide",
        )
