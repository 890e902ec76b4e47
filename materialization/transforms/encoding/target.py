# ruff: noqa: S608 - the sub-selects are our own
"""Categories by a label's mean, of rows that do not tell a row its own label. [pure]

What of a row's label is in its own feature, a model finds before anything else. So rows of the
range are told what the rows of other folds say, wherever they are read; later rows what all say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lib.instants import to_us
from materialization.errors import FitFailed
from materialization.transforms.encoding.categories import categories, code
from materialization.transforms.encoding.step import doubles, finite
from registry.spec.encode_steps import MOST_CATEGORIES, Step, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.transforms.encoding.step import Ask, Parameters, StepKind


def fold_sql(keys: int, folds: int) -> str:
    """Return SQL of the fold of an entity: by the MD5 of its keys' texts."""
    names = ", ".join(f"CAST(k{n} AS VARCHAR)" for n in range(keys))
    return f"(md5_number_lower(concat_ws('|', {names})) % {folds:d})::BIGINT"


class _Means(NamedTuple):
    of_all: float
    by_category: dict[str, float]


class TargetKind:
    """As TargetEncoder, whose folds are of rows and drawn by chance; ours are of entities."""

    def fit(self, step: Step, ask: Ask, rows: str) -> dict[str, Any]:
        if not isinstance(step, Target):
            raise TypeError(f"{step} is no target")
        fold = fold_sql(ask.keys, step.folds)
        some = (
            f"(SELECT v, y, {fold} AS fold FROM {rows}"
            " WHERE v IS NOT NULL AND y IS NOT NULL AND NOT isnan(y))"
        )
        way_out = "write one word for the rare ones in the view's `sql`"
        known = categories(ask, some, most=None, limit=MOST_CATEGORIES, way_out=way_out)
        ((infinite,),) = ask(f"SELECT count(*) FILTER (WHERE isinf(y)) FROM {some}")
        if infinite:
            raise FitFailed(f"{infinite} labels of its range are infinite; leave such rows out")
        whole = _means(ask, some, step)
        without = [
            _means(ask, f"(SELECT * FROM {some} WHERE fold <> {n:d})", step)
            for n in range(step.folds)
        ]
        start, to = map(to_us, ask.window)
        return {
            "categories": known,
            "mean": whole.of_all,
            "values": [whole.by_category[each] for each in known],
            "folds": [
                [each.of_all, *(each.by_category.get(one, each.of_all) for one in known)]
                for each in without
            ],
            "from_us": start,
            "to_us": to,
            "keys": ask.keys,
        }

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        known, folds = fitted["categories"], fitted["folds"]
        means = [fitted["mean"], *fitted["values"], *(mean for fold in folds for mean in fold)]
        within = f"epoch_us(e) >= {fitted['from_us']:d} AND epoch_us(e) < {fitted['to_us']:d}"
        fold = f"CASE WHEN {within} THEN 1 + {fold_sql(fitted['keys'], len(folds))} ELSE 0 END"
        # Of each fold the mean of all stands first, for what it did not see: its code is -1.
        place = f"({fold}) * {len(known) + 1:d} + ({code(known, v)}) + 2"
        return (place, f"{doubles(means)}[{v}]")


def _means(ask: Ask, some: str, step: Target) -> _Means:
    """Return the mean label of each category, and of all rows.

    :raises FitFailed: there is no row.
    """
    count, mean, variance = ask(f"SELECT count(*), avg(y), var_pop(y) FROM {some}")[0]
    if not count:
        raise FitFailed(
            "a fold has all rows of its range that have a label; have more entities in the range"
        )
    finite(mean=mean, variance=variance)
    found = ask(f"SELECT v, count(*), avg(y), var_pop(y) FROM {some} GROUP BY v")
    return _Means(mean, {v: _drawn(step, mean, variance, *own) for v, *own in found})


def _drawn(
    step: Target, mean: float, variance: float, count: int, own: float, spread: float
) -> float:
    """Return a category's mean, drawn to that of all."""
    if step.smooth != "auto":
        return (own * count + step.smooth * mean) / (count + step.smooth)
    beside = variance * count + spread
    share = variance * count / beside if beside else 0.0
    return share * own + (1 - share) * mean


KINDS: dict[type[Step], StepKind] = {Target: TargetKind()}
