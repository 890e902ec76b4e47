"""One of several approvals at once: of what asks little of consumers and shows nothing sensitive.

Each is an approval like any other, in a transaction of its own, of exactly what its packet says;
whoever takes many calls this for each of them. Not for approving what deserves a look of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import Conflict
from registry.choices import SENSITIVE, ChangeClass, Sensitivity
from registry.operations.lifecycle.reviews import approve_version

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import ApiToken, FeatureViewVersion

#: Versions that are approved by one request.
MOST_AT_ONCE = 100


class NotInBulk(Conflict):
    code = "not_in_bulk"


def approve_in_bulk(
    *,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    packet_hash: str,
    comment: str = "",
    token: ApiToken | None = None,
) -> FeatureViewVersion:
    """Approve as ``approve_version`` does, and only what may be approved beside others.

    :raises NotInBulk: it weakens a protection, is sensitive, or is neither a patch nor all public.
    """
    # What it says stays as it is looked at here: the approval holds it to that.
    if why := why_alone(version):
        raise NotInBulk(f"{version} {why}: approve it on its own page, by itself.")
    return approve_version(
        version=version, actor=actor, at=at, packet_hash=packet_hash, comment=comment,
        token=token,
    )  # fmt: skip


def why_alone(version: FeatureViewVersion) -> str:
    """Say why a version is not approved beside others; empty when it may be."""
    if version.packet.get("guard") or version.change_class == ChangeClass.GUARD:
        return "weakens a protection"
    if version.sensitivity in SENSITIVE:
        return f"has {version.sensitivity} features"
    is_public = version.sensitivity == Sensitivity.PUBLIC
    if version.change_class != ChangeClass.PATCH and not is_public:
        kind = "version" if version.change_class == ChangeClass.FIRST else "change"
        return f"is a {version.change_class} {kind} with features that are not public"
    return ""
