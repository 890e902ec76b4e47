"""Who may approve a version, how many have to, and how many have.

Not for approving (``operations.lifecycle.reviews``), for whose hand an account is (``hands``), nor
for the two rules that stand with their tables: which role has the right (``roles.ROLES``), and
that no editor decides (``lifecycle``).
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from guardian.shortcuts import get_users_with_perms

from lib.errors import Forbidden
from registry import access, lifecycle
from registry.accounts import hands
from registry.accounts.voices import require_own_voice
from registry.choices import SENSITIVE, SENSITIVITY_ORDER, Action, EvidencePart, State, Verdict
from registry.evidence import decided_on, evidence_of
from registry.models import AuditEntry, Membership, PolicyChange
from registry.queries import relatives
from registry.remembered import lowered
from registry.trail.told import accounts as told_accounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registry.models import ApiToken, FeatureView, FeatureViewVersion, Project, Review

RIGHT = lifecycle.PERMISSION[Action.APPROVE]


class NotAskedAtSubmit(Forbidden):
    code = "not_asked_at_submit"


class NotAsTold(Forbidden):
    code = "not_as_told"


def require_person(version: FeatureViewVersion, actor: User, token: ApiToken | None) -> None:
    """Return if the decision is a person's own, who is what the trail says they are.

    :raises Forbidden: as ``voices.require_own_voice``.
    :raises NotAsTold: what lets them decide came past the trail; says what it is.
    """
    project = version.feature_view.project
    require_own_voice(actor, token, project=project.name)
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
    _require_apart_from_editors(version, actor, editors)
    if not _was_asked(version, actor, editors):
        raise NotAskedAtSubmit(
            f"{actor} could not approve {version} when it was submitted: who decides is settled"
            " then. Have two people who edited none of it agree to the role, submit it again, or"
            " ask another steward.",
            project=version.feature_view.project.name,
        )
    others = [each.reviewer for each, why in standing(version) if not why]
    _require_apart(version, actor, [each for each in others if each.pk != actor.pk])


def _require_apart_from_editors(version: FeatureViewVersion, user: User, editors: set[int]) -> None:
    """Return if this person is no editor's hand, and no editor theirs.

    :raises HandMayNotDecide: one is; says which.
    """
    hands.require_independent(user, version, editors, whose="edited it")
    project = version.feature_view.project
    for editor in User.objects.filter(pk__in=editors).exclude(pk=user.pk).order_by("pk"):
        roles = list(Membership.objects.filter(project=project, user=editor))
        if hands.foreign_setter(editor, roles, {user.pk}):
            raise hands.HandMayNotDecide(
                f"{user} set {editor}'s password once, and {editor} edited it: {user} could be"
                f" behind both. Have another owner of {project} give their word on {editor}'s role"
                " anew, or ask another steward.",
                project=project.name,
            )


def _require_apart(version: FeatureViewVersion, user: User, others: Sequence[User]) -> None:
    """Return if neither this person nor one of the others is the other's hand.

    :raises HandMayNotDecide: naming who is.
    """
    approved = {each.pk for each in others}
    hands.require_independent(user, version, approved, whose="has approved it already")
    for other in others:
        hands.require_independent(other, version, {user.pk}, whose=f"is not {other}")


def _was_asked(version: FeatureViewVersion, user: User, editors: set[int]) -> bool:
    asked = user.pk in version.packet.get("reviewers", ())
    return asked or hands.was_admitted(user, version, editors)


def standing(version: FeatureViewVersion) -> list[tuple[Review, str]]:
    """Return the approvals of exactly what is decided on now, each with why it does not count.

    While it waits, an approval counts by what its giver is now: who may not approve any more, or
    may again by the word of somebody else who did, is no voice of their own. Afterwards all that
    were given are what made it approved. One from before the evidence came was of less.
    """
    if not version.packet_hash:
        return []
    now = decided_on(version, evidence_of(version))
    given = version.reviews.filter(verdict=Verdict.APPROVED, decided_on=now)
    reviews = list(given.select_related("reviewer").order_by("pk"))
    if version.state != State.IN_REVIEW:
        return [(review, "") for review in reviews]
    editors = set(version.editors.values_list("user_id", flat=True))
    found: list[tuple[Review, str]] = []
    for review in reviews:
        counted = [each.reviewer for each, why in found if not why]
        found.append((review, _why_not(version, review.reviewer, editors, counted)))
    return found


def _why_not(
    version: FeatureViewVersion, user: User, editors: set[int], counted: Sequence[User]
) -> str:
    if not access.can(user, RIGHT, version.feature_view):
        return "may not approve any more"
    try:
        _require_apart_from_editors(version, user, editors)
        _require_apart(version, user, counted)
    except hands.HandMayNotDecide:
        return "may be the hand of somebody who wrote or approved it"
    return ""


def approvals_given(version: FeatureViewVersion) -> int:
    """Return how many people approved exactly what is decided on now, and count."""
    return sum(not why for _, why in standing(version))


def agreed(version: FeatureViewVersion) -> int:
    """Return ``approvals_given`` of one that ``reviewers.with_agreed`` counted: mostly none."""
    at_most: int = version.agreed  # type: ignore[attr-defined]
    return approvals_given(version) if at_most else 0


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
