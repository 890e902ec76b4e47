"""Pages of other origins may ask the API where the server's settings name them, and only there."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from featurestore_project import env
from featurestore_project.bodies import BodyReader
from featurestore_project.cross_origin import CrossOrigin
from featurestore_project.front import Front, Lane
from lib.pools import Pool

APP = "https://app.example"
PATH = "/api/v1/projects/rides/get-online-features"


def asked(origin=APP, *, method="POST", path=PATH, origins=(APP,), **more):
    """Return status, headers as pairs, and body of one answer."""
    said: list = []

    def behind(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b"{}"]

    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, **more}
    if origin:
        environ["HTTP_ORIGIN"] = origin
    parts = CrossOrigin(behind, origins=origins)(environ, lambda *answer: said.extend(answer))
    return said[0], said[1], b"".join(parts)


def preflight(origin=APP, **more):
    return asked(origin, method="OPTIONS", HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST", **more)


def test_a_page_that_is_named_may_ask():
    status, headers, _ = preflight()
    said = dict(headers)

    assert status == "204 No Content"
    assert said["Access-Control-Allow-Origin"] == APP
    assert "Authorization" in said["Access-Control-Allow-Headers"]
    assert "POST" in said["Access-Control-Allow-Methods"]
    status, headers, body = asked()
    assert (status, body) == ("200 OK", b"{}")
    assert ("Access-Control-Allow-Origin", APP) in headers
    assert ("Vary", "Origin") in headers
    assert "Access-Control-Allow-Credentials" not in dict(headers)


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.evil", "http://app.example", "https://app.example:8443", "null",
     "https://APP.example", "https://app.example/"],
)  # fmt: skip
def test_others_may_not(origin):
    status, _, body = preflight(origin)

    assert status == "403 Forbidden"
    assert json.loads(body)["code"] == "origin_not_allowed"
    assert repr(origin) in json.loads(body)["detail"]
    _, headers, _ = asked(origin)
    assert "Access-Control-Allow-Origin" not in dict(headers)
    assert ("Vary", "Origin") in headers


def test_without_the_setting_and_for_pages_nothing_is_said():
    for more in ({"origins": ()}, {"path": "/admin/login/"}):
        for ask in (asked, preflight):
            assert ask(**more) == ("200 OK", [("Content-Type", "application/json")], b"{}")


def test_who_is_no_browser_is_answered_as_ever():
    status, headers, _ = asked("")

    assert status == "200 OK"
    assert "Access-Control-Allow-Origin" not in dict(headers)


class Answered:
    """What granian gives to answer with."""

    def response_bytes(self, status, headers, body):
        self.said = status, dict(headers), json.loads(body)


@pytest.mark.parametrize(
    ("path", "origin", "seen"),
    [(PATH, APP, APP), (PATH, "https://evil.example", None), ("/admin/", APP, None)],
)
def test_a_page_sees_what_is_refused_before_anything_is_read(path, origin, seen):
    scope = SimpleNamespace(
        method="POST", path=path, query_string="", scheme="http", http_version="1.1",
        server="127.0.0.1:80", client="127.0.0.1:5000", authority="", headers={"origin": origin},
    )  # fmt: skip
    no_room = Lane(Pool.DESK, threads=1, waiting=-1)
    front = Front(
        lambda environ, start_response: [],
        lanes={Pool.DESK: no_room},
        pool_of=lambda method, path: Pool.DESK,
        known_as=lambda environ: None,
        bodies=BodyReader(limit=10, budget=10),
        origins=[APP],
    )
    answered = Answered()

    asyncio.run(front.__rsgi__(scope, answered))

    status, headers, body = answered.said
    assert (status, body["code"]) == (503, "busy")
    assert headers.get("Access-Control-Allow-Origin") == seen
    assert ("Retry-After" in headers.get("Access-Control-Expose-Headers", "")) == bool(seen)


@pytest.mark.parametrize(
    "text",
    ["*", "https://*.example", "app.example", "https://app.example/", "https://App.example",
     "ftp://app.example", "https://", "https://a@app.example", "null"],
)  # fmt: skip
def test_only_whole_origins_are_taken(monkeypatch, text):
    monkeypatch.setenv("CORS_ORIGINS", f"{APP}, {text}")

    with pytest.raises(env.BadEnvironment, match="CORS_ORIGINS has"):
        env.env_origins("CORS_ORIGINS")


def test_origins_are_read(monkeypatch):
    monkeypatch.setenv("CORS_ORIGINS", f"{APP}, http://localhost:3000")

    assert env.env_origins("CORS_ORIGINS") == [APP, "http://localhost:3000"]
