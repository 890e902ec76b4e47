"""Promote, deprecate, restore, retire, and the moment a version becomes ready.

Not for what leads to an approval: ``reviews``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Value
from django.db.models.functions import Coalesce

from lib.batches import in_batches
from lib.errors import Conflict, Invalid
from registry import epoch
from registry.breakage import services_broken_by
from registry.choices import SERVED_STATES, Action, State
from registry.glass import glass_of, require_confirmed
from registry.models import FeatureTable, FeatureView, FeatureViewVersion
from registry.newest import NEWEST_FIRST
from registry.operations.lifecycle import steps
from registry.queries import consumers_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.contrib.auth.models import User


#: How far off the end of a deprecated version may be.
MOST_SUNSET = timedelta(days=3650)


class VersionNotReadyToPromote(Conflict):
    code = "not_ready"


class VersionInUse(Conflict):
    code = "version_in_use"


class ServicesBroken(Conflict):
    code = "services_broken"


class ReasonNeeded(Invalid):
    code = "reason_needed"


class BadSunset(Invalid):
    code = "invalid_until"


def promote_version(
    *,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    comment: str = "",
    force: bool = False,
) -> FeatureViewVersion:
    """Make a ready version the one that references without a pin read; also the way back.

    :raises VersionNotReadyToPromote: it is not backfilled and loaded yet.
    :raises ServicesBroken: services would lose features they read, and it is not forced.
    :raises ReasonNeeded: forced without a comment.
    :raises GlassNotConfirmed: it was approved by breaking the glass, and has to be confirmed first.
    """
    with steps.taking(version, Action.PROMOTE, actor, comment=comment):
        require_confirmed(version, at)
        if not version.is_ready:
            raise VersionNotReadyToPromote(
                f"{version} is not materialized yet; promote it when its backfill is done."
            )
        default = version.feature_view.default_version
        breaks = services_broken_by(version)
        if breaks and not force:
            raise ServicesBroken(
                f"making {version} the default breaks {'; '.join(breaks)}. Pin or change these"
                " readers first, or force it with a reason.",
                breaks=breaks,
            )
        _require_reason("forcing a promotion", force=force, comment=comment)
        FeatureView.objects.filter(pk=version.feature_view_id).update(default_version=version)
        steps.record(
            version,
            Action.PROMOTE,
            actor,
            before=default.number if default else None,
            after=version.number,
            at=at,
            comment=comment,
            **({"breaks": breaks} if breaks else {}),
        )
    version.refresh_from_db()
    return version


def deprecate_version(
    *,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    comment: str = "",
    until: datetime | None = None,
) -> FeatureViewVersion:
    """Say that a version should not be used for anything new; it still answers.

    ``until`` is when it is planned to answer no more, which readers are told; nothing retires it.

    :raises BadSunset: that is over, or in another century.
    """
    if until is not None and not at < until <= at + MOST_SUNSET:
        raise BadSunset(
            f"until {until:%Y-%m-%dT%H:%M:%SZ}: a version answers until an instant after now, at"
            f" most {MOST_SUNSET.days:,} days away."
        )
    told = {"until": until.isoformat()} if until else {}
    also = {"deprecated_at": at, "sunset_at": until}
    return _move(Action.DEPRECATE, version, actor, at, comment, also, told)


def restore_version(
    *, version: FeatureViewVersion, actor: User, at: datetime, comment: str = ""
) -> FeatureViewVersion:
    """Take a deprecation back.

    :raises GlassNotConfirmed: it was approved by breaking the glass, and has to be confirmed first.
    """
    also = {"deprecated_at": None, "sunset_at": None}
    return _move(Action.RESTORE, version, actor, at, comment, also, {})


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
    with steps.taking(version, Action.RETIRE, actor, comment=comment) as transition:
        is_default = version.feature_view.default_version_id == version.pk
        used_by = [*(["the default"] if is_default else []), *consumers_of(version)]
        if used_by and not force:
            raise VersionInUse(
                f"{version} is used by {', '.join(used_by)}."
                " Move them first, or force it with a reason.",
                used_by=used_by,
            )
        _require_reason("forcing a retirement", force=force, comment=comment)
        FeatureView.objects.filter(default_version=version).update(default_version=None)
        before = State(version.state)
        version.move(expected=before, to=transition.target)
        steps.record(
            version, Action.RETIRE, actor, before=before, after=version.state, at=at,
            comment=comment, used_by=used_by,
        )  # fmt: skip
    return version


def _require_reason(what: str, *, force: bool, comment: str) -> None:
    if force and not comment.strip():
        raise ReasonNeeded(f"{what} needs a comment that says why.")


def _move(
    action: Action,
    version: FeatureViewVersion,
    actor: User,
    at: datetime,
    comment: str,
    also: Mapping[str, datetime | None],
    told: Mapping[str, str],
) -> FeatureViewVersion:
    with steps.taking(version, action, actor, comment=comment) as transition:
        if action is Action.RESTORE:
            require_confirmed(version, at)
        before = State(version.state)
        version.move(expected=before, to=transition.target, **also)
        steps.record(
            version, action, actor, before=before, after=version.state, at=at, comment=comment,
            **told,
        )  # fmt: skip
    return version


def mark_table_ready(
    *, table: FeatureTable, at: datetime, kept_for: timedelta | None, generation: int = 0
) -> None:
    """Note that a table is backfilled, checked and loaded; a view without a default gets one.

    ``kept_for`` says how long after their event rows stay online; None is for ever. ``generation``
    is the load that brought them there: plans made from now on take no older one for all there is.
    Saying the same again changes nothing: only what makes a version ready moves a default, so that
    a regular run does not undo a forced retirement.
    """
    loaded = FeatureTable.objects.filter(pk=table.pk, generation__lt=generation)
    loaded.update(generation=generation)
    # Not what the instance says: while a run was under way, its table may have been dropped.
    if FeatureTable.objects.filter(pk=table.pk, ready_at__isnull=False, kept_for=kept_for).exists():
        return
    with epoch.change_view(table.feature_view):
        tables = FeatureTable.objects.filter(pk=table.pk)
        tables.update(
            ready_at=Coalesce("ready_at", Value(at)), kept_for=kept_for, loading_since=None
        )
        served = FeatureViewVersion.objects.filter(table=table, state__in=SERVED_STATES)
        newest = in_batches(served.select_related("table", "glass").order_by(*NEWEST_FIRST), 20)
        ready = (each for each in newest if each.is_ready and not _leads_nowhere(each, at))
        if first := next(ready, None):
            default_if_none(first, at=at)


def _leads_nowhere(version: FeatureViewVersion, at: datetime) -> bool:
    glass = glass_of(version)
    return glass is not None and glass.leads_nowhere(at)


def default_if_none(version: FeatureViewVersion, *, at: datetime) -> None:
    """Make a ready version the default where its view has none; inside a change of the epoch.

    Without it nobody who follows the default is answered, so a service that it lacks a feature of
    does not keep it from the others: the entry names that service, and it stands on the overview.
    """
    breaks = services_broken_by(version)
    views = FeatureView.objects.filter(pk=version.feature_view_id, default_version=None)
    if views.update(default_version=version):
        steps.record(
            version, Action.PROMOTE, None, before=None, after=version.number, at=at,
            comment="first ready version", **({"breaks": breaks} if breaks else {}),
        )  # fmt: skip


def note_default(
    version: FeatureViewVersion, *, was: FeatureViewVersion, at: datetime, comment: str
) -> None:
    """Make a ready version the default again in place of ``was``; inside a change of the epoch.

    A service that it lacks a feature of does not keep it: the entry names that service.
    """
    breaks = services_broken_by(version)
    FeatureView.objects.filter(pk=version.feature_view_id).update(default_version=version)
    steps.record(
        version, Action.PROMOTE, None, before=was.number, after=version.number, at=at,
        comment=comment, **({"breaks": breaks} if breaks else {}),
    )  # fmt: skip
