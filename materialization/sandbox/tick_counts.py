"""How many ticks a view would make of a source, and whether copies of events are among its rows.

Not for counting without a connection: ``transforms.aggregation.estimate`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.instants import to_us
from materialization.errors import TooManyTicks
from materialization.placeholder_dates import count_apart, said
from materialization.transforms.aggregation.aggregates import read_aggregates
from materialization.transforms.aggregation.copies import copies_said, count_copies
from materialization.transforms.aggregation.estimate import estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from materialization.sources.reading import OpenedSource
    from materialization.transforms.casts import Cast
    from materialization.transforms.rows import Path
    from registry.spec.version_spec import VersionSpec


#: What makes ticks, and rows of them, fewer.
_FEWER = "Make the ticks longer, extend the `ttl`, or set `start` to a later instant."
#: What a window without a bound costs.
_ALL = " An unbounded window reads all rows of the source at each run, {:,} by now."
#: What to do about copies.
_TAKE_OUT = "Take those out of the source that are no events of their own."


def look_at_ticks(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, opened: OpenedSource, most: int
) -> tuple[list[tuple[Path, str]], list[str]]:
    """Return what is wrong with the number of ticks, and of rows they make; and what it is."""

    def ask(sql: str) -> tuple[int | None, ...]:
        row: tuple[int | None, ...] = connection.execute(sql).fetchall()[0]
        return row

    try:
        found = estimate(spec, opened.columns, relation=opened.relation, ask=ask)
    except TooManyTicks as exc:
        return [(("schedule",), exc.message)], []
    if found is None:
        return [], []
    if found.rows > most:
        words = f"{found.said()} At most {most:,} may be (TICK_ROWS_LIMIT). {_FEWER}"
        return [(("schedule",), words)], []
    much = f" That is much more than the source. {_FEWER}" if found.is_much else ""
    of_all = "" if not spec.view.is_unbounded else _ALL.format(found.source_rows)
    return [], [found.said() + much + of_all]


def copies_among(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, opened: OpenedSource, rows: int
) -> list[str]:
    copies = count_copies(
        connection,
        spec,
        read_aggregates(spec, opened.columns),
        opened.columns,
        relation=opened.relation,
        rows=rows,
    )
    return [f"{copies_said(copies)} {_TAKE_OUT}"] if copies else []


def placeholder_events(
    spec: VersionSpec, casts: list[tuple[Path, Cast]], facts: Mapping[str, Any]
) -> str:
    """Name the rows whose date may be why ticks are too many; empty where none of them counts."""
    for number, (path, made) in enumerate(casts):
        if path == ("source", "event_timestamp"):
            count, start = count_apart(facts[f"placeholders{number}"]), spec.view.start
            if count and (start is None or to_us(start) <= facts[f"low{number}"]):
                return f"{said(count, made.column)}: "
    return ""
