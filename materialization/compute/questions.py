"""What a training set asks an engine: entities, point-in-time joins, expressions. [pure]

Not for how an engine joins: DuckDB's way is ``point_in_time_sql``.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from materialization.stores.columns import EVENT, INSTANT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from registry.spec.version_spec import VersionSpec

# Join keys and features may have any name of the registry's, which never has "__": every column of
# ours that stands beside theirs begins with it.
#: What the answer calls the stamp of the row it took; null where nothing qualified.
FOUND_EVENT = "__event"


class Timing(StrEnum):
    """Whether a row must have been known at the entity row's time, or only be true by then."""

    KNOWN = "known"
    EVENT = "event"

    @property
    def other(self) -> Timing:
        return Timing.EVENT if self is Timing.KNOWN else Timing.KNOWN


class StoredEntities(NamedTuple):
    """One view's rows, or events where it keeps them, of which a question asks whose they are.

    ``key_columns``: join key → what the answer calls it, where names differ.
    """

    spec: VersionSpec
    files: tuple[str, ...]
    key_columns: Mapping[str, str] = MappingProxyType({})


class EntitiesQuestion(NamedTuple):
    """Which entities the views tell of at each of ``instants``, or when within ``bounds`` anew.

    Without ``instants`` those are the times at which a row or event came to count: its own or, with
    known timing, when it was both true and known. ``bounds`` are inclusive, and with instants
    the first and the last. ``keys`` are those of every view, as the answer calls them. The answer
    has ``at_most`` rows; it goes on after ``after``, one row of ``answer_schema``.
    """

    views: tuple[StoredEntities, ...]
    keys: pa.Schema
    bounds: tuple[datetime, datetime]
    instants: tuple[datetime, ...] | None
    at_most: int
    timing: Timing = Timing.KNOWN
    after: pa.Table | None = None

    @property
    def answer_schema(self) -> pa.Schema:
        """The keys, then ``event_timestamp``."""
        return self.keys.append(pa.field(EVENT, INSTANT))


class JoinQuestion(NamedTuple):
    """Which row of one table answers each of ``entity_rows``, and its ``features``.

    ``files`` are the Parquet files of one snapshot of the version's table, of
    ``columns.stored_schema``; none: nothing is stored. ``entity_rows`` has the version's join keys,
    typed as declared (null matches nothing), and ``event_timestamp`` in UTC microseconds, never
    null. With ``explain`` the rows on which the two timings differ are counted too.
    """

    spec: VersionSpec
    files: tuple[str, ...]
    features: tuple[str, ...]
    entity_rows: pa.Table
    timing: Timing = Timing.KNOWN
    explain: bool = False
    events: tuple[str, ...] | None = None

    @property
    def read_files(self) -> tuple[str, ...]:
        """The stored files that an answer is made of."""
        return self.files if self.events is None else self.events

    @property
    def join_keys(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.spec.join_keys)

    @property
    def answer_schema(self) -> pa.Schema:
        """The stamp of the row taken, then the features as declared."""
        types = {feature.name: feature.value_type.arrow for feature in self.spec.features}
        features = [(name, types[name]) for name in self.features]
        return pa.schema([(FOUND_EVENT, INSTANT), *features])

    def nothing(self) -> JoinAnswer:
        """Return the answer of a table that has no rows."""
        rows, schema = self.entity_rows.num_rows, self.answer_schema
        nulls = [pa.nulls(rows, field.type) for field in schema]
        return JoinAnswer(pa.table(nulls, schema=schema), 0 if self.explain else None)

    @property
    def time_bounds_us(self) -> tuple[int, int]:
        """The first and the last instant asked about, in microseconds; there must be a row."""
        times = self.entity_rows[EVENT].cast(pa.int64())
        bounds = pc.min_max(times)
        return bounds["min"].as_py(), bounds["max"].as_py()


class JoinAnswer(NamedTuple):
    """``rows`` has ``answer_schema``, one row an entity row, in their order.

    ``differing`` counts the entity rows for which the two timings take different rows; None: not
    asked.
    """

    rows: pa.Table
    differing: int | None = None


class Expression(NamedTuple):
    """SQL of ``registry.spec.scalar``, and the columns that are its ``i0``, ``i1`` and so on."""

    sql: str
    columns: tuple[str, ...]


class Trial(NamedTuple):
    """SQL of ``registry.spec.scalar``, and the kinds of its ``i0``, ``i1`` and so on."""

    sql: str
    kinds: tuple[str, ...]


class Evaluated(NamedTuple):
    """One expression's values; ``is_lacking``: an operation had no result, and is null there."""

    values: pa.ChunkedArray
    is_lacking: bool
