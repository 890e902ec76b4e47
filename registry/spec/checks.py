"""What is asked of rows before they are published: of each feature, and of a view whole. [pure]

Not for judging rows (``materialization.quality``) or for what is well written (``check_rules``).
What stands under ``warn`` is told and stops nothing; all else stops the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from registry.spec.base import Spec
from registry.spec.bounds import Bound  # noqa: TC001 - msgspec reads the annotations
from registry.spec.drift import DriftSpec  # noqa: TC001 - msgspec reads the annotations
from registry.spec.row_sql import check_expression

if TYPE_CHECKING:
    from collections.abc import Iterator


class Extent(Spec, frozen=True):
    """The least and the most of something that is counted, both inclusive."""

    min: int | None = None
    max: int | None = None

    def __str__(self) -> str:
        if self.min is None or self.max is None:
            return f"at most {self.max}" if self.min is None else f"at least {self.min}"
        return f"{self.min} to {self.max}"


class Expectations(Spec, frozen=True):
    """What is asked of one feature in the rows of one run.

    ``not_null`` is the least share of non-null values, 0 to 1; ``min`` and ``max`` are inclusive,
    and mean what ``bounds`` makes of them in the feature's type. ``regex`` is RE2's and has to
    match a text from its beginning to its end. ``length`` counts the characters of a text, the
    bytes of bytes, the items of a list. ``unique``: no value is held by two
    entities at once.
    """

    not_null: float | None = None
    min: Bound | None = None
    max: Bound | None = None
    allowed: tuple[str | int | bool, ...] | None = None
    regex: str | None = None
    length: Extent | None = None
    unique: bool = False

    def in_words(self) -> Iterator[str]:
        """Say each check, as in ``at least 99 % not null``."""
        if self.not_null is not None:
            yield f"at least {self.not_null * 100:g} % not null"
        if self.min is not None:
            yield f"min {self.min}"
        if self.max is not None:
            yield f"max {self.max}"
        if self.allowed is not None:
            yield f"one of {', '.join(map(str, self.allowed))}"
        if self.regex is not None:
            yield f"matches {self.regex}"
        if self.length is not None:
            yield f"length {self.length}"
        if self.unique:
            yield "unique"


class Checks(Expectations, frozen=True):
    """``warn`` may ask the same and more strictly: a warning before it is too late.

    ``drift`` compares a run with others, and says itself whether it blocks.
    """

    warn: Expectations | None = None
    drift: DriftSpec | None = None

    @property
    def warnings(self) -> Expectations:
        return self.warn or Expectations()

    def in_words(self) -> Iterator[str]:
        yield from super().in_words()
        yield from (f"{words} (warns)" for words in self.warnings.in_words())
        if self.drift is not None:
            yield from self.drift.in_words()


class ViewExpectations(Spec, frozen=True):
    """What is asked of the rows of one run as a whole.

    ``rows`` counts those it would store, ``newest`` is how old the newest row may be at the end of
    its window. ``conditions`` are expressions over a row's stored columns, by a name for people; a
    row fails where one is false.
    """

    rows: Extent | None = None
    newest: str | None = None
    conditions: dict[str, str] = {}

    def in_words(self) -> Iterator[str]:
        if self.rows is not None:
            yield f"{self.rows} rows a run"
        if self.newest is not None:
            yield f"newest row at most {self.newest} old"
        for name, sql in self.conditions.items():
            yield f"{name}: {sql}"


class ViewChecks(ViewExpectations, frozen=True):
    warn: ViewExpectations | None = None

    @property
    def warnings(self) -> ViewExpectations:
        return self.warn or ViewExpectations()

    def in_words(self) -> Iterator[str]:
        yield from super().in_words()
        yield from (f"{words} (warns)" for words in self.warnings.in_words())


Graded = TypeVar("Graded", Checks, ViewChecks)


def blocking(checks: Graded) -> Graded:
    """Return what decides which rows are published, without what only warns."""
    if isinstance(checks, Checks) and checks.drift and not checks.drift.blocks:
        return msgspec.structs.replace(checks, warn=None, drift=None)
    return msgspec.structs.replace(checks, warn=None)


def canonical(checks: ViewChecks) -> ViewChecks:
    """Return the checks as they are stored: conditions written anew.

    :raises BadSql: one may not be run.
    """
    warn = checks.warn and _written_anew(checks.warn)
    return msgspec.structs.replace(_written_anew(checks), warn=warn)


Asked = TypeVar("Asked", bound=ViewExpectations)


def _written_anew(asked: Asked) -> Asked:
    conditions = {name: check_expression(sql) for name, sql in asked.conditions.items()}
    return msgspec.structs.replace(asked, conditions=conditions)
