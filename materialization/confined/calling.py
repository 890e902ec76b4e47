"""Call an operator's function on a batch of rows, and hold what it gives to what was declared.

Not for finding the function (``packages``), nor for which values a type has (``values``).
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from materialization.confined.faults import Fault
from materialization.confined.values import NO_VALUE, become, first_unlike, may_become

if TYPE_CHECKING:
    from collections.abc import Callable


class Function:
    """One function of a distribution, as a view names it."""

    def __init__(self, function: Callable[..., object], files: set[str]) -> None:
        self._function, self._files = function, files

    def rows(self, batch: pa.RecordBatch, want: pa.Schema) -> pa.RecordBatch:
        """Return the declared columns for each row of a batch, in its order.

        :raises Fault: the function raises, or gives something else.
        """
        try:
            made = self._function(batch)
        except Fault:
            raise
        except MemoryError:
            raise
        except BaseException as exc:  # noqa: BLE001 - it is others' code
            raise self._raised(exc, batch.num_rows) from exc
        return self._declared(made, batch.num_rows, want)

    def _raised(self, exc: BaseException, rows: int) -> Fault:
        """Say what a function raised, and where; its own words may quote a value."""
        frames = traceback.extract_tb(exc.__traceback__)
        own = [frame for frame in frames if frame.filename in self._files] or frames[-1:]
        where = f"line {own[-1].lineno} of {_short(own[-1].filename)}" if own else "its call"
        code, why = "failed", ""
        if isinstance(exc, PermissionError):
            code = "stopped"
            why = (
                " A Python transform has no network, no files, no processes and no variables of"
                " the environment, only the rows it is given."
            )
        said = f"it raised {type(exc).__name__} at {where}, on a batch of {rows} rows."
        return Fault(code, said + why, example=str(exc)[:300])

    def _declared(self, made: Any, rows: int, want: pa.Schema) -> pa.RecordBatch:
        if isinstance(made, pa.Table):
            made = made.combine_chunks()
            columns = {name: made.column(name) for name in made.column_names}
        elif isinstance(made, pa.RecordBatch):
            columns = {name: made.column(name) for name in made.schema.names}
        else:
            raise Fault(
                "failed",
                f"it gave {type(made).__name__}; give a pyarrow RecordBatch or Table with"
                f" the columns {', '.join(want.names)}.",
            )
        if made.num_rows != rows:
            raise Fault(
                "failed",
                f"it gave {made.num_rows} rows for {rows}; give one for each, in the same order.",
            )
        return pa.RecordBatch.from_arrays(
            [self._column(columns, field) for field in want], schema=want
        )

    def _column(self, columns: dict[str, pa.Array], field: pa.Field) -> pa.Array:
        if field.name not in columns:
            names = ", ".join(columns) or "none"
            raise Fault("failed", f"it gave no column {field.name!r}, but {names}.")
        column = columns[field.name]
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
            if isinstance(column, pa.ChunkedArray):
                column = pa.concat_arrays(column.chunks) if column.chunks else column.slice(0)
        if not may_become(column.type, field.type):
            raise Fault(
                "failed",
                f"column {field.name!r} is {column.type}; the feature is declared as {field.type}.",
            )
        try:
            return become(column, field.type)
        except NO_VALUE as exc:
            raise Fault(
                "failed",
                f"a value of column {field.name!r} ({column.type}) is no {field.type}, and none is"
                " rounded to its type: declare the type it has, or have the function make it one.",
                example=first_unlike(column, field.type)[:300],
            ) from exc


def _short(path: str) -> str:
    """Return where a file is below where packages lie."""
    found = [each for each in sys.path if each and path.startswith(f"{each}/")]
    return path.removeprefix(f"{max(found, key=len)}/") if found else path.rpartition("/")[2]
