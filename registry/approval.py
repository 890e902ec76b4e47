"""Who may approve a version, how many have to, and how many have.

Not for approving (``operations.lifecycle.reviews``), for whose hand an account is (``hands``), nor
for the two rules that stand with their tables: which role has the right (``access.ROLES``), and
that no editor decides (``lifecycle``).
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from guardian.shortcuts import get_users_with_perms

from lib.errors import Forbidden
from registry import access, hands, lifecycle, told_accounts
from registry.choices import SENSITIVE, SENSITIVITY_ORDER, Action, EvidencePart, Verdict
from registry.evidence import decided_on, evidence_of
from registry.models import AuditEntry, Membership, PolicyChange
from registry.queries import relatives
from registry.remembered import lowered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.models import ApiToken, FeatureView, FeatureViewVersion, Project

RIGHT = lifecycle.PERMISSION[Action.APPROVE]


class NotAskedAtSubmit(Forbidden):
    code = "not_asked_at_submit"


class NotAsTold(Forbidden):
    code = "not_as_told"


def require_person(version: FeatureViewVersion, actor: User, token: ApiToken | None) -> None:
    """Return if the decision is a person's own, who is what the trail says they are.

    :raises Forbidden: as ``hands.require_own_voice``.
    :raises NotAsTold: what lets them decide came past the trail; says what it is.
    """
    project = version.feature_view.project
    hands.require_own_voice(actor, token, project=project.name)
    for said in _not_as_told(project, actor, token):
        raise NotAsTold(
            f"{actor} does not decide: of the account, {said}. A superuser looks at it (manage.py"
            " verify_audit), and gives what is right again in the admin.",
            project=project.name,
        )


def _not_as_told(project: Project, user: User, token: ApiToken | None) -> Iterator[str]:
    """Yield what of those who decide somebody wrote into the database who had it in their hands."""
    entries = AuditEntry.objects.filter(project_name=project.name, verb__in=told_accounts.ROLES)
    roles = Membership.objects.filter(project=project, user=user).select_related("user__pseudonym")
    found = chain(
        told_accounts.findings_of_accounts([access.reloaded(user)], told_accounts.DECIDING),
        told_accounts.findings_of_roles(roles, entries.order_by("pk")) if roles else (),
        told_accounts.findings_of_tokens([token] if token else []),
    )
    yield from (said for _, said in found)


def reviewers_of(feature_view: FeatureView) -> list[int]:
    """Return who may approve versions of the view now, by key; a submission keeps that."""
    known: set[int] = set()
    for each in (feature_view, feature_view.project):
        users: Any = get_users_with_perms(
            each, only_with_perms_in=[RIGHT], with_group_users=True, with_superusers=True
        )
        known |= set(users.values_list("pk", flat=True))
    people = User.objects.filter(access.PERSON, pk__in=known, is_active=True)
    return sorted(people.values_list("pk", flat=True))


def require_reviewer(version: FeatureViewVersion, actor: User) -> None:
    """Return if the actor was among those who could approve at submit, and is nobody's hand.

    :raises NotAskedAtSubmit: their right came after that, and not by the word of two people.
    :raises HandMayNotDecide: it rests on the word of somebody who edited the version, or approved
        it already.
    """
    editors = set(version.editors.values_list("user_id", flat=True))
    actor = access.reloaded(actor)
    hands.require_independent(actor, version, editors, whose="edited it")
    if not _was_asked(version, actor, editors):
        raise NotAskedAtSubmit(
            f"{actor} could not approve {version} when it was submitted: who decides is settled"
            " then. Have two people who edited none of it agree to the role, submit it again, or"
            " ask another steward.",
            project=version.feature_view.project.name,
        )
    # Whose right is gone does not count, so nothing rests on whose hand they were.
    still = [each for each in _approvers(version) if access.can(each, RIGHT, version.feature_view)]
    others = [each for each in still if each.pk != actor.pk]
    approved = {each.pk for each in others}
    hands.require_independent(actor, version, approved, whose="has approved it already")
    for other in others:
        hands.require_independent(other, version, {actor.pk}, whose=f"is not {other}")


def _was_asked(version: FeatureViewVersion, user: User, editors: set[int]) -> bool:
    asked = user.pk in version.packet.get("reviewers", ())
    return asked or hands.was_admitted(user, version, editors)


def _approvers(version: FeatureViewVersion) -> Iterator[User]:
    """Yield who approved what is decided on now, whatever they may do by now."""
    now = decided_on(version, evidence_of(version))
    given = version.reviews.filter(verdict=Verdict.APPROVED, decided_on=now)
    yield from (review.reviewer for review in given.select_related("reviewer"))


def approvals_given(version: FeatureViewVersion) -> int:
    """Return how many people approved exactly what is decided on now and may still approve.

    An approval from before the evidence came was of less: its giver looks again.
    """
    if not version.packet_hash:
        return 0
    return sum(access.can(each, RIGHT, version.feature_view) for each in _approvers(version))


def approvals_required(version: FeatureViewVersion) -> int:
    """Return how many approvals this version needs.

    As many as the project's policy wants now, and not fewer than it wanted at any time since the
    version's draft was begun: whoever waits for review cannot make it easier.
    """
    known = relatives(version.feature_view, version.based_on, version.version)
    at_submit: int = version.packet.get("approvals_required", 0)
    return max(wanted_now(version, known), at_submit)


def wanted_now(version: FeatureViewVersion, known: list[FeatureViewVersion]) -> int:
    """Return how many approvals the policy wants of a version with these ``relatives``.

    The highest sensitivity counts, so that lowering one takes as many people as keeping it; also
    what the columns it reads were ever approved as, in whichever view.
    """
    weaker = lowered(version.feature_view.project, version.spec)
    sensitivities = [each.sensitivity for each in (version, *known)]
    sensitivities += [each.was for each in weaker]
    highest = max(sensitivities, key=SENSITIVITY_ORDER.index)
    columns = ["approvals_required"]
    if highest in SENSITIVE:
        columns.append("approvals_required_sensitive")
    return max(int(policy[column]) for policy in policies_of(version) for column in columns)


def evidence_wanted(version: FeatureViewVersion) -> list[EvidencePart]:
    """Return the parts of the evidence that the policy wanted at any time since the draft began."""
    wanted = {part for policy in policies_of(version) for part in policy["evidence_required"]}
    return [part for part in EvidencePart if part in wanted]


def policies_of(version: FeatureViewVersion) -> list[dict[str, Any]]:
    """Return each policy that held since the version's draft was begun, the present one first."""
    project = version.feature_view.project
    changes = PolicyChange.objects.filter(project=project, changed_at__gte=version.created_at)
    return [project.policy, *changes.values_list("before", flat=True)]
