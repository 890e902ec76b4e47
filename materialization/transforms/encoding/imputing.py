# ruff: noqa: S608 - the sub-selects are our own
"""What stands where there is no value. [pure]"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.sql_text import text
from materialization.errors import FitFailed
from materialization.transforms.encoding.step import OTHER_RANGE, double, finite, numbers, writable
from registry.spec.encode_steps import Impute, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.transforms.encoding.step import Ask, Parameters, StepKind

_OF_NUMBERS = {"mean": "avg(v)", "median": "median(v)"}


class ImputeKind:
    """As SimpleImputer: of values that are as common the least. NaN counts as no value."""

    def fit(self, step: Step, ask: Ask, rows: str) -> dict[str, Any]:
        if not isinstance(step, Impute) or step.by is None:
            raise TypeError(f"{step} has a value of its own")
        if step.by in _OF_NUMBERS:
            ((value,),) = ask(f"SELECT {_OF_NUMBERS[step.by]} FROM {numbers(ask, rows)}")
            return finite(value=value)
        ((kind,),) = ask(f"SELECT any_value(typeof(v)) FROM {rows}")
        some = rows if kind == "VARCHAR" else numbers(ask, rows)
        found = ask(
            f"SELECT v FROM {some} WHERE v IS NOT NULL GROUP BY v ORDER BY count(*) DESC, v LIMIT 1"
        )
        if not found:
            raise FitFailed(f"no row of its range has a value; {OTHER_RANGE}")
        writable(found[0])
        return {"value": found[0][0]}

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        if not isinstance(step, Impute):
            raise TypeError(f"{step} is no impute")
        value = fitted["value"] if step.value is None else step.value
        if isinstance(value, str):
            return (f"coalesce({v}, {text(value)})",)
        return (f"CASE WHEN {v} IS NULL OR isnan({v}) THEN {double(value)} ELSE {v} END",)


KINDS: dict[type[Step], StepKind] = {Impute: ImputeKind()}
