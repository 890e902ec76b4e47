"""Waiting for runs to end, within a limit, for callers who want one answer and not to ask again.

Not for performing them: workers do, whether anybody waits or not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lib.errors import Conflict
from materialization.choices import LIVE_STATUSES, RunStatus
from materialization.models import MaterializationRun

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Seconds between two looks.
LOOK_EVERY = 0.25
_GOING_ON = (*LIVE_STATUSES, RunStatus.PAUSED)


class RunFailed(Conflict):
    code = "run_failed"


def await_end(
    runs: Sequence[MaterializationRun],
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """Wait for runs until they have ended; return whether all of them have after ``seconds``.

    In no transaction: it would see none of them end.
    :raises RunFailed: all have ended, and some did not succeed; says which and why.
    """
    until = clock() + seconds
    asked = MaterializationRun.objects.filter(pk__in=[run.pk for run in runs])
    while asked.filter(status__in=_GOING_ON).exists():
        if clock() >= until:
            return False
        sleep(LOOK_EVERY)
    _require_success(list(asked.select_related("version__feature_view").order_by("pk")))
    return True


def _require_success(runs: Sequence[MaterializationRun]) -> None:
    lost = [run for run in runs if run.status != RunStatus.SUCCEEDED]
    if lost:
        said = "; ".join(
            f"run {run.pk} of {run.version} {run.status}{f': {run.error}' if run.error else ''}"
            for run in lost
        )
        raise RunFailed(f"{said}. See GET runs/ID.", runs=[run.pk for run in lost])
