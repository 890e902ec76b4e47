"""Changing a project's words, roots and policy, with its audit entry and its epoch.

Not for making one or for its members: ``operations.members`` does both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry import access, audit, epoch
from registry.errors import Invalid
from registry.file_roots import check_roots
from registry.models import Project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

COLUMNS = ("title", "roots", "approvals_required", "approvals_required_sensitive")


class BadPolicy(Invalid):
    code = "invalid_policy"


def change_project(
    *,
    project: Project,
    actor: User,
    at: datetime,
    title: str,
    roots: Sequence[str],
    approvals_required: int,
    approvals_required_sensitive: int,
) -> Project:
    """Change what a project is called, which directories its sources may read, and its policy.

    :raises ActionNotPermitted: the actor lacks ``manage_members``.
    :raises RootNotAllowed: a root is no directory or outside the installation's ``FILE_ROOTS``.
    :raises BadPolicy: fewer than one approval, or fewer for sensitive features than for others.
    """
    access.require(actor, "manage_members", project)
    if not 1 <= approvals_required <= approvals_required_sensitive:
        raise BadPolicy(
            f"{approvals_required} and {approvals_required_sensitive} approvals: a version needs "
            "at least one, and a sensitive one no fewer than others."
        )
    after = {
        "title": title.strip() or project.name,
        "roots": check_roots(list(roots)),
        "approvals_required": approvals_required,
        "approvals_required_sensitive": approvals_required_sensitive,
    }
    before = {column: getattr(project, column) for column in COLUMNS}
    if after == before:
        return project
    with epoch.change(project.pk):
        Project.objects.filter(pk=project.pk).update(**after)
        audit.record(
            actor=actor, verb="project.changed", subject=project, before=before, after=after, at=at
        )
    project.refresh_from_db()
    return project
