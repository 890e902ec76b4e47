"""What encodings must satisfy on their own: steps that follow each other, ranges, types. [pure]

Not for whether the column's values fit the first step: a look at the source finds that.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from lib.errors import did_you_mean
from registry.reading.findings import error_of, too_many
from registry.spec.aggregate_functions import function_name, many_values
from registry.spec.encode_steps import Bucketize, Clip, Impute, Kind, MinMax, written
from registry.spec.encodes import bound_of, holds, types_of
from registry.spec.transforms import Aggregations, transform_of
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.reading.yaml_documents import Path
    from registry.spec.encodes import EncodeSpec
    from registry.spec.model import FeatureSpec, FeatureViewSpec

MAX_STEPS, MAX_EDGES = 16, 1000


def encode_problems(spec: FeatureViewSpec) -> Iterator[Found]:
    """Yield what is wrong with the encodings of a view's features."""
    for index, feature in enumerate(spec.features):
        if feature.encode is None:
            continue
        path: Path = ("features", index, "encode")
        if feature.mask is not None:
            message = (
                f"{feature.name} has a mask: it is stored in place of the values, and encode: would"
                " be as well. Leave one of them out, or make two features of the column."
            )
            yield path, message
        else:
            yield from _of_feature(path, feature, feature.encode)
            if isinstance(transform_of(spec), Aggregations):
                yield from _of_aggregate(path, feature, spec)


def _of_feature(path: Path, feature: FeatureSpec, encode: EncodeSpec) -> Iterator[Found]:
    steps = (*path, "steps")
    if encode.label is not None and encode.label.lower() == feature.source_column.lower():
        message = (
            f"{feature.name}: its label is its own column, which says all of itself; name the"
            " column of what is to be foretold."
        )
        yield steps, message
    if not encode.steps:
        yield steps, f"{feature.name}: encode: needs at least one step, as in [standard]."
        return
    if excess := too_many(steps, "steps", encode.steps, MAX_STEPS):
        yield excess
        return
    found = [*_chain(steps, feature.name, encode), *_parameters(steps, feature.name, encode)]
    found += [*_range((*path, "fit"), feature.name, encode)]
    yield from found
    if not found and error_of(parse_type, feature.type) is None:
        yield from _type((*path[:-1], "type"), feature, encode)


def _of_aggregate(path: Path, feature: FeatureSpec, spec: FeatureViewSpec) -> Iterator[Found]:
    """Steps take one value of a window, and a label is another at the same tick."""
    outputs = spec.aggregate_outputs()
    output = outputs.get(feature.source_column) if feature.sql is None else None
    if output is not None and (given := many_values(output.function)):
        message = (
            f"{feature.name}: {function_name(output.function)} gives {given}, and steps take one"
            " value. Leave encode: out, or aggregate by another function, such as last."
        )
        yield path, message
    label = outputs.get(feature.label) if feature.label is not None else None
    if feature.label is None or (label is not None and not many_values(label.function)):
        return
    message = (
        f"{feature.name}: its label {feature.label[:100]!r} is no output of the aggregations that"
        f" is one value.{did_you_mean(feature.label, outputs)}"
    )
    yield (*path, "steps"), message


def _chain(path: Path, name: str, encode: EncodeSpec) -> Iterator[Found]:
    """Each step takes what the one before it gives."""
    steps, kinds = encode.all_steps, encode.kinds
    for index in range(1, len(steps)):
        before, step = steps[index - 1], steps[index]
        given, taken = kinds[index - 1][1], kinds[index][0]
        if given is Kind.LIST or not _fits(given, taken):
            message = (
                f"{name}: {step.name} takes {step.takes}, and {before.name} before it gives"
                f" {given}; {_way_out(given)}"
            )
            yield (*path, index), message


def _fits(given: Kind, taken: Kind) -> bool:
    """Return whether what one step gives is what another takes: a category is a text."""
    return given is taken or (given, taken) == (Kind.CATEGORY, Kind.TEXT)


def _way_out(given: Kind) -> str:
    if given is Kind.NUMBER:
        return "leave out what comes before it, or make two features of the column."
    return "it is the last step there can be."


def _parameters(path: Path, name: str, encode: EncodeSpec) -> Iterator[Found]:
    for index, step in enumerate(encode.all_steps):
        at = (*path, index)
        for key, value in written(step).items():
            if isinstance(value, float) and not math.isfinite(value):
                yield (*at, key), f"{name}: {value} is no number to compute with; write one."
        if isinstance(step, MinMax) and not step.low < step.high:
            yield at, f"{name}: low {step.low} is not below high {step.high}."
        if isinstance(step, Bucketize):
            yield from _bucketize(at, name, step)
        if isinstance(step, Impute):
            yield from _impute(at, name, step, encode.kinds[index][0])
        if isinstance(step, Clip):
            if step.min is None and step.max is None:
                yield at, f"{name}: clip needs min, max or both, as in {{step: clip, min: 0}}."
            elif step.min is not None and step.max is not None and step.min > step.max:
                yield at, f"{name}: min {step.min} is above max {step.max}."


def _bucketize(path: Path, name: str, step: Bucketize) -> Iterator[Found]:
    edges = step.edges
    if (edges is None) == (step.bins is None):
        yield path, f"{name}: bucketize needs edges or bins, as in {step.example}."
    elif edges is None:
        return
    elif not 1 <= len(edges) <= MAX_EDGES:
        yield (*path, "edges"), f"{name}: {len(edges)} edges; write 1 to {MAX_EDGES}."
    elif not all(map(math.isfinite, edges)):
        yield (*path, "edges"), f"{name}: edges are numbers to compare with."
    elif wrong := next((pair for pair in pairwise(edges) if not pair[0] < pair[1]), None):
        low, high = wrong
        message = f"{name}: {high} comes after {low}; edges become greater from one to the next."
        yield (*path, "edges"), message


def _impute(path: Path, name: str, step: Impute, kind: Kind) -> Iterator[Found]:
    if (step.by is None) == (step.value is None):
        yield path, f"{name}: impute needs by or value, as in {step.example}."
    elif step.is_of not in (Kind.ANY, kind):
        known = "a number, mean or median" if kind is Kind.NUMBER else "a text in quotes"
        said = step.by if step.value is None else repr(step.value)
        message = f"{name}: {said} is none of {kind}; write {known}, or most_frequent."
        yield path, message


def _range(path: Path, name: str, encode: EncodeSpec) -> Iterator[Found]:
    fitted = [step.name for step in encode.all_steps if step.is_fitted]
    if encode.fit is None:
        if fitted:
            message = (
                f"{name}: {fitted[0]} is fitted; say on which rows, as in"
                " fit: {from: 2026-01-01, to: 2026-07-01}."
            )
            yield path, message
        return
    if not fitted:
        yield path, f"{name}: none of its steps is fitted; leave fit out."
    wrong = [
        ((*path, key), f"{name}: {error}")
        for key, bound in (("from", encode.fit.start), ("to", encode.fit.to))
        if (error := error_of(bound_of, bound))
    ]
    yield from wrong
    if not wrong and not encode.fit.window[0] < encode.fit.window[1]:
        message = (
            f"{name}: no row lies from {encode.fit.start} on and before {encode.fit.to}; let `to`"
            " be after `from`."
        )
        yield path, message


def _type(path: Path, feature: FeatureSpec, encode: EncodeSpec) -> Iterator[Found]:
    if not holds(feature.value_type, encode):
        valid = " or ".join(types_of(encode))
        message = (
            f"{feature.name}: {encode.all_steps[-1].name} gives {encode.gives}, which no"
            f" {feature.type} holds; write {valid}."
        )
        yield path, message
