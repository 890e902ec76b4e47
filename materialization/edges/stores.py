"""The stores of this server, made from its settings.

Not for what a store does: ``materialization.stores`` says that, and reads no settings.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from django.conf import settings

from lib.connections import RedisUnavailable, get_redis, translated
from lib.decoding import converter
from materialization.compute.scratch import own_folder
from materialization.stores.kept_files import LocalFileKeeper
from materialization.stores.kept_objects import BucketFileKeeper
from materialization.stores.later_rows import RedisLaterRows
from materialization.stores.mirror import Mirror
from materialization.stores.objects import Objects, StoreWay
from materialization.stores.offline import DeltaOfflineStore
from materialization.stores.offline_bucket import BucketOfflineStore
from materialization.stores.online import RedisOnlineStore
from materialization.stores.push_log import RedisPushLog
from materialization.stores.usage_stream import UsageStream
from materialization.stores.usage_table import UsageAt, UsageTable
from registry.epoch import epoch_keys
from registry.spec.connections import S3Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    import redis

    from materialization.stores.kept_files import FileKeeper
    from materialization.stores.offline_protocol import OfflineStore
    from materialization.stores.online_protocol import OnlineStore

#: The stores there are, by kind; every contract of ``tests/contracts`` runs on each.
OFFLINE: dict[str, Callable[[], OfflineStore]] = {
    "folder": lambda: DeltaOfflineStore(settings.OFFLINE_STORE),
    "bucket": lambda: _in_the_bucket(),
}


# Made once for a client: every read asks for it.
@lru_cache(maxsize=2)
def _redis_store(client: redis.Redis) -> OnlineStore:
    return RedisOnlineStore(client, epoch_keys=epoch_keys)


ONLINE: dict[str, Callable[[], OnlineStore]] = {"redis": lambda: _redis_store(get_redis())}


def offline_store() -> OfflineStore:
    return OFFLINE["bucket" if settings.OFFLINE_BUCKET else "folder"]()


def require_safe_store() -> None:
    """:raises OfflineStoreUnsafe: what two workers commit at once may be lost where it lies."""
    if settings.OFFLINE_BUCKET:
        _in_the_bucket().require_safe()


_read_connection = converter(S3Connection)


def offline_bucket() -> tuple[S3Connection, str, int]:
    """Return where the offline store's bucket is, and what this machine has of it."""
    return (
        _read_connection(settings.OFFLINE_BUCKET),
        str(settings.OFFLINE_STORE),
        settings.OFFLINE_CACHE_MB << 20,
    )


def _in_the_bucket() -> BucketOfflineStore:
    return _bucket_store(*offline_bucket(), os.getpid())


@lru_cache(maxsize=2)
def _bucket_store(to: S3Connection, root: str, most_bytes: int, _pid: int) -> BucketOfflineStore:
    """Return the store; a forked process has clients of its own."""
    return BucketOfflineStore(root, _way(to), most_bytes=most_bytes, in_use_s=_longest_read())


def _longest_read() -> float:
    """Return for how many seconds somebody may read what was brought for them."""
    return float(settings.CELERY_TASK_TIME_LIMIT)


def tidy_copies() -> None:
    """Remove what this machine has of an offline store in a bucket and nobody needs any more.

    :raises OfflineStoreUnavailable: the bucket does not say what is gone.
    """
    if settings.OFFLINE_BUCKET:
        _in_the_bucket().tidy_copies()


def _way(to: S3Connection) -> StoreWay:
    return StoreWay(to, lambda: to.secret_access_key)


def online_store() -> OnlineStore:
    return ONLINE["redis"]()


def push_log() -> RedisPushLog:
    return RedisPushLog(get_redis())


def usage_stream() -> UsageStream:
    return UsageStream(get_redis())


def usage_table(schema: pa.Schema) -> UsageTable:
    """Return where it is stored who read what; no project is called so."""
    if settings.OFFLINE_BUCKET:
        objects = Objects(_way(offline_bucket()[0]))
        return UsageTable(
            UsageAt(f"s3://{quote(objects.key('_usage'))}", objects.table_options), schema
        )
    return UsageTable(UsageAt(str(settings.OFFLINE_STORE / "_usage")), schema)


def later_rows() -> RedisLaterRows:
    return RedisLaterRows(get_redis())


def dataset_files() -> FileKeeper:
    """Return where training sets are kept; no project is called so, and none of its tables is."""
    return _kept_files("_datasets")


def job_files() -> FileKeeper:
    """Return where the answers of jobs lie for some hours, beside those."""
    return _kept_files("_jobs")


def vector_files() -> FileKeeper:
    """Return where the vectors lie that searches look through."""
    return _kept_files("_vectors")


def _kept_files(name: str) -> FileKeeper:
    if settings.OFFLINE_BUCKET:
        to, root, most_bytes = offline_bucket()
        objects = Objects(_way(to))
        mirror = Mirror(objects, Path(root), most_bytes, in_use_s=_longest_read())
        return BucketFileKeeper(objects, mirror, name, own_folder())
    return LocalFileKeeper(settings.OFFLINE_STORE / name)


class Fullness(NamedTuple):
    """How much of what it may take a store has taken, in bytes."""

    used: int
    limit: int

    @property
    def percent(self) -> int:
        return 100 * self.used // self.limit if self.limit else 0


def fullness() -> dict[str, Fullness]:
    """Return how full each store is, by its name for people; one that does not say is left out.

    A Redis without a limit of its own may take its machine's memory, and dies of it.
    """
    found = {}
    with suppress(OSError):
        disk = os.statvfs(settings.OFFLINE_STORE)
        free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        found["offline store"] = Fullness(size - free, size)
    with suppress(RedisUnavailable), translated():
        memory = get_redis().info("memory")
        limit = int(memory.get("maxmemory", 0)) or int(memory.get("total_system_memory", 0))
        found["online store"] = Fullness(int(memory.get("used_memory", 0)), limit)
    return found


def room_left() -> str:
    """Say what is left on each disk that runs write to, the fullest first."""
    disks: dict[int, tuple[int, str]] = {}
    for folder in (settings.OFFLINE_STORE, settings.STATE_DIR, Path(tempfile.gettempdir())):
        with suppress(OSError):
            disk = os.statvfs(folder)
            free = disk.f_bavail * disk.f_frsize >> 20
            disks.setdefault(folder.stat().st_dev, (free, str(folder)))
    return ", ".join(f"{free:,} MB in {folder}" for free, folder in sorted(disks.values()))
