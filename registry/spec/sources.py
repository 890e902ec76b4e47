"""Data sources as values: a tagged union, one class a kind. [pure]

Not for finding or reading their rows: ``materialization.sources`` has a module a kind. In a
definition the kind is the word that ``type`` has.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from registry.spec.base import Described, Spec

TimeUnit = Literal["timestamp", "s", "ms", "us", "ns"]


class TimeColumn(Spec, frozen=True):
    """A source column that holds an instant; numbers count ``unit`` since 1970 in UTC."""

    column: str
    unit: TimeUnit = "timestamp"


class SourceSpec(Described, frozen=True, kw_only=True, tag_field="type"):
    """What sources of every kind say; each kind adds keys of its own."""

    event_timestamp: TimeColumn
    created_timestamp: TimeColumn | None = None

    @property
    def type(self) -> str:
        """The word the definition has for the kind."""
        return str(type(self).__struct_config__.tag)

    def where(self) -> str:
        """Say in a few words where the rows are, for lists and pages."""
        raise NotImplementedError

    def decides(self) -> dict[str, Any]:
        """Return what decides the rows: everything but the words."""
        words = {field.name for field in msgspec.structs.fields(Described)}
        own = (field.name for field in msgspec.structs.fields(type(self)))
        return {"type": self.type} | {n: getattr(self, n) for n in own if n not in words}


class FileSource(SourceSpec, frozen=True, kw_only=True, tag="file"):
    """Files of one format under the project's roots; ``path`` may be a glob."""

    path: str

    def where(self) -> str:
        return self.path


#: A source of any kind; further kinds are added with ``|``.
Source: TypeAlias = FileSource


FormatName = Literal["parquet", "csv", "json", "jsonl"]


class FileFormat(NamedTuple):
    """What a file's name says of it; without ``compression`` it is read as it is."""

    name: FormatName
    compression: Literal["gzip", "zstd"] | None = None


FILE_FORMATS: dict[str, FileFormat] = {
    ".parquet": FileFormat("parquet"),
    ".csv": FileFormat("csv"),
    ".json": FileFormat("json"),
    ".jsonl": FileFormat("jsonl"),
    ".ndjson": FileFormat("jsonl"),
}


def file_format(name: str) -> FileFormat | None:
    """Return what the name of a file or a glob says it is; None for an unknown ending."""
    lower = name.lower()
    return next((kind for end, kind in FILE_FORMATS.items() if lower.endswith(end)), None)
