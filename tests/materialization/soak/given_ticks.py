"""What readers may find at each tick of an aggregation: the slow and obviously right way. [pure]

Not for what the engine does: nothing here knows of runs, sequences or stores. A tick has the values
of the source as it was when somebody computed it, and keeps them until somebody asks for them to be
computed again. Who died may have stored them, or not; then more than one is right until somebody
looks.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.oracle_ticks import evaluate, snapshot_ticks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Set

    from tests.materialization.soak.given import Row

HOUR = timedelta(hours=1)
#: What a view has of a driver, in the order of its features; None: no event is in its windows.
Values = tuple[Any, ...]
#: A driver, at an instant.
Tick = tuple[int, datetime]


class StoredTick(NamedTuple):
    """A tick's row as it is stored; the later ones of a tick correct it."""

    driver: int
    tick: datetime
    known: datetime
    sequence: int
    values: Values

    @property
    def order(self) -> tuple[datetime, datetime, int]:
        return self.tick, self.known, self.sequence


class GivenTicks:
    """What one table of ticks, one an hour, may hold."""

    def __init__(
        self,
        *,
        stamped: bool,
        ttl: timedelta | None,
        outputs: Mapping[str, tuple[str, Any, timedelta]],
        first: datetime,
        drivers: Iterable[int],
    ) -> None:
        """``outputs`` as ``oracle_ticks`` has them; no event lies before the ``first`` tick."""
        self._stamped, self._ttl, self._outputs = stamped, ttl, dict(outputs)
        self._first, self._drivers = first, tuple(drivers)
        self._empty: Values = tuple(evaluate(each, []) for _, each, _ in self._outputs.values())
        self._longest = max(window for _, _, window in self._outputs.values())
        #: What may be found at a tick by those who ask when all is known, and by those who know
        #: what was known at the tick itself; and whatever was computed of it, by anybody, ever.
        self._latest: defaultdict[Tick, set[Values | None]] = defaultdict(set)
        self._served: defaultdict[Tick, set[Values | None]] = defaultdict(set)
        self._ever: defaultdict[Tick, set[Values | None]] = defaultdict(set)
        self._is_corrected = False

    # --- What happens -----------------------------------------------------------------------------

    def attempted(self, rows: Iterable[Row], after: datetime | None, until: datetime) -> None:
        """Note that somebody began to compute the ticks of ``(after, until]``."""
        for place, values in self._computed(rows, after, until):
            for each in (self._latest, self._served, self._ever):
                each[place].add(values)

    def correcting(self, rows: Iterable[Row], after: datetime | None, until: datetime) -> None:
        """Note that somebody began to compute the ticks again, and may not have ended."""
        self._is_corrected = True
        for place, values in self._again(rows, after, until).items():
            self._latest[place].add(values)
            self._ever[place].add(values)

    def corrected(self, rows: Iterable[Row], after: datetime | None, until: datetime) -> None:
        """Note that they are by now what they are to be."""
        for place, values in self._again(rows, after, until).items():
            self._latest[place] = {values}

    def published(self) -> None:
        """Note that what was computed at any time and refused was published."""
        for place, found in self._ever.items():
            self._latest[place] |= found

    def settle(self, stored: Iterable[StoredTick], until: datetime) -> None:
        """Hold the stored rows to what was given, and know from here on which they are."""
        of_driver: defaultdict[int, list[StoredTick]] = defaultdict(list)
        for each in sorted(stored, key=lambda each: each.order):
            assert each.known >= each.tick
            of_driver[each.driver].append(each)
        for rows in of_driver.values():
            self._stored_sparsely(rows)
        for tick in self._ticks(None, until):
            for driver in self._drivers:
                rows = [row for row in of_driver[driver] if row.tick <= tick]
                self._latest[driver, tick] = {self._found(self._latest, driver, tick, rows)}
                rows = [row for row in rows if row.known <= tick]
                self._served[driver, tick] = {self._found(self._served, driver, tick, rows)}

    def _stored_sparsely(self, rows: list[StoredTick]) -> None:
        """Hold that no tick is stored twice, and that a driver who is gone ends with one row."""
        for before, after in pairwise(rows):
            is_again = before.tick == after.tick and before.values == after.values
            assert not is_again, f"stored twice: {before} and {after}"
            if not self._is_corrected:
                assert before.tick != after.tick, f"never asked for: {after}"
                is_over = before.values == after.values == self._empty
                assert not is_over, f"it had ended: {before} and {after}"

    def _found(
        self,
        allowed: Mapping[Tick, Set[Values | None]],
        driver: int,
        tick: datetime,
        rows: list[StoredTick],
    ) -> Values | None:
        """Return what the last of a driver's rows says at a tick, if that is allowed."""
        right = allowed.get((driver, tick), set())
        if not rows:
            assert None in right, f"{driver} at {tick}: nothing is stored; given: {right}"
            return None
        found = rows[-1].values
        is_right = found in right or (found == self._empty and None in right)
        assert is_right, f"{driver} at {tick}: stored {rows[-1]}; given: {right}"
        is_alive = found == self._empty or self._ttl is None or rows[-1].tick >= tick - self._ttl
        assert is_alive, f"{driver} at {tick}: {rows[-1]} is past its TTL"
        return found

    # --- What is right ----------------------------------------------------------------------------

    def answers(self, driver: int, at: datetime, *, latest: bool) -> Set[Values | None]:
        """Return what a question at ``at`` may be answered with; None: with no row.

        ``latest``: what was corrected since the last tick is known.
        """
        *_, tick = self._ticks(None, at)
        right = set((self._latest if latest else self._served)[driver, tick])
        if right & {None, self._empty}:  # the last row of who is gone has a TTL as any other
            right |= {self._empty} if self._ttl is None else {self._empty, None}
        return right

    def may_be(self, driver: int, tick: datetime, values: Values) -> bool:
        """Say whether anybody can have stored these values of a tick."""
        ever = self._ever[driver, tick]
        return values in ever or (values == self._empty and None in ever)

    def is_as_computed(self, rows: Iterable[Row], until: datetime) -> bool:
        """Say whether all ticks are what they would be if they were computed from ``rows``."""
        again = self._again(rows, None, until)
        return all(self._latest[place] == {values} for place, values in again.items())

    def _computed(
        self, rows: Iterable[Row], after: datetime | None, until: datetime
    ) -> Iterator[tuple[Tick, Values | None]]:
        """Give each tick and its values; None where a driver has no event in its windows."""
        known = [self._for_the_oracle(row) for row in rows]
        for tick in self._ticks(after, until):
            found = snapshot_ticks(known, [tick], self._outputs)
            for driver in self._drivers:
                values = found.get(((driver,), tick))
                yield (driver, tick), values and tuple(values.values())

    def _again(
        self, rows: Iterable[Row], after: datetime | None, until: datetime
    ) -> dict[Tick, Values | None]:
        """Return the ticks that are to have other values once they are computed again.

        What was served to a driver before its first row stays, where the source has lost that, and
        so does what was served while a part of a window is lost.
        """
        rows = list(rows)
        whole_from = self._whole_from(rows)
        born = {driver for driver in self._drivers if self._is_known(driver, after)}
        again: dict[Tick, Values | None] = {}
        for (driver, tick), values in self._computed(rows, after, until):
            if values is not None:
                born.add(driver)
            if driver in born and (whole_from is None or tick >= whole_from):
                again[driver, tick] = self._empty if values is None else values
        return again

    def _whole_from(self, rows: list[Row]) -> datetime | None:
        """Return from when on the source has all of every window; None: it has lost nothing."""
        known = [tick for (_, tick), found in self._latest.items() if found != {None}]
        earliest = min((row.event for row in rows), default=None)
        is_whole = earliest is None or not known or min(known) >= earliest
        return None if is_whole or earliest is None else earliest + self._longest

    def _is_known(self, driver: int, until: datetime | None) -> bool:
        ticks = [] if until is None else self._ticks(None, until)
        return any(self._latest[driver, tick] != {None} for tick in ticks)

    def _ticks(self, after: datetime | None, until: datetime) -> Iterator[datetime]:
        tick = self._first
        while tick <= until:
            if after is None or tick > after:
                yield tick
            tick += HOUR

    def _for_the_oracle(self, row: Row) -> dict[str, Any]:
        created = row.created if self._stamped else None
        is_it = {"key": (row.driver,), "event": row.event, "created": created}
        return {**is_it, "number": row.number, "trips": row.trips}
