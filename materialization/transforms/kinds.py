"""Every kind of transform: what each has to do, and the table that finds it.

Not for what a definition says of one (``registry.spec.transforms``). A new kind is a module of
its own here and a line in ``KINDS``; ``tests/contracts/test_transforms.py`` runs on every line.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from materialization.transforms.aggregation.transform import AggregationsKind
from materialization.transforms.base import time_cast
from materialization.transforms.columns import ColumnsKind
from materialization.transforms.python.kind import PythonKind
from materialization.transforms.row_sql import RowSqlKind, refuse_other_than_expression
from materialization.transforms.rows import Check, declared
from materialization.transforms.windows.kind import LoadedWindowsKind, PushedWindowsKind
from registry.spec.transforms import (
    Aggregations,
    Columns,
    LoadedWindows,
    PushedWindows,
    Python,
    RowSql,
    Transform,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import duckdb

    from materialization.compute.jobs import ComputeJob, FitJob
    from materialization.compute.limits import EngineLimits
    from materialization.sources.reading import OpenedSource
    from materialization.transforms.rows import Opening, Rehearsal, Rows
    from registry.spec.encodes import FitRange
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec


class TransformKind(Protocol):
    """What the sandbox asks of a kind; all of it happens on a locked connection."""

    def relation(self, spec: VersionSpec, reader: str, beside: Sequence[str] = ()) -> str:
        """Return the sub-select that the view's columns are taken from, over the source's reader.

        ``beside``: columns of the reader that stand in it as they are; the SQL of a view has them
        already (``spec.carrying``).

        :raises RowSqlRefused: the view's own SQL is not one SELECT.
        """

    def entering(
        self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec, limits: EngineLimits
    ) -> AbstractContextManager[Rehearsal]:
        """Give a connection what the kind needs beside SQL, as long as a job lasts.

        What it returns tries that at a look; see ``Rehearsal``.
        """

    def checks(self, spec: VersionSpec, columns: Mapping[str, str]) -> Iterator[Check]:
        """Yield a check of each column that the features are made of; keys and times aside."""

    def rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        job: ComputeJob,
        open_part: Opening,
        limits: EngineLimits,
    ) -> Rows:
        """Return queries for the rows the job wants, with the columns of ``computed_schema``.

        :raises UnknownColumn: a column the source does not have.
        :raises SourceValueInvalid: a column or value that cannot become the declared type.
        """

    def fit_rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        job: FitJob,
        features: Sequence[FeatureSpec],
        at: FitRange,
        opened: OpenedSource,
        limits: EngineLimits,
    ) -> Iterator[str]:
        """Yield queries of the rows that some encoded features are fitted on, to be read at once.

        They give ``k0…, e`` and of each feature by its place ``f``, what its first step takes,
        ``t``, whether it is fitted on the row, and ``y``, the label of those that have one.
        """


KINDS: dict[type[Transform], TransformKind] = {
    Columns: ColumnsKind(),
    RowSql: RowSqlKind(),
    Python: PythonKind(),
    Aggregations: AggregationsKind(),
    PushedWindows: PushedWindowsKind(),
    LoadedWindows: LoadedWindowsKind(),
}


def kind_of(spec: VersionSpec) -> TransformKind:
    return KINDS[type(spec.transform)]


def relation_of(spec: VersionSpec, reader: str, beside: Sequence[str] = ()) -> str:
    """Return the sub-select that the view's columns are taken from, of the rows it has at all.

    ``beside``: as ``TransformKind.relation`` has it.

    :raises RowSqlRefused: the view's own SQL is not one SELECT.
    """
    if spec.view.where is not None:
        refuse_other_than_expression(spec.view.where)
        reader = f"(SELECT * FROM {reader} WHERE (\n{spec.view.where}\n))"  # noqa: S608 - checked
    return kind_of(spec).relation(spec, reader, beside)


def all_checks(spec: VersionSpec, columns: Mapping[str, str]) -> Iterator[Check]:
    """Yield a check of each column the view reads.

    Times first, event before created: their positions are how what is found of them is told apart.
    """
    source = spec.rows_from
    yield Check(("source", "event_timestamp"), partial(time_cast, source.event_timestamp, columns))
    if source.created_timestamp is not None:
        created = partial(time_cast, source.created_timestamp, columns)
        yield Check(("source", "created_timestamp"), created)
    for index, entity in enumerate(spec.entities):
        for key in entity.join_keys:
            make = partial(declared, key.name, key.value_type, columns)
            yield Check(("entities", index), make)
    yield from kind_of(spec).checks(spec, columns)
