"""What is asked of whoever fetches rows of another system, and what comes of it.

Not for fetching (each kind does) or for what a job reads (``compute.staging`` says it).
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - NamedTuple keeps the annotations
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from materialization.sources.inputs import LinkedRows
    from registry.spec.sources.files import FormatName


class Wanted(NamedTuple):
    """Which rows and columns a job reads; more may come, the job leaves out what it does not want.

    Rows with an event after ``after`` and until ``until``, and those without one. With
    ``by_arrival`` those too that became known after it, whatever their event; but none with an
    event before ``since``. ``columns`` are
    those that have to be there, of ``only_those`` no others come; one of ``own`` need not be there,
    where it is something else that has the name. At most ``most_rows``, any.
    """

    columns: frozenset[str] | None = None
    after: datetime | None = None
    until: datetime | None = None
    by_arrival: bool = False
    since: datetime | None = None
    only_those: bool = False
    most_rows: int | None = None
    own: frozenset[str] = frozenset()


class Fetched(NamedTuple):
    """The file of each part, by the part's name, in the folder that was given.

    ``told`` is how messages call each; ``notes`` are what the source's owner should know.
    """

    files: Mapping[str, str]
    format: FormatName = "parquet"
    told: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    #: What ``key=value`` folders say of each part that lies in some; see ``SourceFiles``.
    partitions: Mapping[str, tuple[tuple[str, str | None], ...]] = MappingProxyType({})
    #: There are more rows than were asked for.
    is_part: bool = False


class Fetch(Protocol):
    """Writes rows into files of a private folder; all come of one state of the source.

    :raises Invalid: they cannot be read so, as it is set up or defined; says what to do.
    :raises Unavailable: the other system does not answer, or stopped in the middle.
    """

    def __call__(
        self, rows: LinkedRows, wanted: Wanted, folder: str, watch: Callable[[], None]
    ) -> Fetched: ...


def no_fetch(rows: LinkedRows, wanted: Wanted, folder: str, watch: Callable[[], None]) -> Fetched:
    """Stand in where no connection may be used."""
    raise LookupError(f"{rows.source.name} is read by a connection, and this engine has none")
