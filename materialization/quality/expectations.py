"""A profile against a definition's checks. [pure]

Not for stopping a run: the runner raises when a result has not passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from materialization.quality.profiles import shown_number
from registry.spec.bounds import bound_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materialization.quality.profiles import ColumnProfile, Extreme, Profile
    from registry.spec.bounds import Bound
    from registry.spec.model import FeatureSpec, VersionSpec


class CheckResult(msgspec.Struct, frozen=True):
    """One check of one feature: what was seen against what was asked, in words for people.

    ``example`` says which value was seen; it is for those who may read the view's values.
    """

    feature: str
    check: str
    passed: bool
    observed: str
    expected: str
    example: str = ""

    def __str__(self) -> str:
        verdict = "holds" if self.passed else "fails"
        return f"{self.feature}: {self.check} {verdict}, {self.observed} (asked: {self.expected})"

    def to_json(self) -> dict[str, Any]:
        return {**msgspec.to_builtins(self), "message": str(self)}


def check_profile(spec: VersionSpec, profile: Profile) -> list[CheckResult]:
    """Return every check of every feature; a run without rows passes them all.

    Bounds are inclusive and ask nothing of NULL (``not_null`` does) or of NaN, which has no order.
    """
    if profile.rows == 0:
        return []
    columns = {column.name: column for column in profile.columns}
    return [
        result for feature in spec.features for result in _checks(feature, columns[feature.name])
    ]


def _checks(feature: FeatureSpec, column: ColumnProfile) -> Iterator[CheckResult]:
    checks, name = feature.checks, feature.name
    if checks.not_null is not None:
        full = column.rows - column.nulls
        # Multiplied, not divided: 99 of 100 is a share of 0.99 without a rounding error.
        passed = full >= checks.not_null * column.rows - 1e-9
        observed = f"{full} of {column.rows} rows have a value"
        yield CheckResult(name, "not_null", passed, observed, f"a share of {checks.not_null:g}")
    for check, bound, found in (
        ("min", checks.min, column.minimum),
        ("max", checks.max, column.maximum),
    ):
        if bound is not None:
            yield _bound(feature, check, bound, found)
    if checks.allowed is not None:
        example = f"{name}: {column.not_allowed_example!r}" if column.not_allowed else ""
        observed = f"{column.not_allowed} rows hold other values"
        expected = f"one of {', '.join(map(repr, checks.allowed))}"
        yield CheckResult(name, "allowed", column.not_allowed == 0, observed, expected, example)


def _bound(feature: FeatureSpec, check: str, bound: Bound, found: Extreme | None) -> CheckResult:
    """Compare in the feature's own type: 0.1 in float32 is not the 0.1 of a definition."""
    asked = f"{check} {bound}"
    if found is None or isinstance(found, str):
        return CheckResult(feature.name, check, True, "there is no number", asked)
    limit = bound_in(feature.value_type, bound)
    passed = found >= limit if check == "min" else found <= limit
    word, side = ("least", "below") if check == "min" else ("greatest", "above")
    seen = f"the {word} value is {'not ' if passed else ''}{side} it"
    example = f"{feature.name}: the {word} value is {shown_number(found, feature.value_type)}"
    return CheckResult(feature.name, check, passed, seen, asked, example)
