"""A peer across the wire: a real HTTP server that records requests and gives prepared answers.
Not the Assay server; the journeys run the client against that one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from assay import FeatureStore

BASE = "/api/v1/projects/rides"


@dataclass(frozen=True)
class Sent:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Prepared:
    status: int
    body: bytes
    headers: dict[str, str]
    drop: bool = False


@dataclass
class Peer:
    """Prepared answers by ``"METHOD /path"``, used in order; the last one stays."""

    url: str = ""
    requests: list[Sent] = field(default_factory=list)
    answers: dict[str, list[Prepared]] = field(default_factory=dict)

    def answers_with(self, call: str, value: Any, status: int = 200, **headers: str) -> None:
        """Prepare an answer below the project, or at a full path; bytes go as they are."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        kind = "application/problem+json" if status >= 400 else "application/json"
        sent = {"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}}
        self.answers.setdefault(self._key(call), []).append(Prepared(status, body, sent))

    def drops(self, call: str) -> None:
        """Prepare to close the connection without an answer."""
        self.answers.setdefault(self._key(call), []).append(Prepared(0, b"", {}, drop=True))

    def _key(self, call: str) -> str:
        method, _, path = call.partition(" ")
        return f"{method} {path if path.startswith('/api/') else f'{BASE}/{path}'}"

    def take(self, key: str) -> Prepared:
        waiting = self.answers.get(key)
        if not waiting:
            body = json.dumps({"code": "unprepared", "detail": f"no answer for {key}"})
            return Prepared(404, body.encode(), {"Content-Type": "application/problem+json"})
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


def handler_for(peer: Peer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            sent = Sent(self.command, parts.path, query, dict(self.headers), body)
            peer.requests.append(sent)
            prepared = peer.take(f"{self.command} {parts.path}")
            if prepared.drop:
                self.close_connection = True
                return
            self.send_response(prepared.status)
            length = {"Content-Length": str(len(prepared.body))}
            for name, value in {**length, **prepared.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(prepared.body)
            announced = {**length, **prepared.headers}["Content-Length"]
            self.close_connection = announced != str(len(prepared.body))  # it breaks off

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent: the requests are recorded."""

    return Handler


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(found))
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("ASSAY_URL", "ASSAY_TOKEN", "ASSAY_TOKEN_FILE", "ASSAY_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(peer: Peer) -> Iterator[FeatureStore]:
    with FeatureStore(url=peer.url, token="t0ken", project="rides") as store:
        yield store
