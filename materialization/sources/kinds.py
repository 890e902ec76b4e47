"""How each kind of source is opened in the sandbox: what each has to do, and the table.

Not for what a definition says of one (``registry.spec.sources``), nor for finding what may be read
(``finding.kinds``). A new kind is a module of its own here and a line in ``KINDS``;
``tests/contracts/test_sources.py`` runs on every line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from materialization.sources.arriving import ArrivingKind
from materialization.sources.delta import DeltaTableKind
from materialization.sources.files import FilesKind
from materialization.sources.http import HttpKind
from materialization.sources.inputs import own_of
from materialization.sources.postgres import PostgresKind
from registry.spec.sources.delta import DeltaSource
from registry.spec.sources.files import BucketSource, FileSource
from registry.spec.sources.http import HttpSource
from registry.spec.sources.postgres import PostgresSource
from registry.spec.sources.push import PushSource
from registry.spec.sources.streams import KafkaSource, RedisStreamSource

if TYPE_CHECKING:
    import duckdb

    from materialization.sources.inputs import SourceInput
    from materialization.sources.reading import OpenedSource
    from registry.spec.sources.base import SourceSpec
    from registry.spec.version_spec import VersionSpec


class SourceKind(Protocol):
    """What the sandbox asks of a kind of source."""

    def open(
        self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec, found: Any
    ) -> OpenedSource:
        """Return the columns the source has and the relation the view reads.

        :raises SourceUnreadable: it is there and is not what it says it is.
        """


KINDS: dict[type[SourceSpec], SourceKind] = {
    FileSource: FilesKind(),
    DeltaSource: DeltaTableKind(),
    PostgresSource: PostgresKind(),
    BucketSource: FilesKind(),
    HttpSource: HttpKind(),
    PushSource: ArrivingKind(),
    KafkaSource: ArrivingKind(),
    RedisStreamSource: ArrivingKind(),
}


def open_source(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, found: SourceInput
) -> OpenedSource:
    """Open a version's own source in the sandbox; see ``SourceKind.open``.

    Of those that are joined the tables are there already (``joining.keep_joined``).
    """
    return KINDS[type(spec.rows_from)].open(connection, spec, own_of(found))
