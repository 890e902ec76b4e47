"""Promote, deprecate, restore, retire, and the moment a version becomes ready.

What these change is what readers get, so each runs inside a change of the project's epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry import access, audit, epoch, lifecycle
from registry.choices import SERVED_STATES, Action, State
from registry.errors import Conflict, Invalid
from registry.models import FeatureTable, FeatureView, FeatureViewVersion
from registry.queries import consumers_of

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User


class VersionNotReadyToPromote(Conflict):
    code = "not_ready"


class VersionInUse(Conflict):
    code = "version_in_use"


class ReasonNeeded(Invalid):
    code = "reason_needed"


def promote_version(
    *, version: FeatureViewVersion, actor: User, at: datetime, comment: str = ""
) -> FeatureViewVersion:
    """Make a ready version the one that references without a pin read; also the way back.

    :raises VersionNotReadyToPromote: it is not backfilled and loaded yet.
    """
    feature_view = version.feature_view
    access.require(actor, lifecycle.PERMISSION[Action.PROMOTE], feature_view)
    lifecycle.check(State(version.state), Action.PROMOTE, has_edited=False, comment=comment)
    if not version.is_ready:
        raise VersionNotReadyToPromote(
            f"{version} is not materialized yet; promote it when its backfill is done."
        )
    with epoch.change(feature_view.project_id):
        before = feature_view.default_version
        FeatureView.objects.filter(pk=feature_view.pk).update(default_version=version)
        _record(
            Action.PROMOTE,
            version,
            actor,
            before.number if before else None,
            version.number,
            at,
            comment,
        )
    version.refresh_from_db()
    return version


def deprecate_version(
    *, version: FeatureViewVersion, actor: User, at: datetime, comment: str = ""
) -> FeatureViewVersion:
    """Say that a version should not be used for anything new; it still answers."""
    return _move(Action.DEPRECATE, version, actor, at, comment)


def restore_version(
    *, version: FeatureViewVersion, actor: User, at: datetime, comment: str = ""
) -> FeatureViewVersion:
    """Take a deprecation back."""
    return _move(Action.RESTORE, version, actor, at, comment)


def retire_version(
    *,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    comment: str = "",
    force: bool = False,
) -> FeatureViewVersion:
    """End a version: requests that name it answer 410.

    :raises VersionInUse: it is the default or pinned, and not forced; lists who.
    :raises ReasonNeeded: forced without a comment.
    """
    users = [
        *(["the default"] if version.feature_view.default_version_id == version.pk else []),
        *consumers_of(version),
    ]
    if users and not force:
        raise VersionInUse(
            f"{version} is used by {', '.join(users)}. Move them first, or force it with a reason.",
            used_by=users,
        )
    if force and not comment.strip():
        raise ReasonNeeded("forcing a retirement needs a comment that says why.")
    access.require(actor, lifecycle.PERMISSION[Action.RETIRE], version.feature_view)
    with epoch.change(version.feature_view.project_id):
        FeatureView.objects.filter(default_version=version).update(default_version=None)
        return _move(Action.RETIRE, version, actor, at, comment)


def _move(
    action: Action, version: FeatureViewVersion, actor: User, at: datetime, comment: str
) -> FeatureViewVersion:
    access.require(actor, lifecycle.PERMISSION[action], version.feature_view)
    before = State(version.state)
    transition = lifecycle.check(before, action, has_edited=False, comment=comment)
    with epoch.change(version.feature_view.project_id):
        version.move(expected=before, to=transition.target)
        _record(action, version, actor, before, version.state, at, comment)
    return version


def mark_table_ready(*, table: FeatureTable, at: datetime) -> None:
    """Note that a table is backfilled, checked and loaded; its view's first version becomes default.

    Calling it again changes nothing.
    """
    project_id = table.feature_view.project_id
    if table.ready_at is not None and table.feature_view.default_version_id is not None:
        return
    with epoch.change(project_id):
        FeatureTable.objects.filter(pk=table.pk, ready_at=None).update(ready_at=at)
        served = (
            table.versions.filter(state__in=SERVED_STATES)
            .order_by("-major", "-minor", "-patch")
            .first()
        )
        if served is None:
            return
        views = FeatureView.objects.filter(pk=table.feature_view_id, default_version=None)
        if views.update(default_version=served):
            _record(Action.PROMOTE, served, None, None, served.number, at, "first ready version")


def _record(
    action: Action,
    version: FeatureViewVersion,
    actor: User | None,
    before: str | None,
    after: str | None,
    at: datetime,
    comment: str,
) -> None:
    audit.record(
        actor=actor,
        verb=lifecycle.VERB[action],
        subject=version,
        before=before,
        after=after,
        data={"comment": comment},
        at=at,
    )
