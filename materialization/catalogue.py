"""What materialization says of versions in the catalogue: how fresh their data is.

Not for the age itself: ``quality.freshness`` has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import F

from lib.clock import database_now
from lib.errors import Unavailable
from lib.instants import timestamp
from materialization.choices import QuarantineState
from materialization.edges.stores import offline_store
from materialization.models import Quarantine, StoredWindow
from materialization.quality.freshness import Freshness, ends_of, freshness_of
from materialization.queries import table_at, warned
from materialization.readers import standings_of
from registry.catalogue import facts
from registry.choices import SERVED_STATES, Standing
from registry.models import FeatureViewVersion

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta

    from registry.models import FeatureTable


#: Versions that a question names one by one.
MOST_NAMED = 1000


def register() -> None:
    facts.register(version_freshness)
    facts.register(version_checks)
    facts.register(version_reads)
    facts.register_keeping(kept_promises)


def version_checks(versions: Sequence[FeatureViewVersion]) -> dict[int, dict[str, Any]]:
    """Return ``{"checks": …}`` of a single version: what warned, and what waits for a decision.

    Too much to ask for each of a list.
    """
    if len(versions) != 1 or versions[0].table is None:
        return {}
    (version,), table = versions, versions[0].table
    run, warnings = warned(version)
    held = Quarantine.objects.filter(table=table, state=QuarantineState.HELD).first()
    said = {
        "run": run and run.pk,
        "warnings": [each["message"] for each in warnings],
        "quarantine": held and held.run_id,
    }
    return {version.pk: {"checks": said}}


def version_reads(versions: Sequence[FeatureViewVersion]) -> dict[int, dict[str, Any]]:
    """Return ``{"reads": …}`` of a single version that reads others: how it stands to each.

    Too much to ask for each of a list.
    """
    if len(versions) != 1 or versions[0].state not in SERVED_STATES or not versions[0].spec.reads:
        return {}
    (version,) = versions
    said = [
        {
            "version": str(each.read),
            "features": list(each.read.features),
            "stored_until": timestamp(each.stored.until),
            "waits": each.waits,
            "changed_by_run": each.changed and each.changed.pk,
        }
        for each in standings_of(version, at=database_now())
    ]
    return {version.pk: {"reads": said}}


def version_freshness(versions: Sequence[FeatureViewVersion]) -> dict[int, dict[str, Any]]:
    """Return ``{"freshness": …}`` of those that are served; of a single one its newest row too.

    The newest row is asked of the offline store, a look a table: too long for a list.
    """
    served = [version for version in versions if version.state in SERVED_STATES]
    found = freshness_of(served, at=database_now()) if served else {}
    said = {version.pk: {"freshness": freshness_output(version, f)} for version, f in found.items()}
    if len(versions) == 1:
        for version in found:
            if version.table is not None:
                newest = timestamp(newest_event(version.table))
                said[version.pk]["freshness"]["newest_event"] = newest
    return said


def kept_promises(projects: Collection[int], promises: Mapping[int, timedelta]) -> dict[int, str]:
    """Say of those that are served, by their keys, whether they are as fresh as each promises."""
    versions = FeatureViewVersion.objects.filter(
        feature_view__project__in=projects, state__in=SERVED_STATES
    )
    if len(promises) > MOST_NAMED:  # then they are those that speak for their views
        versions = versions.filter(feature_view__default_version=F("pk"))
    else:
        versions = versions.filter(pk__in=list(promises))
    windows = StoredWindow.objects.filter(table__feature_view__project__in=projects)
    ends, now = ends_of(windows), database_now()
    return {
        pk: Standing.OVERDUE if fresh.is_overdue else Standing.IN_TIME
        for pk, table, approved_at in versions.values_list("pk", "table", "approved_at")
        if pk in promises
        for fresh in [Freshness(promises[pk], ends.get(table), approved_at, now)]
    }


def freshness_output(version: FeatureViewVersion, fresh: Freshness) -> dict[str, Any]:
    age = fresh.age
    return {
        "promise": version.spec.view.freshness,
        "covered_until": timestamp(fresh.covered_until),
        "age_seconds": None if age is None else round(age.total_seconds(), 3),
        "overdue": fresh.is_overdue,
    }


def newest_event(table: FeatureTable) -> datetime | None:
    """Return the event time of a table's newest row, to the millisecond; None: not known."""
    try:
        return newest_stored(table)
    except Unavailable:
        return None


def newest_stored(table: FeatureTable) -> datetime | None:
    """Return the same; None: no row is stored.

    :raises OfflineStoreUnavailable: the store does not say.
    """
    if not table.stored_as:
        return None
    files = offline_store().list_files(table_at(table)).files
    newest = max((file.last_event for file in files if file.last_event), default=None)
    return newest and newest.replace(microsecond=newest.microsecond // 1000 * 1000)
