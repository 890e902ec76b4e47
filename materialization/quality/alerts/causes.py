"""Which kind of trouble is how grave, and which the end of a run is. [pure]

Not for opening alerts: ``opening`` does.
"""

from __future__ import annotations

from materialization.choices import AlertKind, Severity

#: Critical: readers get something wrong, old or nothing, or only a person can go on from here.
SEVERITY: dict[AlertKind, Severity] = {
    AlertKind.OVERDUE: Severity.CRITICAL,
    AlertKind.FAILED: Severity.WARNING,
    AlertKind.BLOCKED: Severity.CRITICAL,
    AlertKind.DRIFTED: Severity.WARNING,
    AlertKind.INCONSISTENT: Severity.CRITICAL,
    AlertKind.BROKEN_SERVICE: Severity.CRITICAL,
    AlertKind.BROKEN_GLASS: Severity.CRITICAL,
    AlertKind.SOURCE_CHANGED_SCHEMA: Severity.CRITICAL,
    AlertKind.STORE_NEARLY_FULL: Severity.CRITICAL,
    AlertKind.STALLED: Severity.CRITICAL,
    AlertKind.STREAM_UNREAD: Severity.CRITICAL,
    AlertKind.UNDRAINED: Severity.CRITICAL,
}
#: Error codes of runs that are a trouble of their own; every other is a failure.
OF_CODE: dict[str, AlertKind] = {
    "checks_failed": AlertKind.BLOCKED,
    "no_rows": AlertKind.BLOCKED,
    "source_drifted": AlertKind.SOURCE_CHANGED_SCHEMA,
}
#: What a run can end in, and a later one makes good.
OF_RUNS = (AlertKind.FAILED, AlertKind.BLOCKED, AlertKind.SOURCE_CHANGED_SCHEMA)


def kind_of_failure(code: str) -> AlertKind:
    """Return what a run that ended with this error code is to be told as."""
    return OF_CODE.get(code, AlertKind.FAILED)
