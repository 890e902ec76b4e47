"""From a source's path to the files a run reads, inside the one root it is read from.

Not for how they are read (``reading``, ``readers``): only the sandbox opens users' files.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from materialization.errors import (
    SourceFileEmpty,
    SourceFileMissing,
    SourceFileUnsupported,
    SourceFolderUnreadable,
    SourceOutsideRoots,
)
from materialization.sources.inputs import SourceFiles
from materialization.sources.reading import OpenedSource, open_files
from materialization.sources.walking import (
    Walk,
    folder_unreadable,
    is_under,
    require_inside,
)
from materialization.sources.where import Where
from registry.spec.sources.files import COMPRESSIONS, ENDINGS, FileSource, FormatName, file_format

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import duckdb

    from registry.spec.version_spec import VersionSpec


#: DuckDB would expand these in a file's own name and read its neighbours as well.
_GLOB_CHARACTERS = frozenset("*?[]")
#: What of a folder makes the one it is in a table of files, and what such a table is called.
TABLE_LOGS = {
    "_delta_log/": "a Delta",
    ".hoodie/": "a Hudi",
    "metadata/*.metadata.json": "an Iceberg",
    "metadata/version-hint.text": "an Iceberg",
    "metadata/snap-*.avro": "an Iceberg",
}
#: How Hive, Spark and Arrow write NULL as a folder's value.
_NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"


class Whereabouts(Where, frozen=True):
    """The root a source is read from, its name in words, and what nobody may: our own stores."""

    root: str
    name: str = "default"
    forbidden: tuple[str, ...] = ()

    def told(self, message: str) -> str:
        """Return a message with paths as definitions write them: where roots are is not said."""
        for root in (str(Path(self.root).resolve()), self.root):
            message = message.replace(f"{root}/", "")
            message = message.replace(f"folder {root}", f"folder of the root {self.name}")
            message = message.replace(root, f"the root {self.name}")
        return message


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

    ``forbidden`` directories (our own stores) are left out, and hidden files. Symbolic links are
    followed only as long as they stay inside the root. ``key=value`` folders are read where the
    path's wildcards matched them, never above.

    :raises SourceFileMissing: nothing matches.
    :raises SourceOutsideRoots: the path, or a link it matches, leads out of the root.
    :raises SourceFolderUnreadable, SourceFolderTooLarge: a folder that may not, or cannot, be read.
    :raises SourceFileEmpty: a file of 0 bytes.
    :raises SourceFileUnsupported: what is no file of a format we read, or a name DuckDB would
        expand.
    """
    refuse_escape(source.path)
    closed = [Path(directory).resolve() for directory in forbidden]
    require_root(root, name)
    named = _named(source.path, Path(root).resolve(), closed)
    if not named.files:
        hidden = f" Hidden files match no wildcard, as {named.left[0]}." if named.left else ""
        raise SourceFileMissing(
            f"no file matches {source.path!r} under the root {name}; "
            f"check the path, or name the root it is in.{hidden}",
            path=source.path,
            root=name,
        )
    paths = sorted(named.files)
    said = [partitions_of(named.files[path]) for path in paths]
    return SourceFiles(
        tuple(map(str, paths)),
        _format_of(paths),
        partitions=tuple(said) if any(said) else (),
        left_out=tuple(sorted(set(named.left))),
    )


def require_root(root: str, name: str) -> None:
    """:raises SourceFolderUnreadable: it is not mounted; what else is wrong with it a walk says."""
    try:
        Path(root).stat()
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise SourceFolderUnreadable(
            f"the folder of the root {name} is not there; mount it, or have the root moved.",
            root=name,
        ) from exc
    except OSError:
        return


class _Named(NamedTuple):
    """``files``: real path → the folders that wildcards matched; ``left``: hidden names."""

    files: dict[Path, tuple[str, ...]]
    left: list[str]


def _named(path: str, root: Path, closed: Sequence[Path]) -> _Named:
    """:raises SourceOutsideRoots: it matches under this root, but only files of our own stores."""
    walk = Walk(root, closed=closed)
    files: dict[Path, tuple[str, ...]] = {}
    folders = []
    for match in sorted(walk.matches(path)):
        real = _real(match.path, root)
        if is_under(real, closed):
            walk.met_closed = True
        elif real.is_dir():
            folders.append(match.path)
        else:
            files.setdefault(real, match.folders)
    if walk.met_closed and not files:
        raise SourceOutsideRoots(
            f"source path {path!r} matches only files of Assay's own stores; "
            "name files that belong to the project.",
            path=path,
        )
    _refuse_folders(path, folders, files)
    _refuse_tables(files, root)
    return _Named(files, walk.left_out)


def _real(path: Path, root: Path) -> Path:
    """Return where a match really is: a file or a folder inside the root.

    :raises SourceOutsideRoots: it is a link out of the root.
    :raises SourceFolderUnreadable: what it is cannot be seen.
    :raises SourceFileUnsupported: a link to nothing, a pipe or a device.
    """
    try:
        real = path.resolve()
    except (RuntimeError, OSError):  # a link round and round
        real = root / path.name / "nothing"
    require_inside(path, real, root)
    try:
        is_there = real.exists()
    except OSError as exc:  # a folder that it lies in, or that a link leads through
        raise folder_unreadable(real.parent, exc) from exc
    if not is_there:
        raise SourceFileUnsupported(
            f"{path} is a link to nothing; put the file back, or take the link away.",
            path=str(path),
        )
    if not (real.is_file() or real.is_dir()):
        raise SourceFileUnsupported(f"{path} is no regular file; take it away.", path=str(path))
    return real


def _refuse_folders(path: str, folders: Sequence[Path], files: Iterable[Path]) -> None:
    """Refuse folders that are called as files are, unless what is in them is read as well."""
    inside = _folders_of(files)
    for folder in folders:
        if file_format(folder.name) and folder.resolve() not in inside:
            raise SourceFileUnsupported(
                f"{folder} is a folder; name the files in it, as in {path}/*{ending_of(folder)}.",
                path=str(folder),
            )


def _refuse_tables(files: Iterable[Path], root: Path) -> None:
    """A table's folder also holds the files it no longer has: only its log tells them apart."""
    for folder in _folders_of(files):
        if not folder.is_relative_to(root):
            continue
        for log, name in TABLE_LOGS.items():
            if any(folder.glob(log)):
                instead = (
                    f"say `type: delta` and `path: {folder.relative_to(root)}`."
                    if name == "a Delta"
                    else "write its rows to files of their own, and name those."
                )
                raise SourceFileUnsupported(
                    f"{folder} is {name} table, and its folder also holds files that the table "
                    f"no longer has; {instead}",
                    path=str(folder),
                )


def _folders_of(files: Iterable[Path]) -> set[Path]:
    """Return the folders that files lie in, and those that these lie in."""
    own = {file.parent for file in files}
    return own | {above for folder in own for above in folder.parents}


def partitions_of(folders: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
    """Return what ``key=value`` folders say, as text; the innermost of equal keys counts.

    Values are what their writers wrote: percent-encoded where they hold what no folder's name may.
    """
    said: dict[str, str | None] = {}
    for folder in folders:
        key, sign, value = folder.partition("=")
        if sign and key:
            said[key] = None if value == _NULL_FOLDER else _decoded(value)
    return tuple(said.items())


def _decoded(value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:  # no writer's encoding, so it is meant as it stands
        return value


def refuse_escape(path: str) -> None:
    if Path(path).is_absolute() or ".." in Path(path).parts or path.startswith("~"):
        raise SourceOutsideRoots(
            f"source path {path!r} leaves its root; write it relative to the root's directory.",
            path=path,
        )


def refuse_expanded(path: Path) -> None:
    """:raises SourceFileUnsupported: a name that DuckDB would take for a pattern."""
    if _GLOB_CHARACTERS & set(str(path)):
        raise SourceFileUnsupported(f"{path}: rename it without * ? [ ].", path=str(path))


def ending_of(path: PurePath) -> str:
    parts = path.suffixes[-2:] if path.suffix in COMPRESSIONS else path.suffixes[-1:]
    return "".join(parts) or path.name


def _format_of(paths: Sequence[Path]) -> FormatName:
    """Return the one format of the files.

    :raises SourceFileUnsupported, SourceFileEmpty: they have none or several, or cannot be read.
    """
    formats = {file_format(path.name) for path in paths}
    if len(formats) != 1 or (found := formats.pop()) is None:
        names = ", ".join(sorted({ending_of(path) for path in paths}))
        raise SourceFileUnsupported(
            f"one source reads files of one format, {ENDINGS}; these end in {names}.",
            endings=names,
        )
    for path in paths:
        refuse_expanded(path)
        if path.stat().st_size == 0:
            raise SourceFileEmpty(
                f"{path} has 0 bytes; write it again, or take it away.", path=str(path)
            )
    return found
