"""Who finds what may be read of each kind of source: what each has to do, and the table.

Not for opening what was found (``sources.kinds``): that is the sandbox's, which imports nothing of
this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from materialization.finding.bucket import BucketFinder
from materialization.finding.delta import DeltaTableFinder
from materialization.finding.postgres.reading import PostgresFinder
from materialization.sources.files import FilesKind
from registry.spec.connections import PostgresConnection, S3Connection
from registry.spec.sources import BucketSource, DeltaSource, FileSource, PostgresSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from materialization.finding.fetching import Fetched, Wanted
    from materialization.finding.links import Link
    from materialization.sources.inputs import LinkedRows, SourceInput
    from materialization.sources.where import Where
    from registry.spec.connections import ConnectionSpec
    from registry.spec.sources import Source, SourceSpec


class Finder(Protocol):
    """What the parent asks of a kind of source."""

    def find(self, source: Any, where: Any) -> SourceInput:
        """Say what may be read of a source now. Users' data are not opened here.

        ``paths`` of what it gives are all that the sandbox may open. ``parts()`` say what it is
        made of, each with an identity that is compared before and after reading, and between
        runs; ``only(names)`` is the same with fewer parts.

        :raises Invalid: there is nothing to read, or it may not be read; says what to do.
        """


class Fetcher(Finder, Protocol):
    """What is asked of a kind whose rows are elsewhere, beside finding them."""

    def try_link(self, link: Link) -> None:
        """Ask the other system whether it answers, and nothing of its data.

        :raises AssayError: it does not; says why.
        """

    def fetch(
        self, rows: LinkedRows, wanted: Wanted, folder: str, watch: Callable[[], None], link: Link
    ) -> Fetched:
        """Write the rows that a job reads into files; see ``fetching.Fetch``."""


FETCHERS: dict[type[SourceSpec], Fetcher] = {
    PostgresSource: PostgresFinder(),
    BucketSource: BucketFinder(),
}
FINDERS: dict[type[SourceSpec], Finder] = {
    FileSource: FilesKind(),
    DeltaSource: DeltaTableFinder(),
    **FETCHERS,
}


#: Who tries a connection of each kind.
TRIERS: dict[type[ConnectionSpec], Fetcher] = {
    PostgresConnection: PostgresFinder(),
    S3Connection: BucketFinder(),
}


def find_source(source: Source, where: Where) -> SourceInput:
    """Return what may be read of a source now; see ``Finder.find``."""
    return FINDERS[type(source)].find(source, where)
