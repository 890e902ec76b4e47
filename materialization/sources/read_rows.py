"""What reading a source of any format gives, and what may be wrong with any.

Not for reading one: ``reading_tables`` and ``reading_json`` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lib.errors import did_you_mean
from materialization.errors import SourceUnreadable
from materialization.sources.json_rows import ROW

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import duckdb

    from materialization.sources.inputs import SourceFiles


def describe(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Return the columns of a sub-select by name, each with its type."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()  # noqa: S608 - ours
    return {name: kind for name, kind, *_ in rows if name != ROW}


class ReadRows(NamedTuple):
    """``reader``: the sub-select of the source's rows; ``found``: all names, with their types."""

    reader: str
    found: dict[str, str]
    notes: list[str]


def folders_of(source: SourceFiles) -> Sequence[tuple[tuple[str, str | None], ...]]:
    return source.partitions or ((),) * len(source.paths)


def gone_said(name: str, was: str, known: Iterable[str]) -> str:
    return (
        f"the source has no column {name!r} any more, which was {was} when the version was "
        f"submitted.{did_you_mean(name, sorted(known))} Bring it back, or submit a version without"
        " it."
    )


def refuse_alike(names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise SourceUnreadable(
                f"columns {other!r} and {name!r} differ in case alone, and the view reads both: an "
                "engine cannot tell them apart. Write the source with another name for one."
            )


def nameless_notes(names: Mapping[str, Collection[str]]) -> list[str]:
    """Tell of what no view can ask for: an index that was written too, commas at the end."""
    paths = [path for path, has in names.items() if "" in has]
    if not paths:
        return []
    return [
        f"a column without a name is left out in {len(paths)} of {len(names)} files, as {paths[0]}."
    ]
