"""One person's voice on a version: given to what they saw, once, and stored beside its entry.

Not for who may have one (``registry.approval``), nor for what it decides: ``reviews``, ``glass``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import Conflict, Invalid
from registry.evidence import decided_on
from registry.models import Review
from registry.models.feature_view_version import StateChanged

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from registry.choices import Verdict
    from registry.models import AuditEntry, Evidence, FeatureViewVersion


class PacketHashMissing(Invalid):
    code = "packet_hash_missing"


class AlreadyReviewed(Conflict):
    code = "already_reviewed"


def require_seen(version: FeatureViewVersion, evidence: Evidence | None, packet_hash: str) -> str:
    """Return the hash of what is decided on, if it is what the actor looked at.

    :raises PacketHashMissing: the actor does not say.
    :raises StateChanged: it was submitted anew since, or its evidence came in.
    """
    now = decided_on(version, evidence)
    if packet_hash == now:
        return now
    if not packet_hash:
        raise PacketHashMissing(
            f"a decision on {version} says what was looked at: send the packet_hash that its review"
            " shows. Without it, it could fall on what was submitted anew meanwhile."
        )
    why = "got its evidence" if packet_hash == version.packet_hash else "was submitted anew"
    raise StateChanged(f"{version} {why} since you looked. Look again, then decide.")


def require_first_voice(version: FeatureViewVersion, actor: User, decided: str) -> None:
    """Return if the actor has not decided on this; the version is held meanwhile.

    What is decided on is more once the evidence is in: who approved before that looks again.
    """
    if version.reviews.filter(reviewer=actor, decided_on=decided).exists():
        raise AlreadyReviewed(f"{actor} has decided on this submission of {version} already.")


def store_review(
    verdict: Verdict,
    version: FeatureViewVersion,
    actor: User,
    entry: AuditEntry,
    comment: str,
    decided: str,
) -> None:
    """Store what was decided beside its entry of the trail, which it says the same as."""
    Review.objects.create(
        version=version,
        reviewer=actor,
        verdict=verdict,
        comment=comment,
        packet_hash=version.packet_hash,
        decided_on=decided,
        audit_entry=entry,
        created_at=entry.at,
    )
