"""Counting across processes: what each of them counts, whoever is asked for ``/metrics`` adds up.

Each process writes files of its own in ``METRICS_DIR``, which are kept when it ends: counters go on
over its restarts. Not for what stands in the database or a store: that is asked when it is wanted.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

FOLDER = Path(settings.METRICS_DIR)
# The library looks for it when it is imported, and again for each file.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(FOLDER)

from prometheus_client import CollectorRegistry, Counter, Histogram, values  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Counter", "Histogram", "clean", "counted", "unharmed"]
log = logging.getLogger(__name__)
#: The kinds of files that there are: gauges are asked for, never written.
KINDS = ("counter", "histogram")
#: Room for some thousand series. It is taken at once: the files are written through memory, and a
#: page that a full disk cannot give would kill the process.
FILE_BYTES = 1 << 20
#: Containers have the same process ids: the host is part of a file's name.
HOST = socket.gethostname().replace("_", "-").replace("/", "-")


class _Identity:
    """Names a process for its files, and makes room for them before the first is opened."""

    def __init__(self) -> None:
        self._known = self._name()
        self._has_room = ""

    def __call__(self) -> str:
        name = self._name()
        if name != self._has_room:
            _make_room(name)
            self._has_room = name
        return name

    @staticmethod
    def _name() -> str:
        return f"{HOST}-{os.getpid()}"


def _make_room(name: str) -> None:
    """:raises OSError: the disk has none, or cannot be written: nothing is counted then."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        file = os.open(FOLDER / f"{kind}_{name}.db", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(file).st_size < FILE_BYTES:
                os.posix_fallocate(file, 0, FILE_BYTES)
        finally:
            os.close(file)


def _value_class() -> type:
    # The class asks for a name at once; before anything is counted there are no files to name.
    identity = _Identity()
    identity._has_room = identity._name()
    found: type = values.MultiProcessValue(identity)  # type: ignore[no-untyped-call]
    identity._has_room = ""
    return found


values.ValueClass = _value_class()


@contextmanager
def unharmed() -> Iterator[None]:
    """Count inside this: where the files cannot be written, the work that is counted goes on."""
    try:
        yield
    except OSError as exc:
        log.warning("nothing is counted: %s", exc)


def counted() -> CollectorRegistry:
    """Return a registry of what all processes have counted, as it is now."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(FOLDER))  # type: ignore[no-untyped-call]
    return registry


def clean() -> None:
    """Forget what was counted: for the start of a whole server, before its processes."""
    shutil.rmtree(FOLDER, ignore_errors=True)
