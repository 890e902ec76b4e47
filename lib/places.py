"""Where a directory really is: its file system, and its path inside that.

Two directories with different paths are one place when the operator mounted one onto the other
(``mount --bind``, a volume given to a container twice): paths alone do not tell. Not for who may
read one.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The kernel's list of what is mounted where; systems without it have only paths to go by.
MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


class Place(NamedTuple):
    """A file system, by its number or its mount point, and a path inside it from ``/``."""

    file_system: str
    path: PurePosixPath

    def overlaps(self, other: Place) -> bool:
        """Return whether a file can be in both: one is, or lies inside, the other."""
        inside = self.path.is_relative_to(other.path) or other.path.is_relative_to(self.path)
        return self.file_system == other.file_system and inside


class _Mount(NamedTuple):
    file_system: str
    root: PurePosixPath
    point: PurePosixPath


def place_of(path: str) -> Place:
    """Return where a directory is; ``path`` is real, as ``Path.resolve`` gives it."""
    mounts = MOUNTS.read_text(errors="surrogateescape").splitlines() if MOUNTS.exists() else []
    return find_place(PurePosixPath(path), mounts)


def find_place(path: PurePosixPath, mounts: Iterable[str]) -> Place:
    """Return the place of a real path, by the lines of ``mountinfo``. [pure]

    Of several mounts on one point the last one is what is seen.
    """
    found = _Mount("", PurePosixPath("/"), PurePosixPath("/"))
    for mount in map(_mount, mounts):
        deeper = len(mount.point.parts) >= len(found.point.parts)
        if deeper and path.is_relative_to(mount.point):
            found = mount
    return Place(found.file_system, found.root / path.relative_to(found.point))


def _mount(line: str) -> _Mount:
    """Source: proc_pid_mountinfo(5): id, parent, major:minor, root, mount point, …"""
    _, _, file_system, root, point, *_ = line.split(" ")
    return _Mount(file_system, _unescaped(root), _unescaped(point))


def _unescaped(text: str) -> PurePosixPath:
    return PurePosixPath(_OCTAL.sub(lambda found: chr(int(found[1], 8)), text))
