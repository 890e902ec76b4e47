"""How versions that read other views stand to what they read: what they wait for, what came late.

Not for up to when what is read is stored (``upstream``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materialization.choices import RunKind, RunStatus
from materialization.models import MaterializationRun, MaterializationSchedule
from materialization.queries import coverage, end_of
from materialization.ticks import last_tick
from materialization.upstream import Upstreams

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from materialization.upstream import Stored
    from registry.models import FeatureTable, FeatureViewVersion
    from registry.spec.view_reads import ReadVersion

#: Runs that compute all of a table, where they begin with its first row.
_WHOLE = (RunKind.BACKFILL, RunKind.RECOMPUTE)


class Standing(NamedTuple):
    """How a version stands to one thing that it reads.

    ``waits``: in words, why what is due cannot be computed; empty: it can. ``changed``: the run
    that last stored rows which stored rows of the version should have been computed with.
    """

    stored: Stored
    waits: str
    changed: MaterializationRun | None

    @property
    def read(self) -> ReadVersion:
        return self.stored.read


def standings_of(version: FeatureViewVersion, *, at: datetime) -> list[Standing]:
    """Return how one version stands to each thing that it reads of another view."""
    table, spec = version.table, version.spec
    if table is None or not spec.reads:
        return []
    upstreams, covered = Upstreams([spec]), end_of(coverage(table))
    is_due = covered is None or _is_due(version, covered, at)
    return [
        Standing(
            each,
            _waits(each, covered) if is_due else "",
            _changed(table, each.read, upstreams) if covered else None,
        )
        for each in upstreams.stored_of(spec, at)
    ]


def waiting_of(
    late: Mapping[FeatureViewVersion, datetime | None], *, at: datetime
) -> dict[int, list[str]]:
    """Return what each of these versions waits for, by its key: a few questions for all.

    They are late, each with the end of what is stored of it.
    """
    reading = [version for version in late if version.spec.reads]
    if not reading:
        return {}
    upstreams = Upstreams(version.spec for version in reading)
    said = {
        version.pk: [_waits(each, late[version]) for each in upstreams.stored_of(version.spec, at)]
        for version in reading
    }
    return {pk: [words for words in each if words] for pk, each in said.items()}


def _waits(stored: Stored, covered: datetime | None) -> str:
    is_behind = stored.until is None or (covered is not None and stored.until <= covered)
    return f"they go no further than {stored.read}, which {stored.said}" if is_behind else ""


def _is_due(version: FeatureViewVersion, covered: datetime, at: datetime) -> bool:
    """Return whether a version should be stored further than it is, by its schedule."""
    schedule = MaterializationSchedule.objects.filter(version=version, enabled=True).first()
    if schedule is None or schedule.spec is None:
        return False
    return covered < last_tick(schedule.spec, at)


def _changed(
    table: FeatureTable, read: ReadVersion, upstreams: Upstreams
) -> MaterializationRun | None:
    """Return the last run since all of a table was computed that stored rows known before it.

    Such are stored late where a source says itself since when its rows were known. Others are
    known from the run on that found them: nothing that was computed before should have had them.
    """
    upstream, keeper = upstreams.table(read), upstreams.keeper(read)
    if upstream is None or keeper is None or keeper.spec.transform.makes_ticks:
        return None
    if keeper.spec.rows_from.created_timestamp is None:
        return None
    done = MaterializationRun.objects.filter(status=RunStatus.SUCCEEDED)
    whole = done.filter(table=table, window_start=None, kind__in=_WHOLE, compared_until=None)
    since = whole.order_by("-started_at").values_list("started_at", flat=True).first()
    late = done.filter(table=upstream, source_counts__late__gt=0)
    if since is not None:
        late = late.filter(finished_at__gt=since)
    return late.order_by("-finished_at").first()
