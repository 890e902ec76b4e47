# ruff: noqa: S608 - names go through identifier(), the rest are numbers and names of our own
"""The rows that an aggregation is made of, as they are stored beside its ticks. [pure]

Not for the ticks (``stages``) nor for what is made of events at a read (``as_of``).

An event has its keys, its time, the time since when it is known, how often it is there, and the
arguments of the aggregations, cast and filtered: whoever reads them evaluates nothing that a
definition says. Events are a bag: what a source lost is stored once more, with a count below zero,
known since the run that found it gone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lib.instants import MICROSECOND, to_us
from lib.sql_text import identifier, key_list, text
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT, EVENT_ID, INSTANT, SEQUENCE, key_fields
from materialization.transforms.aggregation.aggregates import Aggregates, read_aggregates
from registry.spec.sources.arriving import ArrivingSource
from registry.spec.value_types import SCALARS, ValueType, parse_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.compute.jobs import ComputeJob, Keeping
    from registry.spec.version_spec import VersionSpec

#: How often an event is there; below zero: how many of those before are gone.
COUNT = "__count"
#: How files of events are written.
AS_EVENT_FILES = "(FORMAT parquet, PER_THREAD_OUTPUT, RETURN_STATS)"
#: DuckDB's name of what a file can hold as it is → its Arrow type.
_AS_THEY_ARE: dict[str, pa.DataType] = {
    **{duckdb: arrow for arrow, duckdb in SCALARS.values()},
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


class Kept(NamedTuple):
    """One argument as it is stored; ``type`` is what it is when it is read back."""

    name: str
    argument: int
    arrow: pa.DataType
    put: str
    type: str

    @property
    def back(self) -> str:
        return f"CAST({self.name} AS {self.type})" if self.type == "HUGEINT" else self.name


def kept_columns(aggregates: Aggregates) -> list[Kept]:
    """Return the columns of the arguments, the same however the features are ordered."""
    arguments = enumerate(aggregates.arguments)
    ordered = sorted(arguments, key=lambda each: (each[1].sql, each[1].type))
    return [
        _kept(f"__value_{place}", number, argument.type)
        for place, (number, argument) in enumerate(ordered)
    ]


def stored_type(kind: str) -> str:
    """Return DuckDB's type of what is stored of arguments of a type of it, as it is read back."""
    return _kept("", 0, kind).type


def _kept(name: str, argument: int, kind: str) -> Kept:
    value = f"a{argument}"
    if kind == "HUGEINT":  # an integer of 64 bits, to be added
        put = f"CAST({value} AS DECIMAL(38,0))"
        return Kept(name, argument, pa.decimal128(38, 0), put, kind)
    if (arrow := _arrow(kind)) is not None:
        return Kept(name, argument, arrow, value, kind)
    # Of any other only matters whether it is there, and equal to another.
    return Kept(name, argument, pa.string(), f"CAST({value} AS VARCHAR)", "VARCHAR")


def _arrow(kind: str) -> pa.DataType | None:
    if match := _DECIMAL.fullmatch(kind):
        return pa.decimal128(int(match[1]), int(match[2]))
    if kind.endswith("[]"):
        item = _arrow(kind.removesuffix("[]"))
        return None if item is None else pa.list_(item)
    return _AS_THEY_ARE.get(kind)


def events_schema(spec: VersionSpec) -> pa.Schema:
    """Return the columns of stored events, by the source's schema, which the version embeds."""
    columns = kept_columns(read_aggregates(spec, source_types(spec)))
    stamps = [pa.field(EVENT, INSTANT), pa.field(CREATED, INSTANT)]
    numbers = [pa.field(SEQUENCE, pa.int64()), pa.field(COUNT, pa.int64())]
    values = [pa.field(each.name, each.arrow) for each in columns]
    told = [] if (kind := event_id_type(spec)) is None else [pa.field(EVENT_ID, kind.arrow)]
    return pa.schema([*key_fields(spec), *stamps, *numbers, *told, *values])


def event_id_type(spec: VersionSpec) -> ValueType | None:
    """Return the type of what tells events apart; None: their keys and time do."""
    if spec.event_id is None or not isinstance(spec.source, ArrivingSource):
        return None
    return parse_type(spec.source.schema[spec.event_id])


def source_types(spec: VersionSpec) -> dict[str, str]:
    if spec.schema is None:  # every version that is stored was submitted
        raise ValueError(f"{spec.view.name} does not say what its source's columns are")
    return spec.schema.types


def events_sql(
    spec: VersionSpec, columns: Sequence[Kept], files: Sequence[str], *, within: str = "TRUE"
) -> str:
    """Return stored events: ``k0…, e, c, n, a0…``, times in µs; ``within`` is said of the stored.

    Without files there are none, typed as they would be.
    """
    selected = [
        *(f"{identifier(key.name)} AS k{i}" for i, key in enumerate(spec.join_keys)),
        f"epoch_us({EVENT}) AS e, epoch_us({CREATED}) AS c, {COUNT} AS n",
        *(f"{each.back} AS a{each.argument}" for each in columns),
    ]
    return f"SELECT {', '.join(selected)} FROM {stored_rows(files)} WHERE {within}"


def new_events_sql(job: ComputeJob, keeping: Keeping, aggregates: Aggregates, reach: str) -> str:
    """Return what the rows in ``raw`` have that is not stored, and what is stored and gone.

    ``reach`` is the condition on ``e`` for the rows that ``raw`` was to have. Rows are the same by
    keys, event and arguments: a source that says of a row anew when it was known has the same row.
    One that was gone and is there again counts from this run on, whatever the source says of it:
    for the time before it went it counts already.
    """
    spec, columns = job.spec, kept_columns(aggregates)
    known = " AND ".join(f"k{i} IS NOT NULL" for i, _ in enumerate(spec.join_keys))
    keys, values = key_list(spec.join_keys), "".join(f", {each.name}" for each in columns)
    put = "".join(f", {each.put} AS {each.name}" for each in columns)
    given = f"SELECT {keys}, e, c{put} FROM raw WHERE e IS NOT NULL AND {known}"
    created = _known_since(spec, keeping)
    if not keeping.files:
        changes = f"SELECT {keys}, e, c, count(*) AS n{values} FROM ({given}) GROUP BY ALL"
        return _stored(spec, columns, changes, created)
    same = f"{keys}, e{values}"
    groups = _differing_sql(given, _had_sql(job, keeping, values), same, reach)
    more = _numbered_sql(given, groups, same)
    again = f"CASE WHEN place <= ever AND c < lost THEN {to_us(keeping.arrived)} ELSE c END"
    changes = (
        f"SELECT {keys}, e, {again} AS c, count(*) AS n{values} FROM ({more}) "
        "WHERE place > had GROUP BY ALL"
    )
    parts = [_stored(spec, columns, changes, created)]
    if keeping.tells_gone:
        first = f"(SELECT min(e) FROM ({given}))"
        gone = (
            f"SELECT {keys}, e, {to_us(keeping.arrived)} AS c, given - had AS n{values} "
            f"FROM ({groups}) WHERE given < had AND e >= {first}"
        )
        parts.append(_stored(spec, columns, gone, "c"))
    return " UNION ALL ".join(parts)


def _had_sql(job: ComputeJob, keeping: Keeping, values: str) -> str:
    """Return the events that are stored, up to the run's end."""
    keys = [f"{identifier(key.name)} AS k{i}" for i, key in enumerate(job.spec.join_keys)]
    stamps = f"epoch_us({EVENT}) AS e, epoch_us({CREATED}) AS c, {COUNT} AS n{values}"
    until = f"epoch_us({EVENT}) <= {to_us(job.window_end)}"
    stored = stored_rows(keeping.files)
    return f"SELECT {', '.join([*keys, stamps])} FROM {stored} WHERE {until}"


def _differing_sql(given: str, had: str, same: str, reach: str) -> str:
    """Return the events that are there more or less often than they are stored.

    ``ever``: how often each was stored; ``lost``: when one was last found to be gone.
    """
    both = (
        f"SELECT {same}, 1 AS given, 0 AS had, NULL AS lost FROM ({given}) UNION ALL "
        f"SELECT {same}, 0 AS given, n AS had, CASE WHEN n < 0 THEN c END AS lost "
        f"FROM ({had}) WHERE {reach}"
    )
    return (
        f"SELECT {same}, sum(given) AS given, sum(had) AS had, max(lost) AS lost, "
        f"sum(greatest(had, 0)) AS ever FROM ({both}) GROUP BY ALL "
        "HAVING sum(given) <> sum(had)"
    )


def _numbered_sql(given: str, groups: str, same: str) -> str:
    """Return the rows of events that are there more often than stored, numbered as they came."""
    alike = " AND ".join(
        f"g.{name.strip()} IS NOT DISTINCT FROM r.{name.strip()}" for name in same.split(",")
    )
    return (
        "SELECT r.*, g.had, g.ever, g.lost, "
        f"row_number() OVER (PARTITION BY {_of('r', same)} ORDER BY r.c) AS place "
        f"FROM ({given}) AS r JOIN ({groups}) AS g ON {alike} WHERE g.given > g.had"
    )


def _of(table: str, names: str) -> str:
    return ", ".join(f"{table}.{name.strip()}" for name in names.split(","))


def _known_since(spec: VersionSpec, keeping: Keeping) -> str:
    """Return SQL for since when a row is known: as the source says, else as it was observed."""
    if spec.rows_from.created_timestamp is not None:
        return "c"
    return "e" if keeping.is_first else f"greatest(e, {to_us(keeping.arrived)})"


def _stored(spec: VersionSpec, columns: Sequence[Kept], rows: str, created: str) -> str:
    """Return rows of ``k0…, e, c, n`` and values as they are stored; the sequence is still null."""
    selected = [
        *(f"k{i} AS {identifier(key.name)}" for i, key in enumerate(spec.join_keys)),
        f"make_timestamptz(e) AS {EVENT}, make_timestamptz({created}) AS {CREATED}",
        f"NULL::BIGINT AS {SEQUENCE}, CAST(n AS BIGINT) AS {COUNT}",
        *(each.name for each in columns),
    ]
    return f"SELECT {', '.join(selected)} FROM ({rows})"


def renumbered_events_sql(
    files: Sequence[str],
    spec: VersionSpec,
    *,
    sequence: int,
    to: str,
    stored: Sequence[str],
    since: int,
) -> str:
    """Return SQL that writes events once more, with another sequence, into a folder.

    Those of which ``stored`` files have any with a sequence after ``since`` are left out.
    """
    names = events_schema(spec).names
    columns = ", ".join(
        f"{sequence:d}::BIGINT AS {name}" if name == SEQUENCE else identifier(name)
        for name in names
    )
    same = [name for name in names if name not in (CREATED, SEQUENCE, COUNT)]
    less = ""
    if stored:
        alike = " AND ".join(
            f"s.{identifier(name)} IS NOT DISTINCT FROM h.{identifier(name)}" for name in same
        )
        since_then = f"SELECT 1 FROM {stored_rows(stored)} s WHERE s.{SEQUENCE} > {since:d}"
        less = f" WHERE NOT EXISTS ({since_then} AND {alike})"
    return (
        f"COPY (SELECT {columns} FROM {stored_rows(files)} h{less} ORDER BY {EVENT})"
        f" TO {text(to)} {AS_EVENT_FILES}"
    )


def reach_sql(aggregates: Aggregates, first: int | None) -> str:
    """Return the condition on ``e`` for rows that an instant from ``first`` (µs) on can see."""
    longest = aggregates.windows[-1] // MICROSECOND
    return "TRUE" if first is None else f"e > {first - longest}"
