"""From an exact sum to one double: the nearest there is, of the sum or of its mean. [pure]

Not for making the sum (``exact_sums``, ``states.totals``). What two doubles and a bound of their
error cannot decide, as a value right between two doubles, is computed in whole numbers by Python.
"""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: The function of SQL that is ours.
EXACTLY = "assay_exactly"
#: Whole numbers up to here are doubles, and dividing one by another rounds once.
_EXACT_UP_TO = 2**53
#: A count below this times half a double's digits is exact.
_COUNT_BELOW = 2**26
#: Outside of it parts of a product would be lost.
_SAFE = f"BETWEEN {2.0**-900!r}::DOUBLE AND {2.0**900!r}::DOUBLE"
#: Whole multiples of a unit below this power of two are doubles, with digits to spare.
_EXACT_REST = 50
_SPLITTER = f"{2**27 + 1}::DOUBLE"
#: More than the relative error of what was rounded off, and of dividing it.
_ERROR, _DIVIDED = f"{2.0**-45!r}::DOUBLE", f"{2.0**-50!r}::DOUBLE"


def exactly(amounts: list[int], powers: list[int], scale: int, count: int) -> float:
    """Return the double nearest to the sum of ``amount * 2**power``, by ``10**scale * count``.

    DuckDB evaluates the annotations: they name nothing that is imported for types alone.
    """
    low = min(0, *powers)
    total = sum(amount << power - low for amount, power in zip(amounts, powers, strict=True))
    divisor: int = count * 10**scale << -low
    try:
        return total / divisor
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def exactly_sql(amounts: Sequence[str], powers: Sequence[int], scale: int, count: str) -> str:
    listed = ", ".join(f"CAST({amount} AS HUGEINT)" for amount in amounts)
    return f"{EXACTLY}([{listed}], {list(powers)}, {scale}, CAST({count} AS HUGEINT))"


def mean_sql(total: str, have: str, count: str) -> str:
    """Return the mean of integers or decimals, by their sum of type ``have`` and their number."""
    scale = int(have.rstrip(")").partition(",")[2] or 0)
    # Its digits, as the whole number that they are without the point.
    digits = f"CAST(replace(CAST({total} AS VARCHAR), '.', '') AS HUGEINT)" if scale else total
    most = _EXACT_UP_TO // 10**scale
    is_plain = f"{digits} BETWEEN {-_EXACT_UP_TO} AND {_EXACT_UP_TO} AND {count} <= {most}"
    plain = f"CAST({digits} AS DOUBLE) / (CAST({count} AS DOUBLE) * {10**scale}::DOUBLE)"
    return f"CASE WHEN {is_plain} THEN {plain} ELSE {exactly_sql([digits], [0], scale, count)} END"


class Staged(NamedTuple):
    """A value whose ``sql`` reads columns of ``layers``, each computed from those before it.

    A column is computed once, however often it is read: an expression in place of its name would
    be repeated at every place, and twice as long at each step.
    """

    layers: tuple[Mapping[str, str], ...]
    sql: str


def layered_together(*stacks: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return one stack of layers: the first of each are the first, and so on."""
    return [
        {name: sql for layer in layers for name, sql in layer.items()}
        for layers in zip_longest(*stacks, fillvalue={})
    ]


def layered(relation: str, stacks: Iterable[Sequence[Mapping[str, str]]]) -> str:
    """Return ``relation`` with the columns of all stacks of layers; equal names are one column."""
    for columns in layered_together(*stacks):
        more = "".join(f", {sql} AS {name}" for name, sql in columns.items())
        relation = f"(SELECT *{more} FROM {relation})"  # noqa: S608 - our own names
    return relation


class Parts(NamedTuple):
    """Columns to be added. Their values are whole multiples of ``unit``.

    ``doubt``: SQL of what some of them were rounded from, and 0 where none was.
    """

    columns: tuple[str, ...]
    doubt: str
    unit: float


def nearest_sql(stem: str, parts: Parts, exact: str, count: str | None) -> Staged:
    """Return the double nearest to the sum of ``parts``, or to its ``count``-th part.

    ``exact`` is SQL for the same by whole numbers. Two parts that are exact leave no error: values
    right between two doubles, of which sums of few are full, are decided as any other.
    """
    layers, near = added(stem, parts)
    if count is not None:
        steps, near = divided(stem, near, count, parts.unit)
        layers += steps
    return Staged(tuple(layers), f"CASE WHEN {near.is_decided} THEN {near.value} ELSE {exact} END")


class Near(NamedTuple):
    """Columns: a double, what it leaves of the number that is meant, and how far that may be off.

    The double is the sum of both already.
    """

    double: str
    rest: str
    error: str

    @property
    def value(self) -> str:
        return f"{self.double} + {self.rest}"

    @property
    def is_decided(self) -> str:
        """True where whatever is meant is nearest to the same double."""
        s, e, d = self
        return f"isfinite({s}) AND {s} + ({e} - {d}) = {s} + ({e} + {d})"


def added(stem: str, parts: Parts) -> tuple[list[dict[str, str]], Near]:
    """Return the layers that add the parts up, and their sum.

    What adding rounds off is added up beside them (Neumaier), and how much of that was rounded
    itself bounds the error.
    """
    first, *others = parts.columns
    s, e, d = first, "0::DOUBLE", f"{stem}_d"
    layers = [{d: parts.doubt}]
    for i, part in enumerate(others):
        off = lost(s, part)
        rounded = f" + abs({e}) + abs({off})" if i else ""
        names = [f"{stem}_{name}{i}" for name in ("s", "e", "d")]
        sums = (f"{s} + {part}", f"{e} + ({off})", f"{d}{rounded}")
        layers.append(dict(zip(names, sums, strict=True)))
        s, e, d = names
    both = {"total": f"{s} + {e}", "rest": lost(s, e), "error": f"{d} * {_ERROR}"}
    layers.append({f"{stem}_{name}": sql for name, sql in both.items()})
    return layers, Near(*(f"{stem}_{name}" for name in both))


def lost(one: str, other: str) -> str:
    """Return what adding two doubles rounds off; a number while the sum is finite."""
    total = f"({one} + {other})"
    return f"({one} - ({total} - ({total} - {one}))) + ({other} - ({total} - {one}))"


def half(value: str) -> str:
    """Return the upper half of a double's digits: products of halves are exact."""
    return f"{_SPLITTER} * {value} - ({_SPLITTER} * {value} - {value})"


def is_safe(value: str) -> str:
    """True of a double whose products lose no part to the ends of the range."""
    return f"({value} = 0 OR abs({value}) {_SAFE})"


def divided(
    stem: str, given: Near, count: str, unit: float = 0.0
) -> tuple[list[dict[str, str]], Near]:
    """Return the layers that divide by a number below 2^26; NULL where it cannot be told.

    What the quotient leaves of the sum is a whole multiple of the unit, or of its own last digit:
    below 2^50 of them it is exact, and its part is right between two doubles when the quotient is.
    Without a unit nothing is taken for exact.
    """
    s, e, d = given
    q, upper, left, rest, error = (
        f"{stem}_{name}" for name in ("mean", "half", "left", "mean_rest", "mean_error")
    )
    by = f"CAST({count} AS DOUBLE)"
    product = f"{q} * {by}"
    # The product is known exactly, so what it leaves of the sum is.
    leaves = f"({s} - {product}) - (({upper} * {by} - {product}) + ({q} - {upper}) * {by}) + {e}"
    is_exact = f"{d} = 0 AND abs({left}) < {math.ldexp(unit, _EXACT_REST)!r}::DOUBLE"
    bound = f"({d} + abs({left}) * {_DIVIDED}) / {by}"
    layers = [
        {q: f"CASE WHEN {is_safe(s)} AND {count} < {_COUNT_BELOW} THEN {s} / {by} END"},
        {upper: half(q)},
        {left: leaves},
        {rest: f"{left} / {by}", error: f"CASE WHEN {is_exact} THEN 0 ELSE {bound} END"},
    ]
    return layers, Near(q, rest, error)
