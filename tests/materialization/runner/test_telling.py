"""What a lineage server is told of runs: a real one, on loopback; and none is worth a run."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest
from django.db import connection
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from featurestore_project.celery import app
from materialization.choices import RunStatus
from materialization.openlineage import EventType, Told, event, run_id
from materialization.requests.cancelling import cancel_run
from materialization.runner import telling
from materialization.tasks import tell_lineage
from registry.spec.sources.base import SourceColumn, SourceSchema
from registry.spec.version_spec import VersionSpec
from tests.factories import AT, DEFINITIONS, make_version
from tests.materialization.run_world import ROWS, ask, committed, materialize, write_rows
from tests.registry.operations.test_reads import rides

pytestmark = pytest.mark.django_db

SQL = """sql: SELECT driver_id, event_timestamp, created, conv_rate + acc_rate AS conv_rate,
  acc_rate, avg_daily_trips FROM driver_stats WHERE avg_daily_trips > 0
features:"""


class Lineage:
    """A server that keeps what it gets, and answers ``status`` to it."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, dict]] = []
        self.status, outer = 201, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                token = self.headers.get("Authorization", "")
                outer.got.append((self.path, token, json.loads(body)))
                self.send_response(outer.status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def events(self) -> list[dict]:
        """What was told, each as the specification wants it."""
        events = [body for _, _, body in self.got]
        for each in events:
            require_valid(each)
        return events


FOLDER = Path(__file__).parent / "openlineage"
SCHEMAS = [json.loads(path.read_text()) for path in FOLDER.glob("*.json")]
REGISTRY = Registry().with_resources(
    (each["$id"], Resource.from_contents(each)) for each in SCHEMAS
)


def require_valid(event: dict) -> None:
    """Hold an event, and each facet in it, against the schema that it names itself."""
    _hold(event, event["schemaURL"])
    places = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    for place in places:
        for kind in ("facets", "outputFacets"):
            for name, facet in place.get(kind, {}).items():
                _hold({name: facet}, facet["_schemaURL"])


def _hold(value: dict, schema: str) -> None:
    validator = Draft202012Validator(
        {"$ref": schema}, registry=REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    assert [error.message for error in validator.iter_errors(value)] == []


@pytest.fixture
def lineage(settings):
    made = Lineage()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    settings.OPENLINEAGE_URL, settings.OPENLINEAGE_API_KEY = made.url, "key"
    telling._silence["until"] = 0.0
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()
    telling._silence["until"] = 0.0


def deliver() -> int:
    """Do the work of the worker that takes the queue's messages; return how many there were."""
    told = 0
    with app.connection_for_read() as broker:
        queue = broker.SimpleQueue("alerts")
        while True:
            try:
                message = queue.get_nowait()
            except queue.Empty:
                break
            message.ack()
            if message.headers["task"] == telling.TASK:
                arguments = json.loads(message.body)
                tell_lineage(**arguments[1])
                told += 1
        queue.close()
    return told


@pytest.fixture
def version(cast, sources):
    write_rows(sources, ROWS)
    with committed():
        return make_version(cast, text=DEFINITIONS.replace("features:", SQL))


def test_start_and_end_of_a_run_are_told_with_where_each_column_comes_from(lineage, version):
    with committed():
        run = materialize(version)
    assert deliver() == 2

    start, end = lineage.events
    assert [each["eventType"] for each in lineage.events] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == end["run"]["runId"]
    assert lineage.got[0][:2] == ("/api/v1/lineage", "Bearer key")
    assert end["job"]["name"] == "rides.driver_hourly.materialize"
    assert [each["name"] for each in end["inputs"]] == ["rides.driver_stats"]
    (output,) = end["outputs"]
    assert output["name"] == "rides.driver_hourly"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == run.rows_offline
    lineage_facet = output["facets"]["columnLineage"]
    inputs = lineage_facet["fields"]["conv_rate"]["inputFields"]
    assert [each["field"] for each in inputs] == ["acc_rate", "conv_rate"]
    assert [each["field"] for each in lineage_facet["dataset"]] == ["avg_daily_trips"]
    assert lineage_facet["dataset"][0]["transformations"][0]["subtype"] == "FILTER"


def test_a_run_that_fails_says_why_and_no_value_of_the_data(lineage, cast, version, sources):
    (sources / "driver_stats.parquet").write_bytes(b"PAR1 no more")
    with committed():
        run = materialize(version)
    deliver()

    assert run.status == RunStatus.FAILED
    last = lineage.events[-1]
    assert last["eventType"] == "FAIL"
    assert last["run"]["facets"]["errorMessage"]["message"] == run.error


def test_a_run_that_no_worker_began_is_told_of_by_nobody(lineage, cast, version):
    with committed():
        run = ask(version)
        cancel_run(run=run, actor=cast.owner, at=AT)

    assert deliver() == 0


def test_nothing_is_told_where_no_server_is_named(lineage, settings, version):
    settings.OPENLINEAGE_URL = ""
    with committed():
        materialize(version)

    assert deliver() == 0


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_server_that_takes_nothing_costs_no_run_and_is_left_alone_for_a_while(
    lineage, version, status
):
    lineage.status = status
    with committed():
        run = materialize(version)
    deliver()

    assert run.status == RunStatus.SUCCEEDED
    assert len(lineage.got) == 1  # the second was not sent to a server that had just refused
    lineage.status, telling._silence["until"] = 201, 0.0
    assert telling.send("{}")


def test_a_server_that_is_away_or_never_answers_costs_no_run(settings, version, monkeypatch):
    settings.OPENLINEAGE_URL = "http://127.0.0.1:9"
    telling._silence["until"] = 0.0
    with committed():
        assert materialize(version).status == RunStatus.SUCCEEDED
    deliver()

    with silent_server() as url:
        settings.OPENLINEAGE_URL, telling._silence["until"] = url, 0.0
        monkeypatch.setattr(telling, "TIMEOUT_SECONDS", 0.2)
        assert not telling.send("{}")
    telling._silence["until"] = 0.0


@contextmanager
def silent_server():
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_transaction_that_is_undone_tells_nothing(lineage, version):
    with committed():
        run = ask(version)
    run.started_at, run.status = AT, RunStatus.SUCCEEDED
    assert connection.in_atomic_block
    telling.tell_end(run, None, AT)  # its transaction never commits

    assert deliver() == 0


def told(run: int, **also) -> Told:
    return Told("assay", "rides", "v", "1.0.0", run, AT, AT, "increment", **also)


def test_ids_are_a_runs_own_and_texts_are_bounded(version):
    spec: VersionSpec = version.spec
    assert run_id(told(1)) == run_id(told(1)) != run_id(told(2))

    schema = SourceSchema(format="parquet", columns=(SourceColumn(name="conv_rate", type="FLOAT"),))
    seen = event(EventType.START, told(1), msgspec.structs.replace(spec, schema=schema), at=AT)
    assert seen["inputs"][0]["facets"]["schema"]["fields"] == [
        {"name": "conv_rate", "type": "FLOAT"}
    ]
    failed = event(EventType.FAIL, told(1, error="x" * 10_000), spec, at=AT)
    assert len(failed["run"]["facets"]["errorMessage"]["message"]) == 2000


def test_a_masked_form_is_told_as_one(cast):
    plain = "{name: avg_daily_trips, type: int32, sensitivity: internal}"
    masked = "{name: hashed, type: string, column: avg_daily_trips, mask: hash}"
    spec = make_version(cast, text=DEFINITIONS.replace(plain, masked)).spec

    seen = event(EventType.COMPLETE, told(1), spec, at=AT)

    require_valid(seen)
    fields = seen["outputs"][0]["facets"]["columnLineage"]["fields"]
    assert {
        name: [each["transformations"][0]["masking"] for each in field["inputFields"]]
        for name, field in fields.items()
    } == {"conv_rate": [False], "acc_rate": [False], "hashed": [True]}


def test_what_is_read_of_another_view_is_an_input_of_the_name_it_has_as_an_output(cast):
    make_version(cast)
    spec = make_version(cast, text=rides()).spec

    seen = event(EventType.COMPLETE, told(1), spec, at=AT)

    require_valid(seen)
    assert [each["name"] for each in seen["inputs"]] == ["rides.rides", "rides.driver_hourly"]
    lineage = seen["outputs"][0]["facets"]["columnLineage"]["fields"]["worth"]["inputFields"]
    assert [(each["name"], each["field"]) for each in lineage] == [
        ("rides.rides", "price"), ("rides.driver_hourly", "conv_rate"),
    ]  # fmt: skip


def test_an_event_that_is_not_as_specified_is_found(version):
    seen = event(EventType.COMPLETE, told(1), version.spec, at=AT)
    del seen["outputs"][0]["facets"]["columnLineage"]["fields"]["conv_rate"]["inputFields"]

    with pytest.raises(AssertionError, match="inputFields"):
        require_valid(seen)
