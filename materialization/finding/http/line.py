"""How a connection's server is reached, and how one logs in there.

Not for what is asked (``asking``).
"""

from __future__ import annotations

import base64
import logging
import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode, urlsplit

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection

from materialization.errors import SourceUnavailable

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from materialization.finding.links import Link
    from registry.spec.connections import HttpConnection as To

#: Seconds until a server that does not answer, or stopped to, counts as gone.
CONNECT_SECONDS, SILENT_SECONDS = 10, 30
_asks = threading.local()


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep what this thread asks for out of the client's log: an address may have the secret."""
    _asks.quietly = True
    try:
        yield
    finally:
        _asks.quietly = False


def _may_log(_: logging.LogRecord) -> bool:
    return not getattr(_asks, "quietly", False)


for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.response"):
    logging.getLogger(_name).addFilter(_may_log)


def line_to(
    link: Link, sockets: list[socket.socket], patience_s: float | None = None
) -> HTTPConnectionPool:
    """Return what requests are sent by; ``sockets`` has those that are open, to be shut.

    A server that is silent for ``patience_s`` counts as gone.

    :raises SourceUnavailable: the certificates it trusts cannot be read.
    """
    to = cast("To", link.connection)
    parts = urlsplit(to.url)
    options: dict[str, Any] = {
        "timeout": Timeout(
            connect=patience_s or CONNECT_SECONDS, read=patience_s or SILENT_SECONDS
        ),
        "maxsize": 1,
    }
    host = str(parts.hostname)
    pool: HTTPConnectionPool
    if parts.scheme == "http":
        pool = HTTPConnectionPool(host, parts.port, **options)
        pool.ConnectionCls = _noting(HTTPConnection, sockets)
    else:
        pool = HTTPSConnectionPool(host, parts.port, ssl_context=_trusted(link), **options)
        pool.ConnectionCls = _noting(HTTPSConnection, sockets)
    return pool


def _trusted(link: Link) -> ssl.SSLContext:
    to = cast("To", link.connection)
    try:
        context = ssl.create_default_context(cafile=to.ca_file or None)
    except OSError:
        raise SourceUnavailable(
            f"connection {link.name}: its ca_file has no certificates that can be read",
            step="whoever runs the server mends that",
            connection=link.name,
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _noting(kind: Any, sockets: list[socket.socket]) -> Any:
    """Return connections of a kind that note which socket they have, before they greet anybody.

    A copy: a socket that begins to speak TLS is another one.
    """

    class Noting(kind):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            made: socket.socket = super()._new_conn()
            let_go(sockets)
            sockets.append(made.dup())
            return made

    return Noting


def let_go(sockets: list[socket.socket]) -> None:
    while sockets:
        sockets.pop().close()


def login_of(link: Link) -> tuple[dict[str, str], tuple[str, str] | None]:
    """Return the headers of each request, and the parameter that logs in, if that is how.

    :raises SourceUnavailable: the secret is none that can be sent; never says it.
    """
    to, secret = cast("To", link.connection), link.secret()
    headers = {
        "User-Agent": "assay",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        **to.headers,
    }
    if not secret:
        return headers, None
    if not (secret.isascii() and secret.isprintable()):
        raise SourceUnavailable(
            f"connection {link.name}: its token has characters that cannot be sent",
            step="whoever runs the server writes it anew",
            connection=link.name,
        )
    if to.parameter:
        return headers, (to.parameter, secret)
    if to.header:
        return headers | {to.header: secret}, None
    if to.user:
        said = base64.b64encode(f"{to.user}:{secret}".encode()).decode()
        return headers | {"Authorization": f"Basic {said}"}, None
    return headers | {"Authorization": f"Bearer {secret}"}, None


def with_login(target: str, login: tuple[str, str] | None) -> str:
    if login is None:
        return target
    return f"{target}{'&' if '?' in target else '?'}{urlencode([login])}"
