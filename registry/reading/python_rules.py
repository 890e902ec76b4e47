"""What a Python transform must satisfy on its own: how its function is named, what it gives. [pure]

Not for whether the function is there: a look at it says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.reading.findings import error_of, repeated, too_many
from registry.spec.python_code import FUNCTION, given_type
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.spec.encodes import EncodeSpec
    from registry.spec.model import FeatureSpec, FeatureViewSpec
    from registry.spec.python_code import PythonCall

MAX_COLUMNS = 500
MAX_FUNCTION = 300


def python_problems(call: PythonCall, spec: FeatureViewSpec) -> Iterator[Found]:
    path = ("python", "function")
    if len(call.function) > MAX_FUNCTION:
        yield (
            path,
            f"{len(call.function)} characters; a function's name has at most {MAX_FUNCTION}.",
        )
    elif not FUNCTION.fullmatch(call.function):
        yield path, f"{call.function!r} is no function; write it as package.module:function."
    if excess := too_many(("python", "columns"), "columns", call.columns, MAX_COLUMNS):
        yield excess
        return
    # Engines fold the case of column names, so two that differ in case only are one.
    yield from repeated(("python", "columns"), [column.lower() for column in call.columns])
    yield from _columns(spec)


def _columns(spec: FeatureViewSpec) -> Iterator[Found]:
    """Judge the columns that the function has to give: each is one, of one type."""
    given: dict[str, FeatureSpec] = {}
    for index, feature in enumerate(spec.features):
        if error_of(parse_type, feature.type) or _is_empty(feature.encode):
            continue  # said already
        before = given.setdefault(feature.source_column.lower(), feature)
        if before.source_column != feature.source_column:
            message = (
                f"{feature.source_column} and {before.source_column} are one column to the engine;"
                " call them otherwise."
            )
            yield ("features", index, "name"), message
        elif (is_now := given_type(feature)) != (was := given_type(before)):
            message = (
                f"{feature.name} takes {feature.source_column} as {is_now}, and {before.name} as"
                f" {was}; have the function give it twice, under two names."
            )
            yield ("features", index, "column" if feature.column else "name"), message


def _is_empty(encode: EncodeSpec | None) -> bool:
    return encode is not None and not encode.steps
