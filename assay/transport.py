"""Requests of one project and their answers: authentication, retries, timeouts.
Not for what calls mean (beside each), how answers are read (answers) or sent (sending).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import IO, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from assay import errors
from assay.answers import Answer, raise_for_status
from assay.config import WHERE_TOKENS_ARE_MADE, Config
from assay.encoding import to_json
from assay.sending import Reply, Sender
from assay.version import __version__

READ_TIMEOUT_SECONDS = 60.0
#: For what looks at sources, up to a minute for each: the server says why one does not answer.
LOOK_TIMEOUT_SECONDS = 600.0
CHUNK_BYTES = 1 << 20
HEADERS = {"Accept": "application/json", "User-Agent": f"assay/{__version__}"}
#: Where those are whom a call is passed on for. A token limited to networks asks that of them too.
ASKED_FROM = "Assay-Asked-From"
#: With which program they ask.
ASKED_THROUGH = "Assay-Asked-Through"
# A read is asked again when the server says when, or the connection broke: this often.
RETRIES = 3
LONGEST_WAIT_SECONDS = 30.0
# After the first break at once: most often an idle connection was closed. Then twice as late each.
BREAK_PAUSE_SECONDS = 0.1

Query = Mapping[str, "str | int | bool | Sequence[str] | None"]
Got = TypeVar("Got")


@dataclass(frozen=True)
class Patience:
    """How long to wait for an answer, and how often to ask again for what may be asked again.

    Without ``timeout_seconds`` each call has its own.
    """

    timeout_seconds: float | None = None
    retries: int = RETRIES

    def __post_init__(self) -> None:
        """:raises NotConfigured: one of them is no such number."""
        timeout, retries = self.timeout_seconds, self.retries
        if timeout is not None and not (_is_number(timeout) and 0 < timeout < math.inf):
            raise errors.NotConfigured(
                f"timeout is {timeout!r}; give seconds, more than 0, or None"
            )
        if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
            raise errors.NotConfigured(f"retries is {retries!r}; give a whole number, 0 for none")


class Transport:
    """Asks for one :class:`Config`. Safe to share as its sender is."""

    def __init__(self, config: Config, patience: Patience, sender: Sender) -> None:
        self.config = config
        self.patience = patience
        self._sender = sender
        self.pause = sender.pause

    def __reduce__(self) -> tuple[Any, ...]:
        return Transport, (self.config, self.patience, self._sender)

    def with_patience(self, patience: Patience) -> Transport:
        """Give one over the same connections."""
        return Transport(self.config, patience, self._sender)

    def passing_on(self, *, asked_from: str, through: str) -> Transport:
        """Give one that says where those are whose token it passes on, and with what they ask."""
        config = replace(self.config, asked_from=asked_from, asked_through=through)
        return Transport(config, self.patience, self._sender)

    def close(self) -> None:
        self._sender.close()

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

    def post(
        self,
        path: str,
        value: Any,
        query: Query | None = None,
        *,
        read_timeout_seconds: float | None = None,
    ) -> Any:
        return self.request(
            "POST", path, query=query, json=value, read_timeout_seconds=read_timeout_seconds
        ).json()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        read_timeout_seconds: float | None = None,
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
        wait = self._wait(read_timeout_seconds)

        def ask() -> Answer:
            with self._opened(method, path, query, body=body, headers=sent, wait=wait) as reply:
                return Answer(reply.status, reply.headers, reply.data)

        return self._again(ask, wait) if is_read or method == "GET" else ask()

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
        wait = self._wait(read_timeout_seconds)

        def ask(stack: ExitStack) -> Reply:
            body.seek(0)
            opened = self._opened("POST", path, query, body=body, headers=sent, wait=wait)
            return stack.enter_context(opened)

        with ExitStack() as stack:
            reply = self._again(lambda: ask(stack), wait)
            yield Answer(reply.status, reply.headers, b""), reply.pieces(CHUNK_BYTES)

    @contextmanager
    def stream(
        self, path: str, *, query: Query, headers: Mapping[str, str] | None = None
    ) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """GET what is too long to hold; yield the answer without its body, and that in chunks."""
        wait = self._wait()
        sent = {**self._bearer(), **(headers or {})}

        def ask(stack: ExitStack) -> Reply:
            opened = self._opened("GET", path, query, body=None, headers=sent, wait=wait)
            return stack.enter_context(opened)

        with ExitStack() as stack:
            reply = self._again(lambda: ask(stack), wait)
            yield Answer(reply.status, reply.headers, b""), reply.pieces(CHUNK_BYTES)

    def _wait(self, seconds: float | None = None) -> float:
        return self.patience.timeout_seconds or seconds or READ_TIMEOUT_SECONDS

    def _again(self, ask: Callable[[], Got], wait: float) -> Got:
        """Ask until it is answered, or until there is no sense in another time."""
        for retry in range(self.patience.retries):
            try:
                return ask()
            except (errors.Unavailable, errors.TooManyRequests) as exc:
                pause = exc.retry_after
                if pause is None or pause > min(wait, LONGEST_WAIT_SECONDS):
                    raise
            except errors.ServerUnreachable as exc:
                if exc.is_slow:  # another question would make it slower
                    raise
                pause = min(BREAK_PAUSE_SECONDS * 2**retry, LONGEST_WAIT_SECONDS) if retry else 0
            self.pause(pause)
        return ask()

    @contextmanager
    def _opened(
        self,
        method: str,
        path: str,
        query: Query | None,
        *,
        body: bytes | IO[bytes] | None,
        headers: Mapping[str, str],
        wait: float,
    ) -> Iterator[Reply]:
        """Yield a successful reply, its body unread."""
        with self._sender.opened(
            method,
            path + _query_string(query),
            body=body,
            headers={**HEADERS, **headers},
            wait=wait,
        ) as reply:
            self._raise_for_page(reply)
            raise_for_status(reply)
            yield reply

    def _bearer(self) -> dict[str, str]:
        if not self.config.token:
            raise errors.NotConfigured(
                "no token is set; give token=… (--token), ASSAY_TOKEN, ASSAY_TOKEN_FILE, "
                f"or token_file in assay.toml; {WHERE_TOKENS_ARE_MADE}"
            )
        said = {
            "Authorization": f"Bearer {self.config.token}",
            ASKED_FROM: self.config.asked_from,
            ASKED_THROUGH: self.config.asked_through,
        }
        return {name: value for name, value in said.items() if value}

    def _raise_for_page(self, response: Reply) -> None:
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


def api_path(*parts: str) -> str:
    """Join path segments below the API's root, each escaped whole.

    :raises Invalid: one is ``.`` or ``..``, which on its way becomes the address above it.
    """
    for part in parts:
        if part in (".", ".."):
            raise errors.Invalid(f"{part!r} is no name of anything; give one with a letter in it")
    return "/".join(["/api/v1", *(quote(part, safe="@") for part in parts)])


def _query_string(query: Query | None) -> str:
    """Write a query; None is left out, booleans are ``true`` and ``false``, lists repeat."""
    kept = {key: value for key, value in (query or {}).items() if value is not None}
    plain = {k: str(v).lower() if isinstance(v, bool) else v for k, v in kept.items()}
    return "?" + urlencode(plain, doseq=True) if plain else ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
