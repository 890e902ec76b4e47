"""What the parent asks of the sandbox and what it is told at the end.

Not for starting it: ``child`` does.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any, TypeAlias

import msgspec

from materialization.compute.limits import (
    EngineLimits,
)  # noqa: TC001 - msgspec reads the annotations
from materialization.quality.checking import Checked  # noqa: TC001 - msgspec reads the annotations
from materialization.sources.inputs import SourceInput  # noqa: TC001 - msgspec reads the annotations
from registry.spec.model import VersionSpec  # noqa: TC001 - msgspec reads the annotations


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


class Counters(msgspec.Struct, frozen=True):
    """Rows taken from the source, and what became of them.

    ``rows_read`` = ``rows`` + dropped + ``already_stored`` + ``repeated`` for views whose rows
    stand alone; ``repeated`` were given before, equal in keys, stamps and values.
    ``late`` of the ``rows`` belong to windows that were covered before. ``has_later`` are the parts
    with rows beyond the end of all windows: a later run takes them. ``placeholder_times`` of the
    rows an aggregation takes have an event time that stands for none (``placeholder_dates``);
    ``copies`` of them are equal to another in every column of the source, and count each.

    Of rows that are compared with what is stored, ``corrected`` of the ``late`` are of an entity
    and a time that had another row; ``gone`` are stored of which the source has no row any more,
    None where nobody looked. ``first_event`` is the earliest of the rows that an aggregation takes;
    where it has lost earlier ones, ticks before ``whole_from`` are all among the gone.
    """

    rows_read: int = 0
    dropped_null_key: int = 0
    dropped_null_time: int = 0
    already_stored: int = 0
    repeated: int = 0
    late: int = 0
    rows: int = 0
    has_later: tuple[str, ...] = ()
    placeholder_times: int = 0
    copies: int = 0
    corrected: int = 0
    gone: int | None = None
    first_event: datetime | None = None
    whole_from: datetime | None = None


class Prepared(msgspec.Struct, frozen=True):
    """Rows that are written already: files in a staging folder, and what was counted of them."""

    files: tuple[str, ...]
    counters: Counters


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


class Events(msgspec.Struct, frozen=True):
    """Staged files of events, and how many rows they have."""

    files: tuple[str, ...] = ()
    rows: int = 0


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

    def all_readings(self) -> tuple[Reading, ...]:
        """Return the readings; without any the window is read of the whole source."""
        return self.readings or (Reading(self.source, ((self.window_start, self.window_end),)),)


class LookJob(msgspec.Struct, frozen=True, tag="look"):
    """Look at the source as each of the versions would read it.

    Of those at the places ``unseen`` no row is read.
    """

    specs: tuple[VersionSpec, ...]
    source: SourceInput
    unseen: frozenset[int] = frozenset()


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


class FitJob(msgspec.Struct, frozen=True, tag="fit"):
    """Find out what the encodings of some ``features`` of a version are fitted to."""

    spec: VersionSpec
    source: SourceInput
    features: tuple[str, ...]


class Fit(msgspec.Struct, frozen=True):
    """By feature: what each step is fitted to, in order, and how many rows the range has."""

    parameters: dict[str, tuple[dict[str, Any], ...]]
    rows: dict[str, int]


class Survey(msgspec.Struct, frozen=True):
    """The parts of a window, in order: where each ends, and about how many rows it has."""

    parts: tuple[tuple[datetime, int], ...]


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


class Split(msgspec.Struct, frozen=True):
    """The rows of each window; None: each is better read by itself."""

    parts: tuple[Prepared, ...] | None


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


Job: TypeAlias = ComputeJob | LookJob | SurveyJob | SplitJob | ListJob | FitJob


class Envelope(msgspec.Struct, frozen=True):
    """``mask_keys`` are what features are hashed with: they travel in here and nowhere else."""

    job: Job
    limits: EngineLimits
    temp_directory: str
    mask_keys: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"Envelope({self.job!r}, …)"  # what quotes it, quotes no key


class Computed(msgspec.Struct, frozen=True):
    """What a job made: ``files`` in its staging folder have all its rows.

    ``events`` are what those are made of, where that is kept. ``profile`` is of the rows, as
    ``quality.profiles.Profile`` writes itself, and ``checked`` how many fail which check.
    ``seconds`` says how long staging and profiling took.
    """

    counters: Counters
    files: tuple[str, ...]
    profile: dict[str, Any]
    checked: Checked
    seconds: dict[str, float]
    events: Events = Events()


class ListedRow(msgspec.Struct, frozen=True):
    """One row of a list: where it stands, the names of the checks it fails, what it holds as JSON.

    ``values`` are those that the checks are about. ``held_by`` has, for a check that fails because
    another entity holds the value, one that does: its ``keys`` and the ``event_timestamp`` of its
    row.
    """

    place: tuple[int, int]
    failed: list[str]
    keys: dict[str, Any]
    event_timestamp: str
    created_timestamp: str
    values: dict[str, Any]
    held_by: dict[str, dict[str, Any]] = {}


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """The child's last line: exactly one of its fields is set.

    Of ``looks`` there is one a version: what was found, or an ``error`` that ended it.
    """

    computed: Computed | None = None
    looks: list[dict[str, Any]] | None = None
    survey: Survey | None = None
    split: Split | None = None
    fit: Fit | None = None
    rows: list[ListedRow] | None = None
    error: dict[str, Any] | None = None
