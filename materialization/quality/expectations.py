"""What was counted of a run's rows against a definition's checks. [pure]

Not for counting (``checking``) and not for stopping a run: the runner raises when a result that
blocks has not passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lib.instants import from_us
from materialization.quality.row_checks import row_checks
from registry.spec.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from materialization.quality.checking import Checked, Counted
    from materialization.quality.row_checks import RowCheck
    from registry.spec.checks import ViewExpectations
    from registry.spec.version_spec import VersionSpec

#: How an example is said: extremes by what they are, others quoted.
_EXTREMES = {"min": "the least value is", "max": "the greatest value is"}


class CheckResult(msgspec.Struct, frozen=True):
    """One check of one feature, or of the view: what was seen against what was asked, in words.

    ``example`` says which value was seen; it is for those who may read the view's values.
    ``blocks``: that it failed stops the run; else it is told. ``failed`` are the rows that fail it;
    None where it is not about single rows.
    """

    feature: str
    check: str
    passed: bool
    observed: str
    expected: str
    example: str = ""
    blocks: bool = True
    failed: int | None = None

    @property
    def stops(self) -> bool:
        return self.blocks and not self.passed

    def __str__(self) -> str:
        verdict = "holds" if self.passed else "fails"
        name = f"{self.feature}: {self.check}" if self.feature else self.check
        return f"{name} {verdict}, {self.observed} (asked: {self.expected})"

    def to_json(self) -> dict[str, Any]:
        return {**msgspec.to_builtins(self), "message": str(self)}


class Batch(NamedTuple):
    """What the checks of a view as a whole look at.

    ``before`` are the rows that the run has stored already.
    ``counts_least`` and ``counts_most``: the rows are as many as one run should have, and not
    those of a history or the few that lacked. ``until``: the rows are the newest there are up to
    then, ``stored`` being the latest event before them; None: newer ones are stored.
    """

    rows: int
    counts_least: bool = False
    counts_most: bool = False
    until: datetime | None = None
    stored: datetime | None = None
    before: int = 0


def judge(spec: VersionSpec, checked: Checked, batch: Batch) -> list[CheckResult]:
    """Return every check that can be asked of the rows; of no rows only the newest row is asked.

    Bounds ask nothing of NULL (``not_null`` does) or of NaN, which has no order; nor does a
    condition that is NULL fail.
    """
    pairs = zip(row_checks(spec), checked.counts, strict=True) if batch.rows else ()
    results = [_of_rows(check, counted, batch.rows) for check, counted in pairs]
    for asked, blocks in ((spec.view.checks, True), (spec.view.checks.warnings, False)):
        results += _of_batch(asked, checked, batch, blocks=blocks)
    return results


def _of_rows(check: RowCheck, counted: Counted, rows: int) -> CheckResult:
    if counted.why_not:
        observed = f"was not judged: {counted.why_not}"
        return CheckResult(
            check.feature, check.check, passed=False, observed=observed, expected=check.asked,
            blocks=check.blocks,
        )  # fmt: skip
    failed = counted.failed
    passed, observed = failed == 0, f"{failed:,} of {rows:,} rows {check.have}"
    if check.share is not None:
        # Multiplied, not divided: 99 of 100 is a share of 0.99 without a rounding error.
        passed = rows - failed >= check.share * rows - 1e-9
        observed = f"{rows - failed:,} of {rows:,} rows have a value"
    example = ""
    if failed and counted.example:
        extreme = _EXTREMES.get(check.check)
        shown = f"{extreme} {counted.example}" if extreme else repr(counted.example)
        example = f"{check.feature}: {shown}"
    return CheckResult(
        check.feature, check.check, passed, observed, check.asked, example, check.blocks, failed
    )


def _of_batch(
    asked: ViewExpectations, checked: Checked, batch: Batch, *, blocks: bool
) -> Iterator[CheckResult]:
    bounds, rows = asked.rows, batch.before + batch.rows
    if bounds is not None and rows and (batch.counts_least or batch.counts_most):
        too_few = batch.counts_least and bounds.min is not None and rows < bounds.min
        too_many = batch.counts_most and bounds.max is not None and rows > bounds.max
        seen = f"the run has {rows:,} rows"
        yield CheckResult("", "rows", not (too_few or too_many), seen, str(bounds), "", blocks)
    if asked.newest is not None and batch.until is not None:
        found = None if checked.newest is None else from_us(checked.newest)
        newest = max((each for each in (found, batch.stored) if each is not None), default=None)
        passed = newest is not None and newest >= batch.until - parse_duration(asked.newest)
        seen = "there is no row" if newest is None else f"the newest row is of {newest.isoformat()}"
        wanted = f"at most {asked.newest} before {batch.until.isoformat()}"
        yield CheckResult("", "newest", passed, seen, wanted, "", blocks)
