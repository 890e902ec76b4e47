"""Views whose windows are computed at reads: over rows that are pushed, and that runs load.

Not for what is kept of a row (``arguments``) or made of several (``evaluation``). Pushed rows come
without runs: a run of one has nothing to compute.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from materialization.compute.reports import Counters
from materialization.errors import SourceValueInvalid
from materialization.transforms.aggregation.aggregates import argument_of
from materialization.transforms.aggregation.events import stored_type
from materialization.transforms.aggregation.transform import AggregationsKind
from materialization.transforms.pairs.families import family
from materialization.transforms.rows import Check, Rows
from materialization.transforms.windows.arguments import loaded_of, taken_of
from registry.spec.sources.arriving import ArrivingSource
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

    from materialization.compute.jobs import ComputeJob
    from materialization.compute.limits import EngineLimits
    from materialization.transforms.casts import Cast
    from materialization.transforms.rows import Opening
    from registry.spec.aggregations import AggregateOutput
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec

_NUMBERS = ("integer", "decimal", "float")
#: Those of which the text is the same whoever writes it.
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")


class PushedWindowsKind(AggregationsKind):
    def checks(self, spec: VersionSpec, columns: Mapping[str, str]) -> Iterator[Check]:
        yield from super().checks(spec, columns)
        source, outputs = spec.rows_from, spec.view.aggregate_outputs()
        if not isinstance(source, ArrivingSource):
            return
        for index, feature in enumerate(spec.features):
            output = outputs.get(feature.source_column)
            if output is not None and output.column in source.schema:
                make = partial(_look, output, feature.unencoded, source)
                yield Check(("features", index, "type"), make)

    def rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        job: ComputeJob,
        open_part: Opening,
        limits: EngineLimits,
    ) -> Rows:
        return Rows(iter(()), 0, Counters)


class LoadedWindowsKind(AggregationsKind):
    """Runs make ticks as of any aggregation; what they store of events has to do online too."""

    def checks(self, spec: VersionSpec, columns: Mapping[str, str]) -> Iterator[Check]:
        yield from super().checks(spec, columns)
        outputs = spec.view.aggregate_outputs()
        for index, feature in enumerate(spec.features):
            if (output := outputs.get(feature.source_column)) is not None:
                make = partial(_look_at_loaded, output, feature.unencoded, spec, columns)
                yield Check(("features", index, "type"), make)


def _look_at_loaded(
    output: AggregateOutput, feature: FeatureSpec, spec: VersionSpec, columns: Mapping[str, str]
) -> Cast | None:
    """:raises SourceValueInvalid: windows online cannot be made of what is stored of the column."""
    kind = argument_of(output, feature, spec, columns).type
    becomes = feature.value_type.item or feature.value_type
    if becomes.kind == "string" and family(kind) in _NUMBERS and kind not in _WHOLE:
        raise SourceValueInvalid(
            f"{feature.name}: reads make no text of numbers as {output.column!r} has them, which is"
            f" {kind}; make the text in the source, or write `accuracy: temporal`.",
            column=output.column,
            type=feature.type,
            value=kind,
        )
    loaded_of(stored_type(kind), output, feature)
    return None


def _look(output: AggregateOutput, feature: FeatureSpec, source: ArrivingSource) -> Cast | None:
    """:raises SourceValueInvalid: the function does not take the column as it is pushed."""
    taken_of(output, feature, parse_type(source.schema[output.column]))
    return None
