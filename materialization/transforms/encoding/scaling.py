# ruff: noqa: S608 - the sub-selects are our own
"""Steps that move and stretch numbers: NaN stays NaN, an infinite one infinite. [pure]"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materialization.transforms.encoding.step import double, finite, numbers, scale
from registry.spec.encode_steps import Clip, Log, MinMax, Robust, Standard, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.transforms.encoding.step import Ask, Parameters, StepKind

#: Of doubles: what rounding makes of 1.
_EPSILON = 2.0**-52


class StandardKind:
    """As scikit-learn's StandardScaler: the deviation of all rows, not of a sample."""

    def fit(self, step: Step, ask: Ask, rows: str) -> dict[str, Any]:
        some = numbers(ask, rows)
        asked = "count(*), min(v), max(v), avg(v), var_pop(v)"
        count, low, high, mean, variance = ask(f"SELECT {asked} FROM {some}")[0]
        if low == high:  # then their mean is one of them, whatever rounding makes of it
            return finite(mean=low, scale=1.0)
        finite(mean=mean, variance=variance)
        # What rounding leaves of the variance of equal numbers.
        off = count * mean * _EPSILON
        noise = count * _EPSILON * variance + off * off
        return finite(mean=mean, scale=1.0 if variance <= noise else variance**0.5)

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        return (f"({v} - {double(fitted['mean'])}) / {double(fitted['scale'])}",)


class MinMaxKind:
    """As MinMaxScaler, without cutting off what is beyond."""

    def fit(self, step: Step, ask: Ask, rows: str) -> dict[str, Any]:
        low, high = ask(f"SELECT min(v), max(v) FROM {numbers(ask, rows)}")[0]
        return finite(min=low, max=high, width=high - low)

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        if not isinstance(step, MinMax):
            raise TypeError(f"{step} is no min_max")
        share = f"({v} - {double(fitted['min'])}) / {double(scale(fitted['width']))}"
        return (f"{share} * {double(step.high - step.low)} + {double(step.low)}",)


class RobustKind:
    """As RobustScaler: quantiles between two values are interpolated."""

    def fit(self, step: Step, ask: Ask, rows: str) -> dict[str, Any]:
        some = numbers(ask, rows)
        ((quarters,),) = ask(f"SELECT quantile_cont(v, [0.25, 0.5, 0.75]) FROM {some}")
        return finite(median=quarters[1], low=quarters[0], high=quarters[2])

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        width = double(scale(fitted["high"] - fitted["low"]))
        return (f"({v} - {double(fitted['median'])}) / {width}",)


class Stateless:
    """What every step is that nothing is fitted to."""

    def fit(self, step: Step, ask: Ask, rows: str) -> dict[str, Any]:
        return {}


class LogKind(Stateless):
    """As numpy: of zero minus infinity, of less NaN."""

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        if not isinstance(step, Log):
            raise TypeError(f"{step} is no log")
        more = f"{v} + {double(step.plus)}"
        below, zero = "'NaN'::DOUBLE", "'-Infinity'::DOUBLE"
        cases = f"WHEN {more} < 0 THEN {below} WHEN {more} = 0 THEN {zero}"
        return (f"CASE {cases} ELSE ln({more}) END",)


class ClipKind(Stateless):
    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        if not isinstance(step, Clip):
            raise TypeError(f"{step} is no clip")
        # The engine orders NaN above every number.
        cases = f"WHEN isnan({v}) THEN {v}"
        if step.min is not None:
            cases += f" WHEN {v} < {double(step.min)} THEN {double(step.min)}"
        if step.max is not None:
            cases += f" WHEN {v} > {double(step.max)} THEN {double(step.max)}"
        return (f"CASE {cases} ELSE {v} END",)


KINDS: dict[type[Step], StepKind] = {
    Standard: StandardKind(),
    MinMax: MinMaxKind(),
    Robust: RobustKind(),
    Log: LogKind(),
    Clip: ClipKind(),
}
