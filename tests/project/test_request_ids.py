"""Every answer has a request id, and the log and the trail have the same; lines as JSON."""

from __future__ import annotations

import io
import json
import logging
import uuid

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from featurestore_project.logs import JsonLine, TextLine
from featurestore_project.request_ids import HEADER, KEY, WithRequestId
from featurestore_project.wsgi import application
from lib.acts import act, current_act
from registry.models import AuditEntry
from tests.factories import make_version, token_for
from tests.materialization.run_world import perform

BASE = "/api/v1/projects/rides"


@pytest.fixture(autouse=True)
def _one_connection():
    """As Django's own test client does: a request's end would close the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def lines():
    """Return what the log has as JSON, line by line."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLine())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(before)


def call(path: str, token: str = "", *, method: str = "GET", body: bytes = b"", **more):
    """Send a request through all that stands in front of Django; return status and headers."""
    said: list = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        **({"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}),
        **more,
    }
    b"".join(application(environ, lambda status, headers, *_: said.extend([status, headers])))
    return int(said[0].split()[0]), dict(said[1])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"),
    [("/healthz", 200), ("/nothing", 404), (f"{BASE}/runs", 401), ("/admin/", 302)],
)
def test_every_answer_has_one_of_its_own(cast, path, status):
    answers = [call(path) for _ in range(2)]

    assert {answer[0] for answer in answers} == {status}
    ids = {uuid.UUID(headers[HEADER]) for _, headers in answers}
    assert len(ids) == 2
    assert current_act() is None


@pytest.mark.django_db
def test_the_log_and_the_trail_have_the_same(cast, lines):
    make_version(cast)

    status, headers = call(
        f"{BASE}/materialize-incremental",
        token_for(cast.consumer),
        method="POST",
        body=b'{"end_ts": "2020-01-02T00:00:00Z"}',
    )

    assert status == 403
    entry = AuditEntry.objects.get(verb="access.denied")
    assert str(entry.act_id) == headers[HEADER]
    (line,) = [line for line in lines() if line.get("event") == "request_refused"]
    assert line["request_id"] == headers[HEADER]
    assert (line["status"], line["code"], line["method"]) == (403, "not_permitted", "POST")
    assert (line["path"], line["user"]) == (f"{BASE}/materialize-incremental", "consumer")
    assert [line["logger"] for line in lines() if line["logger"] == "django.request"] == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("program", "kept"), [("mcp Scribe 1.2", "mcp Scribe 1.2"), ("ada@example.org", None)]
)
def test_the_trail_has_which_program_somebody_says_they_ask_through(cast, program, kept):
    make_version(cast)

    call(
        f"{BASE}/materialize-incremental",
        token_for(cast.consumer),
        method="POST",
        body=b'{"end_ts": "2020-01-02T00:00:00Z"}',
        HTTP_ASSAY_ASKED_THROUGH=program,
    )

    entry = AuditEntry.objects.get(verb="access.denied")
    assert entry.data.get("asked_through") == kept


@pytest.mark.django_db
def test_all_entries_of_a_request_are_one_act(cast):
    version = make_version(cast)
    before = set(AuditEntry.objects.values_list("pk", flat=True))

    status, headers = call(
        f"{BASE}/materialize-incremental",
        token_for(cast.operator),
        method="POST",
        body=b'{"end_ts": "2020-01-02T00:00:00Z"}',
    )

    entries = AuditEntry.objects.exclude(pk__in=before).filter(subject_type="materializationrun")
    assert status == 202
    assert [str(entry.act_id) for entry in entries] == [headers[HEADER]]
    assert version.runs.count() == 1


@pytest.mark.django_db
def test_a_client_cannot_choose_it(cast):
    chosen = str(uuid.uuid4())

    _, headers = call("/healthz", HTTP_X_REQUEST_ID=chosen)

    assert headers[HEADER] != chosen


@pytest.mark.django_db
def test_the_callers_own_ids_stand_beside_it(cast, lines):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"

    _, headers = call(
        f"{BASE}/nothing",
        token_for(cast.consumer),
        HTTP_X_REQUEST_ID="order-17",
        HTTP_TRACEPARENT=f"00-{trace}-00f067aa0ba902b7-01",
        method="POST",
    )
    call(f"{BASE}/runs", HTTP_X_REQUEST_ID="order-17", HTTP_TRACEPARENT="nonsense")

    assert headers["X-Caller-Request-Id"] == "order-17"
    (line,) = [line for line in lines() if line.get("event") == "request_refused"]
    assert line["caller_request_id"] == "order-17"
    assert "trace_id" not in line
    (line,) = [line for line in lines() if line.get("trace_id")]
    assert (line["trace_id"], line["parent_id"]) == (trace, "00f067aa0ba902b7")


def test_whoever_read_the_request_has_named_it(cast=None):
    given = uuid.uuid4()

    def inner(environ, start_response):
        start_response("200 OK", [])
        return [str(current_act()).encode()]

    said: list = []
    body = WithRequestId(inner)({KEY: given}, lambda _, headers: said.extend(headers))

    assert b"".join(body).decode() == str(given) == dict(said)[HEADER]


@pytest.mark.django_db
def test_a_path_is_written_so_far_and_no_further(cast, lines):
    call(f"{BASE}/feature-views/" + "x" * 400, token_for(cast.consumer))

    (line,) = [line for line in lines() if line.get("event") == "request_refused"]
    assert len(line["path"]) == 300


@pytest.mark.django_db
def test_a_run_that_ends_is_one_line_with_its_facts(cast, lines):
    from tests.materialization.run_world import ask

    run = ask(make_version(cast))
    perform(run)

    (line,) = [line for line in lines() if line.get("event") == "run_ended"]
    assert (line["run"], line["status"], line["kind"]) == (run.pk, "failed", "backfill")
    assert line["feature_view"] == "driver_hourly@1.0.0"
    assert line["error_code"]
    assert line["level"] == "WARNING"


def test_a_line_for_people_ends_with_the_id():
    record = logging.LogRecord("a", logging.INFO, "", 1, "hello %s", ("you",), None)
    formatter = TextLine("%(message)s")

    assert formatter.format(record) == "hello you"
    with act() as act_id:
        assert formatter.format(record) == f"hello you [{act_id}]"


def test_a_traceback_stays_in_its_line():
    try:
        raise ValueError("no\nway")
    except ValueError as exc:
        info = (type(exc), exc, exc.__traceback__)
    record = logging.LogRecord("a", logging.ERROR, "", 1, "broke", (), info)

    text = JsonLine().format(record)

    assert "\n" not in text
    assert "ValueError: no\nway" in json.loads(text)["traceback"]
