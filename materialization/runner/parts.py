"""The parts of a source as a run saw them: are they still so, and what is the next run told?

Not for which of them a run reads: ``looking`` decides that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import Unavailable
from materialization.models import SourcePart
from materialization.readings import Seen, remembered
from materialization.runner.beside import identities

if TYPE_CHECKING:
    from materialization.compute.reports import Counters
    from materialization.models import MaterializationRun
    from materialization.runner.work import Work
    from registry.models import FeatureTable


#: Parts written or deleted by one statement.
_AT_ONCE = 500


class SourceChangedWhileRead(Unavailable):
    """Nothing of what was read is stored: it may be half the old and half the new."""

    code = "source_changed"


def refuse_changed(work: Work) -> None:
    """Return if what was read is still what it was when it was looked at.

    :raises SourceChangedWhileRead: it is not; names what changed.
    """
    if work.job is None:
        return
    before = {part.name: part.identity for part in work.parts if part.name in work.reads}
    try:
        now = {part.name: part.identity for part in work.job.source.only(work.reads).parts()}
        beside = identities(work.job.source) if work.beside else {}
    except OSError as exc:
        raise _changed(str(exc.filename)) from exc
    for name, identity in before.items():
        if now[name] != identity:
            raise _changed(name)
    for (place, name), identity in work.beside.items():
        if beside[place, name] != identity:
            raise _changed(name)


def _changed(name: str) -> SourceChangedWhileRead:
    return SourceChangedWhileRead(
        f"{name} changed while it was read; nothing of it was stored and the run is tried again."
        " Write a file under another name, and rename it when it is whole."
    )


def seen_parts(table: FeatureTable) -> dict[str, Seen]:
    """Return the parts of the table's source by name, as the last run that read them saw them."""
    rows = table.source_parts.values_list("name", *Seen._fields)
    return {name: Seen(*rest) for name, *rest in rows}


def remember_parts(run: MaterializationRun, work: Work, counters: Counters | None) -> None:
    """Note the parts as this run saw them, and forget those that are gone."""
    if run.version.spec.transform.makes_ticks:
        return
    seen = seen_parts(run.table)
    found = remembered(
        work.parts,
        seen,
        work.planned,
        has_later=frozenset(counters.has_later) if counters else frozenset(),
        read_until=work.until,
    )
    SourcePart.objects.bulk_create(
        [
            SourcePart(table=run.table, name=name, **each._asdict())
            for name, each in found.items()
            if each != seen.get(name)
        ],
        batch_size=_AT_ONCE,
        update_conflicts=True,
        unique_fields=("table", "name"),
        update_fields=Seen._fields,
    )
    gone = sorted(seen.keys() - {*found, *work.waiting})
    for first in range(0, len(gone), _AT_ONCE):
        run.table.source_parts.filter(name__in=gone[first : first + _AT_ONCE]).delete()
