"""Who finds what may be read of each kind of source: what each has to do, and the table.

Not for opening what was found (``sources.kinds``): that is the sandbox's, which imports nothing of
this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from materialization.finding.bucket import BucketFinder
from materialization.finding.delta import DeltaTableFinder
from materialization.finding.http.reading import HttpFinder
from materialization.finding.postgres.reading import PostgresFinder
from materialization.finding.schemas import Against, schemas_against
from materialization.finding.streams import KafkaFinder, RedisFinder
from materialization.sources.arriving import ArrivingKind
from materialization.sources.files import FilesKind
from materialization.sources.inputs import JoinedRows
from materialization.sources.where import Wheres, of_joined, own_where
from registry.spec.connections import (
    HttpConnection,
    KafkaConnection,
    PostgresConnection,
    RedisConnection,
    S3Connection,
)
from registry.spec.sources.delta import DeltaSource
from registry.spec.sources.files import BucketSource, FileSource
from registry.spec.sources.http import HttpSource
from registry.spec.sources.postgres import PostgresSource
from registry.spec.sources.push import PushSource
from registry.spec.sources.streams import KafkaSource, RedisStreamSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from materialization.finding.fetching import Fetched, Wanted
    from materialization.finding.links import Link
    from materialization.sources.inputs import LinkedRows, OneSource, SourceInput
    from materialization.sources.where import Where
    from registry.spec.connections import ConnectionSpec
    from registry.spec.sources.base import SourceSpec
    from registry.spec.sources.kinds import Source
    from registry.spec.version_spec import VersionSpec


class Finder(Protocol):
    """What the parent asks of a kind of source."""

    def find(self, source: Any, where: Any) -> OneSource:
        """Say what may be read of a source now. Users' data are not opened here.

        ``paths`` of what it gives are all that the sandbox may open. ``parts()`` say what it is
        made of, each with an identity that is compared before and after reading, and between
        runs; ``only(names)`` is the same with fewer parts.

        :raises Invalid: there is nothing to read, or it may not be read; says what to do.
        """


class Trier(Protocol):
    """What is asked of a kind that is read by connections."""

    def try_link(self, link: Link) -> None:
        """Ask the other system whether it answers, and nothing of its data.

        :raises AssayError: it does not; says why.
        """


class Fetcher(Finder, Trier, Protocol):
    """What is asked of a kind whose rows are elsewhere, beside finding them."""

    def fetch(
        self, rows: LinkedRows, wanted: Wanted, folder: str, watch: Callable[[], None], link: Link
    ) -> Fetched:
        """Write the rows that a job reads into files; see ``fetching.Fetch``."""


FETCHERS: dict[type[SourceSpec], Fetcher] = {
    PostgresSource: PostgresFinder(),
    DeltaSource: DeltaTableFinder(),
    BucketSource: BucketFinder(),
    HttpSource: HttpFinder(),
}
FINDERS: dict[type[SourceSpec], Finder] = {
    FileSource: FilesKind(),
    PushSource: ArrivingKind(),
    KafkaSource: KafkaFinder(),
    RedisStreamSource: RedisFinder(),
    **FETCHERS,
}


#: Who tries a connection of each kind.
TRIERS: dict[type[ConnectionSpec], Trier] = {
    PostgresConnection: PostgresFinder(),
    S3Connection: BucketFinder(),
    HttpConnection: HttpFinder(),
    KafkaConnection: KafkaFinder(),
    RedisConnection: RedisFinder(),
}


def find_rows(spec: VersionSpec, where: Where) -> SourceInput:
    """Return what may be read of all that a version reads now; see ``Finder.find``."""
    own = find_source(spec.rows_from, own_where(where))
    if not isinstance(where, Wheres):
        return own
    beside = []
    for place, side in enumerate(where.beside):
        with of_joined(spec, place):
            beside.append(find_source(spec.joined[place].source, side))
    return JoinedRows(own, tuple(beside))


def against(specs: Sequence[VersionSpec], where: Where, *, until: float) -> list[Against]:
    """Return what the stream of versions says of its records that each cannot be made of.

    Whoever has to be asked is asked once for all of them, ``until`` then by the monotonic clock.
    """
    source = specs[0].rows_from
    if not isinstance(source, KafkaSource):
        return [Against()] * len(specs)
    reading = [spec.columns_read for spec in specs]
    return schemas_against(source, cast("Link", own_where(where)), reading, until=until)


def find_source(source: Source, where: Where) -> OneSource:
    """Return what may be read of a source now; see ``Finder.find``."""
    return FINDERS[type(source)].find(source, where)
