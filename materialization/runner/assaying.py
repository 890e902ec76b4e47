"""Computing the evidence of a submission, from claim to end.

Not for what it is made of (``quality.evidence``) or for asking for it (``requests.evidence``).
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction

from lib.errors import AssayError, TooLarge, Unavailable
from lib.outages import translated
from materialization.compute.scratch import own_folder
from materialization.edges.engines import engine
from materialization.edges.sources import whereabouts
from materialization.errors import FitFailed
from materialization.finding.kinds import find_rows
from materialization.quality.evidence.gathering import FIRST, Wanted, gather
from materialization.quality.evidence.trial import Bounds, Subject
from materialization.runner.ending import MAX_ATTEMPTS
from materialization.runner.fitting import fit_submission
from materialization.runner.heartbeat import Lease, LeaseLost, take
from registry import audit
from registry.choices import EvidencePart, EvidenceStatus, State
from registry.evidence import not_computed, sealed
from registry.models import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from registry.models import FeatureViewVersion

    Parts = dict[str, dict[str, Any]]

log = logging.getLogger(__name__)


class EvidenceTooLong(TooLarge):
    """All that is found out of one submission took what it may take; others wait for the worker."""

    code = "evidence_too_long"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            f"looking at this submission took longer than {seconds:,} s, and others wait: what was"
            " found out until then is all there is. Have it read less (a later `start`, a shorter"
            " range of a `fit`, fewer windows) and submit it again, or let the operator raise"
            " EVIDENCE_MAX_SECONDS."
        )


def assay_submission(*, evidence_id: int, worker: str, clock: Callable[[], datetime]) -> None:
    """Compute queued evidence; what another worker has, or is computed, is left alone."""
    claimed = claim(evidence_id, worker=worker, at=clock())
    if claimed is None:
        return
    lease = Lease(claimed, clock=clock)
    try:
        with translated(), lease:
            parts = _gather(claimed, lease, clock)
    except LeaseLost as exc:
        log.warning("%s: %s", claimed, exc)
    except Unavailable as exc:
        put_back(claimed, exc, at=clock())
    except AssayError as exc:
        end(claimed, nothing(exc.message), at=clock())
    except Exception as exc:
        log.exception("%s", claimed)
        said = f"unexpected {type(exc).__name__}; the worker's log has the traceback."
        end(claimed, nothing(said), at=clock())
    else:
        end(claimed, parts, at=clock())


def put_back(claimed: Evidence, outage: Unavailable, *, at: datetime) -> None:
    """Have it tried again in a while: what an outage keeps from us is not sealed as missing."""
    if claimed.attempt >= MAX_ATTEMPTS:
        end(claimed, nothing(outage.message), at=at)
        return
    log.warning("%s: %s", claimed, outage.message)
    claimed.owned().update(status=EvidenceStatus.WAITING, enqueued_at=at, lease_expires_at=None)


def claim(evidence_id: int, *, worker: str, at: datetime) -> Evidence | None:
    """Take queued evidence: of several workers exactly one gets it."""
    queued = Evidence.objects.filter(pk=evidence_id, status=EvidenceStatus.WAITING)
    begun = {"status": EvidenceStatus.COMPUTING}
    if not take(queued, worker=worker, at=at, columns=lambda _: begun):
        return None
    related = "version__feature_view__project", "version__based_on"
    return Evidence.objects.select_related(*related).get(pk=evidence_id)


def nothing(why: str, *, counts: bool = False) -> Parts:
    """Return the parts where none could be computed; ``counts`` as ``not_computed``."""
    return {part: not_computed(why, counts=counts) for part in EvidencePart}


def end(claimed: Evidence, parts: Parts, *, at: datetime) -> None:
    """Seal what was found out, unless another attempt has the evidence now."""
    seal = sealed(claimed.packet_hash, parts)
    with transaction.atomic():
        done = claimed.owned().update(
            status=EvidenceStatus.COMPUTED, parts=parts, hash=seal, computed_at=at,
            lease_expires_at=None,
        )  # fmt: skip
        if done:
            said = {"packet_hash": seal, "lacking": lacking(parts)}
            verb = "feature_view_version.assayed"
            audit.record(actor=None, verb=verb, subject=claimed.version, data=said, at=at)


def lacking(parts: Parts) -> list[str]:
    return [part for part, found in parts.items() if "why" in found]


def _gather(claimed: Evidence, lease: Lease, clock: Callable[[], datetime]) -> Parts:
    version, at = claimed.version, clock()
    until = at + timedelta(seconds=settings.EVIDENCE_MAX_SECONDS)
    if version.state != State.IN_REVIEW or version.packet_hash != claimed.packet_hash:
        return nothing("it was decided, or withdrawn, before a worker came to it.")
    after = _subject(version)

    def watch(_: float) -> None:
        if (stopped := lease.stopped) is not None:
            raise stopped
        if clock() > until:
            raise EvidenceTooLong(settings.EVIDENCE_MAX_SECONDS)

    wanted = Wanted(after, _before(version), at, own_folder(), _told(version))
    limited = engine(timeout_s=settings.EVIDENCE_TIME_LIMIT_SECONDS)
    bounds = Bounds(settings.EVIDENCE_ROWS, limited, watch, LeaseLost)
    try:
        fit = fit_submission(after, bounds, version=version, clock=clock)
    except Unavailable:
        raise
    except AssayError as exc:
        said = f"its encodings could not be fitted: {wanted.told(exc.message)}"
        return nothing(said, counts=isinstance(exc, FitFailed))
    return gather(wanted, bounds) | {EvidencePart.FIT: fit}


def _where(version: FeatureViewVersion) -> Any:
    return whereabouts(version.spec, version.feature_view.project)


def _subject(version: FeatureViewVersion) -> Subject:
    """Return the version and its source.

    :raises Invalid: there is nothing to read, or it may not be read.
    """
    return Subject(version.spec, find_rows(version.spec, _where(version)))


def _before(version: FeatureViewVersion) -> Subject | str:
    """Return the version that this one changes, or why there is nothing to compare with."""
    if version.based_on is None:
        return FIRST
    try:
        return _subject(version.based_on)
    except Unavailable:
        raise
    except AssayError as exc:
        return f"{version.based_on} cannot be computed: {_told(version)(exc.message)}"


def _told(version: FeatureViewVersion) -> Callable[[str], str]:
    """Return what writes a message without where the roots are, the base's as well."""
    wheres = []
    for each in (version, version.based_on):
        with suppress(AssayError):
            if each is not None:
                wheres.append(_where(each))

    def told(message: str) -> str:
        for where in wheres:
            message = where.told(message)
        return message

    return told
