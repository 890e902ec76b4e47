"""What a request says of its text's form: UTF-8 as it is, or a refusal before anything reads it."""

from __future__ import annotations

import json

import pytest

from featurestore_project.encodings import PlainUtf8
from featurestore_project.wsgi import application

UTF8 = ("", "application/json", "application/json; charset=utf-8", 'text/csv; charset="UTF8"')
#: Codecs of Python that are none of text, others' letters, and what is no codec at all.
OTHERS = ("rot13", "undefined", "hex", "bz2", "uu", "punycode", "utf-7", "raw_unicode_escape",
          "utf-16", "latin-1", "utf_8_sig", "nonsense", "x" * 5000)  # fmt: skip


def asked(**environ: str) -> tuple[str, dict[str, str], bytes]:
    """Return status, headers and body of the answer to a request with those variables."""
    said: list = []

    def behind(environ, start_response):
        start_response("200 OK", [])
        return [b"read"]

    parts = PlainUtf8(behind)(environ, lambda status, headers: said.extend((status, headers)))
    return said[0], dict(said[1]), b"".join(parts)


@pytest.mark.parametrize("content_type", UTF8)
def test_a_request_in_utf8_is_read(content_type):
    assert asked(CONTENT_TYPE=content_type)[2] == b"read"


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("form", ["application/json; charset={}", "text/csv;CHARSET*=us-ascii''{}"])
def test_other_encodings_are_refused_and_named(name, form):
    status, headers, body = asked(CONTENT_TYPE=form.format(name))

    assert status == "415 Unsupported Media Type"
    assert headers["Content-Type"] == "application/problem+json"
    answer = json.loads(body)
    assert answer["code"] == "unsupported_encoding"
    assert f"'{name[:100]}'" in answer["detail"]
    assert "UTF-8" in answer["detail"]
    assert len(body) < 1000


@pytest.mark.parametrize("coding", ["zstd", "br", "identity, gzip", "x" * 5000])
def test_bodies_of_other_codings_are_refused_rather_than_called_malformed(coding):
    status, _, body = asked(HTTP_CONTENT_ENCODING=coding, PATH_INFO="/api/v1/projects")

    assert status == "415 Unsupported Media Type"
    assert f"'{coding[:100]}'" in json.loads(body)["detail"]


def test_gzip_is_read_by_the_api_and_refused_by_pages():
    assert asked(HTTP_CONTENT_ENCODING="gzip", PATH_INFO="/api/v1/projects")[2] == b"read"

    status, _, body = asked(HTTP_CONTENT_ENCODING="gzip", PATH_INFO="/admin/login/")
    assert status == "415 Unsupported Media Type"
    assert "'gzip'" in json.loads(body)["detail"]


@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_a_body_as_it_is_may_say_so(coding):
    assert asked(HTTP_CONTENT_ENCODING=coding)[2] == b"read"


def test_the_server_asks_before_everything_else():
    said: list = []
    environ = {"CONTENT_TYPE": "application/json; charset=utf-16"}

    b"".join(application(environ, lambda status, headers: said.extend((status, headers))))

    assert said[0].startswith("415")
    assert "X-Request-Id" in dict(said[1])
