"""What a step of an encoding has to do, and what all of them share. [pure]

Not for what a definition says of one (``registry.spec.encode_steps``). A null stays null in every
step but ``impute``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from lib.sql_text import text
from materialization.errors import FitFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from registry.spec.encode_steps import Step

#: What one step was fitted to: plain values, as JSON has them.
Parameters: TypeAlias = Mapping[str, Any]
#: What is nearer to zero than this scales nothing: numbers that differ by it are one by rounding.
SMALLEST_SCALE = 10 * 2.0**-52
#: What to do about a range that nothing can be fitted to.
OTHER_RANGE = "choose another, or leave the step out"


class Ask(NamedTuple):
    """Runs a query and gives its rows.

    Rows that are fitted have, beside ``v``, so many join keys ``k0…``, the event ``e`` and, where
    an encoding names one, the label ``y``.
    """

    run: Callable[[str], list[tuple[Any, ...]]]
    keys: int
    #: What the rows' events are in: from the first on and before the last.
    window: tuple[datetime, datetime]

    def __call__(self, sql: str) -> list[tuple[Any, ...]]:
        return self.run(sql)


class StepKind(Protocol):
    """One kind of step, without state of its own."""

    def fit(self, step: Step, ask: Ask, rows: str) -> dict[str, Any]:
        """Return what the step is fitted to on a sub-select with a column ``v``.

        :raises FitFailed: no value there, or one that nothing can be fitted to.
        """

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        """Return SQL of the value over a column ``v``, in stages: each is over the one before.

        Beside it stand the join keys ``k0…`` and the event ``e``.
        """


def double(number: float) -> str:
    """Write a number so that it is read as exactly this double."""
    return f"{text(repr(float(number)))}::DOUBLE"


def doubles(numbers: Iterable[float]) -> str:
    """Write a list of numbers as ``double`` writes one."""
    listed = ", ".join(repr(float(each)) for each in numbers)
    return f"({text(f'[{listed}]')}::DOUBLE[])"


def numbers(ask: Ask, rows: str) -> str:
    """Return the rows that numbers are fitted on: without nulls and NaN.

    :raises FitFailed: there is none, or an infinite one.
    """
    some = f"(SELECT v FROM {rows} WHERE v IS NOT NULL AND NOT isnan(v))"  # noqa: S608
    count, infinite = ask(f"SELECT count(*), count(*) FILTER (WHERE isinf(v)) FROM {some}")[0]  # noqa: S608
    if not count:
        raise FitFailed(f"no row of its range has a number; {OTHER_RANGE}")
    if infinite:
        raise FitFailed(
            f"{infinite} of {count} numbers of its range are infinite; put a clip before it"
        )
    return some


def writable(values: Iterable[Any]) -> None:
    """Return if texts can be written into SQL, by which they are applied.

    :raises FitFailed: one of them cannot.
    """
    if any("\0" in value for value in values if isinstance(value, str)):
        raise FitFailed(
            "a value of its range holds a NUL, which no text is written with; replace it in `sql`,"
            " or where the rows come from"
        )


def scale(width: float) -> float:
    """Return what to divide by: 1 where all values are one."""
    return width if abs(width) >= SMALLEST_SCALE else 1.0


def finite(**parameters: float) -> dict[str, Any]:
    """Return parameters.

    :raises FitFailed: one of them is beyond every double.
    """
    for name, value in parameters.items():
        if not math.isfinite(value):
            raise FitFailed(f"its {name} is beyond every number; put a clip before it")
    return dict(parameters)
