# ruff: noqa: S608 - expressions of our own casts
"""Which file holds what a job failed on, and where in it: looked for only once it has failed.

Not for what is wrong (``failures``). A source that was read in one go is read by halves until one
file is left that fails alone in the same way: rows carry no names of files, which would cost
every run.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb
from msgspec.structs import replace

from lib.errors import AssayError
from materialization.failures import found_value
from materialization.sources.kinds import open_source
from materialization.sources.row_places import row_of
from materialization.transforms.kinds import all_checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from materialization.sources.inputs import SourceInput
    from materialization.sources.reading import OpenedSource
    from materialization.transforms.casts import Cast
    from registry.spec.version_spec import VersionSpec

    Value = Mapping[str, str]
    Expressions = Callable[[OpenedSource], list[str]]

#: Seconds and bytes that are spent on saying where; beyond them it is left unsaid.
MAX_SECONDS = 5.0
MAX_BYTES = 1_000_000_000
#: What was read before and is not now: it has no place, and is told of all the same.
_READ_BEFORE = (OSError, duckdb.Error)


class Place(NamedTuple):
    """``row``: ``line 3``, empty where it is not known.

    ``error`` is how the file fails alone; None: it is the only one, and was not read again.
    """

    path: str
    row: str
    error: Exception | None

    def __str__(self) -> str:
        return f"{self.path}, {self.row}" if self.row else self.path


def place_of(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    opened: OpenedSource,
    source: SourceInput,
    *,
    expressions: Expressions,
    value: Value | None,
) -> Place | None:
    """Return where reading ``expressions`` of the source fails; None where that is not found soon.

    ``opened`` is the source as it was when it failed; ``r`` in the expressions is a row of it.
    ``value`` is the one that was refused, as errors tell it; None: something else is wrong.
    """
    until = time.monotonic() + MAX_SECONDS
    # A file that is read alone has the types that it has among the others.
    spec = spec if spec.schema is not None else replace(spec, schema=opened.schema)
    try:
        with _stopped(connection, MAX_SECONDS):
            found = _first_failing(connection, spec, source, expressions, value)
            return found and found._replace(row=_row(connection, source, found, value, until))
    except (*_READ_BEFORE, AssayError):
        return None


def files_of(source: SourceInput) -> str:
    """Return the words for files that are all alike."""
    if not source.paths:
        return "the source"
    more = len(source.paths) - 1
    return f"{source.paths[0]} and {more} more" if more else source.paths[0]


def casts_of(spec: VersionSpec, columns: Mapping[str, str]) -> list[Cast]:
    """Return the casts that the view's columns go through."""
    made = (check.make() for check in all_checks(spec, columns))
    return [cast for cast in made if cast is not None]


def _first_failing(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    source: SourceInput,
    expressions: Expressions,
    value: Value | None,
) -> Place | None:
    error = None
    if not source.paths or len(source.paths) > 1 and _size(source) > MAX_BYTES:
        return None
    while len(source.paths) > 1:
        middle = len(source.paths) // 2
        for paths in (source.paths[:middle], source.paths[middle:]):
            half = source.only(paths)
            again = _failure(connection, spec, half, expressions)
            if again is not None and _is_about(again, value):
                source, error = half, again
                break
        else:
            return None
    return Place(source.paths[0], "", error)


def _size(source: SourceInput) -> int:
    return sum(Path(path).stat().st_size for path in source.paths)


def _is_about(error: Exception, value: Value | None) -> bool:
    """Say whether an error is about a value of the same column, or about none as well."""
    again = found_value(str(error))
    if again is None or value is None:
        return again is value
    return again["column"] == value["column"]


def _failure(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    source: SourceInput,
    expressions: Expressions,
) -> duckdb.Error | None:
    """Return how reading some files fails; None when it does not.

    :raises duckdb.InterruptException, AssayError: the time is over; they cannot be opened alone.
    """
    opened = open_source(connection, spec, source)
    all_of_them = ", ".join(expressions(opened))
    try:
        # Every value is needed for the hash, so none is left out.
        query = f"SELECT bit_xor(hash({all_of_them})) FROM {opened.relation} AS r"
        connection.execute(query).fetchall()
    except duckdb.InterruptException:
        raise
    except duckdb.Error as exc:
        return exc
    return None


def _row(
    connection: duckdb.DuckDBPyConnection,
    source: SourceInput,
    place: Place,
    value: Value | None,
    until: float,
) -> str:
    again = found_value(str(place.error)) if place.error is not None else value
    if again is None or "value" not in again:
        return ""
    return row_of(
        connection,
        place.path,
        source.format,
        column=again["column"],
        shown=again["value"],
        until=until,
    )


@contextmanager
def _stopped(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt what still runs on the connection after some seconds."""
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
