"""Which checks became weaker between two versions, and which are new or stricter. [pure]

A weaker one lets pass what was stopped before. Not for what follows from that: ``change`` makes
it a guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from registry.spec.bounds import number
from registry.spec.drift import loosened_drift
from registry.spec.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.spec.checks import Checks, Expectations, Extent, ViewChecks, ViewExpectations

#: What a check's name says before its own.
_PARTS = {"warn", "drift", "conditions"}


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


def tightened(old: Checks, new: Checks) -> Iterator[tuple[str, str]]:
    """Yield the names of a feature's checks that changed and are not weaker, and how."""
    yield from _changed(_asked(old), _asked(new), weaker=set(loosened(old, new)))


def tightened_of_view(old: ViewChecks, new: ViewChecks) -> Iterator[tuple[str, str]]:
    """Yield the same of a view's checks."""
    yield from _changed(_asked(old), _asked(new), weaker=set(loosened_of_view(old, new)))


def _changed(
    old: dict[str, Any], new: dict[str, Any], *, weaker: set[str]
) -> Iterator[tuple[str, str]]:
    for name, after in new.items():
        if name not in weaker and old.get(name) != after:
            yield name, "tightened" if name in old else "added"


def _asked(checks: Checks | ViewChecks) -> dict[str, Any]:
    """Return what is asked by the names that ``loosened`` has, as in ``warn.min``."""
    return dict(_named("", msgspec.to_builtins(checks)))


def _named(before: str, said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in said.items():
        if name in _PARTS and value is not None:
            yield from _named(f"{before}{name}.", value)
        else:
            yield f"{before}{name}", value


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
