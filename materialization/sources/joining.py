# ruff: noqa: S608 - names go through identifier(), the rest are names of our own
"""Rows of joined sources, and of views that are read, beside each row of a view's own: one struct
each, by its name.

Not for opening sources (``kinds``), nor for which row is found (``newest_known``): the row's own
times are those of the source's columns, whatever the SQL makes of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lib.instants import MICROSECOND
from lib.sql_text import identifier
from materialization.errors import SourceUnreadable, SourceValueInvalid, UnknownColumn
from materialization.sources.newest_known import Beside, Held, RowTimes
from materialization.sources.read_rows import describe
from materialization.sources.read_views import keep_read
from materialization.transforms.base import time_cast
from materialization.transforms.pairs.families import family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import duckdb

    from registry.spec.sources.kinds import Source
    from registry.spec.version_spec import VersionSpec

#: Kinds of types by whose values rows are found: equal is the same there.
_KEYS = ("integer", "text", "bool", "date", "uuid", "bytes")


class Enriching(NamedTuple):
    """What puts joined rows beside those of a sub-select, and what its owner should know of it."""

    enrich: Callable[[str], str]
    notes: tuple[str, ...] = ()


def keep_joined(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    place: int,
    relation: str,
    columns: Mapping[str, str],
    *,
    found: Mapping[str, str],
    sees_rows: bool = True,
) -> None:
    """Write what is read of a joined source into a table of the connection, once for all readings.

    ``relation`` gives its ``columns``; ``found`` are the names that messages tell. Without
    ``sees_rows`` no row of it is read.

    :raises UnknownColumn: the SQL, the key or a time names a column that it does not have.
    """
    join, source = spec.view.sources[place], spec.joined[place].source
    names = _fields(spec, place)
    _require_named(source, (*join.theirs, *names), columns, found)
    event = time_cast(source.event_timestamp, columns).strict
    created = event
    if source.created_timestamp is not None:
        created = f"coalesce({time_cast(source.created_timestamp, columns).strict}, {event})"
    keys = [f"{identifier(name)} AS k{i}" for i, name in enumerate(join.theirs)]
    values = [f"{identifier(name)} AS v{i}" for i, name in enumerate(names)]
    typed = ", ".join([*keys, f"{event} AS e", f"{created} AS c", *values])
    limit = "" if sees_rows else " LIMIT 0"
    for statement in _held(spec, place).made_of(f"SELECT {typed} FROM {relation}{limit}"):
        connection.execute(statement)


def enriching(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, reader: str, found: Mapping[str, str]
) -> Enriching:
    """Return how rows of joined sources, whose tables are there, come beside those of ``reader``.

    ``found`` are the names that messages tell.

    :raises UnknownColumn: the source has no column that it is joined by, or no such time.
    :raises SourceUnreadable: it has a column that is called as one of them; or keys do not compare.
    """
    besides: list[Beside] = []
    notes = list[str]()
    columns = describe(connection, reader) if spec.joined or spec.reads else {}
    for place, _ in enumerate(spec.joined):
        try:
            beside, said = _beside(connection, spec, place, columns, found)
        except (UnknownColumn, SourceUnreadable) as exc:
            exc.data["in_definition"] = ["sources", place, "on"]
            raise
        besides.append(beside)
        notes += said
    for place, _ in enumerate(spec.reads):
        try:
            besides.append(_read(connection, spec, place, reader, columns, found))
        except (UnknownColumn, SourceUnreadable, SourceValueInvalid) as exc:
            exc.data["in_definition"] = ["views", place, "on"]
            raise
    later = [
        connection.execute(f"SELECT count(*) FROM {each.held.known}").fetchall()[0][0] > 0
        for each in besides
    ]

    apart = [each._replace(prefix=f"{each.prefix}{n}_") for n, each in enumerate(besides)]

    def enrich(rows: str) -> str:
        if not apart:
            return rows
        # Side by side, not one over the other: each may read the rows once more.
        joins = (
            beside.join_later(rows) if is_later else beside.join_at_once()
            for beside, is_later in zip(apart, later, strict=True)
        )
        structs = ", ".join(beside.struct() for beside in apart)
        own = f"{besides[0].prefix}row"
        return f"(SELECT {own}.*, {structs} FROM {rows} AS {own} {' '.join(joins)})"

    return Enriching(enrich, tuple(notes))


def _beside(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    place: int,
    columns: Mapping[str, str],
    found: Mapping[str, str],
) -> tuple[Beside, list[str]]:
    join, source, held = spec.view.sources[place], spec.rows_from, _held(spec, place)
    _require_named(source, join.ours, columns, found)
    if same := _called(join.name, columns):
        raise SourceUnreadable(
            f"source {source.name!r} has a column {same!r}, and the SQL means the joined source"
            f" by {join.name}; register that source under another name."
        )
    theirs, equal, notes = describe(connection, held.name), list[tuple[str, str]](), list[str]()
    for i, (name, ours) in enumerate(zip(join.theirs, join.ours, strict=True)):
        have, want = columns[ours], theirs[f"k{i}"]
        equal.append(_equal(ours, have, f"k{i}", want))
        if family(have) != family(want):
            notes.append(
                f"{ours} is {have} in {source.name} and {name} is {want} in {join.name}: they are"
                " compared as text, by which 007 is not 7."
            )
    times, ttl, fields = _times(source, columns), join.ttl_duration, _fields(spec, place)
    return Beside(
        held, join.name, tuple(fields), tuple(equal), times.at, times.known,
        None if ttl is None else ttl // MICROSECOND, times.prefix,
    ), notes  # fmt: skip


def _read(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    place: int,
    reader: str,
    columns: Mapping[str, str],
    found: Mapping[str, str],
) -> Beside:
    """Return how what is read of another view comes beside the rows of ``reader``."""
    read, source = spec.reads[place], spec.rows_from
    _require_named(source, read.columns, columns, found)
    if same := _called(read.name, columns):
        raise SourceUnreadable(
            f"source {source.name!r} has a column {same!r}, and the SQL means what is read of"
            f" {read} by {read.name}; give that another `name`."
        )
    files = spec.read_files.get(read.name, ())
    return keep_read(connection, read, files, reader, columns, _times(source, columns))


def _require_named(
    source: Source, ours: Iterable[str], columns: Mapping[str, str], found: Mapping[str, str]
) -> None:
    """:raises UnknownColumn: the source lacks one of ``ours`` or a time; ``found`` is told."""
    times = [time for time in (source.event_timestamp, source.created_timestamp) if time]
    for name in (*ours, *(time.column for time in times)):
        if name not in columns:
            raise UnknownColumn(name, found)


def _called(name: str, columns: Iterable[str]) -> str:
    """Return the column that an engine takes for the same name; empty: there is none."""
    return next((each for each in columns if each.lower() == name.lower()), "")


def _times(source: Source, columns: Mapping[str, str]) -> RowTimes:
    # What does not become an instant is told of where it is read, not where it is joined.
    at = known = time_cast(source.event_timestamp, columns).value
    if source.created_timestamp is not None:
        known = f"greatest({at}, {time_cast(source.created_timestamp, columns).value})"
    return RowTimes(at, known, _prefix(columns))


def _equal(ours: str, have: str, key: str, want: str) -> tuple[str, str]:
    """Return a column of the source and the one of a table that is equal where their values are.

    :raises SourceUnreadable: no value of the one is surely one of the other.
    """
    kinds = {family(have), family(want)}
    if kinds == {"integer", "text"}:
        pairs = ((identifier(ours), have), (key, want))
        mine, theirs = (
            name if family(kind) == "text" else f"CAST({name} AS VARCHAR)" for name, kind in pairs
        )
        return mine, theirs
    if len(kinds) == 1 and kinds <= set(_KEYS):
        return identifier(ours), key
    raise SourceUnreadable(
        f"{ours} is {have}, and what it is to be equal to is {want}; write both sources with one"
        f" type for it: {', '.join(_KEYS)}."
    )


def _prefix(columns: Mapping[str, str]) -> str:
    prefix = "joined__"
    while any(name.lower().startswith(prefix) for name in columns):
        prefix += "_"
    return prefix


def _held(spec: VersionSpec, place: int) -> Held:
    return Held(f"joined_{place:d}", len(spec.view.sources[place].on), len(_fields(spec, place)))


def _fields(spec: VersionSpec, place: int) -> list[str]:
    """Return the columns that the SQL names of a joined source, in an order of their own."""
    return sorted(spec.columns_joined[place])
