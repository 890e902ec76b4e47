"""Single files that are kept as they were written, in a bucket; they are read from copies here.

See ``kept_files.FileKeeper`` for what each method promises.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from materialization.stores.kept_files import Kept, KeptFileGone, KeptFileUnavailable
from materialization.stores.objects import ObjectGone
from materialization.stores.own_folders import unwritable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from io import BufferedReader

    from materialization.stores.mirror import Mirror
    from materialization.stores.objects import Objects


class BucketFileKeeper:
    """Objects below the ``folder`` of a bucket; ``drafts`` are under way on this machine."""

    def __init__(self, objects: Objects, mirror: Mirror, folder: str, drafts: str | Path) -> None:
        self._objects, self._mirror = objects, mirror
        self._folder, self._drafts = folder, Path(drafts)

    @contextmanager
    def writing(self, name: str) -> Iterator[str]:
        draft = self._drafts / f".{Path(name).name}.{secrets.token_hex(8)}"
        try:
            self._drafts.mkdir(parents=True, exist_ok=True)
            yield str(draft)
            self._objects.put(draft, self._key(name))
            self._mirror.forget([self._key(name)])
        except OSError as exc:
            raise unwritable(draft, exc) from exc
        finally:
            draft.unlink(missing_ok=True)

    def state(self, name: str) -> Kept:
        try:
            return Kept(*self._objects.sha256(self._key(name)))
        except ObjectGone as exc:
            raise _lost(name) from exc

    def open(self, name: str) -> BufferedReader:
        """Open a copy of as many bytes, which servers send by its name; see ``FileKeeper``."""
        key = self._key(name)
        size = self._objects.sizes(key.rpartition("/")[0]).get(Path(name).name)
        if size is None:
            raise _lost(name)
        copy = self._mirror.path(key)
        try:
            self._mirror.forget_unlike({key: size})
            self._mirror.bring([str(copy)])
            return copy.open("rb")
        except OSError as exc:
            raise KeptFileUnavailable(
                f"{copy} cannot be read: {exc.strerror}. Remove it, it is a copy."
            ) from exc

    def remove(self, name: str) -> None:
        self._objects.remove([self._key(name)])
        self._mirror.forget([self._key(name)])

    def unchanged_since(self, instant: datetime) -> list[str]:
        return self._objects.older(self._folder, instant.astimezone(UTC))

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}"


def _lost(name: str) -> KeptFileGone:
    return KeptFileGone(
        f"{name} is not in the offline store's bucket. Restore it from a backup of the bucket."
    )
