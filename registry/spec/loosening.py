"""Which checks became weaker between two versions: they let pass what was stopped before. [pure]

Not for what follows from that: ``change`` makes it a guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.spec.bounds import number
from registry.spec.drift import loosened_drift
from registry.spec.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.spec.checks import Checks, Expectations, Extent, ViewChecks, ViewExpectations


def loosened(old: Checks, new: Checks) -> Iterator[str]:
    """Yield the names of a feature's weaker checks; what only warned begins with ``warn.``.

    What blocks is told as well: a warning that became a block is not weaker.
    """
    yield from _weaker(old, new)
    told = set(_weaker(old.warnings, new.warnings)) & set(_weaker(old.warnings, new))
    yield from (f"warn.{name}" for name in sorted(told))
    yield from loosened_drift(old.drift, new.drift)


def loosened_of_view(old: ViewChecks, new: ViewChecks) -> Iterator[str]:
    """Yield the names of a view's weaker checks, as ``loosened`` does a feature's."""
    yield from _weaker_view(old, new)
    told = set(_weaker_view(old.warnings, new.warnings)) & set(_weaker_view(old.warnings, new))
    yield from (f"warn.{name}" for name in sorted(told))


def _weaker(old: Expectations, new: Expectations) -> Iterator[str]:
    for name in ("not_null", "min"):
        before, after = getattr(old, name), getattr(new, name)
        if before is not None and (after is None or number(after) < number(before)):
            yield name
    if old.max is not None and (new.max is None or number(new.max) > number(old.max)):
        yield "max"
    if old.allowed is not None and (new.allowed is None or set(new.allowed) - set(old.allowed)):
        yield "allowed"
    # Which of two expressions lets more pass is not for us to say.
    if old.regex is not None and new.regex != old.regex:
        yield "regex"
    if _wider(old.length, new.length):
        yield "length"
    if old.unique and not new.unique:
        yield "unique"


def _weaker_view(old: ViewExpectations, new: ViewExpectations) -> Iterator[str]:
    if _wider(old.rows, new.rows):
        yield "rows"
    if old.newest is not None:
        before = parse_duration(old.newest)
        if new.newest is None or parse_duration(new.newest) > before:
            yield "newest"
    for name, sql in old.conditions.items():
        if new.conditions.get(name) != sql:
            yield f"conditions.{name}"


def _wider(old: Extent | None, new: Extent | None) -> bool:
    if old is None:
        return False
    low, high = (new.min, new.max) if new else (None, None)
    lower = old.min is not None and (low is None or low < old.min)
    return lower or (old.max is not None and (high is None or high > old.max))
