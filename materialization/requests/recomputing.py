"""Asking for a range, or all, of one version: what lacks is stored, what is stored is compared.

Rows that the source has otherwise by now are stored beside the old ones and win as corrections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.choices import RunKind
from materialization.queries import coverage, end_of
from materialization.requests.runs import request_run
from materialization.windows import BadWindow, make_window

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from materialization.models import MaterializationRun
    from registry.models import FeatureViewVersion


def request_backfill(
    *,
    version: FeatureViewVersion,
    start: datetime | None,
    end: datetime | None,
    at: datetime,
    actor: User,
) -> MaterializationRun:
    """Queue a run that stores ``(start, end]`` of a version anew; without a bound all there is.

    A version of which nothing is stored is backfilled. Ticks go up to now, whatever the ``end``:
    each continues the one before.

    :raises ActionNotPermitted, NotMaterializable, RunInProgress: as ``request_run``.
    :raises BadWindow: as ``request_run``; or ticks are to be computed again to an end among them.
    """
    make_window(start, end or at)
    covered = [] if version.table is None else coverage(version.table)
    until = end_of(covered)
    if until is None:
        return request_run(
            version=version, window_start=start, window_end=end or at, at=at, actor=actor
        )
    if end is not None and end < until and version.spec.transform.makes_ticks:
        raise BadWindow(
            f"{version} aggregates: each of its ticks continues the one before, so they are"
            f" computed again up to the newest, {until.isoformat()}; leave the end out."
        )
    return request_run(
        version=version,
        window_start=start,
        window_end=end or at,
        at=at,
        actor=actor,
        kind=RunKind.RECOMPUTE,
        compared_until=end,
    )
