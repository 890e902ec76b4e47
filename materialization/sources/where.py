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

    from registry.spec.version_spec import VersionSpec


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


class Wheres(Where, frozen=True):
    """Where a view's own source is read from, and those that it joins, in their order."""

    own: Where
    beside: tuple[Where, ...]

    def told(self, message: str) -> str:
        for where in (self.own, *self.beside):
            message = where.told(message)
        return message


@contextmanager
def of_joined(spec: VersionSpec, place: int) -> Iterator[None]:
    """Let errors about a joined source say which it is, and where the definition names it."""
    try:
        yield
    except AssayError as exc:
        # The message alone: what stands beside it are paths and values.
        exc.message = f"joined source {spec.view.sources[place].name}: {exc.message}"
        exc.args = (exc.message,)
        exc.data.setdefault("in_definition", ["sources", place, "name"])
        raise


def own_where(where: Where) -> Where:
    return where.own if isinstance(where, Wheres) else where
