"""What transforms give: queries of rows, counts of what was left out, checks of columns. [pure]

Not for making them: each kind does.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from lib.sql_text import identifier
from materialization.transforms.base import require
from materialization.transforms.casts import Cast, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import duckdb

    from materialization.compute.limits import EngineLimits
    from materialization.compute.reports import Counters
    from materialization.sources.inputs import SourceInput
    from materialization.sources.reading import OpenedSource
    from registry.spec.value_types import ValueType
    from registry.spec.version_spec import VersionSpec

#: Opens some parts of the job's source: what the view reads of them, until others are opened.
Opening: TypeAlias = "Callable[[SourceInput], OpenedSource]"
#: Where a definition names something: ``("features", 0, "column")``.
Path = tuple[str | int, ...]


class Query(NamedTuple):
    """SQL that gives rows, and how many; None where only reading them can tell.

    ``moments`` are where many rows are cut by their events (``stretches``).
    """

    sql: str
    rows: int | None = None
    moments: Sequence[int] | None = None


class Rows(NamedTuple):
    """Queries for the rows, to be read out one by one: the next may change what the last was of.

    ``expected`` is about how many there are. ``counted`` says what was read and left out, once all
    are taken. ``events`` is SQL for what is stored beside them, then too; empty: nothing is.
    """

    queries: Iterator[Query]
    expected: int
    counted: Callable[[], Counters]
    events: str = ""


class Rehearsal(Protocol):
    """Tries at a look what a kind does beside SQL, and returns what a version takes of it.

    :raises AssayError: it does not work. Without ``sees_rows`` it is tried on no row.
    """

    def __call__(self, opened: OpenedSource, *, sees_rows: bool) -> dict[str, Any]: ...


class Check(NamedTuple):
    """One column as the version would read it, and where the definition names it.

    ``make`` gives its cast, None where it is taken as it is; it raises what the column lacks.
    """

    path: Path
    make: Callable[[], Cast | None]


class AllSql:
    """A kind that needs nothing beside SQL; see ``kinds.TransformKind``."""

    @contextmanager
    def entering(
        self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec, limits: EngineLimits
    ) -> Iterator[Rehearsal]:
        yield lambda opened, *, sees_rows: {}


def whole(reader: str) -> str:
    """Return the sub-select that is all of a source."""
    return f"(SELECT * FROM {reader})"  # noqa: S608 - a reader of our own writing


def declared(column: str, want: ValueType, columns: Mapping[str, str]) -> Cast:
    """Return the cast of a column of the source to the type the definition declares.

    :raises UnknownColumn, SourceValueInvalid: there is no such column, or none of its values fits.
    """
    return cast(identifier(column), have=require(column, columns), want=want, column=column)
