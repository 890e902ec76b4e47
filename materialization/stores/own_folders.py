"""Folders of a table whose files are no part of it: staged for a commit, or set aside.

Not for the table itself: ``offline`` commits what is staged. No reader of Delta tables looks there.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError

from lib.errors import said
from lib.outages import DiskUnavailable, outage
from materialization.stores.columns import EVENTS
from materialization.stores.offline_protocol import (
    SEE_TO_STORE,
    OfflineStoreUnavailable,
    TableOutsideStore,
)
from materialization.stores.offline_values import Aside, TableAt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


#: Where files lie before they are part of their table.
STAGING = "_staging"
#: Where files lie that are not to be part of it until somebody decides so.
ASIDE = "_quarantine"


class OwnFolders:
    """The folders under ``root``, which is a store's; ``TableAt.uri`` is a table's directory.

    What each method promises stands in ``offline_protocol.OfflineStore``.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()

    @contextmanager
    def staging(self, at: TableAt, name: str) -> Iterator[str]:
        folder = self.inside(at.uri) / STAGING / name
        try:
            folder.mkdir(parents=True)
        except OSError as exc:
            raise unwritable(folder, exc, "made") from exc
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def clear_staging(self, at: TableAt, *, keep: str = "") -> None:
        for name in self.list_staged(at):
            if name != keep:
                self.drop_staged(at, name)

    def list_staged(self, at: TableAt) -> list[str]:
        return [folder.name for folder in (self.inside(at.uri) / STAGING).glob("*")]

    def keep_staged(self, at: TableAt, folder: str, name: str) -> str:
        self.drop_staged(at, name)
        place = self.inside(at.uri) / STAGING / name
        try:
            Path(folder).rename(place)
        except OSError as exc:
            raise unwritable(folder, exc, "moved") from exc
        return str(place)

    def staged(self, at: TableAt, name: str) -> str | None:
        place = self.inside(at.uri) / STAGING / name
        return str(place) if place.is_dir() else None

    def drop_staged(self, at: TableAt, name: str) -> None:
        shutil.rmtree(self.inside(at.uri) / STAGING / name, ignore_errors=True)

    def set_aside(self, at: TableAt, folder: str) -> str:
        name = Path(folder).name
        place = self.inside(at.uri) / ASIDE
        try:
            place.mkdir(exist_ok=True)
            Path(folder).rename(place / name)
        except OSError as exc:
            raise unwritable(folder, exc, "moved") from exc
        return name

    def aside(self, at: TableAt, name: str) -> Aside:
        place = self.inside(at.uri) / ASIDE / name
        files = sorted(place.rglob("*.parquet"))
        events = [file for file in files if file.is_relative_to(place / EVENTS)]
        rows = [file for file in files if file not in events]
        size = sum(file.stat().st_size for file in files)
        return Aside(tuple(map(str, rows)), size, tuple(map(str, events)))

    def keep_aside(self, at: TableAt, names: Collection[str]) -> None:
        for folder in (self.inside(at.uri) / ASIDE).glob("*"):
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def remove_aside(self, at: TableAt, name: str) -> None:
        try:
            shutil.rmtree(self.inside(at.uri) / ASIDE / name)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise OfflineStoreUnavailable(f"{exc.filename} stays: {exc.strerror}") from exc

    def inside(self, table_uri: str) -> Path:
        """:raises TableOutsideStore: it is no directory of the store's."""
        path = Path(table_uri).resolve()
        if path == self.root or not path.is_relative_to(self.root):
            raise TableOutsideStore(
                f"{table_uri} is no table of the store {self.root}; see OFFLINE_STORE."
            )
        return path


def unwritable(
    place: str | Path, error: DeltaError | OSError, what: str = "written"
) -> OfflineStoreUnavailable | DiskUnavailable:
    """Return what a refusal to write means: no room on the disk, or no right to do it."""
    if isinstance(lacking := outage(error), DiskUnavailable):
        return lacking
    words = said(error)
    reason = getattr(error, "strerror", None) or words
    is_kept_out = "Permission denied" in words
    step = "let the server's user write there" if is_kept_out else SEE_TO_STORE
    return OfflineStoreUnavailable(f"{place} cannot be {what}: {reason}", step=step)
