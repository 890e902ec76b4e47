"""Roots assigned to a project, moved and released: only whoever runs the server decides that.

Where a root points decides what approved versions read, so a move makes drafts for review, and what
was approved for the old place is refused until then. Not for finding a version's root:
``registry.file_roots``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, overload

from django.db import transaction

from lib.acts import act
from lib.errors import Conflict, Invalid, NotFound
from registry import access, audit, epoch
from registry.choices import ProposalKind, State
from registry.file_roots import DEFAULT, check_apart, check_directory
from registry.looking import get_looking
from registry.models import FeatureViewVersion, FileRoot, Project
from registry.operations.people.proposing import propose
from registry.operations.registration.applied import Application
from registry.operations.registration.following import views_over_root
from registry.operations.registration.standing import Standing
from registry.operations.registration.storing import store
from registry.proposals import ALONE
from registry.reading.names import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import Proposal
    from registry.operations.registration.applied import Applied

    Data = Mapping[str, Any]


class RootNameTaken(Conflict):
    code = "root_name_taken"


class RootInUse(Conflict):
    code = "root_in_use"


class RootMovedMeanwhile(Conflict):
    code = "root_moved_meanwhile"


class RootNotFound(NotFound):
    code = "root_not_found"


@overload
def assign_root(
    *, project: Project, path: str, actor: None, at: datetime, name: str = DEFAULT
) -> FileRoot: ...
@overload
def assign_root(
    *, project: Project, path: str, actor: User, at: datetime, name: str = DEFAULT
) -> FileRoot | Proposal: ...
def assign_root(
    *, project: Project, path: str, actor: User | None, at: datetime, name: str = DEFAULT
) -> FileRoot | Proposal:
    """Give a project a directory to read; without ``actor`` at the shell of the server.

    What a superuser wishes waits for a second one, where there is one.

    :raises ActionNotPermitted: the actor is no superuser.
    :raises RootNotAllowed: it is no directory, or not one that projects may read.
    :raises RootsOverlap: some file of it is under another root already, of whichever project.
    :raises RootNameTaken: the project calls another root that; ``move_root`` moves it.
    """
    _require_operator(actor)
    if not NAME.fullmatch(name):
        rule = "use lower-case letters, digits and _, beginning with a letter, at most 63."
        raise Invalid(f"root name {name!r}: {rule}")
    real = check_directory(path)
    with all_roots_held(project):
        _require_free(project, name)
        check_apart(real, _others())
        change = {"name": name, "path": real, "before": ""}
        proposal = _propose(project, change, actor, at) if actor else None
        return proposal or _assign(project, change, actor, at, ALONE if actor else {})


def _require_free(project: Project, name: str) -> None:
    if project.roots.filter(name=name).exists():
        raise RootNameTaken(f"project {project} has a root {name!r} already; move that one.")


def _propose(
    project: Project, change: dict[str, Any], actor: User, at: datetime
) -> Proposal | None:
    return propose(kind=ProposalKind.ROOT, change=change, actor=actor, at=at, project=project)


def _assign(
    project: Project, change: Mapping[str, str], actor: User | None, at: datetime, data: Data
) -> FileRoot:
    root = FileRoot.objects.create(
        project=project, name=change["name"], path=change["path"], assigned_at=at,
        assigned_by=actor,
    )  # fmt: skip
    audit.record(
        actor=actor,
        verb="file_root.assigned",
        subject=root,
        after=_facts(root),
        data=dict(data),
        at=at,
    )
    return root


def place_root(
    *, project: Project, change: Mapping[str, str], actor: User, at: datetime, data: Data
) -> None:
    """Do what two people agreed to, all roots being held: assign the root, or move it.

    :raises RootNotAllowed, RootsOverlap, RootNameTaken, RootNotFound, RootMovedMeanwhile: it cannot
        be done any more.
    """
    real = check_directory(change["path"])
    if not change["before"]:
        _require_free(project, change["name"])
        check_apart(real, _others())
        _assign(project, change, actor, at, data)
        return
    stored = FileRoot.objects.filter(project=project, name=change["name"]).first()
    if stored is None or stored.path != change["before"]:
        raise RootMovedMeanwhile(f"root {change['name']} is not where it was when this was wished.")
    check_apart(real, _others(stored))
    _move(stored, real, actor, at, data)


def move_root(*, root: FileRoot, path: str, actor: User, at: datetime) -> list[Applied] | Proposal:
    """Let a root be another directory, and make drafts of the views that read under it.

    It waits for a second superuser, where there is one. What is approved keeps answering from its
    stores and computes nothing until its draft, or a version after it, is approved for the new
    place.
    :raises ActionNotPermitted, RootNotAllowed, RootsOverlap: as ``assign_root``.
    """
    _require_operator(actor)
    real = check_directory(path)
    with act(), all_roots_held(root.project):
        stored = _stored(root)
        if stored.path == real:
            return []
        check_apart(real, _others(stored))
        change = {"name": stored.name, "path": real, "before": stored.path}
        proposal = _propose(stored.project, change, actor, at)
        return proposal or _move(stored, real, actor, at, ALONE)


def _move(stored: FileRoot, real: str, actor: User, at: datetime, data: Data) -> list[Applied]:
    with act():
        before = _facts(stored)
        stored.path, stored.assigned_at, stored.assigned_by = real, at, actor
        stored.save(update_fields=["path", "assigned_at", "assigned_by"])
        audit.record(
            actor=actor,
            verb="file_root.moved",
            subject=stored,
            before=before,
            after=_facts(stored),
            data=dict(data),
            at=at,
        )
        application = Application(
            project=stored.project,
            actor=actor,
            editor_ids=frozenset({actor.pk}),
            at=at,
            look=get_looking(),
            standing=Standing(stored.project),
            may_change_all=True,
        )
        changes = views_over_root(application, stored)
        store(application.changes, actor=actor, at=at)
        return changes


def release_root(*, root: FileRoot, actor: User, at: datetime) -> None:
    """Take a root away from its project; its directory may be assigned anew.

    :raises ActionNotPermitted: the actor is no superuser.
    :raises RootInUse: a version that is not retired reads under it; names some.
    """
    _require_operator(actor)
    with all_roots_held(root.project):
        stored = _stored(root)
        if using := _readers(stored):
            more = f" and {len(using) - 3} more" if len(using) > 3 else ""
            raise RootInUse(
                f"root {stored} of {stored.project} is read by {', '.join(using[:3])}{more};"
                " retire them first, or move the root."
            )
        audit.record(
            actor=actor, verb="file_root.released", subject=stored, before=_facts(stored), at=at
        )
        stored.delete()


def _require_operator(actor: User | None) -> None:
    if actor is not None:
        access.require_superuser(actor)


@contextmanager
def all_roots_held(project: Project) -> Iterator[None]:
    """Change a root while no other is changed: whether two overlap is asked of all of them."""
    with transaction.atomic():
        epoch.hold(*Project.objects.values_list("pk", flat=True))
        with epoch.change(project.pk):
            yield


def _stored(root: FileRoot) -> FileRoot:
    """:raises RootNotFound: somebody released it meanwhile."""
    found = FileRoot.objects.select_related("project").filter(pk=root.pk).first()
    if found is None:
        raise RootNotFound(f"there is no root {root} any more; look at the list again.")
    return found


def _others(own: FileRoot | None = None) -> list[FileRoot]:
    roots = FileRoot.objects.select_related("project")
    return list(roots.exclude(pk=own.pk) if own else roots)


def _readers(root: FileRoot) -> list[str]:
    """Return the versions, drafts aside, whose source names the root."""
    versions = FeatureViewVersion.objects.filter(feature_view__project=root.project)
    closed = (State.DRAFT, State.RETIRED)
    return [
        str(version)
        for version in versions.exclude(state__in=closed).select_related("feature_view")
        if root.name in version.spec.roots
    ]


def _facts(root: FileRoot) -> dict[str, str]:
    return {"name": root.name, "path": root.path, "identity": root.identity}
