"""A connection as the parent uses it: where it leads, and the secret, read when it is used.

Not for who may use it (``registry.connections``).
"""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING

from materialization.sources.where import Where
from registry.spec.connections import Connection  # noqa: TC001 - as above

if TYPE_CHECKING:
    from registry.spec.sources import ConnectedSource


class Link(Where, frozen=True):
    """A project's connection, and what one reading by it may take."""

    name: str
    project: str
    connection: Connection
    secret: Callable[[], str]
    most_bytes: int = 20 << 30
    timeout_s: float = 3600.0

    def __repr__(self) -> str:
        return f"Link({self.name!r}, {self.connection!r})"

    def words(self, source: ConnectedSource) -> str:
        """Return what messages call a source."""
        return f"{source.name} ({source.where()})"
