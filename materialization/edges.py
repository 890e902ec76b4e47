"""Where materialization meets the settings: stores, engine and roots, made from them.

Everything below takes these as arguments and reads no settings itself.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from django.conf import settings

from lib.connections import RedisUnavailable, get_redis, translated
from lib.errors import Invalid
from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits, PythonLimits
from materialization.compute.look import Look, files_in, look
from materialization.compute.scratch import own_folder
from materialization.finding.kinds import FETCHERS, TRIERS, find_source
from materialization.finding.links import Link
from materialization.sources.files import Whereabouts
from materialization.stores.kept_files import LocalFileKeeper
from materialization.stores.offline import DeltaOfflineStore
from materialization.stores.online import RedisOnlineStore
from materialization.transforms.python.process import not_as_submitted, walls_held
from registry.connections import connection_named, connections_of, secret_text
from registry.epoch import epoch_keys
from registry.file_roots import root_of
from registry.fittings import fitted_of
from registry.mask_keys import keys_of, trial_keys
from registry.models import Project
from registry.spec.fingerprints import canonical_json
from registry.spec.sources import ConnectedSource

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from materialization.compute.engine import Engine
    from materialization.finding.fetching import Fetched, Wanted
    from materialization.sources.inputs import LinkedRows
    from materialization.sources.where import Where
    from materialization.stores.kept_files import FileKeeper
    from materialization.stores.offline_protocol import OfflineStore
    from materialization.stores.online_protocol import OnlineStore
    from registry.spec.model import VersionSpec

log = logging.getLogger(__name__)
#: How long somebody who plans or submits definitions waits for a look at the files, a definition.
LOOK_SECONDS = 60.0
#: And for another system to say that it is there.
TRY_SECONDS = 15.0

#: The stores there are, by kind; every contract of ``tests/contracts`` runs on each.
OFFLINE: dict[str, Callable[[], OfflineStore]] = {
    "delta": lambda: DeltaOfflineStore(settings.OFFLINE_STORE),
}
ONLINE: dict[str, Callable[[], OnlineStore]] = {
    "redis": lambda: RedisOnlineStore(get_redis(), epoch_keys=epoch_keys),
}


def offline_store() -> OfflineStore:
    return OFFLINE["delta"]()


def online_store() -> OnlineStore:
    return ONLINE["redis"]()


def dataset_files() -> FileKeeper:
    """Return where training sets are kept; no project is called so, and none of its tables is."""
    return LocalFileKeeper(settings.OFFLINE_STORE / "_datasets")


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


def engine(*, timeout_s: float | None = None) -> Engine:
    """Return the engine; ``timeout_s`` where somebody waits for less than a run may take.

    What it hashes is not what is stored: see ``trial_keys``.
    """
    fetch = partial(fetch_rows, timeout_s=timeout_s)
    return ENGINES["duckdb"](_limits(timeout_s), trial_keys(), fitted_of, fetch)


def storing_engine() -> Engine:
    """Return the engine for rows of approved versions: to be stored, or compared with such."""
    return ENGINES["duckdb"](_limits(), keys_of, fitted_of, fetch_rows)


def spilled_beside(folder: str) -> int:
    """Return how many bytes a sandbox may spill onto the disk that ``folder`` lies on."""
    is_same = Path(own_folder()).stat().st_dev == Path(folder).stat().st_dev
    return _limits().temp_limit_mb << 20 if is_same else 0


def _limits(timeout_s: float | None = None) -> EngineLimits:
    return EngineLimits(
        memory_limit_mb=settings.ENGINE_MEMORY_LIMIT_MB,
        threads=settings.ENGINE_THREADS or os.cpu_count() or 1,
        timeout_s=settings.ENGINE_TIME_LIMIT_SECONDS if timeout_s is None else timeout_s,
        temp_root=own_folder(),
        tick_rows=settings.TICK_ROWS_LIMIT,
        python=PythonLimits(
            distributions=tuple(settings.PYTHON_DISTRIBUTIONS),
            folder=settings.PYTHON_FOLDER,
            demands=tuple(settings.PYTHON_CONFINEMENT),
            memory_limit_mb=settings.PYTHON_MEMORY_LIMIT_MB,
            batch_seconds=float(settings.PYTHON_BATCH_SECONDS),
        ),
    )


@lru_cache(maxsize=1)
def python_walls() -> frozenset[str]:
    """Return what the kernel holds Python transforms with; asked once a process."""
    return walls_held(_limits())


def installed_otherwise(spec: VersionSpec) -> str:
    """Say why a version's Python function would not be called any more; empty: it would."""
    if spec.view.python is None or spec.code is None:
        return ""
    return not_as_submitted(spec.view.python, spec.code, _limits())


def whereabouts(spec: VersionSpec, project: Project) -> Where:
    """Return where a version's source is read from, and where none may: our own stores.

    :raises RootUnknown, RootMoved, RootNotAllowed: as ``root_of``; nothing may be read.
    :raises ConnectionUnknown, ConnectionMoved, ConnectionsUnusable: as ``connection_named``.
    """
    if isinstance(spec.rows_from, ConnectedSource):
        source = spec.rows_from
        return _link(source.connection, spec.root_identity, project, source.type)
    forbidden = (str(settings.OFFLINE_STORE), str(settings.STATE_DIR / "redis"))
    root = root_of(spec, project)
    return Whereabouts(root=root.path, name=root.name, forbidden=forbidden)


def fetch_rows(
    rows: LinkedRows,
    wanted: Wanted,
    folder: str,
    watch: Callable[[], None],
    *,
    timeout_s: float | None = None,
) -> Fetched:
    """Fetch rows by the connection as it is now; see ``finding.fetching.Fetch``."""
    source = rows.source
    if not isinstance(source, ConnectedSource):
        raise TypeError(f"{source.name} is read without a connection")
    project = Project.objects.get(name=rows.project)
    link = _link(source.connection, rows.place, project, source.type)
    if timeout_s is not None:
        link = msgspec.structs.replace(link, timeout_s=min(timeout_s, link.timeout_s))
    return FETCHERS[type(source)].fetch(rows, wanted, folder, watch, link)


def try_connection(*, name: str, project: Project) -> None:
    """Ask a connection's system whether it answers; ``settings.CONNECTION_TRY`` names this.

    :raises AssayError: it does not, or is not as it should be; says why.
    """
    identity = connections_of(project)[name].identity
    link = msgspec.structs.replace(_link(name, identity, project), timeout_s=TRY_SECONDS)
    TRIERS[type(link.connection)].try_link(link)


def _link(name: str, identity: str, project: Project, kind: str = "") -> Link:
    connection = connection_named(name, identity, project, kind=kind)
    return Link(
        name=name,
        project=project.name,
        connection=connection,
        secret=partial(secret_text, connection),
        most_bytes=settings.SOURCE_STAGING_MB << 20,
        timeout_s=settings.SOURCE_TIME_LIMIT_SECONDS,
    )


def look_at_sources(
    *, specs: Sequence[VersionSpec], project: Project, unseen: Collection[int] = ()
) -> list[Look]:
    """Look at the files that versions would read; ``settings.SOURCE_LOOK`` names this function.

    Versions of one source share a child process and a walk over its files.
    """
    shared: dict[tuple[str, str], list[int]] = {}
    for place, spec in enumerate(specs):
        shared.setdefault(_source_key(spec), []).append(place)
    seen: dict[int, Look] = {}
    for places in shared.values():
        hidden = {index for index, place in enumerate(places) if place in unseen}
        looks = _look_at([specs[place] for place in places], project, hidden)
        seen.update(zip(places, looks, strict=True))
    return [seen[place] for place in range(len(specs))]


def source_files(*, spec: VersionSpec, project: Project) -> dict[str, str]:
    """Say which state each file of a version's source is in; ``settings.SOURCE_FILES`` names it.

    :raises Invalid: nothing can be read there now, or not by this version; says why.
    """
    where = whereabouts(spec, project)
    return files_in(find_source(spec.rows_from, where), where)


def _source_key(spec: VersionSpec) -> tuple[str, str]:
    return canonical_json(spec.rows_from), spec.root_identity


def _look_at(specs: Sequence[VersionSpec], project: Project, unseen: Collection[int]) -> list[Look]:
    source, began = specs[0].rows_from, time.monotonic()
    try:
        where = whereabouts(specs[0], project)
    except Invalid as exc:
        key = "connection" if isinstance(source, ConnectedSource) else "root"
        return [Look(problems=[(("source", key), exc.message)])] * len(specs)
    limited = engine(timeout_s=LOOK_SECONDS * len(specs))
    seen = look(specs, where=where, engine=limited, unseen=unseen)
    took = time.monotonic() - began
    words = "looked at source %s of %s for %d definitions in %.1f s"
    log.info(words, source.name, project, len(specs), took)
    return seen
