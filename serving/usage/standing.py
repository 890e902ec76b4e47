"""How versions stand with their readers: read last when, or by nobody for how long.

Not for how often (``queries``): lists ask a few rows, not the table of all reads.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Max

from lib.clock import database_now
from lib.instants import timestamp
from registry import recent_readers
from registry.catalogue import facts
from registry.choices import SERVED_STATES
from registry.recent_readers import ReadVersion, RecentReader
from serving.models import LastRead, StoreLook
from serving.usage.edges import is_noted, kept_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from registry.models import FeatureView, FeatureViewVersion

#: The look that says since when reads are noted; made anew where they were not for a time.
SINCE = "usage, first"
#: After so many days it is remarked upon that nobody reads something.
UNREAD_DAYS = 30
_NUMBER = ("version__major", "version__minor", "version__patch")


def noted_since(at: datetime) -> datetime:
    """Return since when reads are noted here; ``at``, while none is stored yet."""
    return StoreLook.objects.filter(pk=SINCE).values_list("looked_at", flat=True).first() or at


def register() -> None:
    facts.register(version_usage)
    recent_readers.register(_READS)


class _RecentReads:
    """The reads of ``UNREAD_DAYS``, or of as long as they are kept."""

    def versions(self, view: FeatureView, at: datetime) -> list[ReadVersion]:
        counts = Count("reader", distinct=True)
        found = self._latest(view, at, count=counts)
        days = self._lately().days
        return [ReadVersion(_number(row), row["count"], row["last"], days) for row in found]

    def readers(self, view: FeatureView, at: datetime) -> list[RecentReader]:
        found = self._latest(view, at, "reader", count=Count("feature"))
        return [
            RecentReader(row["reader"], _number(row), row["count"], row["last"]) for row in found
        ]

    @staticmethod
    def _lately() -> timedelta:
        return min(timedelta(days=UNREAD_DAYS), kept_for())

    def _latest(self, view: FeatureView, at: datetime, *apart: str, count: Count) -> Any:
        since = at - self._lately()
        return (
            LastRead.objects.filter(version__feature_view=view, read_at__gte=since)
            .values(*apart, *_NUMBER)
            .annotate(count=count, last=Max("read_at"))
            .order_by("-last", *apart, *_NUMBER)[: recent_readers.MOST_NAMED]
        )


def _number(row: dict[str, Any]) -> str:
    return ".".join(str(row[part]) for part in _NUMBER)


_READS = _RecentReads()


def version_usage(versions: Sequence[FeatureViewVersion]) -> dict[int, dict[str, Any]]:
    """Return ``{"usage": …}`` of those that are served: when one of its features was last read.

    ``unread_days``: for how many whole days nobody has, as far as reads are noted and kept. Where
    they are many, that is among the ``remarks`` too.
    """
    served = [version for version in versions if version.state in SERVED_STATES]
    if not served or not is_noted():
        return {}
    last = dict(
        LastRead.objects.filter(version__in=[version.pk for version in served])
        .values_list("version")
        .annotate(Max("read_at"))
    )
    now = database_now()
    # What was read before has been removed: nothing is known of then.
    began = max(noted_since(now), now - kept_for())
    return {
        version.pk: _said(last.get(version.pk), max(began, version.approved_at or began), now)
        for version in served
    }


def _said(last: datetime | None, began: datetime, now: datetime) -> dict[str, Any]:
    days = max(0, (now - (last or began)).days)
    said: dict[str, Any] = {"usage": {"last_read_at": timestamp(last), "unread_days": days}}
    if days >= UNREAD_DAYS:
        said["remarks"] = [f"nobody has read it for {days:,} days"]
    return said
