"""Projects: made with a first owner; their words and policy changed.

Not for who else is in them (``members``) or which directories they read (``registration.roots``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from lib.errors import Conflict, Invalid
from lib.seen import require_unchanged
from registry import access, audit, locks
from registry.choices import EvidencePart, Right, Role
from registry.models import PolicyChange, Project
from registry.models.project import POLICY
from registry.operations.people.members import grant, managing
from registry.reading.rules import NAME
from registry.reviewers import MOST_HOURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

COLUMNS = ("title", *POLICY, "review_hours")


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
    seen: Mapping[str, Any] | None = None,
) -> Project:
    """Change what a project is called and its policy.

    ``evidence_required`` names the parts of the evidence that have to be computed before an
    approval, ``review_hours`` after how many hours what waits for review is overdue; None: as now.
    ``seen`` are the columns the actor looked at, None for those of ``project`` as it was loaded.
    :raises ActionNotPermitted: the actor lacks ``manage_members``.
    :raises ChangedMeanwhile: somebody changed them since they were seen.
    :raises BadPolicy: fewer than one approval, fewer for sensitive features than for others, or no
        such part of the evidence.
    """
    access.require(actor, Right.MANAGE_MEMBERS, project)
    if not 1 <= approvals_required <= approvals_required_sensitive:
        raise BadPolicy(
            f"{approvals_required} and {approvals_required_sensitive} approvals: a version needs "
            "at least one, and a sensitive one no fewer than others."
        )
    if evidence_required is None:
        evidence_required = project.evidence_required
    if unknown := sorted(set(evidence_required) - {*EvidencePart}):
        raise BadPolicy(f"no evidence {', '.join(unknown)}; valid: {', '.join(EvidencePart)}.")
    hours = project.review_hours if review_hours is None else review_hours
    if not 1 <= hours <= MOST_HOURS:
        raise BadPolicy(f"{hours} hours for a review: write 1 to {MOST_HOURS}.")
    after = {
        "title": title.strip() or project.name,
        "approvals_required": approvals_required,
        "approvals_required_sensitive": approvals_required_sensitive,
        "evidence_required": [part for part in EvidencePart if part in evidence_required],
        "review_hours": hours,
    }
    seen = columns(project) if seen is None else seen
    with managing(project, actor):
        stored = Project.objects.get(pk=project.pk)
        require_unchanged(stored, seen)
        before = columns(stored)
        if after != before:
            if stored.policy != {column: after[column] for column in POLICY}:
                PolicyChange.objects.create(project=stored, before=stored.policy, changed_at=at)
            Project.objects.filter(pk=project.pk).update(**after)
            audit.record(
                actor=actor,
                verb="project.changed",
                subject=stored,
                before=before,
                after=after,
                at=at,
            )
    project.refresh_from_db()
    return project


def columns(project: Project) -> dict[str, Any]:
    """Return what ``change_project`` changes, as the object has it."""
    return {column: getattr(project, column) for column in COLUMNS}
