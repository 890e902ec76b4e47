"""One pooled connection to the server: authentication, retries, timeouts.
Not for what the calls mean (that is beside each call) or how answers are read (``answers``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError
from urllib3.util import Retry, Timeout

from assay import errors
from assay.answers import Answer, raise_for_status
from assay.config import WHERE_TOKENS_ARE_MADE, Config
from assay.encoding import to_json
from assay.version import __version__

CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 60.0
CHUNK_BYTES = 1 << 20
HEADERS = {"Accept": "application/json", "User-Agent": f"assay/{__version__}"}
# As many connections stay open as threads have read at once, up to this many.
MOST_IDLE_CONNECTIONS = 256
# A read that the server cannot answer now is asked again, as often and as late as it says.
READ_ATTEMPTS = 4
LONGEST_WAIT_SECONDS = 30.0
CHECK_ADDRESS = (
    "is the server running, and is the address right (--url, ASSAY_URL or url in assay.toml)?"
)

Query = Mapping[str, "str | int | bool | Sequence[str] | None"]


class RetryBroken(Retry):
    """Ask again when the connection broke, not when the server is slow: that would slow it more."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


# For reads only: anything else may have been done already when the connection broke.
RETRY_READ = RetryBroken(
    total=3,
    status=0,
    redirect=0,
    other=0,
    backoff_factor=0.1,
    allowed_methods=None,
    respect_retry_after_header=False,  # ours, in `request`: also for what is not a GET
)


class Transport:
    """Sends requests for one :class:`Config`. Safe to share between threads, and across a fork.

    ``timeout_seconds`` is how long to wait for an answer; None leaves that to each call.
    """

    def __init__(self, config: Config, *, timeout_seconds: float | None = None) -> None:
        self.config = config
        self.timeout_seconds = timeout_seconds
        self._pools: dict[int, urllib3.PoolManager] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (self.config, self.timeout_seconds)

    @property
    def _pool(self) -> urllib3.PoolManager:
        """The pool of this process: what a fork inherits are the parent's own connections.

        Two processes that wrote to one of them would read each other's answers.
        """
        process = os.getpid()
        if process not in self._pools:
            made = urllib3.PoolManager(maxsize=MOST_IDLE_CONNECTIONS)
            # The parent's are let go, not closed by us: closing may speak to the server.
            self._pools = {process: self._pools.get(process, made)}
        return self._pools[process]

    def close(self) -> None:
        self._pool.clear()

    def project_path(self, *parts: str) -> str:
        """Give the path of something in the configured project.

        :raises NotConfigured: no project is set.
        """
        if not self.config.project:
            raise errors.NotConfigured(
                "no project is set; give project=… (--project), ASSAY_PROJECT, "
                "or project in assay.toml"
            )
        return api_path("projects", self.config.project, *parts)

    def get(self, path: str, query: Query | None = None) -> Any:
        return self.request("GET", path, query=query).json()

    def post(self, path: str, value: Any, query: Query | None = None) -> Any:
        return self.request("POST", path, query=query, json=value).json()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
        is_read: bool = False,
        is_anonymous: bool = False,
    ) -> Answer:
        """Send and read the whole answer; ``json`` is encoded, ``body`` goes as it is.

        ``is_anonymous``: without a token, also where there is one.

        A GET and what else ``is_read`` is asked again where the server says when.

        :raises AssayError: of the kind that the answer's problem or the broken connection means.
        """
        sent = dict(headers or {}) if is_anonymous else {**self._bearer(), **(headers or {})}
        if json is not None:
            body, sent["Content-Type"] = to_json(json), "application/json"
        wait = self.timeout_seconds or read_timeout_seconds
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                with self._open(
                    method, path, query, body=body, headers=sent, wait=wait, is_read=is_read
                ) as response:
                    return Answer(response.status, response.headers, response.data)
            except (errors.Unavailable, errors.TooManyRequests) as exc:
                pause = exc.retry_after
                is_last = attempt == READ_ATTEMPTS or not (is_read or method == "GET")
                if is_last or pause is None or pause > min(wait, LONGEST_WAIT_SECONDS):
                    raise
                time.sleep(pause)
        raise AssertionError("the last attempt answers or raises")

    @contextmanager
    def download(
        self,
        path: str,
        *,
        query: Query,
        body: IO[bytes],
        headers: Mapping[str, str],
        read_timeout_seconds: float,
    ) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """POST an open file; yield the answer without its body, and the body in chunks."""
        sent = {**self._bearer(), **headers, "Content-Length": str(body.seek(0, os.SEEK_END))}
        body.seek(0)
        wait = self.timeout_seconds or read_timeout_seconds
        with self._open("POST", path, query, body=body, headers=sent, wait=wait) as response:
            head = Answer(response.status, response.headers, b"")
            yield head, response.stream(CHUNK_BYTES)

    @contextmanager
    def stream(self, path: str, *, query: Query) -> Iterator[Iterator[bytes]]:
        """GET what is too long to hold; yield the body in chunks."""
        wait = self.timeout_seconds or READ_TIMEOUT_SECONDS
        with self._open(
            "GET", path, query, body=None, headers=self._bearer(), wait=wait
        ) as response:
            yield response.stream(CHUNK_BYTES)

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        query: Query | None,
        *,
        body: bytes | IO[bytes] | None,
        headers: Mapping[str, str],
        wait: float,
        is_read: bool = False,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Yield a successful response, its body unread; the connection goes back afterwards."""
        with self._translated():
            response = self._pool.request(
                method,
                self.config.url + path + _query_string(query),
                body=body,
                headers={**HEADERS, **headers},
                preload_content=False,
                timeout=Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=wait),
                # A redirect would carry the token to an address that nobody configured.
                redirect=False,
                retries=RETRY_READ if is_read or method == "GET" else False,
            )
            try:
                self._raise_for_page(response)
                raise_for_status(response)
                yield response
                response.drain_conn()
            except BaseException:
                response.close()
                raise
            finally:
                response.release_conn()

    def _bearer(self) -> dict[str, str]:
        if not self.config.token:
            raise errors.NotConfigured(
                "no token is set; give token=… (--token), ASSAY_TOKEN, ASSAY_TOKEN_FILE, "
                f"or token_file in assay.toml; {WHERE_TOKENS_ARE_MADE}"
            )
        return {"Authorization": f"Bearer {self.config.token}"}

    def _raise_for_page(self, response: urllib3.BaseHTTPResponse) -> None:
        """Refuse a web page, unread: the API answers none, and markup explains nothing.

        A proxy's refusal keeps the kind of its status; only 404 would pass for a missing object.
        """
        if "html" not in response.headers.get("Content-Type", "").lower():
            return
        url, status = self.config.url, response.status
        parts = urlsplit(url)
        if 300 <= status < 400 and not parts.path:
            return  # a redirect says where to
        if status < 400 or status == 404 or (status == 403 and parts.path):
            root = f"{parts.scheme}://{parts.netloc}"
            advice = f"leave out the path: {root}" if parts.path else "give the server's own"
            raise errors.ServerError(
                f"{url} is not the address of an Assay server, it answers with a web page; "
                f"{advice} (--url, ASSAY_URL or url in assay.toml)",
                status=status,
            )
        detail = (
            f"{url} answered {status} with a web page, so not Assay but something before it, "
            "such as a proxy, answered; is the server behind it running?"
        )
        raise errors.from_problem(status, {"detail": detail})

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except HTTPError as exc:
            raise self._unreachable(exc) from exc

    def _unreachable(self, exc: HTTPError) -> errors.ServerUnreachable:
        reason = getattr(exc, "reason", None) or exc
        url = self.config.url
        # Without urllib3's "HTTPConnection(host=…, port=…): ", which repeats the address.
        fact = str(reason).partition("): ")[2] or reason
        if isinstance(reason, ReadTimeoutError):
            text = f"{url} accepted the request but did not answer in time: {fact}"
        elif isinstance(reason, ProtocolError):  # its text is a tuple of Python's exceptions
            text = f"{url} broke off the connection, or does not speak HTTP; {CHECK_ADDRESS}"
        else:
            text = f"{url} cannot be reached: {fact}; {CHECK_ADDRESS}"
        return errors.ServerUnreachable(text, url=url)


def api_path(*parts: str) -> str:
    """Join path segments below the API's root, each escaped whole."""
    return "/".join(["/api/v1", *(quote(part, safe="@") for part in parts)])


def _query_string(query: Query | None) -> str:
    """Write a query; None is left out, booleans are ``true`` and ``false``, lists repeat."""
    kept = {key: value for key, value in (query or {}).items() if value is not None}
    plain = {k: str(v).lower() if isinstance(v, bool) else v for k, v in kept.items()}
    return "?" + urlencode(plain, doseq=True) if plain else ""


def _made_again(config: Config, timeout_seconds: float | None) -> Transport:
    return Transport(config, timeout_seconds=timeout_seconds)
