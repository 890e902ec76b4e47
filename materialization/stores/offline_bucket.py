"""The offline store in a bucket of S3-compatible storage: the same tables, and what differs there.

A table's log is written and read by its library, which commits by an object that must not be there
yet. Its files are put by us before that, and copied here when they are read (``mirror``). What is
staged lies on the machine that stages it. Not for the tables themselves (``offline``).
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from lib.errors import said
from materialization.stores.columns import EVENTS
from materialization.stores.mirror import IN_USE_SECONDS, Mirror
from materialization.stores.objects import ObjectGone, Objects
from materialization.stores.offline import DeltaOfflineStore
from materialization.stores.offline_protocol import SEE_TO_STORE, OfflineStoreUnavailable
from materialization.stores.offline_values import Addresses, Aside
from materialization.stores.own_folders import ASIDE
from materialization.stores.s3 import why_of_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from deltalake.exceptions import DeltaError

    from materialization.stores.objects import StoreWay
    from materialization.stores.offline_values import StoredFile, TableAt

#: The stores whose storage was asked by this process whether two commits at once are two.
_SAFE: set[str] = set()
#: For how long an address of a file is good that somebody else is given.
READABLE_FOR = timedelta(hours=1)


class OfflineStoreUnsafe(OfflineStoreUnavailable):
    """The storage would let two workers make the same commit, and keep one of them."""

    code = "offline_store_unsafe"


class BucketOfflineStore(DeltaOfflineStore):
    """The Delta tables below the place that a way leads to.

    ``TableAt.uri`` is the directory below ``root`` that has what this machine has of a table; the
    table has the same name in the bucket.
    """

    def __init__(
        self,
        root: str | Path,
        way: StoreWay,
        *,
        most_bytes: int,
        in_use_s: float = IN_USE_SECONDS,
    ) -> None:
        super().__init__(root)
        self._way, self._objects = way, Objects(way)
        self._mirror = Mirror(self._objects, self.root, most_bytes, in_use_s=in_use_s)
        self._options = self._objects.table_options

    def require_safe(self) -> None:
        """:raises OfflineStoreUnsafe: the storage does not refuse what two commits would do."""
        if self._objects.identity in _SAFE:
            return
        if not self._objects.keeps_what_is_there():
            raise OfflineStoreUnsafe(
                f"the storage of the offline store {self._objects.address} overwrites an object"
                " that must not be there (If-None-Match), so that of two commits at once one would"
                " be lost in silence. Use storage that refuses it, as Amazon S3, MinIO, Ceph (from"
                " 19) and R2 do."
            )
        _SAFE.add(self._objects.identity)

    def bring(self, files: Iterable[str], *, bounded: bool = False) -> None:
        self._mirror.bring(files, bounded=bounded)

    def tidy_copies(self) -> None:
        """Remove copies here of what is gone; see ``Mirror.tidy``."""
        self._mirror.tidy()

    def addresses(self, files: Sequence[StoredFile], *, at: datetime) -> Addresses:
        seconds = int(READABLE_FOR.total_seconds())
        names = (self._name(Path(file.uri)) for file in files)
        uris = (self._objects.readable_by(name, seconds=seconds, at=at) for name in names)
        return Addresses(tuple(uris), at + READABLE_FOR)

    def delete_table(self, at: TableAt) -> None:
        self._objects.remove_below(self._name(self.inside(at.uri)))
        super().delete_table(at)

    # --- What is set aside ----------------------------------------------------------------------

    def set_aside(self, at: TableAt, folder: str) -> str:
        place, name = self._aside(at), Path(folder).name
        files = [file for file in Path(folder).rglob("*") if file.is_file()]
        if not Path(folder).is_dir():
            raise OfflineStoreUnavailable(f"{folder} cannot be moved: it is not there any more")
        for file in files:
            self._objects.put(file, f"{place}/{name}/{file.relative_to(folder).as_posix()}")
        return super().set_aside(at, folder)

    def aside(self, at: TableAt, name: str) -> Aside:
        place = f"{self._aside(at)}/{name}"
        found = self._objects.below(place)
        self._mirror.forget_unlike({f"{place}/{each}": size for each, size in found.items()})
        files = sorted(each for each in found if each.endswith(".parquet"))
        here = self.inside(at.uri) / ASIDE / name
        rows = [str(here / each) for each in files if not each.startswith(f"{EVENTS}/")]
        events = [str(here / each) for each in files if each.startswith(f"{EVENTS}/")]
        return Aside(tuple(rows), sum(found[each] for each in files), tuple(events))

    def keep_aside(self, at: TableAt, names: Collection[str]) -> None:
        for name in self._objects.folders(self._aside(at)):
            if name not in names:
                self._objects.remove_below(f"{self._aside(at)}/{name}")
        super().keep_aside(at, names)

    def remove_aside(self, at: TableAt, name: str) -> None:
        self._objects.remove_below(f"{self._aside(at)}/{name}")
        super().remove_aside(at, name)

    def _aside(self, at: TableAt) -> str:
        return f"{self._name(self.inside(at.uri))}/{ASIDE}"

    # --- What differs of the tables -------------------------------------------------------------

    def _files(self, at: TableAt) -> BucketFiles:
        folder = self.inside(at.uri)
        return BucketFiles(self._objects, self._mirror, self._name(folder))

    def _told(self, at: TableAt) -> TableAt:
        return at._replace(uri=f"s3://{self._objects.key(self._name(self.inside(at.uri)))}")

    def _name(self, path: Path) -> str:
        """Return what something under the root is called in the bucket."""
        return path.relative_to(self.root).as_posix()

    def _address(self, path: Path) -> str:
        return f"s3://{quote(self._objects.key(self._name(path)))}"

    def _opened(self, path: Path) -> DeltaTable | None:
        try:
            return DeltaTable(self._address(path), storage_options=self._options)
        except TableNotFoundError:
            return None

    def _before_commit(self) -> None:
        self.require_safe()

    def _unwritable(self, uri: str, error: DeltaError | OSError) -> OfflineStoreUnavailable:
        return self._unavailable(uri, error, "written")

    def _unavailable(
        self, uri: str, error: DeltaError | OSError, what: str
    ) -> OfflineStoreUnavailable:
        """Return what the library says of the storage in our words: its own have addresses."""
        words = said(error)
        found = why_of_table(words)
        because = found.words if found is not None else words[:300]
        name = self._name(self.inside(uri))
        return OfflineStoreUnavailable(
            f"{name} of the offline store {self._objects.address} cannot be {what}: {because}",
            step=found.step if found is not None else SEE_TO_STORE,
        )


class BucketFiles:
    """Files of a table in the bucket, read from copies here; see ``TableFiles``."""

    def __init__(self, objects: Objects, mirror: Mirror, table: str) -> None:
        self._objects, self._mirror, self._table = objects, mirror, table

    def path(self, name: str) -> str:
        return str(self._mirror.path(self._key(name)))

    def add(self, staged: str, name: str) -> None:
        """Put it where it is kept first; here it is a copy."""
        self._objects.put(staged, self._key(name))
        Path(staged).rename(self.path(name))

    def remove(self, names: Iterable[str]) -> None:
        keys = [self._key(name) for name in names]
        self._objects.remove(keys)
        self._mirror.forget(keys)

    def take_back(self, names: Iterable[str]) -> None:
        """Remove the copies here alone.

        The storage may write the log's entry after nobody waits for it any more. What the log
        does not name within an hour, care removes.
        """
        self._mirror.forget(map(self._key, names))

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Return the bytes that the bucket has; copies here of other sizes are none."""
        found: dict[str, int] = {}
        names = set(names)
        for folder in {name.rpartition("/")[0] for name in names}:
            inside = self._objects.sizes(self._key(folder) if folder else self._table)
            found |= {f"{folder}/{n}" if folder else n: size for n, size in inside.items()}
        self._mirror.forget_unlike({self._key(n): found[n] for n in names & found.keys()})
        return found

    def state(self, name: str) -> tuple[int, str]:
        """Return what the bucket has; a copy here that is not that is none."""
        key = self._key(name)
        try:
            found = self._objects.sha256(key)
        except ObjectGone as exc:
            raise FileNotFoundError(name) from exc
        self._mirror.forget_unless(key, found[1])
        return found

    def drop_untrue(self, hashes: Mapping[str, str]) -> None:
        for name, sha256 in hashes.items():
            self._mirror.forget_unless(self._key(name), sha256)

    def _key(self, name: str) -> str:
        return f"{self._table}/{name}"
