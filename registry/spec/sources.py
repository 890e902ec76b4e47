"""Data sources as values: a tagged union, one class a kind. [pure]

Not for finding or reading their rows: ``materialization.sources`` has a module a kind. In a
definition the kind is the word that ``type`` has.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import msgspec

from registry.spec.base import Described, Name, Spec
from registry.spec.durations import parse_duration

if TYPE_CHECKING:
    from datetime import timedelta

if TYPE_CHECKING:
    from collections.abc import Collection

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
    def type(self) -> str:
        """The word the definition has for the kind."""
        return str(type(self).__struct_config__.tag)

    def where(self) -> str:
        """Say in a few words where the rows are, for lists and pages."""
        raise NotImplementedError

    def path_within(self) -> str:
        """Return a pattern for where its rows are within its place; see ``path_overlap``."""
        raise NotImplementedError

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


class FileSource(RootedSource, frozen=True, kw_only=True, tag="file"):
    """Files of one format under one root of the project; ``path`` may be a glob."""

    example = {"path": "data/events/*.parquet"}


class DeltaSource(RootedSource, frozen=True, kw_only=True, tag="delta"):
    """A Delta table under one root of the project; ``path`` is its folder.

    The newest version at each run, unless one is named: by its number, or as the newest of an
    instant.
    """

    example = {"path": "lake/purchases"}

    table_version: int | None = None
    as_of: datetime | None = None

    def where(self) -> str:
        at = f" version {self.table_version}" if self.table_version is not None else ""
        at = f" as of {self.as_of:%Y-%m-%d %H:%M:%S} UTC" if self.as_of is not None else at
        return f"{super().where()}{at}"

    def path_within(self) -> str:
        return f"{self.path}/**"


class ConnectedSource(SourceSpec, frozen=True, kw_only=True):
    """What sources say that are read of another system, by a connection the operator set up.

    Nothing tells which of its rows changed, so each run looks at those of the last day again. The
    connection is of the kind that ``type`` says.
    """

    default_lookback: ClassVar[str | None] = "1d"

    connection: Name


class PostgresSource(ConnectedSource, frozen=True, kw_only=True, tag="postgres"):
    """A table or view of a PostgreSQL database, or what one SELECT gives there."""

    example = {"connection": "warehouse"}

    #: As in ``purchases`` or ``sales.purchases``; empty: there is a query.
    table: str = ""
    query: str = ""

    def where(self) -> str:
        return f"{self.connection}: {self.table or 'a query'}"

    def path_within(self) -> str:
        if self.query:
            return "**"
        schema, _, name = self.table.rpartition(".")
        return f"{schema or '*'}/{name}"


class BucketSource(ConnectedSource, frozen=True, kw_only=True, tag="s3"):
    """Files of one format in a bucket of S3-compatible storage; ``path`` may be a glob.

    It is relative to where the connection leads. Objects tell when they change.
    """

    example = {"connection": "lake", "path": "events/*.parquet"}
    default_lookback = None

    path: str

    def where(self) -> str:
        return f"{self.connection}: {self.path}"

    def path_within(self) -> str:
        return self.path


#: A source of any kind; further kinds are added with ``|``.
Source: TypeAlias = FileSource | DeltaSource | PostgresSource | BucketSource
#: The same by the word that ``type`` has.
SOURCE_KINDS: dict[str, type[Source]] = {
    "file": FileSource,
    "delta": DeltaSource,
    "postgres": PostgresSource,
    "s3": BucketSource,
}


FormatName = Literal["parquet", "csv", "json", "jsonl"]
#: What the end of a file's name says of its format.
FILE_FORMATS: dict[str, FormatName] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
#: What may follow it, for formats of text; Parquet is compressed inside.
COMPRESSIONS = (".gz", ".zst")
#: The endings in words, for messages.
ENDINGS = f"{', '.join(FILE_FORMATS)} (text also with {' or '.join(COMPRESSIONS)} after it)"


def file_format(name: str) -> FormatName | None:
    """Return the format that the name of a file or a glob ends in; None for an unknown ending."""
    plain = name.lower()
    for ending in COMPRESSIONS:
        plain = plain.removesuffix(ending)
    found = next((form for end, form in FILE_FORMATS.items() if plain.endswith(end)), None)
    return None if found == "parquet" and plain != name.lower() else found
