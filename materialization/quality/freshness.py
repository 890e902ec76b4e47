"""How old what a version serves is, against the promise of its definition.

The age is the database's clock now minus the end of what the table covers: a source without new
rows is looked at and so stays fresh. Not for telling anybody: ``requests.watch`` opens the alerts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Max

from materialization.models import StoredWindow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from registry.models import FeatureViewVersion

_NONE = timedelta(0)
#: Canonical definitions have it if they say something, or a feature is called so.
MAY_PROMISE = '"freshness"'


class Freshness(NamedTuple):
    """What one version promises and how it stands at an instant.

    ``age`` None: nothing is stored of it yet; it owes something since ``approved_at`` then.
    """

    promise: timedelta | None
    covered_until: datetime | None
    approved_at: datetime | None
    at: datetime

    @property
    def age(self) -> timedelta | None:
        """Never below zero: a table may be covered to an instant that is a moment ahead."""
        return None if self.covered_until is None else max(self.at - self.covered_until, _NONE)

    @property
    def is_overdue(self) -> bool:
        since = self.covered_until or self.approved_at
        return self.promise is not None and since is not None and self.at - since > self.promise


def promising(versions: QuerySet[FeatureViewVersion]) -> QuerySet[FeatureViewVersion]:
    """Return those that may have made a promise; the others are never overdue."""
    return versions.filter(spec_json__contains=MAY_PROMISE).defer("packet")


def freshness_of(
    versions: Iterable[FeatureViewVersion], *, at: datetime
) -> dict[FeatureViewVersion, Freshness]:
    """Return how each of the versions that are stored stands; one question for all of them.

    A table whose rows arrive has all that came, as online answers say of it: no run covers more.
    """
    stored = [version for version in versions if version.table_id is not None]
    ends = ends_of(StoredWindow.objects.filter(table__in={v.table_id for v in stored}))
    return {
        version: Freshness(
            version.spec.view.promised_age,
            at if end is not None and version.spec.is_pushed else end,
            version.approved_at,
            at,
        )
        for version in stored
        for end in [ends.get(version.table_id)]
    }


def ends_of(windows: QuerySet[StoredWindow]) -> dict[int | None, datetime]:
    """Return up to when each table is covered that these windows are of."""
    return dict(windows.values_list("table").annotate(Max("window_end")).order_by())
