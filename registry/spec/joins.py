"""Sources that a view joins to the rows of its own: as definitions name them, and embedded. [pure]

Not for finding the row that is joined (``materialization.sources.joining``). In the view's ``sql``
a joined source is reached by its name: ``products.category``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.spec.base import Name, Spec
from registry.spec.durations import parse_duration
from registry.spec.sources.base import SourceSchema  # noqa: TC001 - msgspec reads them
from registry.spec.sources.kinds import Source  # noqa: TC001 - msgspec reads them

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta


class SourceJoin(Spec, frozen=True):
    """A source beside a view's own: of each row's key the row that was the newest known then.

    ``on`` has, by its column, the column of the view's source that is equal; rows older than
    ``ttl`` at the row's event time are not found.
    """

    name: Name
    on: dict[str, str]
    ttl: str | None = None

    @property
    def ttl_duration(self) -> timedelta | None:
        return parse_duration(self.ttl) if self.ttl else None

    @property
    def theirs(self) -> tuple[str, ...]:
        """The columns of its own that it is found by, in an order of their own."""
        return tuple(sorted(self.on))

    @property
    def ours(self) -> tuple[str, ...]:
        """The columns of the view's source that are equal to them, in the same order."""
        return tuple(self.on[name] for name in self.theirs)


class JoinedSource(Spec, frozen=True):
    """What a version embeds of a source it joins; see ``VersionSpec`` for what it is of its own."""

    source: Source
    root_identity: str = ""
    schema: SourceSchema | None = None

    def decides(self, columns: Collection[str]) -> dict[str, Any]:
        """Return what decides the values of these of its columns."""
        schema = None if self.schema is None else self.schema.of(columns)
        return {"source": self.place_and_times(), "root": self.root_identity, "schema": schema}

    def place_and_times(self) -> dict[str, Any]:
        """Return what of its source decides; how far runs look back in it is not asked."""
        return {key: said for key, said in self.source.decides().items() if key != "lookback"}
