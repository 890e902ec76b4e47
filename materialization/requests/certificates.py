"""Asking for comparisons: by hand, and by the sweep when one is due.

Not for performing one: ``runner.certifying`` does, in a worker. The row is the queue.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from lib.errors import Conflict, Invalid
from materialization import tasks
from materialization.choices import LIVE_CERTIFICATES, CertificateKind
from materialization.models import Certificate
from registry import access, audit
from registry.choices import SERVED_STATES, Right

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import FeatureTable, FeatureViewVersion

#: The most entities of a sample: more than that is a full comparison.
MOST_SAMPLED = 1_000_000


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
    enqueued: bool = True,
) -> Certificate:
    """Queue a comparison of a version's table; without ``actor`` the system asks.

    ``sample`` None: of all rows. A repair looks at all rows. Not ``enqueued``: the caller performs
    it. A comparison under way that does as much is returned instead of a second one.

    :raises ActionNotPermitted: the actor may not materialize this view.
    :raises NotComparable: the version is not served online, or nothing of it was loaded yet.
    :raises ComparisonInProgress: one that does less is under way; names it.
    :raises BadSample: less than one entity, or more than ``MOST_SAMPLED``.
    """
    if actor is not None:
        access.require(actor, Right.MATERIALIZE_FEATUREVIEW, version.feature_view)
    if sample is not None and not 1 <= sample <= MOST_SAMPLED:
        raise BadSample(f"a sample has 1 to {MOST_SAMPLED:,} entities, not {sample}.")
    sample = None if repair else sample
    table = _comparable_table(version)
    live = Certificate.objects.filter(
        table=table, kind=CertificateKind.ONLINE, status__in=LIVE_CERTIFICATES
    ).first()
    if live is not None:
        return _joined(live, sample, repair=repair)
    try:
        with transaction.atomic():
            return _create(version, table, sample, repair, actor, at, enqueued)
    except IntegrityError as exc:
        raise ComparisonInProgress(
            f"a comparison of {version} was started a moment ago; ask again when it has ended."
        ) from exc


def _comparable_table(version: FeatureViewVersion) -> FeatureTable:
    if version.state not in SERVED_STATES or version.table is None:
        raise NotComparable(f"{version} is {version.state}; only served versions are compared.")
    if not version.spec.view.online:
        raise NotComparable(
            f"{version} is not online (online: false): there is nothing to compare."
        )
    if version.table.ready_at is None:
        raise NotComparable(f"{version} was not loaded yet; compare when its first run has ended.")
    return version.table


def _joined(live: Certificate, sample: int | None, *, repair: bool) -> Certificate:
    is_wide = live.sample is None or (sample is not None and sample <= live.sample)
    if is_wide and (live.repair or not repair):
        return live
    raise ComparisonInProgress(
        f"{live} is {live.status} and looks at less; ask again when it has ended.",
        certificate=live.pk,
    )


def _create(
    version: FeatureViewVersion,
    table: FeatureTable,
    sample: int | None,
    repair: bool,  # noqa: FBT001 - as its only caller has it
    actor: User | None,
    at: datetime,
    enqueued: bool,  # noqa: FBT001
) -> Certificate:
    made = Certificate.objects.create(
        table=table,
        version=version,
        kind=CertificateKind.ONLINE,
        sample=sample,
        repair=repair,
        requested_by=actor,
        requested_at=at,
        enqueued_at=at,
    )
    if actor is not None or repair:
        after = {"sample": sample, "repair": repair}
        audit.record(actor=actor, verb="certificate.requested", subject=made, after=after, at=at)
    if enqueued:
        enqueue(made)
    return made


def enqueue(certificate: Certificate) -> None:
    """Wake a worker once the transaction is in; the sweep repeats it if the message is lost."""
    send = partial(tasks.certify_table.delay, certificate_id=certificate.pk)
    transaction.on_commit(send, robust=True)
