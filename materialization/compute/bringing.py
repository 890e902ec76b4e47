"""What an engine asks for before it reads stored files: that they are on this machine.

Not for where they come from: the offline store knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class Bring(Protocol):
    """See ``OfflineStore.bring``."""

    def __call__(self, files: Iterable[str]) -> None: ...


def brings_nothing(files: Iterable[str]) -> None:
    """Stand in where all files are here."""
