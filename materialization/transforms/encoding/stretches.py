# ruff: noqa: S608 - the sub-selects are our own
"""Steps by where a number lies among others: quantiles and buckets. [pure]

A number is found among edges by halves: of a thousand of them it is compared with ten.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from materialization.transforms.encoding.normal import normal_stages
from materialization.transforms.encoding.step import double, doubles, finite, numbers
from registry.spec.encode_steps import Bucketize, Quantile, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from materialization.transforms.encoding.step import Ask, Parameters, StepKind

#: With a normal output what lies so near to the range's ends is taken for them.
_NEAR = 1e-7


def among(v: str, edges: Sequence[float], leaf: Callable[[int], str]) -> str:
    """Return SQL that finds how many of the edges are at or below ``v``, and is the leaf of that.

    Edges ascend. NaN, which the engine orders above all, is for whoever asks.
    """
    if not edges:
        return leaf(0)
    middle = len(edges) // 2
    below = among(v, edges[:middle], leaf)
    above = among(v, edges[middle + 1 :], lambda count: leaf(middle + 1 + count))
    return f"CASE WHEN {v} < {double(edges[middle])} THEN {below} ELSE {above} END"


def quantiles(ask: Ask, some: str, shares: Sequence[float]) -> list[float]:
    """Return the values below which shares of the numbers lie, interpolated; they ascend."""
    wanted = ", ".join(map(double, shares))
    ((found,),) = ask(f"SELECT quantile_cont(v, [{wanted}]) FROM {some}")
    ascending: list[float] = []
    for value in found:
        ascending.append(max(value, ascending[-1]) if ascending else value)
    finite(width=ascending[-1] - ascending[0])
    return ascending


class QuantileKind:
    """As QuantileTransformer(subsample=None): values beyond the range's are 0 and 1.

    With a normal output, what those have, cut off where scikit-learn does.

    A value that several quantiles share lies in the middle of their shares.
    """

    def fit(self, step: Step, ask: Ask, rows: str) -> dict[str, Any]:
        if not isinstance(step, Quantile):
            raise TypeError(f"{step} is no quantile")
        some = numbers(ask, rows)
        ((count,),) = ask(f"SELECT count(*) FROM {some}")
        many = min(step.quantiles, count)
        shares = [n / (many - 1) for n in range(many)] if many > 1 else [0.0]
        found = quantiles(ask, some, shares)
        first = dict(zip(found[::-1], shares[::-1], strict=True))
        last = dict(zip(found, shares, strict=True))
        values = sorted(first)
        return {
            "values": values,
            "from": [first[value] for value in values],
            "to": [last[value] for value in values],
        }

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        values, low, high = fitted["values"], fitted["from"], fitted["to"]
        shares = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
        # The extremes are 0 and 1, whatever they share; where there is one value, 0.
        shares[-1], shares[0] = 1.0, 0.0
        widths = [b - a for a, b in pairwise(values)]
        rises = [b - a for a, b in zip(high, low[1:], strict=False)]
        x, at = f"{v}.x", f"{v}.at"
        begin, within = f"{doubles(values)}[{at}]", f"({x} - {doubles(values)}[{at}])"
        between = f"{doubles(high)}[{at}] + {within} / {doubles(widths)}[{at}]"
        is_normal = isinstance(step, Quantile) and step.output == "normal"
        cases = f"WHEN isnan({x}) THEN {x}"
        if is_normal:  # what is this near to the ends is cut off, the lower one first
            near = double(_NEAR)
            cases += f" WHEN {x} - {near} < {double(values[0])} THEN 0"
            cases += f" WHEN {x} + {near} > {double(values[-1])} THEN 1"
        cases += (
            f" WHEN {at} = 0 THEN 0"
            f" WHEN {x} = {begin} THEN {doubles(shares)}[{at}] WHEN {at} = {len(values):d} THEN 1"
            f" ELSE {between} * {doubles(rises)}[{at}]"
        )
        return (
            f"CASE WHEN {v} IS NULL THEN NULL ELSE {{'x': {v}, 'at': {among(v, values, str)}}} END",
            f"CASE WHEN {v} IS NULL THEN NULL {cases} END",
            *(normal_stages(v) if is_normal else ()),
        )


class BucketizeKind:
    """As KBinsDiscretizer(encode="ordinal"): edges that are one are one."""

    def fit(self, step: Step, ask: Ask, rows: str) -> dict[str, Any]:
        if not isinstance(step, Bucketize) or step.bins is None:
            raise TypeError(f"{step} has no bins")
        some, many = numbers(ask, rows), step.bins
        if step.by == "quantile":
            edges = quantiles(ask, some, [n / many for n in range(many + 1)])
        else:
            low, high = ask(f"SELECT min(v), max(v) FROM {some}")[0]
            width = finite(width=high - low)["width"] / many
            edges = [*(n * width + low for n in range(many)), high]
        kept = [edges[0], *(high for low, high in pairwise(edges) if high > low)]
        return {"edges": kept[1:-1]}

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        if not isinstance(step, Bucketize):
            raise TypeError(f"{step} is no bucketize")
        edges = fitted["edges"] if step.edges is None else step.edges
        number = among(v, edges, str)
        return (f"CASE WHEN {v} IS NULL THEN NULL WHEN isnan({v}) THEN -1 ELSE {number} END",)


KINDS: dict[type[Step], StepKind] = {Quantile: QuantileKind(), Bucketize: BucketizeKind()}
