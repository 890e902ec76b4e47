"""Where a source is read from, as the parent knows it: what each kind of source is found by.

Not for finding it (``kinds``) or for who may read there (the registry has roots and connections).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from lib.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Where(msgspec.Struct, frozen=True):
    """A place; each kind of place says how it is told."""

    def told(self, message: str) -> str:
        """Return a message as it may be told: not with what only whoever runs the server knows."""
        return message

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Let errors out as they are told."""
        try:
            yield
        except AssayError as exc:
            exc.reword(self.told)
            raise
