"""The files that hold a version's rows, for those who read them in bulk by themselves.

Not for HTTP (``files_api``) and not for joins: ``read`` gives what was known at each instant,
while the files hold every row there ever was, corrected ones too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from django.db import transaction

from lib.errors import Conflict
from materialization.queries import table_at
from materialization.stores.columns import stored_types
from registry import access, audit, queries
from registry.choices import Right
from registry.glass import cautions
from registry.grants import Grants
from serving.choices import Door
from serving.usage.slow_reads import note_read

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.stores.offline_protocol import OfflineStore
    from materialization.stores.offline_values import Addresses, StoredFile
    from registry.models import FeatureTable, FeatureViewVersion, Project


class WindowsNotStored(Conflict):
    code = "windows_not_stored"


class FilesRequest(NamedTuple):
    """``version`` pins as references do (``1.2.0``, ``v2``); start and end are UTC, inclusive."""

    feature_view: str
    version: str | None
    start: datetime | None
    end: datetime | None


class OfflineFiles(NamedTuple):
    """The files of one version of the table that ``version`` reads; ``columns``: name → type."""

    version: FeatureViewVersion
    table_version: int
    files: tuple[StoredFile, ...]
    addresses: Addresses
    columns: dict[str, str]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def warnings(self) -> list[str]:
        return cautions([self.version])


def list_offline_files(
    *,
    project: Project,
    actor: User | AnonymousUser,
    request: FilesRequest,
    store: OfflineStore,
    at: datetime,
) -> OfflineFiles:
    """Return the files that may hold rows with an event time in ``[start, end]``; record the read.

    :raises ReferenceNotFound, VersionNotReady, VersionRetired: the version cannot be read.
    :raises ActionNotPermitted: the actor may not read the view's values offline.
    :raises GrantNeeded: the actor has no grant for one of its features that is sensitive.
    :raises WindowsNotStored: its values are made when they are asked for.
    :raises OfflineStoreUnavailable: the store does not have the table now.
    """
    version = queries.served_version(
        project=project, view=request.feature_view, pin=request.version
    )
    access.require(actor, Right.READ_OFFLINE, version.feature_view)
    Grants(actor, at=at).require_all(version)  # the files hold all of its features
    if version.spec.stores_events_only:
        raise WindowsNotStored(
            f"{version} has windows as of each instant that is asked about: no file has its values."
            " Ask get-historical-features, or a dataset, for the instants that are wanted.",
            version=str(version),
        )
    table = cast("FeatureTable", version.table)  # a ready version has one
    listed = store.list_files(table_at(table))
    kept = tuple(file for file in listed.files if file.may_hold(request.start, request.end))
    addresses = store.addresses(kept, at=at)
    found = OfflineFiles(version, listed.version, kept, addresses, stored_types(version.spec))
    _record(found, actor=actor, request=request, at=at)
    asked = [(version, feature.name, "") for feature in version.spec.features]
    note_read(asked, Door.FILES, project=project, actor=actor, at=at, rows=found.rows)
    return found


@transaction.atomic
def _record(
    found: OfflineFiles, *, actor: User | AnonymousUser, request: FilesRequest, at: datetime
) -> None:
    audit.record(
        actor=actor,
        verb="offline_files.listed",
        subject=found.version,
        data={
            "start": request.start,
            "end": request.end,
            "table_version": found.table_version,
            "files": len(found.files),
            "rows": found.rows,
        },
        at=at,
    )
