"""Projects: made with a first owner; their words and policy changed.

Not for who else is in them (``members``) or which directories they read (``registration.roots``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from lib.errors import Conflict, Invalid
from lib.seen import require_unchanged
from registry import access, audit, locks
from registry.choices import EvidencePart, ProposalKind, Right, Role
from registry.models import PolicyChange, Project
from registry.models.project import POLICY
from registry.operations.people.members import grant, managing
from registry.operations.people.proposing import propose
from registry.proposals import ALONE
from registry.reading.names import NAME
from registry.reviewers import MOST_HOURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import Proposal

COLUMNS = ("title", *POLICY, "review_hours", "usage_sampled_one_in")
#: One read in so many at most: fewer than in a million are no sample.
MOST_ONE_IN = 1_000_000


class ProjectNameTaken(Conflict):
    code = "project_name_taken"


class BadPolicy(Invalid):
    code = "invalid_policy"


@transaction.atomic
def create_project(*, name: str, actor: User, at: datetime, title: str = "") -> Project:
    """Create a project with ``actor`` as its first owner.

    :raises ProjectNameTaken: names are unique in an installation.
    """
    if not NAME.fullmatch(name):
        rule = "use lower-case letters, digits and _, beginning with a letter, at most 63."
        raise Invalid(f"project name {name!r}: {rule}")
    try:
        with transaction.atomic():
            project = Project.objects.create(name=name, title=title.strip() or name, created_at=at)
    except IntegrityError as exc:
        raise ProjectNameTaken(f"there is a project {name!r} already.") from exc
    locks.made(project)
    audit.record(actor=actor, verb="project.created", subject=project, at=at)
    grant(project, actor, Role.OWNER, actor, at)
    return project


def change_project(
    *,
    project: Project,
    actor: User,
    at: datetime,
    title: str,
    approvals_required: int,
    approvals_required_sensitive: int,
    evidence_required: Sequence[str] | None = None,
    review_hours: int | None = None,
    usage_sampled_one_in: int | None = None,
    seen: Mapping[str, Any] | None = None,
) -> Proposal | None:
    """Change what a project is called and its policy.

    What asks for less than before waits for a second person, where there is one, and is returned
    as a proposal; the rest is changed at once.

    ``evidence_required`` names the parts of the evidence that have to be computed before an
    approval, ``review_hours`` after how many hours what waits for review is overdue,
    ``usage_sampled_one_in`` of how many online reads the values of one are kept (0: of none);
    None: as now.
    ``seen`` are the columns the actor looked at, None for those of ``project`` as it was loaded.
    :raises ActionNotPermitted: the actor lacks ``manage_members``.
    :raises ChangedMeanwhile: somebody changed them since they were seen.
    :raises BadPolicy: fewer than one approval, fewer for sensitive features than for others, or no
        such part of the evidence.
    """
    access.require(actor, Right.MANAGE_MEMBERS, project)
    asked = {
        "title": title.strip() or project.name,
        "approvals_required": approvals_required,
        "approvals_required_sensitive": approvals_required_sensitive,
        "evidence_required": evidence_required,
        "review_hours": review_hours,
        "usage_sampled_one_in": usage_sampled_one_in,
    }
    after = _after(project, asked)
    seen = columns(project) if seen is None else seen
    with managing(project, actor):
        stored = Project.objects.get(pk=project.pk)
        require_unchanged(stored, seen)
        before = columns(stored)
        looser = [column for column in POLICY if _asks_less(column, before[column], after[column])]
        waiting = _propose(stored, looser, before, after, actor, at) if looser else None
        if waiting:
            after |= {column: before[column] for column in looser}
        store_columns(stored, after, actor, at, data=ALONE if looser and not waiting else {})
    project.refresh_from_db()
    return waiting


def _after(project: Project, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the columns become; of what is None: as now.

    :raises BadPolicy: says which part of it, and what would be valid.
    """
    after = columns(project) | {name: each for name, each in asked.items() if each is not None}
    least, sensitive = after["approvals_required"], after["approvals_required_sensitive"]
    if not 1 <= least <= sensitive:
        raise BadPolicy(
            f"{least} and {sensitive} approvals: a version needs "
            "at least one, and a sensitive one no fewer than others."
        )
    if unknown := sorted(set(after["evidence_required"]) - {*EvidencePart}):
        raise BadPolicy(f"no evidence {', '.join(unknown)}; valid: {', '.join(EvidencePart)}.")
    if not 1 <= (hours := after["review_hours"]) <= MOST_HOURS:
        raise BadPolicy(f"{hours} hours for a review: write 1 to {MOST_HOURS}.")
    if not 0 <= (one_in := after["usage_sampled_one_in"]) <= MOST_ONE_IN:
        raise BadPolicy(f"values of one read in {one_in}: write 0 to {MOST_ONE_IN:,}.")
    after["evidence_required"] = [p for p in EvidencePart if p in after["evidence_required"]]
    return after


def _asks_less(column: str, before: Any, after: Any) -> bool:
    if column == "evidence_required":
        return not set(before) <= set(after)
    return bool(after < before)


def _propose(
    project: Project,
    looser: list[str],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    actor: User,
    at: datetime,
) -> Proposal | None:
    change = {
        "before": {column: before[column] for column in looser},
        "after": {column: after[column] for column in looser},
    }
    return propose(kind=ProposalKind.POLICY, change=change, actor=actor, at=at, project=project)


def store_columns(
    project: Project,
    after: Mapping[str, Any],
    actor: User,
    at: datetime,
    *,
    data: dict[str, Any] | None = None,
) -> None:
    """Store columns inside a change that the caller has authorised, with its entry."""
    before = {column: getattr(project, column) for column in after}
    if after == before:
        return
    if any(before[column] != after[column] for column in POLICY if column in after):
        PolicyChange.objects.create(project=project, before=project.policy, changed_at=at)
    # The entry first: without it the database takes no policy.
    audit.record(
        actor=actor,
        verb="project.changed",
        subject=project,
        before=before,
        after=dict(after),
        data=data,
        at=at,
    )
    Project.objects.filter(pk=project.pk).update(**after)


def columns(project: Project) -> dict[str, Any]:
    """Return what ``change_project`` changes, as the object has it."""
    return {column: getattr(project, column) for column in COLUMNS}
