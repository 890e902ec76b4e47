"""A bucket of a real server of S3-compatible storage, and the connection that leads to it.

Not for what is read of it.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from pyarrow.fs import S3FileSystem

from materialization.finding.kinds import FETCHERS
from materialization.finding.links import Link
from registry.spec.connections import S3Connection
from registry.spec.sources import BucketSource, TimeColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    def remove(self, key: str) -> None:
        self._store.delete_file(f"{self.name}/{key}")

    @property
    def toml(self) -> str:
        """What whoever runs the server writes down of it."""
        return (
            f'[lake]\nkind = "s3"\nendpoint = "{self.url}"\nbucket = "{self.name}"\n'
            f'prefix = "lake"\naccess_key_id = "{KEY}"\nsecret_access_key = "{SECRET}"\n'
            'projects = ["rides"]\n'
        )

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
        return FETCHERS[BucketSource].fetch(rows, wanted, folder, watch, self.link())


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

        do_HEAD = do_GET

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
