"""What is sent to the sandbox of a source: a tagged union, one struct a way of reading.

Not for finding it (each kind does) or for reading it (``reading``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import msgspec

from registry.spec.sources import FormatName  # noqa: TC001 - msgspec reads the annotations


class SourceFiles(msgspec.Struct, frozen=True, tag="files"):
    """The real paths of one source, sorted, all of one format; each may be compressed its own way.

    What the sandbox may open, and nothing else. ``partitions`` has what ``key=value`` folders say
    of each path, in the same order (None: the writers' word for NULL); empty where none says
    anything. ``left_out`` are names that the pattern would match if they were not hidden ones.
    """

    paths: tuple[str, ...]
    format: FormatName
    partitions: tuple[tuple[tuple[str, str | None], ...], ...] = ()
    left_out: tuple[str, ...] = ()

    def identity(self) -> tuple[tuple[str, int, int], ...]:
        """Return (path, size, mtime in ns) a file: what changes when a file is replaced."""
        stats = ((path, Path(path).stat()) for path in self.paths)
        return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)


#: What a source of any kind gives the sandbox; further ways are added with ``|``.
SourceInput: TypeAlias = SourceFiles
