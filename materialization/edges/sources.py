"""Where this server reads sources from: folders, and connections with their secrets.

Not for how a kind is read: ``finding`` and ``sources`` have a file a kind, and read no settings.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec
from django.conf import settings

from materialization.edges.stores import offline_bucket
from materialization.errors import SourceOutsideRoots
from materialization.finding.kinds import FETCHERS, TRIERS
from materialization.finding.links import Link
from materialization.sources.files import Whereabouts
from materialization.sources.where import Where, Wheres, of_joined
from materialization.stores.s3 import base_of
from registry.connections import connection_named, connections_of, secret_text
from registry.file_roots import root_of
from registry.models import Project
from registry.spec.connections import KafkaConnection, S3Connection
from registry.spec.sources.base import RootedSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from materialization.finding.fetching import Fetched, Wanted
    from materialization.sources.inputs import LinkedRows
    from registry.spec.connections import Connection
    from registry.spec.version_spec import VersionSpec

#: And for another system to say that it is there.
TRY_SECONDS = 15.0


def whereabouts(spec: VersionSpec, project: Project) -> Where:
    """Return where a version's sources are read from, and where none may: our own stores.

    :raises RootUnknown, RootMoved, RootNotAllowed: as ``root_of``; nothing may be read.
    :raises ConnectionUnknown, ConnectionMoved, ConnectionsUnusable: as ``connection_named``.
    """
    own = _where(spec, project)
    if not spec.joined:
        return own
    beside = []
    for place, side in enumerate(spec.sides):
        with of_joined(spec, place):
            beside.append(_where(side, project))
    return Wheres(own, tuple(beside))


def _where(spec: VersionSpec, project: Project) -> Where:
    if spec.rows_from.link:
        source = spec.rows_from
        return _link(source.link, spec.root_identity, project, source.link_kind)
    if not isinstance(spec.rows_from, RootedSource):
        return Where()
    forbidden = (str(settings.OFFLINE_STORE), str(settings.STATE_DIR / "redis"))
    root = root_of(spec, project)
    return Whereabouts(root=root.path, name=root.name, forbidden=forbidden)


def fetch_rows(
    rows: LinkedRows,
    wanted: Wanted,
    folder: str,
    watch: Callable[[], None],
    *,
    timeout_s: float | None = None,
) -> Fetched:
    """Fetch rows by the connection as it is now; see ``finding.fetching.Fetch``."""
    source = rows.source
    if not source.link:
        raise TypeError(f"{source.name} is read without a connection")
    project = Project.objects.get(name=rows.project)
    link = _link(source.link, rows.place, project, source.link_kind)
    if timeout_s is not None:
        link = msgspec.structs.replace(link, timeout_s=min(timeout_s, link.timeout_s))
    return FETCHERS[type(source)].fetch(rows, wanted, folder, watch, link)


def try_connection(*, name: str, project: Project) -> None:
    """Ask a connection's system whether it answers; ``settings.CONNECTION_TRY`` names this.

    :raises AssayError: it does not, or is not as it should be; says why.
    """
    identity = connections_of(project)[name].identity
    link = msgspec.structs.replace(_link(name, identity, project), timeout_s=TRY_SECONDS)
    TRIERS[type(link.connection)].try_link(link)


def _link(name: str, identity: str, project: Project, kind: str = "") -> Link:
    connection = connection_named(name, identity, project, kind=kind)
    _refuse_own_bucket(name, connection)
    link = Link(
        name=name,
        project=project.name,
        connection=connection,
        secret=partial(secret_text, connection),
        most_bytes=settings.SOURCE_STAGING_MB << 20,
        timeout_s=settings.SOURCE_TIME_LIMIT_SECONDS,
    )
    if not isinstance(connection, KafkaConnection) or connection.schema_registry is None:
        return link
    registry = connection.schema_registry
    schemas = msgspec.structs.replace(
        link,
        name=f"{name}.schema_registry",
        connection=registry,
        secret=partial(secret_text, registry),
    )
    return msgspec.structs.replace(link, schemas=schemas)


def _refuse_own_bucket(name: str, connection: Connection) -> None:
    """By the names of bucket and prefix alone: one server has many addresses.

    :raises SourceOutsideRoots: what the offline store keeps lies where the connection leads.
    """
    if not settings.OFFLINE_BUCKET or not isinstance(connection, S3Connection):
        return
    ours, theirs = (f"{base_of(each)}/" for each in (offline_bucket()[0], connection))
    if ours.startswith(theirs) or theirs.startswith(ours):
        raise SourceOutsideRoots(
            f"connection {name!r} leads to Assay's own offline store, or to what holds it, as its"
            " bucket and prefix say; whoever runs the server gives it a prefix that holds source"
            " data only. A bucket of that name on another server needs another prefix as well.",
            connection=name,
        )
