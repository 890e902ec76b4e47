"""What a run found against its version's checks: kept on the run, and what ends it.

Not for what a check means (``quality``) or for what becomes of refused rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import QualityRejected
from materialization.catalogue import newest_stored
from materialization.choices import RunKind
from materialization.quality.checking import Checked
from materialization.quality.expectations import Batch, judge
from materialization.queries import covered_until

if TYPE_CHECKING:
    from materialization.compute.jobs import Computed
    from materialization.models import MaterializationRun

#: What brings the rows of a time that was not covered; ``again`` brings those that lacked.
_OF_NEW_TIME = (RunKind.BACKFILL, RunKind.INCREMENTAL)


class ChecksFailed(QualityRejected):
    code = "checks_failed"


class NoRows(QualityRejected):
    code = "no_rows"


def judge_rows(run: MaterializationRun, computed: Computed, *, progress: float) -> None:
    """Keep the evidence on the run, then refuse what fails it.

    :raises ChecksFailed: a check that blocks failed. :raises NoRows: the first run has none.
    """
    counters = computed.counters
    profile = {
        **computed.profile,
        "dropped_null_key": counters.dropped_null_key,
        "seconds": {name: round(each, 2) for name, each in computed.seconds.items()},
    }
    run.advance(rows_read=counters.rows_read, profile=profile, progress=progress)
    _judge(run, computed.checked, rows=counters.rows)
    if counters.rows == 0 and not run.table.stored_windows.exists():
        raise NoRows(
            f"{run.version}: the source has no usable row up to {run.window_end.isoformat()}; "
            "check its path and its timestamps, then materialize again."
        )


def judge_stillness(run: MaterializationRun) -> None:
    """Judge a run that had nothing to read: it may be the source that stands still.

    :raises ChecksFailed: it is to be newer by now.
    """
    _judge(run, Checked(), rows=0)


def _judge(run: MaterializationRun, checked: Checked, *, rows: int) -> None:
    results = judge(run.version.spec, checked, _batch(run, rows))
    if results:
        run.advance(checks=[result.to_json() for result in results])
    if failed := [result for result in results if result.stops]:
        raise ChecksFailed(
            f"{run.version}: {'; '.join(map(str, failed))}. Nothing was published.",
            example="; ".join(result.example for result in failed if result.example),
        )


def _batch(run: MaterializationRun, rows: int) -> Batch:
    batch = Batch(
        rows,
        counts_least=run.kind in _OF_NEW_TIME,
        # A history has as many as it has.
        counts_most=run.kind == RunKind.INCREMENTAL,
    )
    checks = run.version.spec.view.checks
    if not (checks.newest or checks.warnings.newest) or run.kind not in _OF_NEW_TIME:
        return batch
    until = covered_until(run.table)
    if until is not None and run.window_end < until:
        return batch  # it fills a gap, and what is newer is stored
    return batch._replace(until=run.window_end, stored=newest_stored(run.table))
