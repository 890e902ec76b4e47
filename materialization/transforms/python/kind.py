# ruff: noqa: S608 - names go through identifier() and text(), the rest are names of our own
"""Views with a Python function: how the sandbox has their rows made, and tries it at a look.

Not for the function (``function``) nor its process (``process``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from lib.sql_text import identifier, text
from materialization.errors import PythonFailed
from materialization.transforms.columns import ColumnsKind
from materialization.transforms.masking import stored_value
from materialization.transforms.python.function import Function, call_of, name_of, outputs_of
from materialization.transforms.rows import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb

    from materialization.compute.limits import EngineLimits
    from materialization.sources.reading import OpenedSource
    from materialization.transforms.rows import Rehearsal
    from registry.spec.version_spec import VersionSpec

#: Rows of the source on which a function is tried before a definition is taken.
TRIED = 200
#: What the source's row is called where all of it is given: no column of a source is called so.
_ROW = "assay_source_row"


class PythonKind(ColumnsKind):
    """As columns are taken, but from what the view's function makes."""

    def relation(self, spec: VersionSpec, reader: str, beside: Sequence[str] = ()) -> str:
        own = _own(spec)
        kept = "".join(f"{identifier(name)}, " for name in (*own, *beside))
        made = f"SELECT {kept}{name_of(spec)}({_given(spec, own)}) AS assay_made"
        rows = f"{made} FROM (SELECT * FROM {reader}) AS {_ROW}"
        columns = [
            *map(identifier, (*own, *beside)),
            *(f"assay_made[{text(name)}] AS {identifier(name)}" for name in outputs_of(spec)),
        ]
        return f"(SELECT {', '.join(columns)} FROM ({rows}))"

    def checks(self, spec: VersionSpec, columns: Mapping[str, str]) -> Iterator[Check]:
        """Of features nothing is asked of all rows: a look would call the function on each."""
        for index, feature in enumerate(spec.features):
            yield Check(("features", index, "column" if feature.column else "name"), _as_it_is)

    @contextmanager
    def entering(
        self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec, limits: EngineLimits
    ) -> Iterator[Rehearsal]:
        function = Function(spec, limits)
        function.define(connection)

        def rehearse(opened: OpenedSource, *, sees_rows: bool) -> dict[str, Any]:
            code = function.process().code
            if sees_rows:
                _try(connection, spec, opened, function)
            return {"code": msgspec.to_builtins(code)}

        try:
            yield rehearse
        finally:
            function.end()


def _as_it_is() -> None:
    """Types are held to what was declared where rows are made."""


def _own(spec: VersionSpec) -> list[str]:
    """Return the keys and times, by their names in the source."""
    source = spec.rows_from
    times = (source.event_timestamp, source.created_timestamp)
    names = [*(key.name for key in spec.join_keys), *(t.column for t in times if t is not None)]
    return list(dict.fromkeys(names))


def _given(spec: VersionSpec, own: Sequence[str]) -> str:
    """Return the struct that the function gets: the columns it names and these, or all."""
    if not (asked := call_of(spec).columns):
        return _ROW
    names = dict.fromkeys([*own, *asked])
    return "{" + ", ".join(f"{text(each)}: {identifier(each)}" for each in names) + "}"


def _try(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    opened: OpenedSource,
    function: Function,
) -> None:
    """Have some rows made, and made again in other batches and another order.

    :raises AssayError: the function fails on them, or gives others.
    """
    values = ", ".join(stored_value(each, opened.columns) for each in spec.features)
    connection.execute(
        f"SELECT {values} FROM (SELECT * FROM {opened.relation} LIMIT {TRIED})"
    ).fetchall()
    if function.first is None:
        return
    batch = function.first.slice(0, TRIED)
    many, rows = batch.num_rows, function.rows(batch)
    backwards = batch.take(pa.array(range(many - 1, -1, -1)))
    again = function.rows(backwards).take(pa.array(range(many - 1, -1, -1)))
    _require_same(spec, rows, again, "the rows come in another order")
    cut = max(many // 3, 1)
    parts = [function.rows(batch.slice(at, cut)) for at in range(0, many, cut)]
    _require_same(spec, rows, pa.Table.from_batches(parts), f"batches have {cut} rows")
    ones = min(many, 20)
    single = [function.rows(batch.slice(at, 1)) for at in range(ones)]
    _require_same(spec, rows.slice(0, ones), pa.Table.from_batches(single), "each row comes alone")


def _require_same(
    spec: VersionSpec, rows: pa.RecordBatch, again: pa.RecordBatch | pa.Table, when: str
) -> None:
    """:raises PythonFailed: a row has other values; NaN is equal to itself."""
    for name in rows.schema.names:
        before, after = (each.column(name).to_pylist() for each in (rows, again))
        other = [
            place for place, pair in enumerate(zip(before, after, strict=True)) if _unlike(*pair)
        ]
        if other:
            raise PythonFailed(
                f"python {call_of(spec).function}: column {name!r} has other values in"
                f" {len(other)} of {len(before)} rows when {when}. A Python transform makes each"
                " row of that row alone, the same every time: no random numbers, no clock, nothing"
                " that is kept from other rows.",
                example=f"{before[other[0]]!r}, then {after[other[0]]!r}"[:300],
            )


def _unlike(before: object, after: object) -> bool:
    return before != after and repr(before) != repr(after)
