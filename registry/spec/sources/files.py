"""Sources that are files of one format, under a root or in a bucket, and the formats. [pure]"""

from __future__ import annotations

from typing import Literal

from registry.spec.sources.base import ConnectedSource, RootedSource


class FileSource(RootedSource, frozen=True, kw_only=True, tag="file"):
    """Files of one format under one root of the project; ``path`` may be a glob."""

    example = {"path": "data/events/*.parquet"}


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
