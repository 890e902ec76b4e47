"""Rows that checks refused, as somebody reads them: the trail says who.

Not for what becomes of them: ``quarantine`` decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction

from materialization.compute.jobs import ListJob
from materialization.edges import engine, offline_store
from materialization.quality.row_checks import looks_at_stored, row_checks
from materialization.queries import table_at
from registry import audit

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.compute.jobs import ListedRow
    from materialization.models import MaterializationRun, Quarantine

#: How long somebody waits for a page of rows.
LIST_SECONDS = 30.0


class RowsPage(NamedTuple):
    """Rows that fail, and the place of the last of them if there are more."""

    rows: list[ListedRow]
    after: tuple[int, int] | None


NO_ROWS = RowsPage([], None)


def read_rows(
    quarantine: Quarantine,
    *,
    actor: User | AnonymousUser,
    limit: int,
    at: datetime,
    after: tuple[int, int] | None = None,
) -> RowsPage:
    """Return the next page of ``failing_rows`` for somebody to see, with its entry in the trail.

    :raises EngineLimitExceeded: it takes longer than somebody may wait.
    """
    found = failing_rows(quarantine, limit=limit + 1, after=after)
    rows = found[:limit]
    if rows:
        _record_reading(quarantine, actor, {"rows": len(rows), "after": after}, at)
    return RowsPage(rows, rows[-1].place if len(found) > limit else None)


@transaction.atomic
def _record_reading(
    quarantine: Quarantine, actor: User | AnonymousUser, data: dict[str, Any], at: datetime
) -> None:
    audit.record(
        actor=actor,
        verb="quarantine.read",
        subject=quarantine,
        project=quarantine.run.version.feature_view.project,
        label=str(quarantine.run),
        data={"run": quarantine.run_id, **data},
        at=at,
    )


def failing_rows(
    quarantine: Quarantine, *, limit: int, after: tuple[int, int] | None = None
) -> list[ListedRow]:
    """Return the next rows that fail a check which stopped the run, in the order of the files.

    What stopped it without being about single rows, as their number, has none. For those who may
    read the view's values.

    :raises EngineLimitExceeded: it takes longer than somebody may wait.
    """
    run = quarantine.run
    said = {(each["feature"], each["check"]) for each in stopped_by(run)}
    checks = enumerate(row_checks(run.version.spec))
    numbers = [n for n, each in checks if each.blocks and (each.feature, each.check) in said]
    files = offline_store().aside(table_at(quarantine.table), quarantine.stored_as).files
    if not (numbers and files and quarantine.is_kept):
        return []
    place, spec = table_at(quarantine.table), run.version.spec
    stored = offline_store().snapshot(place).files if looks_at_stored(spec) else ()
    job = ListJob(
        spec,
        files,
        tuple(numbers),
        limit,
        after or (0, -1),
        stored_files=stored,
        up_to=run.sequence,
    )
    return engine(timeout_s=LIST_SECONDS).list_failing(job)


def stopped_by(run: MaterializationRun) -> list[dict[str, Any]]:
    """Return the results of the checks that stopped a run."""
    return [each for each in run.checks if each.get("blocks", True) and not each["passed"]]
