"""What sources of every kind say in a definition, and what a version keeps of one. [pure]

Not for finding or reading their rows: ``materialization.sources`` has a module a kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from registry.spec.base import Described, Name, Spec
from registry.spec.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta


TimeUnit = Literal["timestamp", "s", "ms", "us", "ns"]


class TimeColumn(Spec, frozen=True):
    """A source column that holds an instant; numbers count ``unit`` since 1970 in UTC."""

    column: str
    unit: TimeUnit = "timestamp"


class SourceColumn(Spec, frozen=True):
    """A column of a source by its exact name, and its type in the engine's words."""

    name: str
    type: str


class SourceSchema(Spec, frozen=True):
    """What a source was when a version was submitted; what would else be guessed at each read.

    ``columns`` are all it had, by name, the few a version reads and the others. ``options`` are the
    reader's, in words.
    """

    format: str
    options: dict[str, str] = {}
    columns: tuple[SourceColumn, ...] = ()

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.columns}

    def of(self, names: Collection[str] | None) -> dict[str, Any]:
        """Return what decides the values of these columns; None: of all."""
        read = {n: kind for n, kind in self.types.items() if names is None or n in names}
        return {"format": self.format, "options": self.options, "columns": read}


class SourceSpec(Described, frozen=True, kw_only=True, tag_field="type"):
    """What sources of every kind say; each kind adds keys of its own."""

    #: The keys of its own that a definition must have, as they may be written.
    example: ClassVar[dict[str, Any]] = {}

    event_timestamp: TimeColumn
    created_timestamp: TimeColumn | None = None
    #: How far back each run looks again for rows that arrived late, though nothing tells that some
    #: did: what a run has no other reason to read.
    lookback: str | None = None

    #: What it is where a definition does not say.
    default_lookback: ClassVar[str | None] = None

    @property
    def look_back(self) -> timedelta | None:
        back = self.lookback or self.default_lookback
        return parse_duration(back) if back else None

    @property
    def link(self) -> str:
        """The connection that its rows are read by; empty: they lie under a root."""
        return ""

    @property
    def link_kind(self) -> str:
        """Of which kind the connection has to be: as a rule the word of the source's own."""
        return self.type

    @property
    def is_windowed(self) -> bool:
        """Whether it is asked for the rows of some time alone."""
        return False

    @property
    def type(self) -> str:
        """The word the definition has for the kind."""
        return str(type(self).__struct_config__.tag)

    def where(self) -> str:
        """Say in a few words where the rows are, for lists and pages."""
        raise NotImplementedError

    def path_within(self) -> str:
        """Return a pattern for where its rows are within its place; see ``path_overlap``."""
        raise NotImplementedError

    def as_written(self) -> str:
        """Return what a definition says of where they are there: alike only if nothing moved."""
        return self.path_within()

    def decides(self) -> dict[str, Any]:
        """Return what decides the rows: everything but the words."""
        words = {field.name for field in msgspec.structs.fields(Described)}
        own = (field.name for field in msgspec.structs.fields(type(self)))
        return {"type": self.type} | {n: getattr(self, n) for n in own if n not in words}


class RootedSource(SourceSpec, frozen=True, kw_only=True):
    """What sources say whose files lie under a root of the project.

    ``root`` is empty where a definition names none; what versions embed always names it.
    """

    path: str
    root: Name = ""

    def where(self) -> str:
        return f"{self.root}: {self.path}" if self.root else self.path

    def path_within(self) -> str:
        return self.path


class ConnectedSource(SourceSpec, frozen=True, kw_only=True):
    """What sources say that are read of another system, by a connection the operator set up.

    Nothing tells which of its rows changed, so each run looks at those of the last day again. The
    connection is of the kind that ``type`` says.
    """

    default_lookback: ClassVar[str | None] = "1d"

    connection: Name

    @property
    def link(self) -> str:
        return self.connection
