"""Making a seal of the trail as it is now, and publishing it at each place; by hand and by sweep.

Not for what a seal is (``sealed``) or for places (``channels``).
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from registry.models import AuditHead, AuditSeal
from registry.seals.channels.base import SealChannelFailed
from registry.seals.channels.kinds import channel_of
from registry.seals.keys import key_id, signing_key
from registry.seals.sealed import Seal, parse_seals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

log = logging.getLogger(__name__)
#: How long after a place could not be reached it is tried again.
AGAIN_AFTER = timedelta(minutes=5)


def make_seal(*, at: datetime) -> Seal | None:
    """Sign what the trail is now; None of one that has no entry."""
    head = AuditHead.objects.filter(pk=1).first()
    if head is None or not head.count:
        return None
    key = signing_key()
    seal = Seal(
        count=head.count,
        hash=head.hash,
        at=at.isoformat(timespec="seconds"),
        key=key_id(key.public_key()),
    )
    return seal.signed_by(key)


def publish(seal: Seal, addresses: Sequence[str]) -> dict[str, str]:
    """Put the seal at each place; return why it is not where it is not, by address."""
    failed: dict[str, str] = {}
    for address in addresses:
        try:
            channel_of(address).publish(address, seal.line, f"seal-{seal.count:012}")
        except SealChannelFailed as exc:
            failed[address] = exc.message
    return failed


def seal_now(*, at: datetime) -> tuple[Seal | None, dict[str, str]]:
    """Make a seal, publish it at every place of ``SEAL_CHANNELS``, and remember what came of it."""
    if (seal := make_seal(at=at)) is None:
        return None, {}
    row = AuditSeal.objects.create(
        count=seal.count, line=seal.line, made_at=at, tried_at=at, missing=settings.SEAL_CHANNELS
    )
    return seal, _try(row, seal, at=at)


def _try(row: AuditSeal, seal: Seal, *, at: datetime) -> dict[str, str]:
    failed = publish(seal, row.missing)
    for why in failed.values():
        log.error("a seal of the trail is not published: %s", why)
    said = "; ".join(failed.values())
    AuditSeal.objects.filter(pk=row.pk).update(missing=list(failed), failed=said, tried_at=at)
    return failed


def seal_if_due(*, at: datetime) -> None:
    """Make a seal where one is due, or try again to publish the last: a duty of the sweep."""
    if not settings.SEAL_CHANNELS:
        return
    last = AuditSeal.objects.order_by("-pk").first()
    if last is not None and last.missing and at < last.tried_at + AGAIN_AFTER:
        return
    due = last is None or at >= last.made_at + timedelta(seconds=settings.SEAL_EVERY_SECONDS)
    head = AuditHead.objects.filter(pk=1).first()
    if due and head is not None and (last is None or head.count > last.count):
        seal_now(at=at)
    elif last is not None and last.missing:
        # Only to places that are still configured.
        last.missing = [each for each in last.missing if each in settings.SEAL_CHANNELS]
        _try(last, _seal_of(last), at=at)


def _seal_of(row: AuditSeal) -> Seal:
    return next(parse_seals(row.line))
