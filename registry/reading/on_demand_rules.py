"""What a well-formed on-demand view must also satisfy on its own. [pure]

Not for whether the features it is computed from exist: registering it asks the registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import did_you_mean
from registry.reading.findings import MAX_HINTS, error_of, repeated, too_many
from registry.spec.references import parse_reference
from registry.spec.row_sql import check_expression, columns_of
from registry.spec.scalar.compiling import NOW
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.spec.on_demand import OnDemandInputs, OnDemandViewSpec

#: Inputs of one view, features and request values together.
MAX_INPUTS = 200


def on_demand_problems(spec: OnDemandViewSpec) -> Iterator[Found]:
    yield from _input_problems(spec.inputs)
    names = [*input_names(spec.inputs), NOW]
    for index, feature in enumerate(spec.features):
        path = ("features", index, "sql")
        if error := error_of(check_expression, feature.sql):
            yield path, error
            continue
        for column in [name for name in columns_of(feature.sql) if name not in names]:
            hint = did_you_mean(column, names) if index < MAX_HINTS else ""
            yield path, f"{column!r} is not among the inputs.{hint}"


def input_names(inputs: OnDemandInputs) -> Iterator[str]:
    """Yield what expressions may name: features without their views, and the request's values."""
    for reference in inputs.features:
        if error_of(parse_reference, reference) is None:
            yield parse_reference(reference).feature
    yield from inputs.request


def _input_problems(inputs: OnDemandInputs) -> Iterator[Found]:
    if not inputs.features and not inputs.request:
        yield ("inputs",), "nothing to compute with; name features, request values or both."
    everything = [*inputs.features, *inputs.request]
    if found := too_many(("inputs",), "inputs", everything, MAX_INPUTS):
        yield found
        return
    for index, text in enumerate(inputs.features):
        path = ("inputs", "features", index)
        if error := error_of(parse_reference, text):
            yield path, error
        elif parse_reference(text).feature == "*":
            yield path, f"{text!r}: name each feature, so that its expression stays what it is."
    for name, kind in inputs.request.items():
        if error := error_of(parse_type, kind):
            yield ("inputs", "request", name), error
    yield from repeated(("inputs", "features"), input_names(inputs))
