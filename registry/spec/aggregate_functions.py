"""The functions an aggregation may name, and the parameters each of them takes. [pure]

Not for computing them: ``materialization.transforms.aggregation.functions`` has the table of the
same names; ``tests/contracts/test_aggregation_functions.py`` holds the two together.

A function without parameters is its name alone, one with parameters a mapping:
``{function: last_k, k: 10}``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal, get_args

from msgspec import Meta

from registry.spec.base import Spec
from registry.spec.value_types import ValueType, parse_type

PlainFunction = Literal[
    "sum", "count", "mean", "min", "max", "last", "first", "count_distinct", "stddev", "variance",
    "any", "all",
]  # fmt: skip


class FunctionWithParameters(Spec, frozen=True, tag_field="function"):
    """Base of those with parameters: fields are the parameters, the tag is the name."""

    #: How a definition writes one.
    example: ClassVar[str] = ""
    #: What it gives where that is not one value, in words.
    many: ClassVar[str] = ""

    def __str__(self) -> str:
        """Return what the names of outputs carry: ``last_k_10``, ``percentile_99_9``."""
        return "_".join([function_name(self), *map(_written, parameters(self).values())])

    def type_problem(self, declared: ValueType) -> str | None:
        """Say why a feature of type ``declared`` cannot hold the result; None when it can."""
        return None

    def reads(self, declared: ValueType) -> ValueType:
        """Return what a value is read as, where a feature of type ``declared`` holds the result."""
        return declared


class ListFunction(FunctionWithParameters, frozen=True):
    """Base of those that give ``k`` values at most, as a list."""

    many = "a list"
    k: Annotated[int, Meta(ge=1, le=1000)]

    def type_problem(self, declared: ValueType) -> str | None:
        if declared.kind == "list":
            return None
        name = function_name(self)
        return f"{name} gives a list, not {declared}; write list<T>, as in list<float64>."

    def reads(self, declared: ValueType) -> ValueType:
        return declared.item or declared


class FirstK(ListFunction, frozen=True, tag="first_k"):
    """The oldest ``k`` values, oldest first."""

    example = "{function: first_k, k: 10}"


class LastK(ListFunction, frozen=True, tag="last_k"):
    """The newest ``k`` values, newest first."""

    example = "{function: last_k, k: 10}"


class TopK(ListFunction, frozen=True, tag="top_k"):
    """The ``k`` values that occur most, the most frequent first."""

    example = "{function: top_k, k: 10}"


class Histogram(FunctionWithParameters, frozen=True, tag="histogram"):
    """How often each of the ``k`` values that occur most is there, as JSON."""

    example = "{function: histogram, k: 10}"
    many = "a JSON object"

    k: Annotated[int, Meta(ge=1, le=1000)]

    def type_problem(self, declared: ValueType) -> str | None:
        if declared.kind == "json":
            return None
        return f"histogram gives a JSON object of value and count, not {declared}; write json."

    def reads(self, declared: ValueType) -> ValueType:
        return parse_type("string")


class Percentile(FunctionWithParameters, frozen=True, tag="percentile"):
    """The value below which ``p`` percent lie, interpolated between the two nearest ranks."""

    example = "{function: percentile, p: 95}"

    p: Annotated[float, Meta(ge=0, le=100)]


class ApproxPercentile(FunctionWithParameters, frozen=True, tag="approx_percentile"):
    """The least value that ``p`` percent are not above, to three digits."""

    example = "{function: approx_percentile, p: 95}"

    p: Annotated[float, Meta(ge=0, le=100)]


#: In a definition, in the canonical JSON and in memory alike.
AggregateFunction = (
    PlainFunction | FirstK | LastK | TopK | Histogram | Percentile | ApproxPercentile
)

#: Those whose result is a float64, whatever they are given.
GIVE_FLOAT64 = frozenset({"mean", "stddev", "variance", "percentile", "approx_percentile"})

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


def many_values(function: AggregateFunction | FunctionWithParameters) -> str:
    """Return what a function gives, in words, where that is not one value; else nothing."""
    return function.many if isinstance(function, FunctionWithParameters) else ""


def _written(value: float) -> str:
    """Write a number so that it can stand in a name: ``95``, ``99_9``; never an exponent."""
    digits = format(Decimal(repr(abs(value))), "f")
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits).replace(".", "_")
