"""The real parts that a schedule drives: source files, workers' steps, the sweep, both stores.

Not for what is right (``given``) or for what is drawn (``schedules``).
"""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings

from lib.errors import AssayError, Unavailable
from materialization.choices import (
    RunKind,
    RunStatus,
)
from materialization.edges import engine
from materialization.models import Certificate, MaterializationRun, TableCare
from materialization.queries import coverage
from materialization.requests.sweep import sweep
from materialization.runner import run as runner
from materialization.runner.caring import care_for_tables
from materialization.runner.certifying import certify
from serving.edges import online_limits
from serving.historical.entity_frame import EntityFrame
from serving.historical.training_set import JoinedFeature, ViewPart, join_features
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
from tests.materialization.soak.given import Given, Row, Stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.models import FeatureViewVersion

MINUTE = timedelta(minutes=1)
DRIVERS = (1, 2, 3, 4)
FEATURES = ("number", "trips")
#: Of each driver the values of ``FEATURES``.
Answers = dict[int, "tuple[int | None, int | None]"]
#: What checks refuse.
BAD = 99
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
VIEW = """
kind: FeatureView
name: driver_last
entities: [driver]
source: drives
features:
  - {name: number, type: int64}
  - {name: trips, type: int32, checks: {max: 50}}
schedule: {every: 1h}
owner: rides
"""
#: Reads that say so, and are no answer.
NO_ANSWER = {"not_loaded", "not_ready", "version_retired", "project_changing"}
#: What stores rows that it reads of the source.
READS = {RunKind.BACKFILL, RunKind.INCREMENTAL, RunKind.AGAIN, RunKind.RECOMPUTE}


class Served:
    """A version, and what its table may hold."""

    def __init__(self, version: FeatureViewVersion, given: Given) -> None:
        self.version, self.given = version, given
        #: The instant up to which, and the state of the source of which, all is known to be stored.
        self.clean_since = -1


class World:
    """One project with one source and the versions that read it; ``now`` is everybody's clock."""

    def __init__(
        self, cast: factories.Cast, folder: Path, *, stamped: bool, ttl: str, rows_at_once: int
    ) -> None:
        self.cast, self.now, self.latest = cast, AT, AT
        self._folder, self._stamped, self._ttl = folder / "drives", stamped, ttl
        self._folder.mkdir(exist_ok=True)
        for old in self._folder.iterdir():
            old.unlink()
        settings.RUN_CHUNK_ROWS = rows_at_once
        self.files: dict[str, list[Row]] = {}
        #: How often the source was changed, and every row that there was of it.
        self.state = 0
        self._rows: dict[int, Row] = {}
        self.rows_of: defaultdict[tuple[int, datetime, datetime], list[Row]] = defaultdict(list)
        #: What readers may ask for, and what workers may still have work of.
        self.served: list[Served] = []
        self._ever: list[Served] = []
        self.write("a", [self.row(3, AT - 9 * HOUR, AT - 9 * HOUR, 1)])
        self._token = factories.token_for(cast.owner)
        self.approve()

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
        path = self._folder / f"{name}.parquet"
        if not self.files[name] and name != "a":
            path.unlink(missing_ok=True)
            return
        table = pa.Table.from_pylist([_values(row) for row in self.files[name]], schema=SCHEMA)
        pq.write_table(table, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    # --- Versions ---------------------------------------------------------------------------------

    def approve(self, *, more: bool = False) -> None:
        """Approve one more version: with another feature and so another table, or other words."""
        stamped = "created_timestamp: created\n" if self._stamped else ""
        view = VIEW + self._ttl + f"tags: {{n: 'v{len(self._ever)}'}}\n"
        if more:
            view = view.replace(
                "\nschedule",
                f"\n  - {{name: n{len(self._ever)}, column: number, type: int64}}\nschedule",
            )
        text = "\n---\n".join((factories.ENTITY, SOURCE + stamped, view))
        with committed():
            version = factories.make_version(self.cast, text=text)
        same = [each for each in self._ever if each.version.table_id == version.table_id]
        given = same[0].given if same else Given(stamped=self._stamped, ttl=version.spec.ttl)
        self._ever.append(Served(fresh(version), given))
        self.served.append(self._ever[-1])

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
        before, state, rows = run.attempt, self.state, self.rows
        reads = run.kind in READS
        until = max([run.window_end, *(w.end for w in coverage(table_of(served.version)))])
        if reads:
            served.given.attempted(rows, until)
        with committed(), suppress(Unavailable):
            runner.run(run_id=run.pk, worker="worker", clock=lambda: self.now)
        run.refresh_from_db()
        is_clean = not disturbed and before == 0 and reads and state == self.state
        covered = coverage(table_of(served.version))
        if (
            is_clean
            and run.status == RunStatus.SUCCEEDED
            and len(covered) == 1
            and covered[0].start is None
        ):
            served.given.stored(rows, covered[0].end)
            for each in self._ever:
                if each.given is served.given:
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

    def read(self, version: FeatureViewVersion, at: datetime) -> Answers | None:
        """Return what readers get online of each driver; None: they are told to wait."""
        pin = f"{version.feature_view.name}@{version.number}"
        features = [f"{pin}:{name}" for name in FEATURES]
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
        number, trips = (column.values for column in answer.columns[1:])
        return dict(zip(DRIVERS, zip(number, trips, strict=True), strict=True))

    def known(
        self, version: FeatureViewVersion, instants: Sequence[datetime]
    ) -> dict[datetime, Answers]:
        """Return what a training set has of each driver at each instant, as was known then."""
        spec = version.spec
        asked = [(at, driver) for at in instants for driver in DRIVERS]
        times, drivers = zip(*asked, strict=True)
        keys = {
            (key.name, key.value_type): pa.array(drivers, key.value_type.arrow)
            for key in spec.join_keys
        }
        frame = EntityFrame(pa.table({"event_timestamp": pa.array(times, INSTANT)}), keys)
        part = ViewPart("view", spec, snapshot(version).files, FEATURES)
        types = {feature.name: feature.type for feature in spec.features}
        wanted = [JoinedFeature(name, 0, name, types[name]) for name in FEATURES]
        table = join_features(frame, [part], wanted, engine=engine()).table
        found: dict[datetime, Answers] = {at: {} for at in instants}
        columns = (table[name].to_pylist() for name in FEATURES)
        for (at, driver), *values in zip(asked, *columns, strict=True):
            found[at][driver] = (values[0], values[1])
        return found

    def stored(self, version: FeatureViewVersion) -> list[Stored]:
        """Return what is in the table's files."""
        found = []
        for file in snapshot(version).files:
            for each in pq.read_table(file).to_pylist():
                row = self.row_of(each["number"])
                is_it = each["driver_id"], each["event_timestamp"], each["trips"]
                assert (row.driver, row.event, row.trips) == is_it
                found.append(Stored(row, each["__sequence"], each["created_timestamp"]))
        return found

    def row_of(self, number: int) -> Row:
        return self._rows[number]


def _values(row: Row) -> dict[str, Any]:
    return dict(zip(SCHEMA.names, row, strict=True))
