"""What happens to a source: rows come, late, tied or twice, are corrected, and go."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.materialization.run_world import HOUR
from tests.materialization.soak.given import Row
from tests.materialization.soak.tables import BAD
from tests.materialization.soak.world import World

places = st.integers(0, 99)
files = st.sampled_from(["a", "b", "c"])
#: (driver, half hours since its event, when it is known, trips)
new_rows = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from([0, 0, 1, 1, 2, 3, 5, 9, -1, -2]),
        st.sampled_from(["at once", "at once", "late", "later", "early"]),
        st.sampled_from([None, 0, 1, 1, 2, 7, 50, BAD]),
    ),
    min_size=1,
    max_size=4,
)


class Sources(RuleBasedStateMachine):
    world: World

    @rule(file=files, rows=new_rows)
    def rows_arrive(self, file: str, rows: list[Any]) -> None:
        world = self.world
        found = [self._row(*each) for each in rows]
        world.write(file, [*world.files.get(file, ()), *found])

    def _row(self, driver: int, halves: int, known: str, trips: int | None) -> Row:
        now = self.world.now
        event = (
            now.replace(minute=30 * (now.minute // 30), second=0, microsecond=0) - halves * HOUR / 2
        )
        created = {"at once": event, "late": now, "later": now + 2 * HOUR, "early": event - HOUR}[
            known
        ]
        return self.world.row(driver, event, created, trips)

    @rule(place=places, trips=st.sampled_from([None, 3, 4, BAD]))
    def a_row_is_corrected(self, place: int, trips: int | None) -> None:
        file, row = self._one(place)
        other = self.world.row(row.driver, row.event, row.created, trips)
        self._replace(file, row, [other])

    @rule(place=places, which=places)
    def a_row_is_changed_back(self, place: int, which: int) -> None:
        file, row = self._one(place)
        known = self.world.rows_of[row.driver, row.event, row.created]
        self._replace(file, row, [known[which % len(known)]])

    @rule(place=places)
    def a_row_is_given_twice(self, place: int) -> None:
        _, row = self._one(place)
        self.world.write("c", [*self.world.files.get("c", ()), row])

    @rule(place=places)
    def a_row_is_tied(self, place: int) -> None:
        file, row = self._one(place)
        self._replace(file, row, [row, self.world.row(row.driver, row.event, row.created, 5)])

    @rule(place=places)
    def a_row_is_removed(self, place: int) -> None:
        file, row = self._one(place)
        if (file, row) != self._one(0):
            self._replace(file, row, [])

    @rule(file=st.sampled_from(["b", "c"]))
    def a_file_is_removed(self, file: str) -> None:
        self.world.write(file, [])

    def _one(self, place: int) -> tuple[str, Row]:
        every = [(file, row) for file, rows in sorted(self.world.files.items()) for row in rows]
        return every[place % len(every)]

    def _replace(self, file: str, row: Row, by: list[Row]) -> None:
        rows = list(self.world.files[file])
        place = rows.index(row)
        self.world.write(file, [*rows[:place], *by, *rows[place + 1 :]])
