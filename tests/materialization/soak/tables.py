"""The two kinds of tables that schedules store: rows as they come, and ticks of windows.

Each with its definition, and with what is known of it from outside while workers work: what they
began with, and how they ended. Not for what is right then (``given``, ``given_ticks``).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import pyarrow.parquet as pq

from materialization.choices import RunKind
from tests.materialization.run_world import AT, HOUR, snapshot
from tests.materialization.soak.given import Given, Row, Stored
from tests.materialization.soak.given_ticks import GivenTicks, StoredTick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence, Set

    from registry.models import FeatureViewVersion

DRIVERS = (1, 2, 3, 4)
#: What checks refuse.
BAD = 99
#: What stores rows that it reads of the source.
READS = {RunKind.BACKFILL, RunKind.INCREMENTAL, RunKind.AGAIN, RunKind.RECOMPUTE}
#: Of one driver what a table's ``features`` are, in their order; None: no row.
Values = tuple[Any, ...] | None


class Doing(NamedTuple):
    """What a worker does: with which source, and to which part of a table."""

    kind: RunKind
    rows: list[Row]
    #: Where what was stored before ends, and where the worker's window begins and ends.
    covered: datetime | None
    start: datetime | None
    end: datetime

    @property
    def until(self) -> datetime:
        """The instant up to which all is stored when it is done."""
        return self.end if self.covered is None else max(self.end, self.covered)


class Table(Protocol):
    """A stored table as schedules know it."""

    features: tuple[str, ...]

    def begins(self, doing: Doing) -> None:
        """Note that a worker began; it may not end."""

    def ends(self, doing: Doing, until: datetime) -> None:
        """Note that it did all that it was to do, undisturbed; what is stored ends at ``until``."""

    def settle(self, version: FeatureViewVersion, until: datetime) -> None:
        """Hold what is stored to what was given."""

    def answers(self, driver: int, at: datetime, *, latest: bool) -> Set[Values]:
        """Return what a question at ``at`` may be answered with.

        ``latest``: it is asked now, and not of what was known at an earlier instant.
        """

    def instants(self, end: datetime) -> list[datetime]:
        """Return earlier instants of which it is known what was known then."""

    def may_be(self, driver: int, event: datetime, values: tuple[Any, ...]) -> bool:
        """Say whether a reader may get these values, of that event, while all is in motion."""

    def is_as_source(self, rows: Sequence[Row], until: datetime) -> bool:
        """Say whether what is stored, up to ``until``, is what these rows of the source make."""


class RowsTable:
    """Rows as they come."""

    features: tuple[str, ...] = ("number", "trips")

    def __init__(
        self, *, stamped: bool, ttl: timedelta | None, row_of: Callable[[int], Row]
    ) -> None:
        self._given, self._row_of = Given(stamped=stamped, ttl=ttl), row_of
        self._stamped = stamped

    @staticmethod
    def text(more: str) -> str:
        """Return the definition; with ``more`` it has a feature of that name besides."""
        other = f"  - {{name: {more}, column: number, type: int64}}\n" if more else ""
        return f"""
kind: FeatureView
name: driver_last
entities: [driver]
source: drives
features:
  - {{name: number, type: int64}}
  - {{name: trips, type: int32, checks: {{max: 50}}}}
{other}schedule: {{every: 1h}}
owner: rides
"""

    def begins(self, doing: Doing) -> None:
        if doing.kind in READS:
            self._given.attempted(doing.rows, doing.until)

    def ends(self, doing: Doing, until: datetime) -> None:
        self._given.stored(doing.rows, until)

    def settle(self, version: FeatureViewVersion, until: datetime) -> None:
        self._given.settle(self._stored(version))

    def _stored(self, version: FeatureViewVersion) -> Iterator[Stored]:
        for place, each in _rows(version):
            row = self._row_of(each["number"])
            is_it = each["driver_id"], each["event_timestamp"], each["trips"]
            assert (row.driver, row.event, row.trips) == is_it
            yield Stored(row, each["__sequence"], each["created_timestamp"], place)

    def answers(self, driver: int, at: datetime, *, latest: bool) -> Set[Values]:
        right = self._given.answers(driver, at)
        return {row and (row.number, row.trips) for row in right}

    def instants(self, end: datetime) -> list[datetime]:
        # A row that does not say when it was known is known since somebody came to see it.
        return [end - ago * HOUR for ago in (1, 3, 8)] if self._stamped else []

    def may_be(self, driver: int, event: datetime, values: tuple[Any, ...]) -> bool:
        row = self._row_of(values[0])
        return (row.driver, row.event, row.trips) == (driver, event, values[1])

    def is_as_source(self, rows: Sequence[Row], until: datetime) -> bool:
        return True  # at rest; what it lost since is no difference


class TicksTable:
    """Ticks of rolling windows, one an hour."""

    features: tuple[str, ...] = ("trips_2h", "most_5h", "numbers_5h")
    OUTPUTS: ClassVar = {
        "trips_2h": ("trips", "count", 2 * HOUR),
        "most_5h": ("trips", "max", 5 * HOUR),
        "numbers_5h": ("number", "sum", 5 * HOUR),
    }
    #: How the schedule says when, and at which minute that is.
    SCHEDULES: ClassVar = {"{every: 1h}": 0, "{cron: '20 * * * *'}": 20}

    def __init__(self, *, stamped: bool, ttl: timedelta | None, schedule: str) -> None:
        self._minute = self.SCHEDULES[schedule]
        first = AT.replace(minute=self._minute) - 24 * HOUR
        self._given = GivenTicks(
            stamped=stamped, ttl=ttl, outputs=self.OUTPUTS, first=first, drivers=DRIVERS
        )

    @staticmethod
    def text(more: str, schedule: str) -> str:
        """Return the definition; with ``more`` it has a feature of that name besides."""
        other = f"  - {{name: {more}, column: number_count_5h, type: int64}}\n" if more else ""
        return f"""
kind: FeatureView
name: driver_windows
entities: [driver]
source: drives
aggregations:
  - {{column: trips, functions: [count, max], windows: [2h, 5h]}}
  - {{column: number, functions: [sum, count], windows: [5h]}}
features:
  - {{name: trips_2h, column: trips_count_2h, type: int64}}
  - {{name: most_5h, column: trips_max_5h, type: int32, checks: {{max: 50}}}}
  - {{name: numbers_5h, column: number_sum_5h, type: int64}}
{other}schedule: {schedule}
owner: rides
"""

    def begins(self, doing: Doing) -> None:
        if doing.kind in READS:
            self._given.attempted(doing.rows, doing.covered, doing.until)
        if doing.kind == RunKind.RECOMPUTE:
            self._given.correcting(doing.rows, doing.start, doing.end)
        if doing.kind == RunKind.RELEASE:
            self._given.published()

    def ends(self, doing: Doing, until: datetime) -> None:
        if doing.kind == RunKind.RECOMPUTE:
            self._given.corrected(doing.rows, doing.start, doing.end)

    def settle(self, version: FeatureViewVersion, until: datetime) -> None:
        self._given.settle(self._stored(version), until)

    def _stored(self, version: FeatureViewVersion) -> Iterator[StoredTick]:
        for _, each in _rows(version):
            times = each["event_timestamp"], each["created_timestamp"], each["__sequence"]
            values = tuple(each[name] for name in self.features)
            yield StoredTick(each["driver_id"], *times, values)

    def answers(self, driver: int, at: datetime, *, latest: bool) -> Set[Values]:
        return self._given.answers(driver, at, latest=latest)

    def instants(self, end: datetime) -> list[datetime]:
        last = end.replace(minute=self._minute, second=0, microsecond=0)
        last -= HOUR if last > end else 0 * HOUR
        return [last - ago * HOUR for ago in (0, 1, 2, 6) if last - ago * HOUR < end]

    def may_be(self, driver: int, event: datetime, values: tuple[Any, ...]) -> bool:
        return self._given.may_be(driver, event, values)

    def is_as_source(self, rows: Sequence[Row], until: datetime) -> bool:
        return self._given.is_as_computed(rows, until)


def _rows(version: FeatureViewVersion) -> Iterable[tuple[tuple[str, int], dict[str, Any]]]:
    """Give what is in a table's files, with its place there."""
    for file in snapshot(version).files:
        for number, each in enumerate(pq.read_table(file).to_pylist()):
            yield (file, number), each
