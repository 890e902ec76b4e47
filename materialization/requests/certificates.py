"""Asking for comparisons: by hand, and by the sweep when one is due.

Not for performing one: ``runner.certifying`` does, in a worker. The row is the queue.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max

from lib.commits import once_committed
from lib.errors import AssayError, Conflict, Invalid
from lib.instants import EPOCH
from materialization import tasks
from materialization.choices import (
    DIFFERS,
    LIVE_CERTIFICATES,
    AlertKind,
    CertificateKind,
    CertificateStatus,
)
from materialization.models import Alert, Certificate
from materialization.queries import covered_until
from materialization.requests.lost import is_unheard, lease_is_over
from materialization.requests.turns import STEPPED_BACK
from materialization.runner.certifying import give_up
from registry import access, audit
from registry.choices import SERVED_STATES, Right
from registry.queries import may_arrive, may_have_windows, served_versions

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

    from registry.models import FeatureTable, FeatureViewVersion

log = logging.getLogger(__name__)
#: The most entities of a sample: more than that is a full comparison.
MOST_SAMPLED = 1_000_000
MAX_ATTEMPTS = 3
#: A message not taken up within this is sent again; claiming twice is harmless.
RESEND_AFTER = timedelta(minutes=10)
#: How long certificates are kept, and those that say that all is equal.
KEPT, EQUAL_KEPT = timedelta(days=90), timedelta(days=7)


class NotComparable(Conflict):
    code = "not_comparable"


class ComparisonInProgress(Conflict):
    code = "comparison_in_progress"


class BadSample(Invalid):
    code = "invalid_sample"


def request_certificate(
    *,
    version: FeatureViewVersion,
    sample: int | None,
    at: datetime,
    actor: User | None,
    repair: bool = False,
    kind: CertificateKind = CertificateKind.ONLINE,
    since: datetime | None = None,
    enqueued: bool = True,
    from_shell: bool = False,
) -> Certificate:
    """Queue a comparison of a version's table; without ``actor`` the schedule asks, or the shell.

    ``sample`` None: of all rows, which a repair and the source are always; of the source those from
    ``since`` on. Not ``enqueued``: the caller performs it. One that is under way and does as much
    is returned instead.

    :raises ActionNotPermitted: the actor may not materialize this view.
    :raises NotComparable: the version is not served, not online, nothing of it was loaded yet, or
        it is the source that is to be compared and put right: a run does that.
    :raises ComparisonInProgress: one that does less is under way; names it.
    :raises BadSample: less than one entity, or more than ``MOST_SAMPLED``.
    """
    if actor is not None:
        access.require(actor, Right.MATERIALIZE_FEATUREVIEW, version.feature_view)
    _require_possible(sample, kind, repair=repair)
    sample = None if repair or kind is CertificateKind.SOURCE else sample
    table = _comparable_table(version, kind)
    live = Certificate.objects.filter(table=table, kind=kind, status__in=LIVE_CERTIFICATES).first()
    if live is not None:
        return _joined(live, sample, since, repair=repair)
    try:
        with transaction.atomic():
            made = Certificate.objects.create(
                table=table, version=version, kind=kind, sample=sample, since=since, repair=repair,
                requested_by=actor, from_shell=from_shell, requested_at=at, enqueued_at=at,
            )  # fmt: skip
            if actor is not None or from_shell or repair:
                _record(made, actor)
            if enqueued:
                enqueue(made)
            return made
    except IntegrityError as exc:
        raise ComparisonInProgress(
            f"a comparison of {version} was started a moment ago; ask again when it has ended."
        ) from exc


def _require_possible(sample: int | None, kind: CertificateKind, *, repair: bool) -> None:
    """:raises BadSample, NotComparable: no version is compared so."""
    if sample is not None and not 1 <= sample <= MOST_SAMPLED:
        raise BadSample(f"a sample has 1 to {MOST_SAMPLED:,} entities, not {sample}.")
    if kind is CertificateKind.SOURCE and repair:
        raise NotComparable(
            "rows that a table lacks are stored by a run: materialize from its start again."
        )


def _comparable_table(version: FeatureViewVersion, kind: CertificateKind) -> FeatureTable:
    if version.state not in SERVED_STATES or version.table is None:
        raise NotComparable(f"{version} is {version.state}; only served versions are compared.")
    if kind is CertificateKind.SOURCE and version.spec.is_pushed:
        raise NotComparable(
            f"{version} has rows that arrive without runs: there is no source to compare what is"
            " stored with. Compare the online store with it."
        )
    if version.spec.is_pushed and not version.spec.has_windows_online:
        raise NotComparable(
            f"{version} has rows that arrive without runs: some are online before they are"
            " offline, so the stores are not compared, but where windows are made of them."
        )
    if kind is CertificateKind.ONLINE and not version.spec.view.online:
        raise NotComparable(
            f"{version} is not online (online: false): there is nothing to compare."
        )
    if version.table.ready_at is None:
        raise NotComparable(f"{version} was not loaded yet; compare when its first run has ended.")
    return version.table


def _joined(
    live: Certificate, sample: int | None, since: datetime | None, *, repair: bool
) -> Certificate:
    is_wide = live.sample is None or (sample is not None and sample <= live.sample)
    is_wide &= live.since is None or (since is not None and since >= live.since)
    if is_wide and (live.repair or not repair):
        return live
    raise ComparisonInProgress(
        f"{live} is {live.status} and looks at less; ask again when it has ended.",
        certificate=live.pk,
    )


def _record(made: Certificate, actor: User | None) -> None:
    after = {
        "kind": made.kind,
        "sample": made.sample,
        "since": made.since,
        "repair": made.repair,
        **({"from_shell": True} if made.from_shell else {}),
    }
    verb, at = "certificate.requested", made.requested_at
    audit.record(actor=actor, verb=verb, subject=made, after=after, at=at)


def enqueue(certificate: Certificate) -> None:
    """Wake a worker once the transaction is in; the sweep repeats it if the message is lost."""
    send = tasks.certify_table.delay
    what = f"waking a worker for certificate {certificate.pk}"
    once_committed(what, send, certificate_id=certificate.pk)


def compare_due(*, at: datetime) -> None:
    """Ask for the comparisons whose time has come, few by each sweep: tables take turns.

    A sample as often as ``COMPARE_EVERY_SECONDS`` says, and everything as often as
    ``COMPARE_FULL_EVERY_SECONDS`` does, where it says so. Of a table that differed all is compared
    until all is equal.
    """
    tables = set(_loaded_versions().values_list("table", flat=True))
    for sample, every in (
        (None, settings.COMPARE_FULL_EVERY_SECONDS),
        (settings.COMPARE_SAMPLE, settings.COMPARE_EVERY_SECONDS),
    ):
        if every:
            turns = -(-len(tables) * settings.SWEEP_EVERY_SECONDS // every)
            due = _due_tables(tables, sample, timedelta(seconds=every), at)
            _ask_for(due, turns, sample, at)


def compare_sources_due(*, at: datetime) -> None:
    """Ask for the comparisons with sources whose time has come, few by each sweep.

    Of the latest ``COMPARE_SOURCE_DAYS`` that are stored; of a table that differed of all.
    """
    if not (every := settings.COMPARE_SOURCE_EVERY_SECONDS):
        return
    stored = _not_pushed().filter(table__ready_at__isnull=False).defer("packet")
    tables = set(stored.values_list("table", flat=True))
    turns = -(-len(tables) * settings.SWEEP_EVERY_SECONDS // every)
    kind = CertificateKind.SOURCE
    due = _due_tables(tables, None, timedelta(seconds=every), at, kind=kind)[:turns]
    wrong = _wrong_tables(kind) if due else set()
    newest = stored.filter(table__in=due).order_by("major", "minor", "patch")
    for version in {version.table_id: version for version in newest}.values():
        since = None if version.table_id in wrong else _latest_days(version)
        try:
            request_certificate(
                version=version, sample=None, since=since, kind=kind, at=at, actor=None
            )
        except AssayError as exc:
            log.warning("sweep: %s: %s", version, exc)


def _latest_days(version: FeatureViewVersion) -> datetime | None:
    until = covered_until(version.table) if version.table else None
    days = settings.COMPARE_SOURCE_DAYS
    return until - timedelta(days=days) if until and days else None


def _loaded_versions() -> QuerySet[FeatureViewVersion]:
    """Return the served versions of tables that were loaded and may be comparable online."""
    tables = {"table__ready_at__isnull": False, "table__generation__gt": 0}
    some = served_versions().filter(~may_arrive() | may_have_windows())
    return some.filter(**tables).defer("packet")


def _not_pushed() -> QuerySet[FeatureViewVersion]:
    return served_versions().exclude(may_arrive())


def _due_tables(
    tables: Collection[int | None],
    sample: int | None,
    every: timedelta,
    at: datetime,
    *,
    kind: CertificateKind = CertificateKind.ONLINE,
) -> list[int | None]:
    """Return the tables that are to be compared and are not being, those that wait longest first.

    All of them having been compared answers for a sample too.
    """
    made = Certificate.objects.filter(table__in=tables, kind=kind)
    wide = made.filter(sample=None) if sample is None else made
    last = dict(wide.order_by().values_list("table").annotate(Max("requested_at")))
    busy = set(made.filter(status__in=LIVE_CERTIFICATES).values_list("table", flat=True))

    def is_due(table: int | None) -> bool:
        asked = last.get(table)
        # One from the future was asked for before the clock was set back.
        return asked is None or asked > at + STEPPED_BACK or at >= asked + every

    due = [table for table in tables if table not in busy and is_due(table)]
    return sorted(due, key=lambda table: (last.get(table, EPOCH), table or 0))


def _ask_for(tables: Sequence[int | None], turns: int, sample: int | None, at: datetime) -> None:
    """Ask for comparisons of the first so many of the tables that are online."""
    if not tables:
        return
    wrong = _wrong_tables(CertificateKind.ONLINE)
    newest = _loaded_versions().filter(table__in=tables).order_by("major", "minor", "patch")
    online = {version.table_id: version for version in newest if version.spec.view.online}
    for table in [table for table in tables if table in online][:turns]:
        scope = None if table in wrong else sample
        try:
            request_certificate(version=online[table], sample=scope, at=at, actor=None)
        except AssayError as exc:
            log.warning("sweep: %s: %s", online[table], exc)


def _wrong_tables(kind: CertificateKind) -> set[int | None]:
    """Return the tables that differed by a comparison of this kind and were not equal since.

    The other kind does not count: comparing all online rows tells nothing of the source.
    """
    code = DIFFERS[kind]
    found = Alert.objects.open().filter(kind=AlertKind.INCONSISTENT, code=code)
    return set(found.values_list("version__table", flat=True))


def requeue_certificates(*, at: datetime) -> None:
    """Queue again what a worker died over, wake one for what waits, and forget what is old."""
    live = Certificate.objects.filter(status__in=LIVE_CERTIFICATES)
    is_dead = lease_is_over(at)
    died = live.filter(is_dead, status=CertificateStatus.RUNNING)
    for dead in died.select_related("version__feature_view__project", "requested_by"):
        unchanged = dead.owned().filter(is_dead)
        again = {"status": CertificateStatus.QUEUED, "enqueued_at": at, "lease_expires_at": None}
        if dead.attempt >= MAX_ATTEMPTS:
            give_up(dead, unchanged, at=at)
        elif unchanged.update(**again):
            enqueue(dead)
    lost = live.filter(is_unheard(at, after=RESEND_AFTER), status=CertificateStatus.QUEUED)
    for waiting in lost:
        if lost.filter(pk=waiting.pk).update(enqueued_at=at):
            enqueue(waiting)
    ended = Certificate.objects.exclude(status__in=LIVE_CERTIFICATES)
    ended.filter(requested_at__lt=at - KEPT).delete()
    ended.filter(status=CertificateStatus.EQUAL, requested_at__lt=at - EQUAL_KEPT).delete()


#: What a sweep sees to, in order.
DUTIES = (requeue_certificates, compare_due, compare_sources_due)
