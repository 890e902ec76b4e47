"""Random schedules over the real parts: what may happen, in any order, and what holds whatever did.

Each rule is one thing that happens: to ``sources``, through ``people``, to ``machines``. When
everything has come to rest both stores are compared with what was given. Reads in between may have
to wait; they are never wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from lib.connections import get_redis
from materialization.choices import KEPT_STATES, UNFINISHED_STATUSES, RunStatus
from materialization.models import MaterializationRun, Quarantine
from materialization.queries import coverage, table_at
from materialization.requests.pausing import resume_run
from tests.materialization.run_world import committed, snapshot, table_of
from tests.materialization.soak.certificates import Certificates, damages, samples
from tests.materialization.soak.machines import Machines
from tests.materialization.soak.tables import BAD, TicksTable
from tests.materialization.soak.world import MINUTE, Manner, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from registry.models import FeatureViewVersion
    from tests.factories import Cast
    from tests.materialization.soak.given import Row
    from tests.materialization.soak.world import Answers, Served

#: How often the sweep comes, an hour apart, until everything is at rest.
SWEEPS = 8


class Schedules(Machines, Certificates):
    """The schedules of one project; whoever runs them sets what it is called with."""

    cast: ClassVar[Cast]
    folder: ClassVar[Path]
    #: Where sweeps say what none of them should meet.
    unexpected: ClassVar[list[str]]
    #: Told of each schedule at its end.
    done: ClassVar[Callable[[Schedules], None]]

    def __init__(self) -> None:
        super().__init__()
        self.steps = self.rested = 0
        #: What readers by known time got at earlier instants: it stays.
        self.told: dict[tuple[int, datetime], Answers] = {}
        #: The event of the newest row that readers got once all was at rest.
        self.seen: dict[tuple[int, int], datetime] = {}
        self.transaction = transaction.atomic()
        self.transaction.__enter__()

    @initialize(
        stamped=st.booleans(),
        ttl=st.sampled_from(["", "ttl: 6h\n", "ttl: 2d\n"]),
        rows_at_once=st.sampled_from([3, 10_000_000, 10_000_000]),
        ticks=st.sampled_from(["", *TicksTable.SCHEDULES]),
        has_rows=st.booleans(),
    )
    def begin(self, stamped: bool, ttl: str, rows_at_once: int, ticks: str, has_rows: bool) -> None:
        get_redis().flushall()
        manner = Manner(stamped, ttl, rows_at_once, ticks, has_rows or not ticks)
        with committed():
            self.world = World(self.cast, self.folder, manner)

    @invariant()
    def a_read_is_never_wrong(self) -> None:
        """In between a reader gets what was given, and nothing older than once before."""
        self.steps += 1
        world = self.world
        for served in world.served:
            found = world.read(served, world.now) or {}
            for driver, (event, values) in found.items():
                assert served.table.may_be(driver, event, values), (driver, event, values)
                assert event <= world.latest
                assert event >= self.seen.get((served.version.pk, driver), event)

    @precondition(lambda self: self.steps > self.rested + 4)
    @rule(sample=samples, with_source=st.booleans(), damage=damages)
    def everything_comes_to_rest(
        self, sample: int | None, with_source: bool, damage: list[tuple[int, str]]
    ) -> None:
        self._rest(sample, with_source=with_source)
        for served in self.world.served if damage else ():
            self.damage_and_repair(served, damage)
        self.rested = self.steps

    def _rest(self, sample: int | None = None, *, with_source: bool = False) -> None:
        """Let everybody do what is to be done, as soon as nothing stands in their way.

        Then both stores are to hold what was given, and a comparison is to say so.
        """
        self.world.pass_time(self.world.latest - self.world.now)
        self._mend_source()
        self.world.drain()
        for _ in range(SWEEPS):
            for run in MaterializationRun.objects.filter(status=RunStatus.PAUSED):
                self.decide_on(resume_run, run)
            self.world.pass_time(61 * MINUTE)
            self.world.sweep()
            self.world.drain()
            if all(each.clean_since == self.world.state for each in self.world.served):
                break
        else:
            raise AssertionError(f"it does not come to rest: {self._last_runs()}")
        self.world.sweep()
        self.world.drain()
        assert not MaterializationRun.objects.filter(status__in=UNFINISHED_STATUSES).exists()
        unexpected = MaterializationRun.objects.filter(error_code="unexpected")
        assert not unexpected, [run.traceback for run in unexpected]
        assert not self.unexpected, self.unexpected
        self.world.care()
        for served in self.world.served:
            end = self._compare(served)
            self.certify_online(served, sample)
            if with_source:
                self.certify_source(served, end)

    def _mend_source(self) -> None:
        """Correct what checks refuse for ever."""
        for file, rows in list(self.world.files.items()):
            if any(row.trips == BAD for row in rows):
                self.world.write(file, [self._mended(row) for row in rows])

    def _mended(self, row: Row) -> Row:
        if row.trips != BAD:
            return row
        return self.world.row(row.driver, row.event, row.created, 8)

    def _last_runs(self) -> list[tuple[Any, ...]]:
        last = MaterializationRun.objects.order_by("-id")[:SWEEPS]
        return [(str(run), run.kind, run.status, run.error, run.traceback) for run in last]

    # --- What holds when everything is at rest ----------------------------------------------------

    def _compare(self, served: Served) -> datetime:
        """Return up to when is stored what has been held to what was given."""
        version, world = served.version, self.world
        end = coverage(table_of(version))[-1].end
        assert end >= world.now - 61 * MINUTE
        served.table.settle(version, end)
        self._compare_readers(served, end)
        self._compare_files(version)
        return end

    def _compare_readers(self, served: Served, end: datetime) -> None:
        """Hold what readers get, now and as of earlier instants, to what was given."""
        version, world, table = served.version, self.world, served.table
        earlier = [at for pk, at in self.told if pk == version.pk]
        said = table.instants(end)
        known = world.known(served, [end, *said, *earlier])
        for at, found in known.items():
            if at in earlier:
                assert found == self.told[version.pk, at], f"another is known at {at} by now"
                continue
            for driver, values in found.items():
                right = table.answers(driver, at, latest=at == end)
                assert values in right, (driver, at, values, right)
        online = world.read(served, end) or {}
        assert {driver: values for driver, (_, values) in online.items()} == {
            driver: values for driver, values in known[end].items() if values is not None
        }
        if not said and len(earlier) < 4:
            self.told[version.pk, end] = known[end]
        for driver, (event, _) in online.items():
            self.seen[version.pk, driver] = event

    def _compare_files(self, version: FeatureViewVersion) -> None:
        """No file is there that the table does not name, and none that nobody decides on."""
        place = Path(table_at(table_of(version)).uri)
        named = {Path(file).name for file in snapshot(version).files}
        assert {each.name for each in place.glob("*.parquet")} == named
        assert not list((place / "_staging").glob("*"))
        kept = Quarantine.objects.filter(table=table_of(version), state__in=KEPT_STATES)
        held = {each.name for each in (place / "_quarantine").glob("*")}
        assert held == set(kept.values_list("stored_as", flat=True))

    def teardown(self) -> None:
        try:
            self.put_redis_right()
            self._rest()
            type(self).done(self)
        finally:
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)
