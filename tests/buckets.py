"""A bucket of a real server of S3-compatible storage, and the connection that leads to it.

Not for what is read of it.
"""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from pyarrow.fs import FileSelector, FileType, S3FileSystem

from materialization.finding.kinds import FETCHERS
from materialization.finding.links import Link
from registry.spec.connections import S3Connection
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.files import BucketSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_OF_THE_WIRE = ("host", "connection", "content-length", "transfer-encoding", "expect")
KEY, SECRET = "operator", "hunter2-hunter2-hunter2"


class Bucket:
    """One bucket; what the connection leads to is below the prefix ``lake``."""

    name = "far"

    def __init__(self, url: str) -> None:
        self.url = url
        self._store = S3FileSystem(
            access_key=KEY,
            secret_key=SECRET,
            endpoint_override=url.removeprefix("http://"),
            scheme="http",
            allow_bucket_creation=True,
            allow_bucket_deletion=True,
        )
        self._store.create_dir(self.name)

    def put(self, key: str, content: bytes | str) -> None:
        data = content.encode() if isinstance(content, str) else content
        with self._store.open_output_stream(f"{self.name}/{key}", compression=None) as stream:
            stream.write(data)

    def get(self, key: str) -> bytes:
        with self._store.open_input_stream(f"{self.name}/{key}", compression=None) as stream:
            return stream.read()

    def remove(self, key: str) -> None:
        self._store.delete_file(f"{self.name}/{key}")

    def put_folder(self, folder: Path, key: str) -> None:
        """Make what lies below the key the same as a folder: what is there no more goes."""
        wanted = {f"{key}/{file.relative_to(folder)}": file for file in _files(folder)}
        for gone in set(self.keys(key)) - set(wanted):
            self.remove(gone)
        for name, file in wanted.items():
            self.put(name, file.read_bytes())

    def keys(self, below: str = "") -> list[str]:
        where = f"{self.name}/{below}".rstrip("/")
        inside = self._store.get_file_info(
            FileSelector(where, recursive=True, allow_not_found=True)
        )
        found = (each.path for each in inside if each.type == FileType.File)
        return sorted(path.removeprefix(f"{self.name}/") for path in found)

    @property
    def toml(self) -> str:
        """What whoever runs the server writes down of it."""
        return (
            f'[lake]\nkind = "s3"\nendpoint = "{self.url}"\nbucket = "{self.name}"\n'
            f'prefix = "lake"\naccess_key_id = "{KEY}"\nsecret_access_key = "{SECRET}"\n'
            'projects = ["rides"]\n'
        )

    @property
    def as_store(self) -> dict[str, Any]:
        """What settings say of an offline store that lies below the prefix ``store``."""
        return self.settings_of(self.url)

    @classmethod
    def settings_of(cls, url: str) -> dict[str, Any]:
        return {
            "bucket": cls.name, "prefix": "store", "endpoint": url, "region": "us-east-1",
            "path_style": True, "access_key_id": KEY, "secret_access_key": SECRET,
        }  # fmt: skip

    def link(self, *, limits: dict[str, Any] | None = None, **changed: Any) -> Link:
        keys = {"access_key_id": KEY, "secret_access_key": SECRET}
        made = S3Connection(
            **{
                "projects": ("rides",), "bucket": self.name, "prefix": "lake",
                "endpoint": self.url, **keys, **changed,
            }
        )  # fmt: skip
        return Link(
            **{
                "name": "lake", "project": "rides", "connection": made, "timeout_s": 60.0,
                "secret": lambda: made.secret_access_key, **(limits or {}),
            }
        )  # fmt: skip

    def fetch(self, rows, wanted, folder, watch):
        """Fetch as the engine has it done."""
        return FETCHERS[type(rows.source)].fetch(rows, wanted, folder, watch, self.link())


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def make_source(path: str = "*.csv") -> BucketSource:
    time = TimeColumn(column="event")
    return BucketSource(name="rows", connection="lake", path=path, event_timestamp=time)


@contextmanager
def storage_that_answers(status: int, code: str) -> Iterator[str]:
    """Run a server that refuses whatever it is asked; gives its URL."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_HEAD = do_DELETE = do_GET

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def storage_that_is_slow_with(storage: str, is_slow: Callable[[str], bool]) -> Iterator[SlowWrites]:
    """Run a server before a storage that keeps some writes to itself, by their paths.

    Nobody is answered about those; what it gives does them when it is told to.
    """
    slow = SlowWrites(storage)

    def keep(passing: Passing, asked: urllib.request.Request) -> bool:
        if passing.command != "PUT" or not is_slow(passing.path):
            return False
        slow.kept.append(asked)
        slow.may_answer.wait()
        passing.close_connection = True
        return True

    with passing_on(storage, keep) as slow.url:
        try:
            yield slow
        finally:
            slow.may_answer.set()


class Faults:
    """What is wrong with a storage now, and how many reads of rows it did that to."""

    def __init__(self) -> None:
        self.url, self.fault, self.count = "", "", 0


@contextmanager
def storage_with_faults(storage: str) -> Iterator[Faults]:
    """Run a server before a storage that does to reads of Parquet files what it is told to.

    ``busy``: 503 in place of them; ``cut``: they end in the middle; ``drips``: they come in many
    small pieces.
    """
    faults = Faults()

    def meddle(passing: Passing, asked: urllib.request.Request) -> bool:
        path = passing.path.partition("?")[0]
        if not faults.fault or passing.command != "GET" or not path.endswith(".parquet"):
            return False
        faults.count += 1
        if faults.fault == "busy":
            body = b"<Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>"
            passing.answer(503, {"Content-Type": "application/xml"}, body)
            return True
        status, headers, said = answer_of(asked)
        passing.answer(status, headers, said, sends=False)
        if faults.fault == "cut":
            passing.wfile.write(said[: len(said) // 2])
            passing.close_connection = True
            return True
        for begin in range(0, len(said), 512):
            passing.wfile.write(said[begin : begin + 512])
            passing.wfile.flush()
            threading.Event().wait(0.01)
        return True

    with passing_on(storage, meddle) as faults.url:
        yield faults


def answer_of(asked: urllib.request.Request) -> tuple[int, Any, bytes]:
    try:
        with urllib.request.urlopen(asked) as answer:  # noqa: S310 - our own server
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.headers, exc.read()


class Passing(BaseHTTPRequestHandler):
    """Passes on what it is asked, unless somebody meddles."""

    protocol_version = "HTTP/1.1"
    storage: str
    meddle: Callable[[Passing, urllib.request.Request], bool]

    def do_GET(self) -> None:
        body = self._body()
        asked = urllib.request.Request(  # noqa: S310 - our own server
            f"{self.storage}{self.path}", data=body or None, method=self.command
        )
        # Else it is taken for a form.
        asked.add_header("Content-Type", "application/octet-stream")
        for name, value in self.headers.items():
            if name.lower() not in _OF_THE_WIRE:
                asked.add_header(name, value)
        if self.command == "PUT":
            asked.data = body
        if not self.meddle(self, asked):
            self.answer(*answer_of(asked))

    do_HEAD = do_DELETE = do_PUT = do_POST = do_GET

    def answer(self, status: int, headers: Any, said: bytes, *, sends: bool = True) -> None:
        self.send_response(status)
        for name in ("Content-Type", "Last-Modified", "ETag", "Content-Range"):
            if name in headers:
                self.send_header(name, headers[name])
        length = headers["Content-Length"] if self.command == "HEAD" else str(len(said))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if sends:
            self.wfile.write(said)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def passing_on(
    storage: str, meddle: Callable[[Passing, urllib.request.Request], bool]
) -> Iterator[str]:
    """Run a server before a storage; gives its URL."""
    handler = type("Handler", (Passing,), {"storage": storage, "meddle": staticmethod(meddle)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class SlowWrites:
    """Writes that a storage was asked for and has not done yet."""

    def __init__(self, storage: str) -> None:
        self.url = storage
        self.kept: list[urllib.request.Request] = []
        self.may_answer = threading.Event()

    def do_first(self) -> int:
        """Do the one that was asked first; return the storage's status."""
        return self.do(self.kept.pop(0))[0]

    def do(self, asked: urllib.request.Request) -> tuple[int, Any, bytes]:
        return answer_of(asked)
