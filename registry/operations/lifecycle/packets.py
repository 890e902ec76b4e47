"""The packet of evidence a reviewer decides on: computed once at submit, bound by its hash.

Not for showing it: the API and the admin do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.errors import Conflict
from registry.breakage import services_broken_by
from registry.choices import State
from registry.derived import derived_of
from registry.models.names import pseudonym_of
from registry.queries import services_using
from registry.spec.differences import differences
from registry.spec.fingerprints import content_fingerprint

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.looking import Look
    from registry.models import FeatureViewVersion
    from registry.spec.change import Change
    from registry.spec.versions import Version


class BaseNotApproved(Conflict):
    code = "base_not_approved"


def make_packet(
    version: FeatureViewVersion,
    *,
    number: Version,
    base: FeatureViewVersion | None,
    change: Change,
    report: Look,
    actor: User,
    at: datetime,
    required: int,
    reviewers: list[int],
) -> dict[str, Any]:
    """Return what there is to decide on; each submission's differs, were it only by its instant."""
    old, view = base.spec if base else None, version.feature_view
    return {
        "version": str(number),
        "content": content_fingerprint(version.spec),
        "submitted_by": pseudonym_of(actor),
        "submitted_at": at.isoformat(),
        "based_on": base.number if base else None,
        "based_on_content": content_fingerprint(base.spec) if base else None,
        "class": change.classification,
        "guard": change.is_guard,
        "reasons": list(change.reasons),
        "approvals_required": required,
        "reviewers": reviewers,
        "diff": [difference._asdict() for difference in differences(old, version.spec)],
        "impact": services_using(view),
        "derived": [str(each) for each in derived_of(view.project, view.name)],
        "breaks": services_broken_by(version),
        "source": {
            "rows": report.rows,
            "first_event": report.first_event.isoformat() if report.first_event else None,
            "last_event": report.last_event.isoformat() if report.last_event else None,
            "warnings": list(report.warnings),
        },
    }


def check_base(version: FeatureViewVersion) -> None:
    """Return if what the packet was compared with has been approved, as it was then.

    Otherwise a small difference from a version nobody agreed to would carry that version along.
    :raises BaseNotApproved: naming the base and its state.
    """
    base = version.based_on
    if base is None:
        return
    if base.state in (State.DRAFT, State.IN_REVIEW):
        raise BaseNotApproved(
            f"{version} was compared with {base}, which is {base.state}."
            " Approve that first, or withdraw and submit this one again."
        )
    if version.packet.get("based_on_content") != content_fingerprint(base.spec):
        raise BaseNotApproved(
            f"{version} was compared with an earlier {base}; withdraw and submit it again."
        )
