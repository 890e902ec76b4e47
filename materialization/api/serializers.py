"""How runs look on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.instants import timestamp

if TYPE_CHECKING:
    from materialization.disclosure import Disclosure
    from materialization.models import MaterializationRun


def run_output(run: MaterializationRun, shown: Disclosure) -> dict[str, Any]:
    """Return a run; values of the data only as far as they are ``shown`` to who asks."""
    return {
        "id": run.pk,
        "feature_view": run.version.feature_view.name,
        "version": run.version.number,
        "kind": run.kind,
        "window_start": timestamp(run.window_start),
        "window_end": timestamp(run.window_end),
        "status": run.status,
        "step": run.step,
        "progress": round(run.progress, 4),
        "rows_read": run.rows_read,
        "rows_offline": run.rows_offline,
        "rows_online": run.rows_online,
        "source": run.source_counts or None,
        "requested_by": run.requested_by.get_username() if run.requested_by else "schedule",
        "requested_at": timestamp(run.requested_at),
        "started_at": timestamp(run.started_at),
        "finished_at": timestamp(run.finished_at),
        "attempt": run.attempt,
        "error": run.error or None,
        "error_code": run.error_code or None,
        "example": shown.example(run) or None,
        "checks": shown.checks(run),
        "profile": shown.profile(run),
    }
