"""The objects below one place of a bucket, by names within it: put, read, listed, removed.

Not for tables (``offline_bucket``) or single files (``kept_objects``). An object is there whole or
not at all whenever a process dies, but for one case: where its file cannot be read to the end, the
client completes what it has, and whoever dies before removing it leaves that, by a name of chance.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable  # noqa: TC003 - NamedTuple keeps the annotations
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import HTTPError

from pyarrow.fs import FileInfo, FileSelector, FileType

from materialization.stores.offline_protocol import OfflineStoreUnavailable
from materialization.stores.s3 import (
    GONE,
    SILENT,
    base_of,
    opened,
    table_options,
    why,
    why_of_status,
)
from materialization.stores.signing import ask, signed_url
from registry.spec.connections import S3Connection  # noqa: TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyarrow import NativeFile
    from pyarrow.fs import S3FileSystem

    from materialization.stores.s3 import Why

_CHUNK = 4 << 20
#: How many requests are under way at a time.
AT_ONCE = 8
#: For how long an address that we ask by ourselves is good.
_SECONDS = 300


class StoreWay(NamedTuple):
    """Where the offline store's bucket is, and the secret of its key."""

    connection: S3Connection
    secret: Callable[[], str]
    timeout_s: float = 300.0

    def __repr__(self) -> str:
        return f"StoreWay({self.connection!r})"


class ObjectGone(OfflineStoreUnavailable):
    """An object is not there."""


class Objects:
    """What lies below the place that a way leads to; names are relative to it."""

    def __init__(self, way: StoreWay) -> None:
        self._way, self._to = way, way.connection
        self._base = base_of(self._to)

    def __repr__(self) -> str:
        return f"Objects({self._to.address!r})"

    @cached_property
    def _storage(self) -> S3FileSystem:
        return opened(self._way)

    @property
    def address(self) -> str:
        """Where the objects are, for messages."""
        return f"s3://{self._base}"

    @property
    def identity(self) -> str:
        """Which place it is, the server's address too."""
        return self._to.address

    @property
    def table_options(self) -> dict[str, str]:
        return table_options(self._way)

    def key(self, name: str) -> str:
        """Return the bucket and an object's key in it."""
        return f"{self._base}/{name}"

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the objects right in a folder, by their names in it, and their bytes."""
        return {info.base_name: info.size for info in self._inside(folder)}

    def below(self, folder: str) -> dict[str, int]:
        """Return all objects below a folder, by their names from it on, and their bytes."""
        start = f"{self.key(folder)}/"
        found = self._inside(folder, recursive=True)
        return {info.path.removeprefix(start): info.size for info in found}

    def _inside(self, folder: str, *, recursive: bool = False) -> list[FileInfo]:
        where = FileSelector(self.key(folder), allow_not_found=True, recursive=recursive)
        with self.telling(folder):
            return [i for i in self._storage.get_file_info(where) if i.type == FileType.File]

    def older(self, folder: str, instant: datetime) -> list[str]:
        """Return the names below a folder of the objects that were written before an instant."""
        start, before = f"{self.key(folder)}/", instant.timestamp() * 1e9
        found = self._inside(folder, recursive=True)
        return [i.path.removeprefix(start) for i in found if i.mtime_ns < before]

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders right in a folder."""
        where = FileSelector(self.key(folder), allow_not_found=True)
        with self.telling(folder):
            found = self._storage.get_file_info(where)
        return [info.base_name for info in found if info.type == FileType.Directory]

    def put(self, path: str | Path, name: str) -> None:
        """Make an object of a file; what is there of that name is replaced.

        :raises OfflineStoreUnavailable: it could not be written; it is not there then.
        """
        size = 0
        try:
            with Path(path).open("rb") as file, self._sink(name) as sink:
                while chunk := file.read(_CHUNK):
                    size += len(chunk)
                    with self.telling(name):
                        sink.write(chunk)
        except BaseException:
            self.remove([name])
            raise

    @contextmanager
    def _sink(self, name: str) -> Iterator[NativeFile]:
        """Give a stream; the object is there once it is closed, which may fail as well."""
        with self.telling(name):
            sink = self._storage.open_output_stream(self.key(name), compression=None)
        try:
            yield sink
        except BaseException:
            with suppress(OSError):  # else it is closed whenever it is forgotten
                sink.close()
            raise
        with self.telling(name):
            sink.close()

    def get(self, name: str, path: Path) -> None:
        """Copy an object into a file, which is there when all of it is.

        :raises ObjectGone: it is not there.
        """
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("wb") as file:
                for chunk in self._chunks(name):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)

    def sha256(self, name: str) -> tuple[int, str]:
        """Return how many bytes an object has, and their hash.

        :raises ObjectGone: it is not there.
        """
        size, found = 0, hashlib.sha256()
        for chunk in self._chunks(name):
            size += len(chunk)
            found.update(chunk)
        return size, found.hexdigest()

    def _chunks(self, name: str) -> Iterator[bytes]:
        with self.telling(name):
            stream = self._storage.open_input_stream(self.key(name), compression=None)
        with stream:
            while True:
                with self.telling(name):
                    chunk = stream.read(_CHUNK)
                if not chunk:
                    return
                yield chunk

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; gone already is fine.

        Not by the client that reads them: it would leave an object that stands for the folder.
        """
        names = list(names)
        if len(names) <= 1:
            for name in names:
                self._ask("DELETE", name)
            return
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: self._ask("DELETE", name), names))

    def remove_below(self, folder: str) -> None:
        self.remove(f"{folder}/{name}" for name in self.below(folder))

    def keeps_what_is_there(self) -> bool:
        """Return whether the storage refuses to write an object that must not be there and is.

        An object of chance is written twice, and removed.
        """
        name = f"_probe-{secrets.token_hex(8)}"
        try:
            self._ask("PUT", name)
            return self._ask("PUT", name, {"If-None-Match": "*"}) in (409, 412)
        finally:
            self.remove([name])

    def readable_by(self, name: str, *, seconds: int, at: datetime) -> str:
        """Return an address by which whoever has it may read one object, for a while."""
        return self._url("GET", name, at, seconds)

    def _ask(self, method: str, name: str, headers: dict[str, str] | None = None) -> int:
        """Ask something of one object that needs no answer; return the status."""
        url = self._url(method, name, datetime.now(UTC), _SECONDS)
        try:
            ask(url, method=method, timeout=60, headers=headers)
        except HTTPError as exc:
            if exc.code in (404, 409, 412):
                return exc.code
            said = exc.read(1 << 16).decode(errors="replace")
            raise self._unavailable(why_of_status(exc.code, said), name) from None
        except OSError:
            raise self._unavailable(SILENT, name) from None
        return HTTPStatus.OK

    def _url(self, method: str, name: str, at: datetime, seconds: int) -> str:
        key = self.key(name).removeprefix(f"{self._to.bucket}/")
        return signed_url(self._to, self._way.secret(), key, method=method, at=at, seconds=seconds)

    @contextmanager
    def telling(self, name: str) -> Iterator[None]:
        """Let what the client raises out in our words: its own have addresses and requests."""
        try:
            yield
        except OSError as exc:
            raise self._unavailable(why(exc), name) from None

    def _unavailable(self, found: Why, name: str) -> OfflineStoreUnavailable:
        kind = ObjectGone if found is GONE else OfflineStoreUnavailable
        return kind(f"{name} of the offline store {self.address}: {found.words}", step=found.step)
