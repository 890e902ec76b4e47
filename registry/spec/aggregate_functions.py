"""The functions an aggregation may name, and the parameters each of them takes. [pure]

Not for computing them: ``materialization.transforms.aggregation.functions`` has the table of the
same names; ``tests/contracts/test_aggregation_functions.py`` holds the two together.

A function without parameters is its name alone, one with parameters a mapping:
``{function: last_k, k: 10}``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from msgspec import Meta

from registry.spec.base import Spec

if TYPE_CHECKING:
    from registry.spec.value_types import ValueType

PlainFunction = Literal[
    "sum", "count", "mean", "min", "max", "last", "first", "count_distinct", "stddev"
]


class FunctionWithParameters(Spec, frozen=True, tag_field="function"):
    """Base of those with parameters: fields are the parameters, the tag is the name."""

    #: How a definition writes one.
    example: ClassVar[str] = ""

    def __str__(self) -> str:
        """Return what the names of outputs carry: ``last_k_10``, ``percentile_99_9``."""
        return "_".join([function_name(self), *map(_written, parameters(self).values())])

    def type_problem(self, declared: ValueType) -> str | None:
        """Say why a feature of type ``declared`` cannot hold the result; None when it can."""
        return None


class LastK(FunctionWithParameters, frozen=True, tag="last_k"):
    """The newest ``k`` values, newest first."""

    example = "{function: last_k, k: 10}"

    k: Annotated[int, Meta(ge=1, le=1000)]

    def type_problem(self, declared: ValueType) -> str | None:
        if declared.kind == "list":
            return None
        return f"last_k gives a list, not {declared}; write list<T>, as in list<float64>."


class Percentile(FunctionWithParameters, frozen=True, tag="percentile"):
    """The value below which ``p`` percent lie, interpolated between the two nearest ranks."""

    example = "{function: percentile, p: 95}"

    p: Annotated[float, Meta(ge=0, le=100)]


#: In a definition, in the canonical JSON and in memory alike.
AggregateFunction = PlainFunction | LastK | Percentile

#: Those whose result is a float64, whatever they are given.
GIVE_FLOAT64 = frozenset({"mean", "stddev", "percentile"})

#: Name → its parameters.
PARAMETERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(get_args(PlainFunction), ()),
    **{
        str(each.__struct_config__.tag): each.__struct_fields__
        for each in get_args(AggregateFunction)
        if isinstance(each, type) and issubclass(each, FunctionWithParameters)
    },
}


def function_name(function: AggregateFunction | FunctionWithParameters) -> str:
    if isinstance(function, FunctionWithParameters):
        return str(function.__struct_config__.tag)
    return function


def parameters(function: AggregateFunction | FunctionWithParameters) -> dict[str, float]:
    """Return parameter → value, in the order in which names of outputs carry them."""
    return {name: getattr(function, name) for name in PARAMETERS[function_name(function)]}


def _written(value: float) -> str:
    """Write a number so that it can stand in a name: ``95``, ``99_9``; never an exponent."""
    digits = format(Decimal(repr(abs(value))), "f")
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits).replace(".", "_")
