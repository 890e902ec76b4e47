"""What a run found against its version's checks: kept on the run, and what ends it.

Not for what a check means (``quality``) or for what becomes of refused rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lib.errors import QualityRejected
from materialization.catalogue import newest_stored
from materialization.choices import RunKind
from materialization.chunks import read_chunks
from materialization.quality.checking import Checked
from materialization.quality.comparing import drift_of
from materialization.quality.expectations import Batch, judge
from materialization.quality.merging import merge_profiles
from materialization.quality.profiles import Profile
from materialization.quality.stored_profiles import BEFORE, of_rows
from materialization.queries import covered_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.chunks import Chunk
    from materialization.compute.reports import Computed
    from materialization.models import MaterializationRun
    from materialization.quality.expectations import CheckResult

#: What brings the rows of a time that was not covered; ``again`` brings those that lacked.
_OF_NEW_TIME = (RunKind.BACKFILL, RunKind.INCREMENTAL)


class ChecksFailed(QualityRejected):
    code = "checks_failed"


class NoRows(QualityRejected):
    code = "no_rows"


class Stage(NamedTuple):
    """Where in its run what is judged stands: rows are stored before it, or others follow."""

    before: int = 0
    is_last: bool = True
    #: The checks that failed of what is stored by now, and only warned.
    warned: Sequence[dict[str, Any]] = ()
    kept: str = "Nothing was published."


def stage_of(run: MaterializationRun, number: int) -> Stage:
    """Return where the chunk at place ``number`` of the run's stands."""
    chunks = read_chunks(run.chunks)
    if not number:
        return Stage(is_last=len(chunks) == 1)
    until = chunks[number - 1].until.isoformat()
    return Stage(
        before=_rows_of(chunks[:number]),
        is_last=number == len(chunks) - 1,
        warned=_warned(run),
        kept=f"What was stored up to {until} stays; nothing after it was published.",
    )


def stage_of_corrections(run: MaterializationRun) -> Stage:
    """Return where corrections of ticks stand: the run's new ones are stored."""
    kept = "Its new ticks are stored; no stored tick was corrected."
    return Stage(before=_rows_of(read_chunks(run.chunks)), warned=_warned(run), kept=kept)


def _rows_of(chunks: Sequence[Chunk]) -> int:
    return sum(each.counts.get("rows_stored", 0) for each in chunks)


def _warned(run: MaterializationRun) -> list[dict[str, Any]]:
    return [each for each in run.checks if not (each["passed"] or each["blocks"])]


def judge_rows(
    run: MaterializationRun, computed: Computed, *, stage: Stage, progress: float
) -> None:
    """Keep the evidence on the run, then refuse what fails it.

    :raises ChecksFailed: a check that blocks failed. :raises NoRows: the first run has none.
    """
    counters = computed.counters
    profile = {
        **_with_chunks_before(run, computed.profile, stage),
        "dropped_null_key": counters.dropped_null_key,
        "seconds": {name: round(each, 2) for name, each in computed.seconds.items()},
    }
    found = Profile.from_json(computed.profile, run.version.spec.features)
    drifted = drift_of(run.version, run, found)
    drift = drifted.figures if drifted else None
    run.advance(profile=profile, has_profile=True, drift=drift, progress=progress)
    also = drifted.results if drifted else ()
    _judge(run, computed.checked, stage, rows=counters.rows, also=also)
    if counters.rows == 0 and not run.table.stored_windows.exists():
        raise NoRows(
            f"{run.version}: the source has no usable row up to {run.window_end.isoformat()}; "
            "check its path and its timestamps, then materialize again."
        )


def _with_chunks_before(
    run: MaterializationRun, profile: dict[str, Any], stage: Stage
) -> dict[str, Any]:
    """Return the profile of the run's rows so far, beside that of those before them.

    That is what the run stored if this is refused; and an attempt may have died after it judged a
    chunk and before that was stored.
    """
    before = of_rows(run, stage.before) if stage.before else None
    if before is None:
        return profile
    features = run.version.spec.features
    merged = merge_profiles([Profile.from_json(each, features) for each in (before, profile)])
    return merged.to_json() | {BEFORE: {key: before[key] for key in profile}}


def judge_stillness(run: MaterializationRun, stage: Stage) -> None:
    """Judge a run that had nothing to read: it may be the source that stands still.

    :raises ChecksFailed: it is to be newer by now.
    """
    _judge(run, Checked(), stage, rows=0)


def _judge(
    run: MaterializationRun,
    checked: Checked,
    stage: Stage,
    *,
    rows: int,
    also: Sequence[CheckResult] = (),
) -> None:
    results = [*judge(run.version.spec, checked, _batch(run, stage, rows)), *also]
    if results:
        run.advance(checks=_with_warned([result.to_json() for result in results], stage.warned))
    if failed := [result for result in results if result.stops]:
        raise ChecksFailed(
            f"{run.version}: {'; '.join(map(str, failed))}. {stage.kept}",
            example="; ".join(result.example for result in failed if result.example),
        )


def _with_warned(
    checks: list[dict[str, Any]], warned: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the checks of one chunk, with those in place that failed in one before it."""
    old = {(each["feature"], each["check"], each["blocks"]): each for each in warned}
    found = []
    for each in checks:
        before = old.pop((each["feature"], each["check"], each["blocks"]), None)
        found.append(before if each["passed"] and before is not None else each)
    return [*found, *old.values()]


def _batch(run: MaterializationRun, stage: Stage, rows: int) -> Batch:
    batch = Batch(
        rows,
        before=stage.before,
        counts_least=stage.is_last and run.kind in _OF_NEW_TIME,
        # A history has as many as it has.
        counts_most=run.kind == RunKind.INCREMENTAL,
    )
    checks = run.version.spec.view.checks
    if not (checks.newest or checks.warnings.newest) or run.kind not in _OF_NEW_TIME:
        return batch
    if not stage.is_last:
        return batch
    until = covered_until(run.table)
    if until is not None and run.window_end < until:
        return batch  # it fills a gap, and what is newer is stored
    return batch._replace(until=run.window_end, stored=newest_stored(run.table))
