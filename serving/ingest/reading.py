"""Columns that were sent, as a version's source has them: read once, refused row by row. [pure]

Not for single values (``values``), nor for what a version makes of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lib.errors import SHOWN, Invalid, did_you_mean
from materialization.ingest.refusals import Refusals
from registry.spec.value_types import parse_type
from serving.ingest.values import typed_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from materialization.ingest.targets import Target
    from registry.spec.value_types import ValueType
    from serving.ingest.request import Columns

#: What Feast's clients send beside a view's columns, whatever its source has.
CREATED = "created"


class UnknownPushedColumn(Invalid):
    code = "unknown_pushed_column"


class MissingPushedColumn(Invalid):
    code = "missing_pushed_column"


def refuse_unknown(df: Columns, names: Sequence[Mapping[str, str]]) -> None:
    known = {name for called in names for name in called.values()} | {CREATED} & df.keys()
    if unknown := sorted(df.keys() - known):
        name = unknown[0][:100]
        raise UnknownPushedColumn(
            f"nothing has a column {name!r}.{did_you_mean(name, sorted(known))}", column=name
        )


class Reading:
    """The columns of one push, each read once for all tables that take it as the same type."""

    def __init__(self, df: Columns, rows: int) -> None:
        self.refusals = Refusals()
        self._df, self._rows = df, rows
        self._read: dict[tuple[str, ValueType], pa.Array] = {}

    def batch(self, target: Target, called: Mapping[str, str]) -> pa.RecordBatch:
        """Return the source's columns that a version reads; of refused values nothing is said."""
        wanted = target.spec.columns_read
        columns = {
            column: self._column(target, column, called[column], parse_type(kind))
            for column, kind in target.source.schema.items()
            if wanted is None or column in wanted
        }
        return pa.RecordBatch.from_pydict(columns)

    def _column(self, target: Target, column: str, name: str, kind: ValueType) -> pa.Array:
        if name in self._df:
            if (name, kind) not in self._read:
                made = typed_column(self._df[name], kind, self.refusals, name=name)
                self._read[name, kind] = made
            return self._read[name, kind]
        if column in target.source.optional:
            return pa.nulls(self._rows, kind.arrow)
        raise MissingPushedColumn(
            f"the rows have no column {name!r} ({kind}), which {target.versions[0]} reads;"
            f" they have {', '.join(sorted(self._df)[:SHOWN])}.",
            column=name,
        )
