"""The tables that pushed rows go to: those of every served version that reads the source.

Not for what rows have to be (``judging``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from lib.errors import SHOWN, NotFound, did_you_mean
from materialization.ingest.events import event_layout
from materialization.stores.layout import layout_of
from registry.catalogue.told import told_of
from registry.choices import Right
from registry.models import DataSource
from registry.queries import may_arrive, served_versions
from registry.spec.sources.arriving import ArrivingSource
from registry.spec.sources.push import PushSource
from registry.spec.sources.streams import StreamSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.stores.events import EventLayout
    from materialization.stores.layout import TableLayout
    from registry import access
    from registry.models import FeatureTable, FeatureViewVersion, Project
    from registry.spec.version_spec import VersionSpec


class PushSourceNotFound(NotFound):
    code = "push_source_not_found"


class NothingReadsIt(NotFound):
    code = "push_source_unread"


class ViewNotPushed(NotFound):
    code = "view_not_pushed"


@dataclass(frozen=True)
class Target:
    """A table, as the newest version that shares it describes it."""

    table: FeatureTable
    spec: VersionSpec
    source: ArrivingSource
    layout: TableLayout | EventLayout
    #: Of the versions that share it, the longest; None: one never expires.
    ttl: timedelta | None
    versions: tuple[str, ...]


def targets_of_source(name: str, project: Project, rights: access.Rights) -> list[Target]:
    """Return the tables that rows of a push source go to; one at least.

    :raises PushSourceNotFound: there is no push source of that name.
    :raises NothingReadsIt: no version that is served reads it.
    :raises ActionNotPermitted: whoever pushes may not push to one of the views.
    """
    versions = [each for each in _pushed(project) if each.spec.rows_from.name == name]
    if not versions:
        _require_source(name, project, rights.user)
        raise NothingReadsIt(
            f"no approved version of a view reads the push source {name!r}: rows would be nobody's."
            " Register a view over it and have it approved."
        )
    return _targets(versions, rights)


def targets_of_view(
    name: str,
    project: Project,
    rights: access.Rights,
    *,
    is_meant: Callable[[FeatureViewVersion], bool],
) -> list[Target]:
    """Return the tables of one view's versions that are meant; one at least.

    :raises ViewNotPushed: no version that is meant is served and reads a push source.
    :raises ActionNotPermitted: as above.
    """
    pushed = list(_pushed(project))
    versions = [each for each in pushed if each.feature_view.name == name and is_meant(each)]
    if not versions:
        known = sorted({each.feature_view.name for each in pushed})
        raise ViewNotPushed(
            f"no served version that {name!r} means reads a push source, so nothing can be written"
            f" to it.{did_you_mean(name, known)} Files and tables are loaded by runs."
        )
    return _targets(versions, rights)


def stream_targets() -> list[Target]:
    """Return the tables that are ready and fed by streams, of all projects."""
    found = served_versions().filter(may_arrive(), table__ready_at__isnull=False)
    shared: dict[int, list[FeatureViewVersion]] = {}
    for version in found.defer("packet").order_by("pk"):
        if isinstance(version.spec.source, StreamSource):
            shared.setdefault(cast("int", version.table_id), []).append(version)
    return [_target(each) for each in shared.values()]


def _pushed(project: Project) -> Iterable[FeatureViewVersion]:
    found = served_versions().filter(may_arrive(), feature_view__project=project)
    for version in found.defer("packet").order_by("pk"):
        if isinstance(version.spec.source, PushSource):
            yield version


def _targets(versions: list[FeatureViewVersion], rights: access.Rights) -> list[Target]:
    for view in {version.feature_view for version in versions}:
        rights.require(Right.PUSH_FEATUREVIEW, view)
    shared: dict[int, list[FeatureViewVersion]] = {}
    for version in versions:
        shared.setdefault(cast("int", version.table_id), []).append(version)
    return [_target(each) for each in shared.values()]


def _target(versions: list[FeatureViewVersion]) -> Target:
    newest = versions[-1]
    table = cast("FeatureTable", newest.table)
    ttls = [each.spec.ttl for each in versions]
    longest = None if None in ttls else max(ttl for ttl in ttls if ttl is not None)
    source = cast("ArrivingSource", newest.spec.source)
    made = event_layout if newest.spec.stores_events_only else layout_of
    layout = made(newest.spec, uid=table.uid)
    return Target(table, newest.spec, source, layout, longest, tuple(map(str, versions)))


def _require_source(name: str, project: Project, user: User | AnonymousUser) -> None:
    told = told_of(user, project, DataSource.objects.filter(project=project))
    sources = {each.name: each.spec for each in told}
    known = {each.name for each in sources.values() if isinstance(each, PushSource)}
    if name in known:
        return
    other = sources.get(name)
    if other is not None:
        how = (
            f"its rows are {other.arrives}: write them there"
            if isinstance(other, ArrivingSource)
            else "its rows are loaded by runs (POST materialize)"
        )
        pushed = f" Pushed to is one of: {', '.join(sorted(known)[:SHOWN])}." if known else ""
        raise PushSourceNotFound(
            f"data source {name!r} of project {project} is of `type: {other.type}`, and nothing is"
            f" pushed to it: {how}.{pushed}"
        )
    none = " There is none that you see: apply a data source of `type: push`, and a view over it."
    raise PushSourceNotFound(
        f"project {project} has no push source {name!r}.{did_you_mean(name, known) or none}"
    )
