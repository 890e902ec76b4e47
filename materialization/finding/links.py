"""A connection as the parent uses it: where it leads, and the secret, read when it is used.

Not for who may use it (``registry.connections``).
"""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING

from materialization.errors import SourceUnavailable
from materialization.sources.where import Where
from registry.spec.connections import Connection  # noqa: TC001 - as above

if TYPE_CHECKING:
    from registry.spec.sources.base import ConnectedSource


class Link(Where, frozen=True):
    """A project's connection, and what one reading by it may take."""

    name: str
    project: str
    connection: Connection
    secret: Callable[[], str]
    most_bytes: int = 20 << 30
    timeout_s: float = 3600.0
    #: What the schemas of its records are asked for, where they have any.
    schemas: Link | None = None

    def __repr__(self) -> str:
        return f"Link({self.name!r}, {self.connection!r})"

    def words(self, source: ConnectedSource) -> str:
        """Return what messages call a source."""
        return f"{source.name} ({source.where()})"

    def took_too_long(self, words: str) -> SourceUnavailable:
        """Return the error of a reading that was ended by the time it may take."""
        return SourceUnavailable(
            f"{words} took longer than {self.timeout_s:g} s to be read",
            step="ask for less of it: a plan may take a minute for each view, a run"
            " SOURCE_TIME_LIMIT_SECONDS",
            connection=self.name,
        )
