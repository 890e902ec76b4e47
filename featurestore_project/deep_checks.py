"""What somebody has to see to though it keeps nobody from reading: ``/readyz?deep=1`` says it.

Not for what a load balancer asks: ``health`` has that. Each check is words, ``ok`` where nothing is
to be seen to.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import Error as DatabaseFailed

from lib.clock import database_now
from lib.errors import AssayError
from materialization.choices import Severity
from materialization.edges.engines import installed_otherwise, python_walls
from materialization.models import Alert
from materialization.quality.freshness import freshness_of, promising
from materialization.stalls import silent_kinds, untaken_queues, waiting_queues
from registry.models import AuditHead, AuditSeal
from registry.queries import served_versions
from registry.trail.verifying import START, recent_findings

if TYPE_CHECKING:
    from collections.abc import Callable

OK = "ok"
#: How much of the trail one question looks at.
TRAIL_ENTRIES, TRAIL_SECONDS = 1000, 0.5


def check_processes() -> str:
    """Say which kind of process has not been heard of for a while, and what that means."""
    try:
        silent = silent_kinds(at=database_now())
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    return f"{OK}, but {'; '.join(silent.values())}" if silent else OK


def check_queues() -> str:
    """Say which queues none takes from, where runs wait for long, and if others run meanwhile."""
    try:
        now = database_now()
        untaken = untaken_queues(at=now).values()
        late = [*untaken, *(words for _, words in waiting_queues(at=now).values())]
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    return f"{OK}, but {'; '.join(late)}" if late else OK


def check_freshness() -> str:
    """Say how many versions are older than they promise; which, is for those who may see them."""
    try:
        found = freshness_of(promising(served_versions()), at=database_now())
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    late = sum(fresh.is_overdue for fresh in found.values())
    promised = sum(fresh.promise is not None for fresh in found.values())
    return f"{OK}, but {late} of {promised} versions are older than they promise" if late else OK


def check_alerts() -> str:
    """Say how many alerts are open, and how many of them grave."""
    try:
        found = Counter(Alert.objects.open().values_list("severity", flat=True))
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    critical = found[Severity.CRITICAL]
    count = found.total()
    are = "alert is" if count == 1 else "alerts are"
    words = f"{count} {are} open, {critical} critical: see the admin"
    return f"{OK}, but {words}" if found else OK


def check_trail() -> str:
    """Say where the trail is not guarded, not whole, or not what there is; which, the shell says.

    Each question looks at the newest entries and at some of the rows, the next at others.
    """
    try:
        found, _seen.last = recent_findings(
            entries=TRAIL_ENTRIES, seconds=TRAIL_SECONDS, after=_seen.last
        )
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    if not found:
        return OK
    counted = Counter(each.what for each in found)
    words = ", ".join(f"{count} of {what}" for what, count in counted.items())
    return f"{OK}, but the trail has something to say ({words}): run manage.py verify_audit"


def check_seals() -> str:
    """Say that the last seal is not where it should be: nobody outside has what the trail was."""
    try:
        last = AuditSeal.objects.order_by("-pk").first()
        late = database_now() - timedelta(seconds=2 * settings.SEAL_EVERY_SECONDS)
        grown = AuditHead.objects.filter(count__gt=last.count if last else 0).exists()
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    if not settings.SEAL_CHANNELS:
        return OK
    if last is None or (last.made_at < late and grown):
        return f"{OK}, but the trail has no seal of late: see to the sweep process"
    return f"{OK}, but a seal of the trail is not published: {last.failed}" if last.missing else OK


def check_python() -> str:
    """Say why functions of operators' packages are not called, or not as versions need them."""
    if not settings.PYTHON_DISTRIBUTIONS:
        return OK
    try:
        lacking = sorted(set(settings.PYTHON_CONFINEMENT) - python_walls())
    except AssayError as error:
        return f"{OK}, but Python transforms cannot be run on this machine: {error.message}"
    if lacking:
        return (
            f"{OK}, but Python transforms are refused on this machine: its kernel lacks"
            f" {', '.join(lacking)}, which PYTHON_CONFINEMENT demands"
        )
    try:
        specs = [version.spec for version in served_versions()]
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    others = sum(bool(installed_otherwise(spec)) for spec in specs)
    words = "versions have a Python package that is not the one they were submitted with"
    return f"{OK}, but {others} {words}: their runs are refused" if others else OK


class _Seen:
    """Behind which row the next look at the trail goes on."""

    last = START


_seen = _Seen()

DEEP_CHECKS: dict[str, Callable[[], str]] = {
    "processes": check_processes,
    "queues": check_queues,
    "freshness": check_freshness,
    "alerts": check_alerts,
    "trail": check_trail,
    "seals": check_seals,
    "python": check_python,
}
