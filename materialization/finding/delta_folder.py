"""A Delta table under a root of the project: where its folder and its files really lie.

Not for its log (``delta_log``). Links are followed, and none leads out of the root.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from materialization.errors import (
    SourceFileMissing,
    SourceFileUnsupported,
    SourceOutsideRoots,
)
from materialization.finding.delta_log import LOG, reading
from materialization.sources.files import refuse_escape, refuse_expanded, require_root
from materialization.sources.walking import folder_unreadable, is_under, require_inside
from materialization.stores.delta_files import unusable_in

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from materialization.sources.files import Whereabouts
    from registry.spec.sources.delta import DeltaSource


class FolderPlace:
    """What each method promises stands in ``delta_log.Place``.

    :raises SourceFileMissing: there is no table.
    :raises SourceOutsideRoots: it lies outside of the root, or among our own stores.
    """

    options: dict[str, str] | None = None

    def __init__(self, source: DeltaSource, where: Whereabouts) -> None:
        refuse_escape(source.path)
        require_root(where.root, where.name)
        self._root = Path(where.root).resolve()
        self._closed = [Path(each).resolve() for each in where.forbidden]
        self.said = f"the Delta table {source.path!r} under the root {where.name}"
        self._folder = self._find(source, where)
        self.address = str(self._folder)
        if (unusable := unusable_in(self.address)) is not None:
            raise SourceFileUnsupported(
                f"{self.said} cannot be read under a path with {unusable!r}; move it to one"
                " without."
            )

    def _find(self, source: DeltaSource, where: Whereabouts) -> Path:
        named = self._root / source.path
        try:
            folder, log = named.resolve(), (named / LOG).resolve()
            is_there = log.is_dir()
        except (RuntimeError, OSError) as exc:
            if isinstance(exc, OSError):
                raise folder_unreadable(named, exc) from exc
            is_there = False  # a link round and round
        for path in (folder, log) if is_there else ():
            require_inside(named, path, self._root)
            if is_under(path, self._closed):
                raise SourceOutsideRoots(
                    f"source path {source.path!r} leads to Assay's own stores; name a table that"
                    " belongs to the project.",
                    path=source.path,
                )
        if not is_there:
            raise SourceFileMissing(
                f"there is no Delta table at {source.path!r} under the root {where.name}: a table's"
                f" folder has a folder {LOG}; check the path, or name the root it is in.",
                path=source.path,
                root=where.name,
            )
        return folder

    def reading(self) -> AbstractContextManager[None]:
        return reading(self.said)

    def begins(self) -> datetime | None:
        oldest = min((self._folder / LOG).glob("[0-9]*.json"), default=None)
        return datetime.fromtimestamp(oldest.stat().st_mtime, UTC) if oldest else None

    def file_named(self, uri: str) -> str:
        return unquote(uri.removeprefix("file://"))

    def file(self, path: str, version: int) -> tuple[str, str]:
        """Follow links too; see ``delta_log.Place``."""
        named = self._folder / self._decoded(path)
        try:
            real = named.resolve()
            is_there = real.is_file()
        except (RuntimeError, OSError) as exc:
            if isinstance(exc, OSError):
                raise folder_unreadable(named.parent, exc) from exc
            real, is_there = named, False
        if not real.is_relative_to(self._root) or is_under(real, self._closed):
            raise SourceOutsideRoots(
                f"{self.said} has a file outside of the root, {named}; copy the whole table into"
                " it."
            )
        if not is_there:
            raise SourceFileMissing(
                f"version {version} of {self.said} has the file {named}, which is not there: a"
                " vacuum took it, or the table was not copied whole. Read a newer version, or put"
                " it back."
            )
        refuse_expanded(real)
        return str(named), str(real)

    def _decoded(self, path: str) -> str:
        """Return a path of the log, where it is percent-encoded, as the file system has it."""
        parts = urlsplit(path)
        if parts.scheme not in ("", "file"):
            raise SourceOutsideRoots(
                f"{self.said} has files elsewhere, as {path[:200]}; copy the whole table."
            )
        return unquote(parts.path if parts.scheme else path)
