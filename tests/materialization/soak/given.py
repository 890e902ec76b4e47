"""What a source gave, and what readers may be told of it: the slow and obviously right way. [pure]

Not for what the engine does: nothing here knows of runs, sequences or stores. A worker that dies
may have stored what it read, or not; then more than one answer is right until somebody looks.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime  # noqa: TC003 - NamedTuple keeps the annotations
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Set
    from datetime import timedelta


class Row(NamedTuple):
    """One row of the source; no two that were ever given have the same ``number``."""

    driver: int
    event: datetime
    created: datetime
    number: int
    trips: int | None

    @property
    def place(self) -> datetime:
        """When it became visible, by its own stamps."""
        return max(self.event, self.created)


class Stored(NamedTuple):
    """A row as it is stored: by which run, counted up, since when it is known, and where."""

    row: Row
    sequence: int
    known: datetime
    place: tuple[str, int]

    @property
    def order(self) -> tuple[datetime, int]:
        return self.known, self.sequence

    @property
    def whole_order(self) -> tuple[datetime, int, tuple[str, int]]:
        return *self.order, self.place


#: What is told apart: driver, event and, where the source says it, when it was known.
Moment = tuple[int, datetime, "datetime | None"]


class Given:
    """What one table may hold: of each moment the rows that may be the newest stored."""

    def __init__(self, *, stamped: bool, ttl: timedelta | None) -> None:
        """``stamped``: the source says when a row was known."""
        self._stamped, self._ttl = stamped, ttl
        #: One of them is stored, of those in ``sure``; of ``maybe`` nobody knows.
        self._sure: dict[Moment, set[Row]] = {}
        self._maybe: defaultdict[Moment, set[Row]] = defaultdict(set)
        self._ever: set[Row] = set()

    def attempted(self, rows: Iterable[Row], until: datetime) -> None:
        """Note that somebody began to store what the source had, and may not have ended."""
        for moment, found in self._by_moment(rows, until).items():
            self._ever |= found
            if found != self._sure.get(moment):
                self._maybe[moment] |= found

    def stored(self, rows: Iterable[Row], until: datetime) -> None:
        """Note that all the source has, up to ``until``, is what is stored last of its moments."""
        for moment, found in self._by_moment(rows, until).items():
            self._ever |= found
            self._sure[moment] = found
            self._maybe.pop(moment, None)

    def settle(self, stored: Iterable[Stored]) -> None:
        """Hold the stored rows to what was given, and know from here on which they are."""
        moments: defaultdict[Moment, list[Stored]] = defaultdict(list)
        for each in stored:
            assert each.row in self._ever, f"never given: {each}"
            assert not self._stamped or each.known == each.row.created
            moments[self._moment(each.row)].append(each)
        lost = self._sure.keys() - moments.keys()
        assert not lost, f"not stored: {[self._sure[moment] for moment in lost]}"
        for moment, found in moments.items():
            self._stored_once(found)
            newest = max(each.order for each in found)
            last = {each.row for each in found if each.order == newest}
            allowed = self._sure.get(moment, set()) | self._maybe.get(moment, set())
            # Of rows that one run stored of a moment only their place tells which is the last.
            assert last & allowed, f"stored last: {last}; given last: {allowed}"
            self._sure[moment] = last & allowed
        self._maybe.clear()

    def _stored_once(self, moment: list[Stored]) -> None:
        """Hold that no run stored a row twice, nor again what was the newest of its moment.

        A row is stored once more only where another came between, and went.
        """
        ordered = sorted(moment, key=lambda each: each.whole_order)
        runs = [[each.row for each in run] for _, run in groupby(ordered, lambda each: each.order)]
        for rows in runs:
            twice = {row for row in rows if rows.count(row) > 1}
            assert not twice, f"stored twice by one run: {twice}"
        for before, after in pairwise(runs):
            assert before[-1] not in after, f"stored by two runs: {before[-1]}"

    def answers(self, driver: int, at: datetime) -> Set[Row | None]:
        """Return the rows that a question at ``at`` may be answered with; None: no row."""
        moments = {*self._sure, *self._maybe}
        mine = [each for each in moments if each[0] == driver and self._is_alive(each, at)]
        found: set[Row | None] = set()
        for moment in sorted(mine, key=lambda each: each[1:], reverse=True):
            found |= self._sure.get(moment, set()) | self._maybe.get(moment, set())
            if moment in self._sure:
                return found
        return found | {None}

    def _is_alive(self, moment: Moment, at: datetime) -> bool:
        _, event, created = moment
        return max(event, created or event) <= at and (self._ttl is None or event >= at - self._ttl)

    def _moment(self, row: Row) -> Moment:
        return row.driver, row.event, row.created if self._stamped else None

    def _by_moment(self, rows: Iterable[Row], until: datetime) -> dict[Moment, set[Row]]:
        found: defaultdict[Moment, set[Row]] = defaultdict(set)
        for row in rows:
            if (row.place if self._stamped else row.event) <= until:
                found[self._moment(row)].add(row)
        return found
