"""The real parts that a schedule drives: source files, workers' steps, the sweep, both stores.

Not for what is right (``given``) or for what is drawn (``schedules``).
"""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings

from lib.errors import AssayError, Unavailable
from materialization.choices import (
    RunKind,
    RunStatus,
)
from materialization.edges.engines import engine
from materialization.models import Certificate, MaterializationRun, TableCare
from materialization.queries import coverage, end_of
from materialization.requests.rebuilding import ask_for_reloads, rebuild
from materialization.requests.sweep import sweep
from materialization.runner import run as runner
from materialization.runner.caring import care_for_tables
from materialization.runner.certifying import certify
from serving.edges import online_limits
from serving.historical.entity_frame import EntityFrame
from serving.historical.features import JoinedFeature
from serving.historical.training_set import ViewPart, join_features
from serving.online.read import get_online_features
from serving.online.request import OnlineRequest
from tests import factories
from tests.materialization.run_world import (
    AT,
    HOUR,
    INSTANT,
    committed,
    fresh,
    snapshot,
    table_of,
)
from tests.materialization.soak.given import Row
from tests.materialization.soak.tables import (
    DRIVERS,
    READS,
    Doing,
    RowsTable,
    Table,
    TicksTable,
    Values,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.models import FeatureViewVersion

MINUTE = timedelta(minutes=1)
#: Of each driver what a reader gets; online with its event.
Answers = dict[int, Values]
Read = dict[int, tuple[datetime, tuple[Any, ...]]]
SCHEMA = pa.schema(
    [
        ("driver_id", pa.int64()),
        ("event_timestamp", INSTANT),
        ("created", INSTANT),
        ("number", pa.int64()),
        ("trips", pa.int32()),
    ]
)
SOURCE = """
kind: DataSource
name: drives
type: file
path: drives/*.parquet
event_timestamp: event_timestamp
"""
#: Reads that say so, and are no answer.
HAS_ROW = {"PRESENT", "NULL_VALUE"}
NO_ANSWER = {"not_loaded", "not_ready", "version_retired", "project_changing"}


class Served:
    """A version, and what its table may hold."""

    def __init__(self, version: FeatureViewVersion, table: Table) -> None:
        self.version, self.table = version, table
        #: The state of the source of which all is known to be stored.
        self.clean_since = -1


class Manner(NamedTuple):
    """How a project is that a schedule happens to."""

    #: Whether the source says when its rows were known.
    stamped: bool
    ttl: str
    rows_at_once: int
    #: Of the schedule of ticks; "": the project has none, or nothing else.
    ticks: str
    has_rows: bool


class World:
    """One project with one source and the versions that read it; ``now`` is everybody's clock."""

    def __init__(self, cast: factories.Cast, folder: Path, manner: Manner) -> None:
        self.cast, self.now, self.latest, self.manner = cast, AT, AT, manner
        self._folder = folder / "drives"
        self._folder.mkdir(exist_ok=True)
        for old in self._folder.iterdir():
            old.unlink()
        settings.RUN_CHUNK_ROWS = manner.rows_at_once
        self.files: dict[str, list[Row]] = {}
        #: How often the source was changed, and every row that there was of it.
        self.state = 0
        self._rows: dict[int, Row] = {}
        self.rows_of: defaultdict[tuple[int, datetime, datetime], list[Row]] = defaultdict(list)
        #: What readers may ask for, and what workers may still have work of.
        self.served: list[Served] = []
        self._ever: list[Served] = []
        #: What workers are in the middle of.
        self._at_work: list[tuple[Table, Doing]] = []
        self.write("a", [self.row(3, AT - 9 * HOUR, AT - 9 * HOUR, 1)])
        self._token = factories.token_for(cast.owner)
        for ticks in (False, True):
            if self.has(ticks=ticks):
                self.approve(ticks=ticks)

    # --- The source -------------------------------------------------------------------------------

    def row(self, driver: int, event: datetime, created: datetime, trips: int | None) -> Row:
        made = Row(driver, event, created, len(self._rows) + 1, trips)
        self._rows[made.number] = made
        self.rows_of[driver, event, created].append(made)
        return made

    @property
    def rows(self) -> list[Row]:
        return [row for rows in self.files.values() for row in rows]

    def write(self, name: str, rows: Iterable[Row]) -> None:
        """Replace a file at once, or remove it where no row is left; the first is always there."""
        self.state += 1
        self.files[name] = list(rows)
        for at_work, doing in self._at_work:
            at_work.begins(doing._replace(rows=self.rows))
        path = self._folder / f"{name}.parquet"
        if not self.files[name] and name != "a":
            path.unlink(missing_ok=True)
            return
        table = pa.Table.from_pylist([_values(row) for row in self.files[name]], schema=SCHEMA)
        pq.write_table(table, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    # --- Versions ---------------------------------------------------------------------------------

    def has(self, *, ticks: bool) -> bool:
        """Say whether the project has a view of that kind."""
        return bool(self.manner.ticks) if ticks else self.manner.has_rows

    def approve(self, *, ticks: bool, more: bool = False) -> None:
        """Approve one more version: with another feature and so another table, or other words."""
        stamped = "created_timestamp: created\n" if self.manner.stamped else ""
        other = f"n{len(self._ever)}" if more else ""
        schedule = self.manner.ticks
        view = TicksTable.text(other, schedule) if ticks else RowsTable.text(other)
        view += self.manner.ttl + f"tags: {{n: 'v{len(self._ever)}'}}\n"
        text = "\n---\n".join((factories.ENTITY, SOURCE + stamped, view))
        with committed():
            version = fresh(factories.make_version(self.cast, text=text))
        same = [each for each in self._ever if each.version.table_id == version.table_id]
        table = same[0].table if same else self._new_table(version, ticks=ticks)
        self._ever.append(Served(version, table))
        self.served.append(self._ever[-1])

    def _new_table(self, version: FeatureViewVersion, *, ticks: bool) -> Table:
        stamped, ttl = self.manner.stamped, version.spec.ttl
        if ticks:
            return TicksTable(stamped=stamped, ttl=ttl, schedule=self.manner.ticks)
        return RowsTable(stamped=stamped, ttl=ttl, row_of=self.row_of)

    # --- Workers ----------------------------------------------------------------------------------

    def sweep(self) -> None:
        with committed():
            sweep(at=self.now)

    def queued(self) -> list[MaterializationRun]:
        """Return the runs that a worker would take, in their order."""
        waiting = MaterializationRun.objects.filter(status=RunStatus.QUEUED).order_by(
            "enqueued_at", "id"
        )
        return [run for run in waiting if run.retry_at is None or run.retry_at <= self.now]

    def work(self, run: MaterializationRun, *, disturbed: bool = False) -> None:
        """Perform a run as a worker does that gets its message; once, to its end or turn."""
        served = next(each for each in self._ever if each.version.pk == run.version_id)
        attempt, state, table = run.attempt, self.state, table_of(served.version)
        window = run.window_start, run.window_end
        until = end_of(coverage(table))  # a question, at which the source may change
        doing = Doing(RunKind(run.kind), self.rows, until, *window)
        served.table.begins(doing)
        self._at_work.append((served.table, doing))
        try:
            with committed(), suppress(Unavailable):
                runner.run(run_id=run.pk, worker="worker", clock=lambda: self.now)
        finally:
            self._at_work.pop()
        run.refresh_from_db()
        covered = coverage(table)
        is_whole = len(covered) == 1 and covered[0].start is None
        is_clean = not disturbed and attempt == 0 and state == self.state and is_whole
        if is_clean and doing.kind in READS and run.status == RunStatus.SUCCEEDED:
            served.table.ends(doing, covered[0].end)
            for each in self._ever:
                if each.table is served.table:
                    each.clean_since = state

    def drain(self) -> None:
        """Let workers do all that waits now."""
        for _ in range(100):
            queued = self.queued()
            if not queued:
                break
            self.work(queued[0])
        else:
            raise AssertionError(f"always more to do: {queued}")
        for certificate in Certificate.objects.filter(status="queued"):
            certify(certificate_id=certificate.pk, worker="worker", clock=lambda: self.now)

    def rebuild_online(self) -> None:
        """Load all tables anew, as somebody does from the shell after a total loss."""
        with committed():
            runs = ask_for_reloads(project=None, feature_view=None, at=self.now)
        with committed():
            rebuild(runs, processes=1, say=lambda progress: None, clock=lambda: self.now)

    def pass_lease(self) -> None:
        self.pass_time(timedelta(seconds=settings.RUN_LEASE_SECONDS + 1))

    def pass_time(self, time: timedelta) -> None:
        self.now += time
        self.latest = max(self.latest, self.now)

    def care(self) -> None:
        """See to every table's files, as on a later day."""
        for path in Path(settings.OFFLINE_STORE).rglob("*"):
            if path.is_file():
                os.utime(path, (1, 1))
        TableCare.objects.update(cared_at=None, lease_expires_at=None)
        with committed():
            care_for_tables(clock=lambda: self.now)

    # --- What readers get -------------------------------------------------------------------------

    def read(self, served: Served, at: datetime) -> Read | None:
        """Return what readers get online of drivers who have a row; None: they are told to wait."""
        version = served.version
        pin = f"{version.feature_view.name}@{version.number}"
        features = [f"{pin}:{name}" for name in served.table.features]
        try:
            answer = get_online_features(
                project=self.cast.project.name,
                token=self._token,
                request=OnlineRequest(entities={"driver_id": list(DRIVERS)}, features=features),
                at=at,
                limits=online_limits(),
            )
        except AssayError as exc:
            if exc.code in NO_ANSWER:
                return None
            raise
        columns = answer.columns[1:]
        rows = zip(*(column.values for column in columns), strict=True)
        whose = zip(DRIVERS, columns[0].statuses, columns[0].event_timestamps, rows, strict=True)
        return {
            driver: (datetime.fromisoformat(event), values)
            for driver, status, event, values in whose
            if status in HAS_ROW
        }

    def known(self, served: Served, instants: Sequence[datetime]) -> dict[datetime, Answers]:
        """Return what a training set has of each driver at each instant, as was known then."""
        spec, features = served.version.spec, served.table.features
        asked = [(at, driver) for at in instants for driver in DRIVERS]
        times, drivers = zip(*asked, strict=True)
        keys = {
            (key.name, key.value_type): pa.array(drivers, key.value_type.arrow)
            for key in spec.join_keys
        }
        frame = EntityFrame(pa.table({"event_timestamp": pa.array(times, INSTANT)}), keys)
        part = ViewPart("view", spec, snapshot(served.version).files, features)
        types = {feature.name: feature.type for feature in spec.features}
        wanted = [JoinedFeature(name, 0, name, types[name]) for name in features]
        table = join_features(frame, [part], wanted, engine=engine()).table
        found: dict[datetime, Answers] = {at: {} for at in instants}
        rows = zip(*(table[name].to_pylist() for name in features), strict=True)
        for (at, driver), values in zip(asked, rows, strict=True):
            found[at][driver] = None if set(values) == {None} else values
        return found

    def row_of(self, number: int) -> Row:
        return self._rows[number]


def _values(row: Row) -> dict[str, Any]:
    return dict(zip(SCHEMA.names, row, strict=True))
