"""What a Python transform must satisfy on its own: how its function is named, what it gives. [pure]

Not for whether the function is there: a look at it says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.reading.findings import repeated, too_many
from registry.spec.python_code import FUNCTION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.spec.model import FeatureViewSpec
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
    # Each column that is given becomes one feature's, or its mask's.
    given: dict[str, str] = {}
    for index, feature in enumerate(spec.features):
        column = feature.source_column
        before = given.setdefault(column.lower(), column)
        masked = any(e.mask is not None for e in spec.features if e.source_column == column)
        if before != column:
            message = f"{column} and {before} are one column to the engine; call them otherwise."
            yield ("features", index, "name"), message
        elif masked and sum(e.source_column == column for e in spec.features) > 1:
            message = (
                f"{feature.name}: a column with a mask is one feature's alone; have the function"
                " give it twice, under two names."
            )
            yield ("features", index, "mask"), message
