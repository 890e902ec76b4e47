"""Large answers of the API are compressed for those who take it; nothing else is."""

from __future__ import annotations

import gzip
import io
import random

import pytest
from django.http import FileResponse, HttpResponse, StreamingHttpResponse

from featurestore_project.compression import Compressed

LARGE, SMALL = b"[1, 2, 3]" * 200, b"[1]"


def asked(
    body=LARGE,
    *,
    wanted="gzip, deflate",
    path="/api/v1/projects",
    least=1000,
    answer=None,
    **headers,
):
    """Return the headers of an answer and its body."""
    said: dict[str, str] = {}
    if answer is None:
        answer = HttpResponse(body, content_type="application/json")
        answer.close = lambda: None  # a request's end would close the test's transaction
    for name, value in ({"Content-Length": str(len(body))} | headers).items():
        answer[name.replace("_", "-")] = value

    def behind(environ, start_response):
        start_response("200 OK", list(answer.items()))
        return answer

    environ = {"PATH_INFO": path} | ({} if wanted is None else {"HTTP_ACCEPT_ENCODING": wanted})
    parts = Compressed(behind, least=least)(environ, lambda _, headers: said.update(headers))
    return said, b"".join(parts)


def test_a_large_answer_is_compressed_for_those_who_take_it():
    said, body = asked(ETag='"a"')

    assert gzip.decompress(body) == LARGE
    assert said == {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Content-Encoding": "gzip",
        "Vary": "Accept-Encoding",
        "ETag": 'W/"a"',
    }


@pytest.mark.parametrize(
    "how",
    [
        {"wanted": None},
        {"wanted": "br"},
        {"wanted": "gzip;q=0, *"},
        {"wanted": ""},
        {"body": SMALL},
        {"path": "/admin/"},
        {"least": 0},
        {"Content_Type": "application/vnd.apache.parquet"},
        {"Content_Encoding": "br"},
        {"answer": FileResponse(io.BytesIO(LARGE), content_type="application/json")},
    ],
)
def test_others_stay_as_they_are(how):
    said, body = asked(**how)

    assert body == how.get("body", LARGE)
    assert said.get("Content-Encoding") in (None, "br")


@pytest.mark.parametrize("wanted", ["gzip", "*", "br;q=1, gzip;q=0.1", "GZIP"])
def test_who_takes_it_says_so(wanted):
    assert asked(wanted=wanted)[0]["Content-Encoding"] == "gzip"


def test_what_gave_the_answer_is_told_that_it_ended():
    closed = []
    answer = HttpResponse(LARGE, content_type="application/json")
    answer.close = lambda: closed.append(True)

    asked(answer=answer)

    assert closed == [True]


def test_what_is_made_while_it_is_sent_is_compressed_as_it_comes():
    made, closed = [], []
    draw = random.Random(1).randbytes
    pieces = (made.append(piece := draw(100_000)) or piece for _ in range(5))
    answer = StreamingHttpResponse(pieces, content_type="application/x-ndjson")
    answer.close = lambda: closed.append(True)
    said = {}

    def behind(environ, start_response):
        start_response("200 OK", list(answer.items()))
        return answer

    environ = {"PATH_INFO": "/api/v1/audit/export", "HTTP_ACCEPT_ENCODING": "gzip"}
    sent = Compressed(behind, least=1)(environ, lambda _, headers: said.update(headers))
    arriving = iter(sent)
    first = next(arriving)

    assert len(made) == 1
    assert gzip.decompress(first + b"".join(arriving)) == b"".join(made)
    assert said["Content-Encoding"] == "gzip" and "Content-Length" not in said
    sent.close()
    assert closed == [True]
