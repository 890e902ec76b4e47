"""A real HTTP server that gives rows of JSON, and the connection that leads to it.

Not for what is read of it.
"""

from __future__ import annotations

import json
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from materialization.finding.kinds import FETCHERS
from materialization.finding.links import Link
from registry.spec.connections import HttpConnection
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.http import HttpSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "Corr3ct-horse-battery"  # noqa: S105 - of a server that lives for the tests


class Asked(NamedTuple):
    path: str
    query: dict[str, str]
    headers: dict[str, str]


class Said(NamedTuple):
    """An answer; ``write`` sends the body its own way."""

    body: bytes | str | list[Any] | dict[str, Any] = b""
    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - read only
    write: Callable[[Any], None] | None = None

    @property
    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


class Site:
    """What each path answers; ``asked`` has every request that came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, Callable[[Asked], Said]] = {}
        self.asked: list[Asked] = []

    def put(self, path: str, answer: Callable[[Asked], Said] | Said) -> None:
        self.answers[path] = answer if callable(answer) else lambda _: answer

    @property
    def toml(self) -> str:
        """What whoever runs the server writes down of it."""
        return (
            f'[shop]\nkind = "http"\nurl = "{self.url}/v1"\ntoken = "{TOKEN}"\n'
            'projects = ["rides"]\n'
        )

    def link(self, *, limits: dict[str, Any] | None = None, **changed: Any) -> Link:
        made = HttpConnection(
            **{"projects": ("rides",), "url": f"{self.url}/v1", "token": TOKEN, **changed}
        )
        return Link(
            **{
                "name": "shop", "project": "rides", "connection": made, "timeout_s": 60.0,
                "secret": lambda: made.token, **(limits or {}),
            }
        )  # fmt: skip

    def fetch(self, rows, wanted, folder, watch):
        """Fetch as the engine has it done."""
        return FETCHERS[HttpSource].fetch(rows, wanted, folder, watch, self.link())


def make_source(*, event="event", created=None, unit="timestamp", **keys) -> HttpSource:
    return HttpSource(
        **{
            "name": "rows",
            "connection": "shop",
            "path": "rows",
            "schema": {"k": "string", "event": "timestamp", "x": "string"},
            "event_timestamp": TimeColumn(column=event, unit=unit),
            "created_timestamp": TimeColumn(column=created) if created else None,
            **keys,
        }
    )


def certificate(folder: Path) -> str:
    """Write a certificate of 127.0.0.1, which is its own authority; return where it is."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "site")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    own = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    Path(folder, "ca.pem").write_bytes(pem)
    Path(folder, "server.pem").write_bytes(own + pem)
    return str(Path(folder, "server.pem"))


@contextmanager
def site(certified: str = "") -> Iterator[Site]:
    """Run a server that answers 404 until it is told what to answer, over TLS if ``certified``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = Asked(parts.path, dict(parse_qsl(parts.query)), dict(self.headers))
            here.asked.append(asked)
            answer = here.answers.get(parts.path, lambda _: Said({"error": "none"}, 404))
            said = answer(asked)
            self.send_response(said.status)
            headers = {"Content-Type": "application/json", **said.headers}
            if said.write is None:
                headers.setdefault("Content-Length", str(len(said.content)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if said.write is not None:
                self.close_connection = True
                said.write(self.wfile)
            else:
                self.wfile.write(said.content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # whoever asked went away
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certified:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certified)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    here = Site(f"http{'s' if certified else ''}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
