"""From a source's path to the files a run reads, inside the one root it is read from.

Not for how they are read (``reading``, ``readers``): only the sandbox opens users' files.
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from materialization.errors import (
    SourceFileEmpty,
    SourceFileMissing,
    SourceFileUnsupported,
    SourceOutsideRoots,
)
from materialization.sources.inputs import SourceFiles
from materialization.sources.reading import OpenedSource, open_files
from registry.spec.sources import COMPRESSIONS, ENDINGS, FileSource, FormatName, file_format

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import duckdb

    from registry.spec.model import VersionSpec


#: DuckDB would expand these in a file's own name and read its neighbours as well.
_GLOB_CHARACTERS = frozenset("*?[]")


class Whereabouts(msgspec.Struct, frozen=True):
    """The root a source is read from, its name in words, and what nobody may: our own stores."""

    root: str
    name: str = "default"
    forbidden: tuple[str, ...] = ()


class FilesKind:
    """Files of one format under one root of the project."""

    def find(self, source: FileSource, where: Whereabouts) -> SourceFiles:
        return resolve_source(source, root=where.root, name=where.name, forbidden=where.forbidden)

    def open(
        self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec, found: SourceFiles
    ) -> OpenedSource:
        return open_files(connection, spec, found)


def resolve_source(
    source: FileSource, *, root: str, name: str = "default", forbidden: Sequence[str] = ()
) -> SourceFiles:
    """Return the files that ``source.path`` names under the root, which messages call ``name``.

    ``forbidden`` directories (our own stores) are left out. Symbolic links are followed only as
    long as they stay inside the root.

    :raises SourceFileMissing: nothing matches.
    :raises SourceOutsideRoots: the path, or a link it matches, leads out of the root.
    :raises SourceFileEmpty: a file of 0 bytes.
    :raises SourceFileUnsupported: a format we do not read, or a name DuckDB would expand.
    """
    _refuse_escape(source.path)
    closed = [Path(directory).resolve() for directory in forbidden]
    files = _named(source.path, Path(root).resolve(), closed)
    if not files:
        raise SourceFileMissing(
            f"no file matches {source.path!r} under the root {name}; "
            "check the path, or name the root it is in.",
            path=source.path,
            root=name,
        )
    return SourceFiles(tuple(map(str, files)), _format_of(files))


def _named(path: str, root: Path, closed: Sequence[Path]) -> list[Path]:
    """:raises SourceOutsideRoots: it matches under this root, but only files of our own stores."""
    matches = [match for match in _matches(path, root) if match.is_file()]
    found = _contained(matches, root=root, closed=closed)
    if matches and not found:
        raise SourceOutsideRoots(
            f"source path {path!r} matches only files of Assay's own stores; "
            "name files that belong to the project.",
            path=path,
        )
    return found


def _refuse_escape(path: str) -> None:
    if Path(path).is_absolute() or ".." in Path(path).parts or path.startswith("~"):
        raise SourceOutsideRoots(
            f"source path {path!r} leaves its root; write it relative to the root's directory.",
            path=path,
        )


def _matches(pattern: str, root: Path) -> list[Path]:
    # Path.glob does not follow links to directories, and they are allowed inside the root.
    names = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207
    return sorted(root / name for name in names)


def _contained(matches: Iterable[Path], *, root: Path, closed: Sequence[Path]) -> list[Path]:
    """Return the real files, once each, outside the closed directories."""
    found: dict[Path, None] = {}
    for path in matches:
        real = path.resolve()
        if not real.is_relative_to(root):
            raise SourceOutsideRoots(
                f"{path} is a link that leaves {root}; copy the file there instead.", path=str(path)
            )
        if not any(real.is_relative_to(directory) for directory in closed):
            found[real] = None
    return sorted(found)


def _ending(path: Path) -> str:
    parts = path.suffixes[-2:] if path.suffix in COMPRESSIONS else path.suffixes[-1:]
    return "".join(parts) or path.name


def _format_of(paths: Sequence[Path]) -> FormatName:
    """Return the one format of the files.

    :raises SourceFileUnsupported, SourceFileEmpty: they have none or several, or cannot be read.
    """
    formats = {file_format(path.name) for path in paths}
    if len(formats) != 1 or (found := formats.pop()) is None:
        names = ", ".join(sorted({_ending(path) for path in paths}))
        raise SourceFileUnsupported(
            f"one source reads files of one format, {ENDINGS}; these end in {names}.",
            endings=names,
        )
    for path in paths:
        if _GLOB_CHARACTERS & set(str(path)):
            raise SourceFileUnsupported(f"{path}: rename it without * ? [ ].", path=str(path))
        if path.stat().st_size == 0:
            raise SourceFileEmpty(
                f"{path} has 0 bytes; write it again, or take it away.", path=str(path)
            )
    return found
