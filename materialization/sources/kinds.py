"""How each kind of source is opened in the sandbox: what each has to do, and the table.

Not for what a definition says of one (``registry.spec.sources``), nor for finding what may be read
(``finding.kinds``). A new kind is a module of its own here and a line in ``KINDS``;
``tests/contracts/test_sources.py`` runs on every line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from materialization.sources.delta import DeltaTableKind
from materialization.sources.files import FilesKind
from materialization.sources.postgres import PostgresKind
from registry.spec.sources import BucketSource, DeltaSource, FileSource, PostgresSource

if TYPE_CHECKING:
    import duckdb

    from materialization.sources.inputs import SourceInput
    from materialization.sources.reading import OpenedSource
    from registry.spec.model import VersionSpec
    from registry.spec.sources import SourceSpec


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
}


def open_source(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, found: SourceInput
) -> OpenedSource:
    """Open a version's source in the sandbox; see ``SourceKind.open``."""
    return KINDS[type(spec.rows_from)].open(connection, spec, found)
