"""Rows that checks refused, as somebody reads them: the trail says who.

Not for what becomes of them: ``quarantine`` decides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction

from lib.parameters import BadFilter
from materialization.compute.jobs import ListJob
from materialization.edges.engines import engine
from materialization.edges.stores import offline_store
from materialization.quality.row_checks import looks_at_stored, row_checks
from materialization.queries import table_at
from materialization.requests.quarantine import QuarantineOver
from registry import audit

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.compute.reports import ListedRow
    from materialization.models import MaterializationRun, Quarantine

#: The place, file and row, of the last that was listed: far more digits than either has.
_CURSOR = re.compile(r"([0-9]{1,9}):([0-9]{1,15})")
#: How long somebody waits for a page of rows.
LIST_SECONDS = 30.0


class RowsPage(NamedTuple):
    """Rows that fail, and the place of the last of them if there are more."""

    rows: list[ListedRow]
    after: tuple[int, int] | None

    @property
    def cursor(self) -> str | None:
        """The place as a text to ask for the next page with; None: this is the last."""
        return f"{self.after[0]}:{self.after[1]}" if self.after else None


def place_after(cursor: str) -> tuple[int, int] | None:
    """Return the place that a page's ``cursor`` says; None for the first page.

    :raises BadFilter: it is none.
    """
    found = _CURSOR.fullmatch(cursor)
    if cursor and found is None:
        raise BadFilter(f"cursor {cursor[:50]!r}: send the `next` of the page before.")
    return (int(found[1]), int(found[2])) if found else None


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

    :raises QuarantineOver: it is no longer held, and there was a page before: it did not just end.
    :raises EngineLimitExceeded: it takes longer than somebody may wait.
    """
    if after is not None and not quarantine.is_kept:
        ended_by = quarantine.ended_by_id
        by = f" by run {ended_by}" if ended_by else ""
        raise QuarantineOver(
            f"what {quarantine.run} refused is {quarantine.state}{by} by now; the pages before"
            " this one were not all.",
            state=quarantine.state,
            ended_by=ended_by,
        )
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
