"""What the parent asks of the sandbox.

Not for starting it (``child`` does), nor for what it is told at the end (``reports``).
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import TypeAlias

import msgspec

from materialization.compute.limits import EngineLimits  # noqa: TC001 - as inputs
from materialization.compute.reports import Prepared  # noqa: TC001 - as inputs
from materialization.sources.inputs import SourceInput  # noqa: TC001 - msgspec reads the annotations
from registry.spec.version_spec import VersionSpec  # noqa: TC001 - msgspec reads the annotations


class Reading(msgspec.Struct, frozen=True):
    """Take rows of some of a source's parts; what the fields mean stands at ``readings.Planned``.

    ``others`` are the parts that this reading leaves alone: what is not in the one may be in them.
    With ``counts_gone`` they are read too, to count what is stored and in no part any more.
    """

    source: SourceInput
    windows: tuple[tuple[datetime | None, datetime], ...]
    known_since: datetime | None = None
    unseen: bool = False
    others: SourceInput | None = None
    counts_gone: bool = False


class Keeping(msgspec.Struct, frozen=True):
    """Have the rows that are aggregated stored beside their ticks; see ``aggregation.events``.

    ``files`` are those of the events that are stored. Rows that do not say when they were known
    were known from ``arrived`` on, or from their event on if that is later; from their event where
    the run ``is_first``. ``tells_gone``: what is stored and not in the source any more is gone.
    """

    files: tuple[str, ...]
    arrived: datetime
    is_first: bool = False
    tells_gone: bool = True


class ComputeJob(msgspec.Struct, frozen=True, tag="compute"):
    """Compute the rows of ``(window_start, window_end]``, or those of each of the ``readings``.

    ``source`` is all that the sandbox may read of it. ``state_files`` are the Parquet files of the
    version's offline snapshot: an aggregation continues from what is stored at or before
    ``window_start``, a reading of what is ``unseen`` leaves out what is stored. Aggregations have
    no readings: they read what their windows reach.

    With ``corrects_at`` ticks of the window are computed again: of those that are stored otherwise
    rows are made that are known from then on. With ``only_compares`` nobody is to store those.
    ``first_event`` is the earliest that the source is known to have had: one that begins later by
    now was trimmed.

    ``stored_files`` are those of the snapshot for checks that look at what is stored.

    ``keeping``: which of the rows that are aggregated are to be stored too.

    Of a job whose rows were ``prepared`` into its staging folder nothing is read.

    The rows are written, once and with ``sequence``, as Parquet files into the folder ``staging``;
    whoever has a job performed says which.
    """

    spec: VersionSpec
    source: SourceInput
    window_end: datetime
    window_start: datetime | None = None
    state_files: tuple[str, ...] = ()
    stored_files: tuple[str, ...] = ()
    readings: tuple[Reading, ...] = ()
    corrects_at: datetime | None = None
    first_event: datetime | None = None
    only_compares: bool = False
    keeping: Keeping | None = None
    staging: str = ""
    sequence: int = 0
    prepared: Prepared | None = None

    @property
    def own_files(self) -> tuple[str, ...]:
        """The stored files that it reads."""
        kept = self.keeping.files if self.keeping is not None else ()
        return (*self.state_files, *self.stored_files, *kept)

    def all_readings(self) -> tuple[Reading, ...]:
        """Return the readings; without any the window is read of the whole source."""
        return self.readings or (Reading(self.source, ((self.window_start, self.window_end),)),)


class LookJob(msgspec.Struct, frozen=True, tag="look"):
    """Look at the source as each of the versions would read it.

    Of those at the places ``unseen`` no row is read. Rows whose times lie after ``at`` are counted.
    """

    specs: tuple[VersionSpec, ...]
    source: SourceInput
    unseen: frozenset[int] = frozenset()
    at: datetime | None = None


class SurveyJob(msgspec.Struct, frozen=True, tag="survey"):
    """Count the rows of ``(window_start, window_end]``, and say where to cut it.

    Where there are more than ``at_most``, into parts of about as many, but no more than ``parts``,
    none of them shorter than ``shortest_us``.
    """

    spec: VersionSpec
    source: SourceInput
    window_end: datetime
    window_start: datetime | None
    at_most: int
    parts: int
    shortest_us: int = 0


class QueryJob(msgspec.Struct, frozen=True, tag="query"):
    """Write what a version's own SQL gives of its source, all columns as they are.

    Into one file of the folder ``staging``, an Arrow stream: no more than ``most_rows``, and hardly
    more than ``most_bytes``.
    """

    spec: VersionSpec
    source: SourceInput
    staging: str
    most_rows: int
    most_bytes: int


class FitJob(msgspec.Struct, frozen=True, tag="fit"):
    """Find out what the encodings of some ``features`` of a version are fitted to.

    ``kept_bytes`` is what the view's others take, which are fitted already.
    """

    spec: VersionSpec
    source: SourceInput
    features: tuple[str, ...]
    kept_bytes: int = 0


class SplitJob(msgspec.Struct, frozen=True, tag="split"):
    """Read a source once and write the rows of each of some windows, one after the other, apart.

    They begin at ``window_start`` and end at ``ends``. The rows are those that a ``ComputeJob`` of
    each window would write, known since their events. Nothing is written where the windows, each
    read by itself, would read not much more than once.
    """

    spec: VersionSpec
    source: SourceInput
    window_start: datetime | None
    ends: tuple[datetime, ...]
    staging: str
    sequence: int


class ListJob(msgspec.Struct, frozen=True, tag="list"):
    """List rows of Parquet files that fail some of the version's ``row_checks``, by their numbers.

    ``after`` is the place, file and row, of the last that was listed before. Checks that look at
    what is stored do so in ``stored_files``, at rows up to the sequence ``up_to``.
    """

    spec: VersionSpec
    files: tuple[str, ...]
    checks: tuple[int, ...]
    limit: int
    after: tuple[int, int] = (0, -1)
    stored_files: tuple[str, ...] = ()
    up_to: int | None = None


class TransformJob(msgspec.Struct, frozen=True, tag="transform"):
    """Make rows of batches of the source's columns, as long as there are batches.

    What the version has of its source by then, its ``schema``, says what they are.
    """

    spec: VersionSpec


Job: TypeAlias = (
    ComputeJob | LookJob | SurveyJob | SplitJob | ListJob | FitJob | QueryJob | TransformJob
)


class Envelope(msgspec.Struct, frozen=True):
    """``mask_keys`` are what features are hashed with: they travel in here and nowhere else."""

    job: Job
    limits: EngineLimits
    temp_directory: str
    mask_keys: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"Envelope({self.job!r}, …)"  # what quotes it, quotes no key
