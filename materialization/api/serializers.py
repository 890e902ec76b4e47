"""How runs and alerts look on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from lib.answer_schemas import Document, Instant
from lib.instants import timestamp
from materialization.outlook import outlook
from materialization.queries import source_counts

if TYPE_CHECKING:
    from datetime import datetime

    from materialization.disclosure import Disclosure
    from materialization.models import Alert, Certificate, MaterializationRun, Quarantine


class RunAnswer(TypedDict):
    """A run: how far it is, and how it ended."""

    id: int
    feature_view: str
    version: str | None
    kind: str
    window_start: Instant | None
    window_end: Instant | None
    compared_until: Instant | None
    status: str
    step: str
    progress: float
    chunks: int | None
    chunks_done: int
    stored_until: Instant | None
    rows_expected: int | None
    rows_per_second: int | None
    seconds_left: int | None
    pause_requested: bool
    rows_read: int | None
    rows_offline: int | None
    rows_online: int | None
    source: Document | None
    requested_by: str
    requested_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    worked_seconds: float | None
    paused_seconds: float
    attempt: int
    error: str | None
    error_code: str | None
    example: str | None
    checks: list[Document]
    quarantine: str | None
    profile: Document


class RunsAnswer(TypedDict):
    """The runs that were asked for."""

    runs: list[RunAnswer]


class QuarantineAnswer(TypedDict):
    """Rows that checks refused, and what was decided."""

    run: int
    feature_view: str
    version: str | None
    state: str
    rows: int
    size_bytes: int
    window_start: Instant | None
    window_end: Instant | None
    held_at: Instant
    decided_by: str | None
    decided_at: Instant | None
    reason: str | None
    ended_by: int | None
    checks: list[Document]


class AlertAnswer(TypedDict):
    """What is wrong, since when, and who knows."""

    id: int
    kind: str
    severity: str
    state: str
    subject: str
    feature_view: str | None
    version: str | None
    run: int | None
    words: str
    code: str | None
    count: int
    opened_at: Instant
    last_seen_at: Instant
    acknowledged_at: Instant | None
    acknowledged_by: str | None
    closed_at: Instant | None


class CertificateAnswer(TypedDict):
    """What a comparison of stores found."""

    id: int
    feature_view: str
    version: str | None
    table: str
    kind: str
    sample: int | None
    since: Instant | None
    repair: bool
    status: str
    as_of: Instant | None
    stored_version: int | None
    compared: int
    equal: int
    missing: int
    extra: int
    different: int
    expired: int
    repaired: int
    late: int
    gone: int
    examples: list[Document]
    requested_by: str
    requested_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    attempt: int
    error: str | None
    error_code: str | None


def run_output(run: MaterializationRun, shown: Disclosure, *, at: datetime) -> RunAnswer:
    """Return a run as it stands at ``at``; of the data only what is ``shown`` to who asks."""
    far, worked = outlook(run, at=at), run.worked(at=run.finished_at or at)
    return {
        "id": run.pk,
        "feature_view": run.version.feature_view.name,
        "version": run.version.number,
        "kind": run.kind,
        "window_start": timestamp(run.window_start),
        "window_end": timestamp(run.window_end),
        "compared_until": timestamp(run.compared_until),
        "status": run.status,
        "step": run.step,
        "progress": round(run.progress, 4),
        "chunks": far.chunks or None,
        "chunks_done": far.chunks_done,
        "stored_until": timestamp(far.stored_until),
        "rows_expected": far.rows_expected,
        "rows_per_second": far.rows_per_second,
        "seconds_left": far.seconds_left,
        "pause_requested": run.pause_requested,
        "rows_read": run.rows_read,
        "rows_offline": run.rows_offline,
        "rows_online": run.rows_online,
        "source": source_counts(run) or None,
        "requested_by": run.requested_by.get_username() if run.requested_by else "schedule",
        "requested_at": timestamp(run.requested_at),
        "started_at": timestamp(run.started_at),
        "finished_at": timestamp(run.finished_at),
        "worked_seconds": worked.total_seconds() if worked is not None else None,
        "paused_seconds": run.lay_paused(at=run.finished_at or at).total_seconds(),
        "attempt": run.attempt,
        "error": run.error or None,
        "error_code": run.error_code or None,
        "example": shown.example(run) or None,
        "checks": shown.checks(run),
        "quarantine": held.state if (held := getattr(run, "quarantine", None)) else None,
        "profile": shown.profile(run),
    }


def quarantine_output(quarantine: Quarantine, shown: Disclosure) -> QuarantineAnswer:
    run, by = quarantine.run, quarantine.decided_by
    return {
        "run": run.pk,
        "feature_view": run.version.feature_view.name,
        "version": run.version.number,
        "state": quarantine.state,
        "rows": quarantine.rows,
        "size_bytes": quarantine.size_bytes,
        "window_start": timestamp(quarantine.window_start),
        "window_end": timestamp(quarantine.window_end),
        "held_at": timestamp(quarantine.held_at),
        "decided_by": by.get_username() if by else None,
        "decided_at": timestamp(quarantine.decided_at),
        "reason": quarantine.reason or None,
        "ended_by": quarantine.ended_by_id,
        "checks": [check for check in shown.checks(run) if not check["passed"]],
    }


def alert_output(alert: Alert) -> AlertAnswer:
    version = alert.version
    return {
        "id": alert.pk,
        "kind": alert.kind,
        "severity": alert.severity,
        "state": alert.state,
        "subject": alert.subject,
        "feature_view": version.feature_view.name if version else None,
        "version": version.number if version else None,
        "run": alert.run_id,
        "words": alert.words,
        "code": alert.code or None,
        "count": alert.count,
        "opened_at": timestamp(alert.opened_at),
        "last_seen_at": timestamp(alert.last_seen_at),
        "acknowledged_at": timestamp(alert.acknowledged_at),
        "acknowledged_by": alert.acknowledged_by.get_username() if alert.acknowledged_by else None,
        "closed_at": timestamp(alert.closed_at),
    }


def certificate_output(certificate: Certificate, shown: Disclosure) -> CertificateAnswer:
    """Return a certificate; keys of entities only as far as they are ``shown`` to who asks."""
    version = certificate.version
    return {
        "id": certificate.pk,
        "feature_view": version.feature_view.name,
        "version": version.number,
        "table": certificate.table.uid,
        "kind": certificate.kind,
        "sample": certificate.sample,
        "since": timestamp(certificate.since),
        "repair": certificate.repair,
        "status": certificate.status,
        "as_of": timestamp(certificate.as_of),
        "stored_version": certificate.stored_version,
        "compared": certificate.compared,
        "equal": certificate.equal,
        "missing": certificate.missing,
        "extra": certificate.extra,
        "different": certificate.different,
        "expired": certificate.expired,
        "repaired": certificate.repaired,
        "late": certificate.late,
        "gone": certificate.gone,
        "examples": shown.examples(certificate),
        "requested_by": certificate.asker,
        "requested_at": timestamp(certificate.requested_at),
        "started_at": timestamp(certificate.started_at),
        "finished_at": timestamp(certificate.finished_at),
        "attempt": certificate.attempt,
        "error": certificate.error or None,
        "error_code": certificate.error_code or None,
    }
