# ruff: noqa: S608 - names go through identifier(), the rest are numbers and names of our own
"""Rolling-window aggregations at ticks: the SQL from the source's rows to the features. [pure]

Not for running the stages (``run``), for what a function keeps (``states``) and gives
(``functions``), nor for which ticks are stored (``sparse_ticks``).

A row is inside a window from the first tick that sees it until the first tick at or after event +
window. Values change at those ticks only, the *candidates*, so nothing is computed in between.
Totals run over what enters and leaves; what cannot is looked up for each candidate
(``candidate_tree``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import MICROSECOND, from_us
from lib.sql_text import identifier, key_list, numbered
from materialization.compute.stored_rows_sql import latest_sql
from materialization.stores.columns import EVENT
from materialization.transforms.aggregation.rounding import layered
from materialization.transforms.casts import cast
from materialization.transforms.pairs.families import family
from materialization.transforms.pairs.numbers import nearest_double_sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from materialization.transforms.aggregation.aggregates import Aggregates
    from materialization.transforms.aggregation.function import Call, Column
    from materialization.transforms.aggregation.tick_grid import TickGrid
    from materialization.transforms.base import Base
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec

#: What to do about a value that the declared type does not have: it stands in no source.
_HINT = "Its function gives it: declare a type that has it, as float64 has every mean."


def raw_sql(base: Base, aggregates: Aggregates, relation: str, wanted: str) -> str:
    """Return the ``wanted`` of the source's rows; times in µs, visible from ``v``."""
    return (
        f"SELECT *, greatest(e, c) AS v FROM (SELECT {typed_sql(base, aggregates)} FROM {relation})"
        f" WHERE e IS NULL OR ({wanted})"
    )


def typed_sql(base: Base, aggregates: Aggregates) -> str:
    """Return what is read of a row of the source: ``k0…, e, c, a0…``, times in µs."""
    return ", ".join(
        [
            *(f"{key.strict} AS k{i}" for i, key in enumerate(base.keys)),
            f"epoch_us({base.event.strict}) AS e",
            f"epoch_us({base.created_sql}) AS c",
            *(f"{argument.sql} AS a{i}" for i, argument in enumerate(aggregates.arguments)),
        ]
    )


def wanted_sql(aggregates: Aggregates, *, last: int, first: int | None) -> str:
    """Return the condition for the rows that a tick from ``first`` to ``last`` (µs) can see."""
    longest = aggregates.windows[-1] // MICROSECOND
    since = f" AND e > {first - longest}" if first is not None else ""
    return f"greatest(e, c) <= {last}{since}"


def state_sql(spec: VersionSpec, files: Sequence[str], before_us: int) -> str:
    """Return each key's latest stored row at or before the run's start: what it continues."""
    keys = ", ".join(f"{identifier(key.name)} AS k{i}" for i, key in enumerate(spec.join_keys))
    if not files:
        empty = [
            *(f"NULL::{key.value_type.duckdb} AS k{i}" for i, key in enumerate(spec.join_keys)),
            "NULL::BIGINT AS s",
            *(
                f"NULL::{feature.value_type.duckdb} AS f{i}"
                for i, feature in enumerate(spec.features)
            ),
        ]
        return f"SELECT {', '.join(empty)} WHERE FALSE"
    features = "".join(
        f", {identifier(feature.name)} AS f{i}" for i, feature in enumerate(spec.features)
    )
    # A tick's row became visible at the tick, or was corrected since.
    latest = latest_sql(files, spec, as_of=None, sequence=None, until=from_us(before_us))
    return f"SELECT {keys}, epoch_us({EVENT}) AS s{features} FROM ({latest})"


def keys_sql(spec: VersionSpec) -> str:
    """Return every key of the run under a number, so that later stages join on one integer."""
    keys = key_list(spec.join_keys)
    known = " AND ".join(f"k{i} IS NOT NULL" for i, _ in enumerate(spec.join_keys))
    rows = f"SELECT {keys} FROM raw WHERE e IS NOT NULL AND {known}"
    return (
        f"SELECT row_number() OVER () AS kid, {keys} FROM ({rows} UNION SELECT {keys} FROM state)"
    )


def rows_sql(aggregates: Aggregates, raw: str, *, also: str = "") -> str:
    """Return the rows of the keys at hand, with what the states prepare of each.

    ``raw`` is where they are, with ``kid``; ``also``: further columns of it, each after a comma.
    """
    prepared: dict[str, str] = {}
    for call in aggregates.calls:
        prepared |= call.function.state.prepared(call)
    columns = "".join(f", {sql} AS {name}" for name, sql in prepared.items())
    return (
        f"SELECT kid, e, c, v{also}{numbered('a', aggregates.arguments)}{columns} "
        f"FROM {raw} WHERE e IS NOT NULL"
    )


def spans_sql(aggregates: Aggregates, grid: TickGrid) -> str:
    """Return a row's stay in each window: ticks ``[enter, leave)``; at the count: beyond it."""
    windows = ", ".join(f"({i}, {w // MICROSECOND})" for i, w in enumerate(aggregates.windows))
    enter, enter_join = grid.ordinal("q.v", "entering")
    leave, leave_join = grid.ordinal("q.gone", "leaving")
    return (
        f"SELECT * EXCLUDE (v, us, gone) FROM (SELECT q.*, {enter} AS enter, {leave} AS leave FROM "
        f"(SELECT *, e + us AS gone FROM rows CROSS JOIN (VALUES {windows}) AS windows(w, us)) "
        f"AS q {enter_join} {leave_join}) WHERE enter < leave"
    )


def stays_sql(aggregates: Aggregates) -> str:
    """Return the stays that are not those of single rows, each in its call's lane."""
    stays = [call.function.state.stays(call) for call in aggregates.calls]
    none = "SELECT 0 AS kid, 0 AS w, 0 AS enter, 0 AS leave WHERE FALSE"
    return " UNION ALL ".join(filter(None, stays)) or none


def running_sql(
    aggregates: Aggregates, *, beyond: int, still: str, also: Mapping[str, Column] | None = None
) -> str:
    """Return the candidates (kid, i), by rank ``r``, with every running total as of that tick.

    What leaves at ``beyond`` or later stays. ``still`` are candidates at which nothing has to come
    or go: rows of ``kid, w, i, sign``. ``also``: totals that no function keeps.
    """
    columns: dict[str, Column] = dict(also or {})
    for call in aggregates.calls:
        columns |= call.function.state.running(call)
    changes = "".join(f", {column.change} AS {name}" for name, column in columns.items())
    totals = "".join(
        f", {column.fold.format(name)} OVER k AS {name}" for name, column in columns.items()
    )
    moves = _moves_sql(beyond, still)
    candidates = f"SELECT kid, i{changes} FROM ({moves}) GROUP BY kid, i"
    return (
        f"SELECT kid, i, count(*) OVER k - 1 AS r{totals} FROM ({candidates}) "
        "WINDOW k AS (PARTITION BY kid ORDER BY i ROWS UNBOUNDED PRECEDING)"
    )


def _moves_sql(beyond: int, still: str) -> str:
    """Return what enters (``sign`` 1) and leaves (-1) at each tick, and the others (0)."""
    within = f"leave < {beyond}"
    return " UNION ALL BY NAME ".join(
        [
            "SELECT *, enter AS i, 1 AS sign FROM spans",
            f"SELECT *, leave AS i, -1 AS sign FROM spans WHERE {within}",
            "SELECT kid, w, enter AS i, 1 AS sign FROM stays",
            f"SELECT kid, w, leave AS i, -1 AS sign FROM stays WHERE {within}",
            still,
        ]
    )


def states_as_moves_sql(spec: VersionSpec) -> str:
    """Return each key with a stored state as a candidate at the first tick.

    What changed unseen in the source (rows replaced, or late without a created time) enters there.
    """
    keys = key_list(spec.join_keys)
    return f"SELECT kid, -1 AS w, 0 AS i, 0 AS sign FROM state JOIN keys USING ({keys})"


def values_sql(aggregates: Aggregates, parts: Sequence[str], *, running: str = "running") -> str:
    """Return the features at each candidate, in their declared types; ``parts`` are joined in.

    ``running`` is where their totals are.

    Those that are computed out of others come after (``derived``).
    """
    staged = [call.staged for call in aggregates.calls]
    values = "".join(
        f", {value.sql} AS x{call.number}"
        for call, value in zip(aggregates.calls, staged, strict=True)
    )
    # Calls that look the same row up do so once.
    lookups = dict.fromkeys(call.function.state.lookup(call) for call in aggregates.calls)
    joins = " ".join([*(f"LEFT JOIN {part} USING (kid, i)" for part in parts), *lookups])
    calls = {call.number: call for call in aggregates.calls}
    typed = "".join(
        f", {_typed(f'x{call}', feature, calls[call])} AS f{n}"
        for feature, n, call in aggregates.outputs
    )
    candidates = layered(f"(SELECT * FROM {running} {joins})", [value.layers for value in staged])
    return f"SELECT kid, i{typed} FROM (SELECT kid, i{values} FROM {candidates})"


def is_empty_sql(aggregates: Aggregates) -> str:
    """Return what is true of features that are all those of windows without a value.

    By the values alone: of a stored row an earlier run left nothing else. What is derived is so
    where the others are.
    """
    empty = empty_values(aggregates)
    return " AND ".join(f"f{n} IS NOT DISTINCT FROM {value}" for n, value in empty.items())


def empty_values(aggregates: Aggregates) -> dict[int, str]:
    """Return SQL of each feature's value where its window has none, by its number."""
    calls = aggregates.calls
    return {
        n: _typed(calls[call].function.empty, feature, calls[call])
        for feature, n, call in aggregates.outputs
    }


def _typed(value: str, feature: FeatureSpec, call: Call) -> str:
    have, want = call.type, feature.value_type
    if have == want.duckdb:
        return value
    if want.kind == "float64" and family(have) in ("integer", "decimal"):
        return nearest_double_sql(value, have)
    made = cast(value, have=have, want=want, column=feature.source_column)
    return made._replace(hint=_HINT).strict
