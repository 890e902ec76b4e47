"""What takes two people: who could agree to it, who may, and how it reads.

A change of who decides (the policy, a role, a root, an account) waits for a second person where
there is one. Making things stricter and taking rights away waits for nobody. Not for proposing or
deciding (``operations.people.proposing``, ``operations.deciding``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db.models import Q

from registry import access
from registry.accounts import hands
from registry.choices import ProposalKind, ProposalState, Right
from registry.models import Account, AuditEntry, Membership, Project, Proposal
from registry.models.names import pseudonym_of
from registry.roles import ROLES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

#: For how long a proposal waits.
OPEN_FOR = timedelta(days=14)
#: What the entry of a change says that nobody else could agree to.
ALONE = {"second_person": "there is none"}
#: Columns of an account that say who somebody is.
WORDS = ("email", "username")
_MANAGING = [role for role, rights in ROLES.items() if Right.MANAGE_MEMBERS in rights]
#: Kinds that only superusers propose and accept.
_OF_SUPERUSERS = (ProposalKind.ROOT, ProposalKind.ACCOUNT, ProposalKind.PASSWORD)


def decides_anything(user: User) -> bool:
    """Return whether somebody may approve, release or let others in, in whichever project."""
    roles = Membership.objects.filter(user=user, role__in=hands.DECIDING_ROLES)
    return user.is_superuser or roles.exists()


def others_who_could(
    kind: ProposalKind, project: Project | None, *, proposer: User, person: User | None = None
) -> list[User]:
    """Return who could agree to what ``proposer`` wants: people who are not their hand.

    Nobody agrees to what is about themselves, or who once set the proposer's password, or got
    theirs from them: one of the two may be both.
    """
    may = Q(is_superuser=True)
    if kind not in _OF_SUPERUSERS and project is not None:
        owners = Membership.objects.filter(project=project, role__in=_MANAGING)
        may |= Q(pk__in=owners.values("user"))
    people = User.objects.filter(access.PERSON, may, is_active=True)
    others = people.exclude(pk__in=[proposer.pk, *([person.pk] if person else [])])
    linked = hands.linked_by_password(proposer)
    return [
        each
        for each in others.order_by("username")
        if each.pk not in linked
        and hands.is_independent(each, project, {proposer.pk}, Right.MANAGE_MEMBERS)
    ]


def taken_away(
    kind: ProposalKind, project: Project | None, *, proposer: User, at: datetime
) -> list[AuditEntry]:
    """Return by which entries somebody who could agree lost that, in the time a proposal waits.

    Who takes the others away first would be alone.
    """
    recent = AuditEntry.objects.filter(at__gt=at - OPEN_FOR, at__lte=at, actor_id=proposer.pk)
    shut = Q(verb="user.deactivated", subject_id__in=_superusers_shut())
    # One that was made at the shell had nobody's word, and could not agree.
    raised = Account.objects.exclude(raised_by=None).values_list("user", flat=True)
    lowered = Q(verb="user.changed", before__is_superuser=True, after__is_superuser=False)
    made_program = Q(verb="user.changed", before__kind="person", after__kind="service_account")
    managing = Membership.objects.filter(role__in=_MANAGING).values_list("user", flat=True)
    lowered &= Q(subject_id__in=[str(pk) for pk in raised])
    lowered |= made_program & Q(subject_id__in=[str(pk) for pk in {*raised, *managing}])
    lowered |= Q(verb="user.forgotten")
    if kind in _OF_SUPERUSERS or project is None:
        return list(recent.filter(shut | lowered))
    owners = Membership.objects.filter(project=project, role__in=_MANAGING, user__is_active=False)
    keys = [str(pk) for pk in owners.values_list("user", flat=True)]
    shut |= Q(verb="user.deactivated", subject_id__in=keys)
    revoked = Q(verb="membership.revoked", project_name=project.name, before__role__in=_MANAGING)
    return list(recent.filter(shut | lowered | revoked))


def _superusers_shut() -> list[str]:
    gone = User.objects.filter(is_superuser=True, is_active=False)
    return [str(pk) for pk in gone.values_list("pk", flat=True)]


def was_alone(user: User, *, at: datetime) -> bool:
    """Return whether what was done at this instant to an account took two, and there was one."""
    entries = AuditEntry.objects.filter(subject_type="user", subject_id=str(user.pk), at=at)
    return any(ALONE.items() <= data.items() for data in entries.values_list("data", flat=True))


def could_agree(proposal: Proposal) -> list[User]:
    """Return who could agree to a proposal now."""
    return others_who_could(
        ProposalKind(proposal.kind), proposal.project, proposer=proposal.proposed_by,
        person=proposal.person,
    )  # fmt: skip


def require_manager(user: User | AnonymousUser, proposal: Proposal) -> None:
    """Return if somebody may propose, accept and refuse such a thing.

    :raises ActionNotPermitted: naming what it takes.
    """
    if proposal.kind in _OF_SUPERUSERS or proposal.project is None:
        access.require_superuser(user)
    else:
        access.require(user, Right.MANAGE_MEMBERS, proposal.project)


def visible_proposals(user: User | AnonymousUser) -> QuerySet[Proposal]:
    """Return what somebody may see: of projects whose members they manage; superusers all."""
    rows = Proposal.objects.select_related("project", "person", "proposed_by", "decided_by")
    if not user.is_active:
        return rows.none()
    if user.is_superuser:
        return rows
    owned = Membership.objects.filter(user_id=user.pk, role__in=_MANAGING)
    return rows.filter(project__in=owned.values("project")).exclude(kind__in=_OF_SUPERUSERS)


def open_proposals(rows: QuerySet[Proposal], *, at: datetime) -> QuerySet[Proposal]:
    return rows.filter(state=ProposalState.PROPOSED, expires_at__gt=at)


def state_of(proposal: Proposal, at: datetime) -> str:
    is_over = proposal.state == ProposalState.PROPOSED and not proposal.is_open(at)
    return "expired" if is_over else str(proposal.state)


def words_of(proposal: Proposal) -> str:
    """Say what would be done, as in ``make ana steward of rides``."""
    return _words(proposal, str(proposal.person), proposal.change)


def words_for_trail(proposal: Proposal) -> str:
    """Say it by a pseudonym and without words of a person: an entry is never erased."""
    who = pseudonym_of(proposal.person) if proposal.person else ""
    return _words(proposal, who, without_words(proposal.change))


def without_words(change: dict[str, Any]) -> dict[str, Any]:
    """Return a change that says of words of a person that they change, and not to what."""
    return change | {
        side: {name: "…" if name in WORDS else value for name, value in change[side].items()}
        for side in ("before", "after")
        if isinstance(change.get(side), dict)
    }


def _words(proposal: Proposal, person: str, change: Mapping[str, Any]) -> str:
    if proposal.kind == ProposalKind.ROLE:
        return f"make {person} {change['role']} of {proposal.project}"
    if proposal.kind == ProposalKind.POLICY:
        return f"have {proposal.project} ask for less: {_differences(change)}"
    if proposal.kind == ProposalKind.ROOT and change["before"]:
        root = f"the root {change['name']} of {proposal.project}"
        return f"move {root} from {change['before']} to {change['path']}"
    if proposal.kind == ProposalKind.ROOT:
        return f"let {proposal.project} read {change['path']} as its root {change['name']}"
    if proposal.kind == ProposalKind.ACCOUNT:
        return f"change the account {person}: {_differences(change)}"
    return f"give {person} another password"


def _differences(change: Mapping[str, Any]) -> str:
    before = change["before"]
    return ", ".join(
        f"{name.replace('_', ' ')} {_said(before[name])} → {_said(value)}"
        for name, value in change["after"].items()
    )


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (", ".join(value) if isinstance(value, list) else str(value)) or "none"
