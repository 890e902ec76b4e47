"""What the parent is told at the end of a job. Not for what it asks: ``jobs``."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any

import msgspec

from materialization.quality.checking import Checked  # noqa: TC001 - msgspec reads the annotations


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


class Events(msgspec.Struct, frozen=True):
    """Staged files of events, and how many rows they have."""

    files: tuple[str, ...] = ()
    rows: int = 0


class Fit(msgspec.Struct, frozen=True):
    """By feature: what each step is fitted to, in order, and how many rows the range has."""

    parameters: dict[str, tuple[dict[str, Any], ...]]
    rows: dict[str, int]


class Survey(msgspec.Struct, frozen=True):
    """The parts of a window, in order: where each ends, and about how many rows it has."""

    parts: tuple[tuple[datetime, int], ...]


class Split(msgspec.Struct, frozen=True):
    """The rows of each window; None: each is better read by itself."""

    parts: tuple[Prepared, ...] | None


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
    #: The file that a query's rows are in.
    queried: str | None = None
    rows: list[ListedRow] | None = None
    error: dict[str, Any] | None = None
