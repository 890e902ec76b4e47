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

    What the sandbox may open, and nothing else.
    """

    paths: tuple[str, ...]
    format: FormatName

    def identity(self) -> tuple[tuple[str, int, int], ...]:
        """Return (path, size, mtime in ns) a file: what changes when a file is replaced."""
        stats = ((path, Path(path).stat()) for path in self.paths)
        return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)


#: What a source of any kind gives the sandbox; further ways are added with ``|``.
SourceInput: TypeAlias = SourceFiles
