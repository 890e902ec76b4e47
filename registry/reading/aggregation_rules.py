"""What the aggregations of a view must satisfy: schedule, windows, outputs and their types. [pure]

Not for whether a function and its parameters are ones there are: ``shape`` tells.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lib.errors import did_you_mean
from registry.choices import Accuracy
from registry.reading.findings import MAX_HINTS, error_of, repeated
from registry.spec.aggregate_functions import (
    GIVE_FLOAT64,
    FunctionWithParameters,
    function_name,
)
from registry.spec.aggregations import parse_window
from registry.spec.durations import parse_duration
from registry.spec.row_sql import check_expression, columns_under
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.reading.yaml_documents import Path
    from registry.spec.aggregate_functions import AggregateFunction
    from registry.spec.model import FeatureSpec, FeatureViewSpec

#: Far beyond any definition; a view that asks for more is looked at no further.
MAX_AGGREGATES = 1000
NEEDS_TICKS = (
    "aggregations need a schedule: it makes the ticks at which windows are closed. Over a push"
    " source or a stream they need none, and `accuracy: temporal`."
)
#: What may stand for a column in the names of outputs.
OUTPUT_NAME = re.compile(r"(?!.*__)[a-z][a-z0-9_]{0,62}")

#: Types that have few of the numbers that a function makes, in words.
_FEW = {
    "float32": "a float32",
    "int32": "whole",
    "int64": "whole",
    "decimal": "a decimal of so many digits",
}
#: What a function gives that is nearly one of the values is as whole as they are.
_WHOLE, _OF_WHOLE = ("int32", "int64"), ("approx_percentile",)


def aggregation_problems(spec: FeatureViewSpec) -> Iterator[Found]:
    """Yield what is wrong with the aggregations of a view, and with what hangs on them."""
    if spec.schedule is None and spec.accuracy is not Accuracy.TEMPORAL:
        yield ("schedule",), NEEDS_TICKS
    count = sum(len(each.functions) * len(each.windows) for each in spec.aggregations)
    if count > MAX_AGGREGATES:
        message = f"{count} columns; a view aggregates at most {MAX_AGGREGATES}, split it."
        yield ("aggregations",), message
        return
    for index, aggregation in enumerate(spec.aggregations):
        if aggregation.name is not None and not OUTPUT_NAME.fullmatch(aggregation.name):
            rule = "use lower-case letters, digits and single _, beginning with a letter"
            path: Path = ("aggregations", index, "name")
            yield path, f"name {aggregation.name[:100]!r}: {rule}, at most 63, as in paid_amount."
    nothing = list(_empty_lists(spec))
    yield from nothing
    bad_windows: list[Found] = [
        (("aggregations", i, "windows", j), error)
        for i, aggregation in enumerate(spec.aggregations)
        for j, window in enumerate(aggregation.windows)
        if (error := error_of(parse_window, window))
    ]
    yield from bad_windows
    if bad_windows or nothing:
        return
    yield from _twice(spec)
    yield from _output_rules(spec)
    yield from _tick_rules(spec)


def _empty_lists(spec: FeatureViewSpec) -> Iterator[Found]:
    for index, aggregation in enumerate(spec.aggregations):
        if not aggregation.functions:
            yield ("aggregations", index, "functions"), "is empty; name one, as in [sum, count]."
        if not aggregation.windows:
            yield ("aggregations", index, "windows"), "is empty; name one, as in [7d, 30d]."


def _twice(spec: FeatureViewSpec) -> Iterator[Found]:
    """Find what is asked for twice: in one aggregation, or by outputs of one name in two."""
    first: dict[str, int] = {}
    for index, aggregation in enumerate(spec.aggregations):
        path: Path = ("aggregations", index)
        yield from repeated((*path, "functions"), map(str, aggregation.functions))
        yield from repeated((*path, "windows"), map(str.strip, aggregation.windows))
        for name in aggregation.outputs():
            if (earlier := first.setdefault(name, index)) != index:
                hint = "keep one, or give one of them a `name` that stands for the column"
                yield path, f"aggregations[{earlier}] gives {name!r} already; {hint}."
                break


def _output_rules(spec: FeatureViewSpec) -> Iterator[Found]:
    outputs, hints = spec.aggregate_outputs(), 0
    for index, feature in enumerate(spec.features):
        if feature.sql is not None:
            yield from _derived_rules(index, feature, feature.sql, spec)
            continue
        column = feature.source_column
        if column in outputs:
            yield from _output_type_rules(index, feature, outputs[column].function)
            continue
        hints += 1
        hint = did_you_mean(column, outputs) if hints <= MAX_HINTS else ""
        path = ("features", index, "column" if feature.column else "name")
        yield path, f"the aggregations do not give {column!r}.{hint}"


def _derived_rules(
    index: int, feature: FeatureSpec, sql: str, spec: FeatureViewSpec
) -> Iterator[Found]:
    """Judge a feature that is computed out of others of the view."""
    path: Path = ("features", index, "sql")
    if feature.column is not None:
        column: Path = ("features", index, "column")
        yield column, f"{feature.name} has `sql`, which says what it is made of; leave this out."
    if error := error_of(check_expression, sql):
        yield path, error
        return
    known = [each.name for each in spec.features if each.sql is None]
    columns = columns_under(sql)
    if not columns:
        yield path, f"{feature.name} names no feature of the view, as in a_sum_7d / a_sum_30d."
    for column_name in columns:
        if column_name in known:
            continue
        if column_name in spec.aggregate_outputs():
            hint = " It is an output that no feature takes: add it to the features."
        elif column_name in spec.expressions:
            hint = " It has `sql` itself: write that out."
        else:
            hint = did_you_mean(column_name, known) if index < MAX_HINTS else ""
        yield path, f"{column_name!r} is no aggregated feature of the view.{hint}"


def _output_type_rules(
    index: int, feature: FeatureSpec, function: AggregateFunction
) -> Iterator[Found]:
    if error_of(parse_type, feature.type) or feature.encode is not None:
        return  # an encoding says itself what its type may be
    problem = None
    if isinstance(function, FunctionWithParameters):
        problem = function.type_problem(feature.value_type)
    name, kind = function_name(function), feature.value_type.kind
    if kind in _FEW and name in GIVE_FLOAT64 and not (kind in _WHOLE and name in _OF_WHOLE):
        problem = f"{name} gives a float64, and few of those are {_FEW[kind]}; write float64."
    if problem is not None:
        yield ("features", index, "type"), problem


def _tick_rules(spec: FeatureViewSpec) -> Iterator[Found]:
    every = spec.schedule.every if spec.schedule else None
    if spec.ttl is None or every is None:
        return
    if error_of(parse_duration, spec.ttl) or error_of(parse_duration, every):
        return
    if parse_duration(spec.ttl) < parse_duration(every):
        message = (
            f"{spec.ttl} is shorter than a tick ({every}): values would expire before the next."
        )
        yield ("ttl",), message
