"""Delta tables as sources: under a root they are read where they lie, in a bucket they are copied.

Not for their logs (``delta_log``) nor for where they lie (``delta_folder``, ``delta_bucket``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.finding.bucket import BucketFinder
from materialization.finding.copying import copied
from materialization.finding.delta_bucket import BucketPlace, is_as_logged
from materialization.finding.delta_folder import FolderPlace
from materialization.finding.delta_log import read_snapshot
from materialization.finding.fetching import Fetched
from materialization.finding.links import Link
from materialization.sources.inputs import LinkedRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from materialization.finding.fetching import Wanted
    from materialization.sources.files import Whereabouts
    from materialization.sources.inputs import DeltaFiles
    from registry.spec.sources.delta import DeltaSource


class DeltaTableFinder:
    """Each file of the snapshot is a part; its identity is the log's."""

    def try_link(self, link: Link) -> None:
        BucketFinder().try_link(link)

    def find(self, source: DeltaSource, where: Whereabouts | Link) -> DeltaFiles | LinkedRows:
        """Return the files of the version that the source names.

        :raises SourceFileMissing, SourceOutsideRoots: as ``FolderPlace``, ``BucketPlace``.
        :raises SourceFileUnsupported, SourceUnreadable: as ``read_snapshot``.
        """
        if not isinstance(where, Link):
            return read_snapshot(FolderPlace(source, where), source)
        table = read_snapshot(BucketPlace(source, where), source)
        place = where.connection.identity
        return LinkedRows(source, where.project, place, table.parts(), table=table)

    def fetch(
        self, rows: LinkedRows, wanted: Wanted, folder: str, watch: Callable[[], None], link: Link
    ) -> Fetched:
        """Copy files of the snapshot that was found; see ``fetching.Fetch``.

        :raises SourceFileGone, SourceUnavailable: a vacuum took one, or it is not the log's.
        :raises SourceTooLarge: they are more than one reading may take.
        """
        parts = rows.parts()
        here = copied(parts, wanted, folder, watch, link, is_same=is_as_logged, form="parquet")
        return Fetched(here.files, is_part=here.is_part)
