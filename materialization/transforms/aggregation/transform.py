"""Views that aggregate: the kind of transform whose rows are ticks.

Not for the stages of the computation (``run``) or for what a function does (``aggregates``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from materialization.transforms.aggregation.aggregates import argument_cast
from materialization.transforms.aggregation.run import aggregate
from materialization.transforms.rows import Check, Query, Rows, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

    from materialization.compute.jobs import ComputeJob
    from materialization.compute.limits import EngineLimits
    from materialization.transforms.rows import Opening
    from registry.spec.model import VersionSpec


class AggregationsKind:
    def relation(self, spec: VersionSpec, reader: str) -> str:
        return whole(reader)

    def checks(self, spec: VersionSpec, columns: Mapping[str, str]) -> Iterator[Check]:
        outputs = spec.view.aggregate_outputs()
        names = [aggregation.column for aggregation in spec.view.aggregations]
        for feature in spec.features:
            column, function, _ = outputs[feature.source_column]
            make = partial(argument_cast, column, function, feature, columns)
            yield Check(("aggregations", names.index(column), "column"), make)

    def rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        job: ComputeJob,
        open_part: Opening,
        limits: EngineLimits,
    ) -> Rows:
        source = open_part(job.source)
        done = aggregate(
            connection,
            job,
            columns=source.columns,
            relation=source.relation,
            slice_rows=limits.slice_rows,
        )
        return Rows(map(Query, done.queries), done.slices, lambda: done.counters)
