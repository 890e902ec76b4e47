"""What a search is narrowed by: of a value, and of a whole column of the index. [pure]

Not for how a request writes it: ``serving.search.filters`` reads that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import numpy as np

    from registry.spec.value_types import ValueType

#: Types of features that a search can be narrowed by.
COMPARABLE = (
    "bool",
    "int32",
    "int64",
    "float32",
    "float64",
    "string",
    "bytes",
    "timestamp",
    "date",
)


class Condition(NamedTuple):
    """What a feature must be: ``op`` is one of ``==``, ``<``, ``<=``, ``>``, ``>=`` and ``in``.

    ``value`` is of the feature's type; None with ``==`` is a null. ``in`` has a tuple, in which
    there may be None.
    """

    feature: str
    type: ValueType
    op: str
    value: Any


def meets(condition: Condition, value: Any) -> bool:
    """Tell whether a value, None or of the feature's type, meets the condition.

    A null meets none but that of being null; what is not a number meets none.
    """
    wanted = condition.value
    if condition.op == "in":
        return value in wanted
    if value is None or wanted is None:
        return condition.op == "==" and value is None and wanted is None
    found: bool = _OF_ONE[condition.op](value, wanted)
    return found


def met(column: pa.Array, condition: Condition) -> np.ndarray:
    """Return of each item whether it ``meets`` the condition."""
    kind, value = column.type, condition.value
    if condition.op == "in":
        found = pc.is_in(column, pa.array([v for v in value if v is not None], kind))
        if None in value:
            found = pc.or_(found, pc.is_null(column))
    elif value is None:
        found = pc.is_null(column)
    else:
        found = _OF_ALL[condition.op](column, pa.scalar(value, kind))
    kept: np.ndarray = pc.fill_null(found, False).to_numpy(zero_copy_only=False)
    return kept


_OF_ALL: dict[str, Any] = {
    "==": pc.equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_OF_ONE: dict[str, Any] = {
    "==": lambda value, wanted: value == wanted,
    "<": lambda value, wanted: value < wanted,
    "<=": lambda value, wanted: value <= wanted,
    ">": lambda value, wanted: value > wanted,
    ">=": lambda value, wanted: value >= wanted,
}
