"""Performing a comparison from claim to end, and what follows from its end.

Not for comparing (``quality.consistency``) or for deciding that one is due
(``requests.certificates``).
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from django.conf import settings
from django.db import transaction

from lib.errors import AssayError
from lib.outages import translated
from lib.pace import Pace
from materialization.choices import DIFFERS, AlertKind, CertificateKind, CertificateStatus
from materialization.compute.fitted import spec_with_fitted
from materialization.edges.engines import engine
from materialization.edges.stores import offline_store, online_store
from materialization.models import Alert, Certificate
from materialization.quality.alerts.opening import (
    About,
    Trouble,
    about_version,
    close_alerts,
    raise_alert,
)
from materialization.quality.consistency.findings import Findings, read_examples
from materialization.quality.consistency.online import compare_online
from materialization.quality.consistency.subject import Stores, Subject
from materialization.quality.consistency.windows import compare_windows
from materialization.queries import table_at
from materialization.runner.comparing_source import compare_source
from materialization.runner.draining import drained
from materialization.runner.heartbeat import Lease, LeaseLost, put_down, take
from materialization.stores.layout import layout_of
from registry import audit
from registry.choices import SERVED_STATES
from registry.fittings import fitted_of
from registry.models import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import QuerySet

    from materialization.quality.consistency.online import Compared

log = logging.getLogger(__name__)
#: Seconds between two notes of how far a comparison is.
NOTED_EVERY = 2.0


def certify(*, certificate_id: int, worker: str, clock: Callable[[], datetime]) -> None:
    """Perform a queued comparison; one that another worker has, or that is over, is left alone.

    After a repair all is compared once more, so that the last word is of how things stand.
    """
    claimed = claim(certificate_id, worker=worker, at=clock())
    if claimed is None:
        return
    _perform(claimed, clock)
    if claimed.repair and claimed.status == CertificateStatus.DIFFERENT:
        again = _once_more(claimed, at=clock())
        certify(certificate_id=again.pk, worker=worker, clock=clock)


def claim(certificate_id: int, *, worker: str, at: datetime) -> Certificate | None:
    """Take a queued comparison: of several workers exactly one gets it."""
    queued = Certificate.objects.filter(pk=certificate_id, status=CertificateStatus.QUEUED)

    def begun(found: Certificate) -> dict[str, Any]:
        return {"status": CertificateStatus.RUNNING, "started_at": found.started_at or at}

    if not take(queued, worker=worker, at=at, columns=begun):
        return None
    related = "version__feature_view__project", "table__feature_view__project", "requested_by"
    return Certificate.objects.select_related(*related).get(pk=certificate_id)


def _once_more(done: Certificate, *, at: datetime) -> Certificate:
    return Certificate.objects.create(
        table=done.table,
        version=done.version,
        kind=done.kind,
        requested_by=done.requested_by,
        from_shell=done.from_shell,
        requested_at=at,
        enqueued_at=at,
    )


def _perform(claimed: Certificate, clock: Callable[[], datetime]) -> None:
    lease = Lease(claimed, clock=clock)
    watch = _Watch(claimed, lease)
    try:
        with translated(), lease:
            compared = _compare(claimed, watch, clock)
    except LeaseLost as exc:
        log.warning("%s: %s", claimed, exc)
    except AssayError as exc:
        _end(claimed, watch.changed | {"error": exc.message, "error_code": exc.code}, clock())
    except Exception as exc:
        log.exception("%s", claimed)
        said = f"unexpected {type(exc).__name__}; the worker's log has the traceback."
        _end(claimed, watch.changed | {"error": said, "error_code": "unexpected"}, clock())
    else:
        _end(claimed, _columns(compared), clock())


def _compare(claimed: Certificate, watch: _Watch, clock: Callable[[], datetime]) -> Compared:
    if claimed.kind == CertificateKind.SOURCE:
        return compare_source(claimed, watch=watch.note_share)
    # The generation first: a marker that is read after it is of this load or a later one.
    table = FeatureTable.objects.select_related("feature_view__project").get(pk=claimed.table_id)
    spec = spec_with_fitted(claimed.version.spec, fitted_of)
    layout = layout_of(spec, uid=table.uid)
    subject = Subject(spec, layout, table_at(table), table.generation)
    stores = Stores(offline_store(), online_store(), engine())
    if spec.has_windows_online:
        return compare_windows(
            subject,
            stores,
            sample=claimed.sample,
            clock=clock,
            watch=watch.note,
            arriving=partial(drained, table, spec) if spec.is_pushed else None,
            repair=claimed.repair,
            earlier=_put_right_by(claimed),
        )
    return compare_online(
        subject,
        stores,
        sample=claimed.sample,
        repair=claimed.repair,
        clock=clock,
        watch=watch.note,
        earlier=_put_right_by(claimed),
    )


def _put_right_by(claimed: Certificate) -> Findings:
    """Return what earlier attempts changed, as far as they lived to note it."""
    return Findings(repaired=claimed.repaired, examples=read_examples(claimed.examples))


class _Watch:
    """Keeps a comparison's pace, notes how far it is, and ends it when its lease is lost."""

    def __init__(self, claimed: Certificate, lease: Lease) -> None:
        self._claimed, self._lease = claimed, lease
        self._pace = Pace(settings.COMPARE_ROWS_PER_SECOND)
        self._noted_at = time.monotonic()
        self._found = _put_right_by(claimed)
        self._noted = claimed.repaired

    @property
    def changed(self) -> dict[str, Any]:
        """What is put right already, for a certificate that can say nothing else."""
        put_right = self._found.put_right()
        return {"repaired": put_right.repaired, "examples": _examples(put_right)}

    def note_share(self, share: float) -> None:
        """:raises LeaseLost: another worker has the comparison."""
        if self._lease.stopped is not None:
            raise self._lease.stopped

    def note(self, found: Findings, cost: float) -> None:
        """:raises LeaseLost: another worker has the comparison."""
        self._found = found
        if self._lease.stopped is not None:
            raise self._lease.stopped
        if found.repaired > self._noted:  # at once: who dies now can tell nobody
            self._noted = found.repaired
            self._claimed.owned().update(compared=found.compared, **self.changed)
        elif time.monotonic() - self._noted_at > NOTED_EVERY:
            self._noted_at = time.monotonic()
            self._claimed.owned().update(compared=found.compared)
        self._pace.wait(cost)


def _columns(compared: Compared) -> dict[str, Any]:
    found = compared.findings
    counted = ("compared", "missing", "extra", "different", "expired", "repaired", "late", "gone")
    return {
        **{name: getattr(found, name) for name in counted},
        "examples": _examples(found),
        "as_of": compared.as_of,
        "stored_version": compared.version,
    }


def _examples(found: Findings) -> list[Any]:
    return [msgspec.to_builtins(each) for each in found.examples]


def give_up(dead: Certificate, among: QuerySet[Certificate], *, at: datetime) -> None:
    """End a comparison whose workers died, if it is still one of ``among``."""
    said = f"its worker died {dead.attempt} times (last: {dead.worker})."
    _end(dead, {"error": said, "error_code": "worker_died"}, at, among=among)


def _end(
    claimed: Certificate,
    columns: dict[str, Any],
    at: datetime,
    among: QuerySet[Certificate] | None = None,
) -> None:
    """Write what was found, and tell of it, if this attempt still has the comparison."""
    status = CertificateStatus.FAILED
    if not columns.get("error_code"):
        differs = any(columns[kind] for kind in ("missing", "extra", "different"))
        status = CertificateStatus.DIFFERENT if differs else CertificateStatus.EQUAL
    with transaction.atomic():
        if not put_down(claimed, {**columns, "status": status}, at, among=among):
            return
        _settle_alert(claimed, at)
        _leave_trail(claimed, at)
    log.log(
        logging.INFO if status == CertificateStatus.EQUAL else logging.WARNING,
        "%s: %s", claimed, words_of(claimed),
    )  # fmt: skip


def words_of(done: Certificate) -> str:
    """Say what was found, without a value of the data."""
    if done.status == CertificateStatus.FAILED:
        return f"nothing can be said: {done.error}{_put_right(done)}"
    what, rows = "online against offline", "rows"
    if done.has_windows:
        what, rows = f"{what} as of {done.as_of:%Y-%m-%d %H:%M:%S} UTC", "entities"
    scope = f"all {rows}" if done.sample is None else f"a sample of {done.compared:,} {rows}"
    if done.since is not None:
        scope = f"rows since {done.since:%Y-%m-%d %H:%M} UTC"
    if done.kind == CertificateKind.SOURCE:
        what = "stored against source"
    kinds = ("missing", "extra", "different")
    found = ", ".join(f"{getattr(done, k):,} {k}" for k in kinds if getattr(done, k))
    counted = f"{done.equal:,} equal, {found or 'none differ'}"
    return f"{what}, {scope}: {counted}{_aside(done)}{_put_right(done)}"


def _aside(done: Certificate) -> str:
    """Say what is no difference and yet not equal."""
    late = "late, which the next run takes"
    if done.version.spec.has_beside:
        late = "late, or beside other rows by now: the next run takes the former, recompute both"
    if done.has_windows:
        late = "with what is stored and not loaded yet"
        if done.version.spec.is_pushed:
            late = "with rows on their way, online and not stored yet"
    elif done.version.spec.transform.makes_ticks:
        late = "as they were served, though rows that arrived since would change them"
    said = [f"; {done.late:,} {late}"] if done.late else []
    return "".join([*said, f"; {done.gone:,} gone from the source" if done.gone else ""])


def _put_right(done: Certificate) -> str:
    return f"; {done.repaired:,} put right" if done.repaired else ""


def _settle_alert(done: Certificate, at: datetime) -> None:
    """Open or add to the alert of a table that differs; all of it being equal closes it.

    A part closes nothing: what was found once need not be in it.
    """
    if done.status == CertificateStatus.DIFFERENT:
        if done.version.state in SERVED_STATES:
            words = f"certificate {done.pk}: {words_of(done)}."
            trouble = Trouble(words, DIFFERS[CertificateKind(done.kind)])
            raise_alert(AlertKind.INCONSISTENT, _about(done), trouble, at=at)
    elif done.status == CertificateStatus.EQUAL and done.is_whole and not _is_in_doubt(done):
        about = Alert.objects.filter(
            kind=AlertKind.INCONSISTENT,
            version__table=done.table_id,
            code=DIFFERS[CertificateKind(done.kind)],
        )
        close_alerts(about, at=at)


def _is_in_doubt(done: Certificate) -> bool:
    """Tell whether some windows were not compared: what they are made of was not all loaded."""
    return done.has_windows and done.late > 0


def _about(done: Certificate) -> About:
    """Return what the alert is about; the source has one of its own."""
    about = about_version(done.version)
    is_source = done.kind == CertificateKind.SOURCE
    return about._replace(subject=f"{about.subject}, its source") if is_source else about


def _leave_trail(done: Certificate, at: datetime) -> None:
    """Note what differed and what was changed, however it ended.

    That all is well, or that nothing can be said, is in the certificate alone.
    """
    if done.status != CertificateStatus.DIFFERENT and not done.repaired:
        return
    names = ("compared", "missing", "extra", "different", "repaired")
    data = {name: getattr(done, name) for name in names}
    verb = "certificate.repaired" if done.repaired else "certificate.differed"
    audit.record(actor=done.requested_by, verb=verb, subject=done, data=data, at=at)
