# ruff: noqa: S608 - names and texts are quoted by sql_text
"""What the sandbox finds in a source before a definition is accepted: one pass over the rows.

Not for deciding what to do with it (``compute.look``, the registry's operations).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from lib.instants import to_us
from materialization.errors import SourceValueInvalid, TooManyTicks, UnknownColumn, placed
from materialization.failures import found_value
from materialization.placeholder_dates import count_apart, counts_sql, said
from materialization.sandbox.checks import check_problems
from materialization.sandbox.places import casts_of, files_of, place_of
from materialization.sandbox.times_told import at_midnight, bulk_load, days_only, written_days
from materialization.transforms.aggregation.aggregates import read_aggregates
from materialization.transforms.aggregation.copies import copies_said, count_copies
from materialization.transforms.aggregation.estimate import estimate
from materialization.transforms.casts import Cast, a_value_of, shown_sql, values_of
from materialization.transforms.kinds import all_checks
from materialization.transforms.rows import Path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import duckdb

    from materialization.sources.inputs import SourceInput
    from materialization.sources.reading import OpenedSource
    from materialization.transforms.rows import Rehearsal
    from registry.spec.model import VersionSpec

#: What makes ticks, and rows of them, fewer.
_FEWER = "Make the ticks longer, extend the `ttl`, or set `start` to a later instant."
#: Which reader gets what of a view with temporal accuracy.
_WHICH_ANSWER = (
    "accuracy temporal: training sets have the windows as of each row's own time; online reads,"
    " checks and evidence are those of the ticks. The rows that are aggregated are stored too."
)
#: What a window without a bound costs.
_ALL = " An unbounded window reads all rows of the source at each run, {:,} by now."
#: What to do about copies.
_TAKE_OUT = "Take those out of the source that are no events of their own."
#: What to do about dates that stand for none.
_WAY_OUT = (
    "They count as true then; correct them in the source, or set the view's `start` to where its"
    " history begins."
)


def look(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    source: SourceInput,
    opened: OpenedSource,
    *,
    tick_rows: int,
    rehearse: Rehearsal,
    sees_rows: bool = True,
) -> dict[str, Any]:
    """Return ``problems`` (path, message), ``warnings``, ``rows``, events in µs, ``columns``.

    ``examples`` has the value a message is about, by the message; ``schema`` is what the version
    would take of the source. Without ``sees_rows`` only columns and types are looked at.
    """
    casts, problems = _casts(spec, source, opened)
    facts = _facts(connection, opened, casts) if sees_rows else {"rows": None}
    taken = rehearse(opened, sees_rows=sees_rows and not problems)
    problems += check_problems(connection, spec)
    examples = {}
    where = partial(_where, connection, spec, source, opened)
    for path, message, example in _value_problems(casts, facts, where):
        problems.append((path, message))
        if example:
            examples[message] = example
    warnings = [*_warnings(spec, opened.columns, casts, facts), *opened.notes]
    if spec.keeps_events:
        warnings.append(_WHICH_ANSWER)
    if spec.transform.makes_ticks and not problems and facts["rows"]:
        problem, warning = _ticks(connection, spec, opened, tick_rows)
        of_none = _placeholder_events(spec, casts, facts)
        problems += [(path, f"{of_none}{message}") for path, message in problem]
        warnings += [*warning, *_copies(connection, spec, opened, facts["rows"])]
    return {
        # Several features over one aggregated column find the same.
        "problems": list(dict.fromkeys(problems)),
        "examples": examples,
        "warnings": warnings,
        "rows": facts["rows"],
        "first_event": facts.get("low0"),
        "last_event": facts.get("high0"),
        "columns": opened.found or opened.columns,
        "schema": msgspec.to_builtins(opened.schema),
        **taken,
    }


def _casts(
    spec: VersionSpec, source: SourceInput, opened: OpenedSource
) -> tuple[list[tuple[Path, Cast]], list[tuple[Path, str]]]:
    """Return the casts of the columns the view reads, and what is wrong with other columns."""
    casts: list[tuple[Path, Cast]] = []
    problems: list[tuple[Path, str]] = []
    for check in all_checks(spec, opened.columns):
        try:
            if (made := check.make()) is not None:
                casts.append((check.path, made))
        except (UnknownColumn, SourceValueInvalid) as exc:
            problems.append((check.path, placed(exc, files_of(source)).message))
    return casts, problems


def _ticks(
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


def _copies(
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


def _placeholder_events(
    spec: VersionSpec, casts: list[tuple[Path, Cast]], facts: Mapping[str, Any]
) -> str:
    """Name the rows whose date may be why ticks are too many; empty where none of them counts."""
    for number, (path, made) in enumerate(casts):
        if path == ("source", "event_timestamp"):
            count, start = count_apart(facts[f"placeholders{number}"]), spec.view.start
            if count and (start is None or to_us(start) <= facts[f"low{number}"]):
                return f"{said(count, made.column)}: "
    return ""


def _facts(
    connection: duckdb.DuckDBPyConnection, opened: OpenedSource, casts: list[tuple[Path, Cast]]
) -> dict[str, Any]:
    """Read the source once: rows, failing values and nulls of each cast, extent of the times."""
    columns = {"rows": "count(*)"}
    for number, (path, made) in enumerate(casts):
        columns[f"nulls{number}"] = f"count(*) FILTER (WHERE {made.source} IS NULL)"
        if made.bad is not None:
            columns[f"bad{number}"] = f"count(*) FILTER (WHERE {made.bad})"
            if not made.is_private:
                shown = f"any_value({shown_sql(made.source)})"
                columns[f"example{number}"] = f"{shown} FILTER (WHERE {made.bad})"
        if _is_time(path):
            good = f"FILTER (WHERE NOT ({made.bad or 'FALSE'}))"
            columns[f"low{number}"] = f"epoch_us(min({made.value}) {good})"
            columns[f"high{number}"] = f"epoch_us(max({made.value}) {good})"
            columns[f"midnights{number}"] = f"count(*) {good[:-1]} AND {at_midnight(made.value)})"
            columns[f"distinct{number}"] = f"approx_count_distinct({made.value})"
            columns[f"placeholders{number}"] = counts_sql(
                f"epoch_us({made.value})", f"NOT ({made.bad or 'FALSE'})"
            )
    chosen = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    row = connection.execute(f"SELECT {chosen} FROM {opened.relation}").fetchall()[0]
    return dict(zip(columns, row, strict=True))


def _is_time(path: Path) -> bool:
    return path[0] == "source"


def _value_problems(
    casts: list[tuple[Path, Cast]],
    facts: Mapping[str, Any],
    where: Callable[[Cast, str | None], tuple[str, str | None]],
) -> Iterator[tuple[Path, str, str]]:
    """Yield where, what is wrong, and a value that is: not all who read the first may read that."""
    for number, (path, made) in enumerate(casts):
        if count := facts.get(f"bad{number}"):
            place, example = where(made, facts.get(f"example{number}"))
            message = (
                f"column {made.column!r}: {count} of {facts['rows']} values "
                f"{_are_not(made, count)}, as in {place}. {made.hint_for(example)}"
            )
            yield path, message.rstrip(), "" if example is None else repr(example)


def _where(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    source: SourceInput,
    opened: OpenedSource,
    made: Cast,
    example: str | None,
) -> tuple[str, str | None]:
    """Return a place with a value that is wrong in the way ``example`` is, and that value.

    Of a column that is masked there is none.
    """

    def expressions(alone: OpenedSource) -> list[str]:
        return [each.strict for each in casts_of(spec, alone.columns) if each == made]

    value = {"column": made.column} | ({} if example is None else {"value": example})
    place = place_of(connection, spec, opened, source, expressions=expressions, value=value)
    if place is None:
        return files_of(source), example
    again = found_value(str(place.error))
    return str(place), again.get("value") if again else example


def _are_not(made: Cast, count: int) -> str:
    if count == 1:
        return f"is not {a_value_of(made.type)}"
    return f"are not {values_of(made.type)}"


def _warnings(
    spec: VersionSpec,
    columns: Mapping[str, str],
    casts: list[tuple[Path, Cast]],
    facts: Mapping[str, Any],
) -> Iterator[str]:
    if facts["rows"] is None:
        yield (
            f"no row of source {spec.rows_from.name!r} was looked at: the view computes with what"
            " takes a grant, and whoever sent it has none (assay grants ask). A run tells which"
            " values do not fit."
        )
        return
    if not facts["rows"]:
        which = "no row of which `where` is true" if spec.view.where is not None else "no rows"
        yield f"source {spec.rows_from.name!r} has {which}."
        return
    if spec.rows_from.created_timestamp is None:
        yield (
            f"source {spec.rows_from.name!r} does not say when a row was known (created_timestamp):"
            " rows of the first backfill count as known at their event time, later ones from the"
            " run on that sees them first."
        )
    for number, (path, made) in enumerate(casts):
        nulls = facts[f"nulls{number}"]
        if nulls and (path == ("source", "event_timestamp") or path[0] == "entities"):
            yield f"{nulls} of {facts['rows']} rows have no {made.column} and will be left out."
        if _is_time(path) and (count := count_apart(facts[f"placeholders{number}"])):
            yield f"{said(count, made.column)}. {_WAY_OUT}"
    created = next(
        (n for n, (path, _) in enumerate(casts) if path == ("source", "created_timestamp")), None
    )
    if not casts or casts[0][0] != ("source", "event_timestamp"):
        return
    if created is not None:
        of_created = {name: facts[f"{name}{created}"] for name in ("low", "distinct")}
        of_created["rows"] = facts["rows"]
        yield from bulk_load(casts[created][1].column, of_created, facts["high0"])
    timed = facts["rows"] - facts["nulls0"] - facts.get("bad0", 0)
    of_events = {"rows": timed, "midnights": facts["midnights0"]}
    times = (spec.rows_from.event_timestamp, facts["low0"], facts["high0"])
    yield from filter(None, (days_only(spec, columns, of_events), written_days(*times)))
