# ruff: noqa: S608 - names and texts are quoted by sql_text
"""What the sandbox finds in a source before a definition is accepted.

Not for deciding what to do with it (``compute.look``, the registry's operations).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from lib.sql_text import identifier
from materialization.errors import SourceValueInvalid, UnknownColumn, placed
from materialization.failures import found_value
from materialization.placeholder_dates import count_apart, counts_sql, said
from materialization.sandbox.checks import check_problems
from materialization.sandbox.open_names import open_names
from materialization.sandbox.places import casts_of, files_of, place_of
from materialization.sandbox.tick_counts import copies_among, look_at_ticks, placeholder_events
from materialization.sandbox.times_told import (
    ahead,
    at_midnight,
    bulk_load,
    days_only,
    is_after,
    written_days,
)
from materialization.transforms.casts import Cast, a_value_of, shown_sql, values_of
from materialization.transforms.kinds import all_checks
from materialization.transforms.windows.telling import told
from registry.spec.sources.arriving import ArrivingSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import duckdb

    from materialization.sources.inputs import SourceInput
    from materialization.sources.reading import OpenedSource
    from materialization.transforms.rows import Path, Rehearsal
    from registry.spec.version_spec import VersionSpec


#: Which reader gets what of a view with temporal accuracy.
_WHICH_ANSWER = (
    "accuracy temporal: training sets have the windows as of each row's own time; online reads,"
    " checks and evidence are those of the ticks. The rows that are aggregated are stored too."
)
#: Planning a question takes the engine time that grows faster than what it asks: reading a wide
#: source again is cheaper.
_COLUMNS_AT_ONCE = 60
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
    at: datetime | None = None,
) -> dict[str, Any]:
    """Return ``problems`` (path, message), ``warnings``, ``rows``, events in µs, ``columns``.

    ``examples`` has the value a message is about, by the message; ``schema`` is what the version
    would take of the source. Without ``sees_rows`` only columns and types are looked at; rows with
    a time after ``at`` are told.
    """
    casts, problems = _casts(spec, source, opened)
    facts = _facts(connection, opened, casts, at) if sees_rows else {"rows": None}
    taken = rehearse(opened, sees_rows=sees_rows and not problems)
    problems += [*check_problems(connection, spec), *open_names(spec, opened)]
    where = partial(_where, connection, spec, source, opened)
    unfit = list(_value_problems(casts, facts, where))
    problems += [(path, message) for path, message, _ in unfit]
    warnings = [*_warnings(spec, opened.columns, casts, facts), *opened.notes]
    if at is not None and facts["rows"]:
        warnings += _ahead(casts, facts, at)
    warnings += _lonely(connection, spec, opened, sees_rows=sees_rows)
    if spec.keeps_events:
        warnings += _of_windows(spec, opened, facts, problems)
    if spec.transform.makes_ticks and not problems and facts["rows"]:
        problem, warning = look_at_ticks(connection, spec, opened, tick_rows)
        of_none = placeholder_events(spec, casts, facts)
        problems += [(path, f"{of_none}{message}") for path, message in problem]
        warnings += [*warning, *copies_among(connection, spec, opened, facts["rows"])]
    return {
        # Several features over one aggregated column find the same.
        "problems": list(dict.fromkeys(problems)),
        "examples": {message: example for _, message, example in unfit if example},
        "warnings": warnings,
        "rows": facts["rows"],
        "first_event": facts.get("low0"),
        "last_event": facts.get("high0"),
        "columns": opened.found or opened.columns,
        "schema": msgspec.to_builtins(opened.schema),
        "joined": msgspec.to_builtins(opened.joined),
        **taken,
    }


def _of_windows(
    spec: VersionSpec, opened: OpenedSource, facts: Mapping[str, Any], problems: Sequence[Any]
) -> Iterable[str]:
    """Say who gets which windows, and what those take that are computed online."""
    if problems or not spec.has_windows_online:
        return [_WHICH_ANSWER]
    first, last = facts.get("low0"), facts.get("high0")
    spans = 0 if first is None or last is None else last - first
    spec = msgspec.structs.replace(spec, schema=opened.schema)
    return told(spec, rows=facts["rows"], spans_us=spans)


def _ahead(casts: list[tuple[Path, Cast]], facts: Mapping[str, Any], at: datetime) -> Iterator[str]:
    for number, (path, made) in enumerate(casts):
        if _is_time(path) and (count := facts[f"ahead{number}"]):
            yield ahead(made.column, count, facts["rows"], at)


def _lonely(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    opened: OpenedSource,
    *,
    sees_rows: bool,
) -> Iterator[str]:
    """Say of joined sources what nothing else would: that nobody knows when, or that few fit."""
    for join, side in spec.joins:
        if side.source.created_timestamp is None:
            yield (
                f"joined source {join.name!r} does not say when a row was known"
                " (created_timestamp): its rows count as known at their event time."
            )
    if not (sees_rows and spec.joined):
        return
    counts = ", ".join(f"count({identifier(join.name)})" for join, _ in spec.joins)
    rows, *found = connection.execute(f"SELECT count(*), {counts} FROM {opened.rows}").fetchall()[0]
    for (join, _), count in zip(spec.joins, found, strict=True):
        if count * 2 < rows:
            yield (
                f"{rows - count:,} of {rows:,} rows have none of {join.name} beside them: compare"
                " the keys, the `ttl`, and when rows of both are true and known."
            )


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


def _facts(
    connection: duckdb.DuckDBPyConnection,
    opened: OpenedSource,
    casts: list[tuple[Path, Cast]],
    at: datetime | None,
) -> dict[str, Any]:
    """Read the source: rows, failing values and nulls of each cast, extent of the times.

    Once, and a wide one some columns at a time.
    """
    facts: dict[str, Any] = {}
    for begin in range(0, max(1, len(casts)), _COLUMNS_AT_ONCE):
        columns = {"rows": "count(*)"}
        for number, (path, made) in enumerate(casts[begin : begin + _COLUMNS_AT_ONCE], begin):
            columns |= _asked(number, made, is_time=_is_time(path), at=at)
        chosen = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
        row = connection.execute(f"SELECT {chosen} FROM {opened.relation}").fetchall()[0]
        facts |= dict(zip(columns, row, strict=True))
    return facts


def _asked(number: int, made: Cast, *, is_time: bool, at: datetime | None) -> dict[str, str]:
    columns = {f"nulls{number}": f"count(*) FILTER (WHERE {made.source} IS NULL)"}
    if made.bad is not None:
        columns[f"bad{number}"] = f"count(*) FILTER (WHERE {made.bad})"
        if not made.is_private:
            shown = f"any_value({shown_sql(made.source)})"
            columns[f"example{number}"] = f"{shown} FILTER (WHERE {made.bad})"
    if is_time:
        good = f"FILTER (WHERE NOT ({made.bad or 'FALSE'}))"
        columns[f"low{number}"] = f"epoch_us(min({made.value}) {good})"
        columns[f"high{number}"] = f"epoch_us(max({made.value}) {good})"
        columns[f"midnights{number}"] = f"count(*) {good[:-1]} AND {at_midnight(made.value)})"
        if at is not None:
            columns[f"ahead{number}"] = f"count(*) {good[:-1]} AND {is_after(made.value, at)})"
        columns[f"distinct{number}"] = f"approx_count_distinct({made.value})"
        columns[f"placeholders{number}"] = counts_sql(
            f"epoch_us({made.value})", f"NOT ({made.bad or 'FALSE'})"
        )
    return columns


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
    if isinstance(spec.rows_from, ArrivingSource):
        return  # its rows come later, which the kind's own warning says
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
