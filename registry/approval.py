"""Who may approve a version, how many have to, and how many have.

Not for approving (``operations.lifecycle.reviews``), nor for the two rules that stand with their
tables: which role has the right (``access.ROLES``), and that no editor decides (``lifecycle``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry import access, lifecycle
from registry.access import ServiceAccountMayNotDecide
from registry.choices import SENSITIVE, SENSITIVITY_ORDER, Action, Verdict
from registry.queries import relatives

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from registry.models import FeatureViewVersion


def require_person(version: FeatureViewVersion, actor: User, token_owner: User | None) -> None:
    """Return if the decision is a person's own: by their login, or by a token they made themselves.

    ``token_owner`` is who made the API token the actor came with, None without one.
    :raises ServiceAccountMayNotDecide: no person stands behind the actor, or another one does.
    """
    project = version.feature_view.project.name
    if not access.is_person(actor):
        raise ServiceAccountMayNotDecide(
            f"{actor} is a service account; a person with a login has to decide.", project=project
        )
    if token_owner is not None and token_owner.pk != actor.pk:
        raise ServiceAccountMayNotDecide(
            f"the token is {actor}'s but {token_owner} made it; decide with a token of your own.",
            project=project,
        )


def approvals_given(version: FeatureViewVersion) -> int:
    """Return how many people approved exactly this packet and may still approve."""
    if not version.packet_hash:
        return 0
    given = version.reviews.filter(verdict=Verdict.APPROVED, packet_hash=version.packet_hash)
    right = lifecycle.PERMISSION[Action.APPROVE]
    reviewers = [review.reviewer for review in given.select_related("reviewer")]
    return sum(access.can(reviewer, right, version.feature_view) for reviewer in reviewers)


def approvals_required(version: FeatureViewVersion) -> int:
    """Return how many approvals this version needs.

    As many as the project's policy wants now, and not fewer than it wanted at submit: whoever
    waits for review cannot make it easier.
    """
    known = relatives(version.feature_view, version.based_on, version.version)
    at_submit: int = version.packet.get("approvals_required", 0)
    return max(wanted_now(version, known), at_submit)


def wanted_now(version: FeatureViewVersion, known: list[FeatureViewVersion]) -> int:
    """Return how many approvals the policy wants of a version with these ``relatives``.

    The highest sensitivity counts, so that lowering one takes as many people as keeping it.
    """
    project = version.feature_view.project
    sensitivities = [each.sensitivity for each in (version, *known)]
    highest = max(sensitivities, key=SENSITIVITY_ORDER.index)
    if highest in SENSITIVE:
        return max(project.approvals_required, project.approvals_required_sensitive)
    return project.approvals_required
