"""Every kind of source: what each has to do, and the table that finds it.

Not for what a definition says of one (``registry.spec.sources``). A new kind is a module of its own
here and a line in ``KINDS``; ``tests/contracts/test_sources.py`` runs on every line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from materialization.sources.files import FilesKind, Whereabouts
from registry.spec.sources import FileSource

if TYPE_CHECKING:
    import duckdb

    from materialization.sources.inputs import SourceInput
    from materialization.sources.reading import OpenedSource
    from registry.spec.model import VersionSpec
    from registry.spec.sources import Source, SourceSpec


class SourceKind(Protocol):
    """What the parent and the sandbox ask of a kind of source."""

    def find(self, source: Any, where: Whereabouts) -> SourceInput:
        """Say, in the parent, what may be read of a source now. Users' data are not opened here.

        ``paths`` of what it gives are all that the sandbox may open. ``parts()`` say what it is
        made of, each with an identity that is compared before and after reading, and between
        runs; ``only(names)`` is the same with fewer parts.

        :raises Invalid: there is nothing to read, or it may not be read; says what to do.
        """

    def open(
        self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec, found: SourceInput
    ) -> OpenedSource:
        """Return, in the sandbox, the columns the source has and the relation the view reads.

        :raises SourceUnreadable: it is there and is not what it says it is.
        """


KINDS: dict[type[SourceSpec], SourceKind] = {FileSource: FilesKind()}


def find_source(source: Source, where: Whereabouts) -> SourceInput:
    """Return what may be read of a source now; see ``SourceKind.find``."""
    return KINDS[type(source)].find(source, where)


def open_source(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, found: SourceInput
) -> OpenedSource:
    """Open a version's source in the sandbox; see ``SourceKind.open``."""
    return KINDS[type(spec.rows_from)].open(connection, spec, found)
