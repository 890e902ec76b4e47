"""Real source files, runs performed here and now, and what readers get afterwards.

Not for starting workers: the journeys do. Rows are ``(driver, event, created, rate, trips)``.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from django.contrib.auth.models import User
from django.test import TestCase

from materialization.chunks import read_chunks, written_chunks
from materialization.edges.engines import engine
from materialization.edges.stores import offline_store, online_store
from materialization.models import MaterializationRun, StoredWindow
from materialization.quality.consistency.online import compare_online
from materialization.quality.consistency.subject import Stores, Subject
from materialization.queries import table_at
from materialization.requests.runs import request_run
from materialization.runner import run as runner
from materialization.stores.layout import layout_of
from registry.models import FeatureViewVersion
from serving.edges import online_limits
from serving.historical.entity_frame import EntityFrame
from serving.historical.features import JoinedFeature
from serving.historical.training_set import ViewPart, join_features
from serving.online.read import OnlineAnswer, get_online_features
from serving.online.request import OnlineRequest
from tests import factories

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from materialization.chunks import Chunk
    from registry.models import FeatureTable

AT = factories.AT
#: Three drivers with rows and one nobody has seen.
DRIVERS = {"driver_id": [1001, 1002, 1003, 4711]}
HOUR = timedelta(hours=1)
INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("driver_id", pa.int64()),
        ("event_timestamp", INSTANT),
        ("created", INSTANT),
        ("conv_rate", pa.float32()),
        ("acc_rate", pa.float32()),
        ("avg_daily_trips", pa.int32()),
    ]
)
#: Three drivers; the second row of 1001 corrects the first, that of 1002 arrives after two hours.
ROWS = [
    (1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 10),
    (1001, AT - 9 * HOUR, AT - 8 * HOUR, 0.75, 11),
    (1002, AT - 5 * HOUR, AT - 3 * HOUR, 0.25, 20),
    (1003, AT - 4 * HOUR, AT - 4 * HOUR, None, 30),
]
#: Ends a block's changes, epochs among them: a test's own transaction never commits.
committed = partial(TestCase.captureOnCommitCallbacks, execute=True)


def ask(
    version: FeatureViewVersion, *, end: datetime = AT, at: datetime = AT, **asked: Any
) -> MaterializationRun:
    """Ask for a run as the schedule would, unless ``asked`` names an actor."""
    return request_run(version=fresh(version), window_end=end, at=at, **({"actor": None} | asked))


def write_rows(folder: Path, rows: Iterable[tuple[Any, ...]], schema: pa.Schema = SCHEMA) -> Path:
    """(Re)write the source that ``factories.DEFINITIONS`` read."""
    columns = [(key, event, created, rate, rate, n) for key, event, created, rate, n in rows]
    names = schema.names
    table = pa.Table.from_pylist(
        [dict(zip(names, row, strict=True)) for row in columns], schema=schema
    )
    path = folder / "driver_stats.parquet"
    pq.write_table(table, path)
    return path


def fresh(version: FeatureViewVersion) -> FeatureViewVersion:
    related = FeatureViewVersion.objects.select_related("feature_view__project", "table")
    return related.get(pk=version.pk)


def table_of(version: FeatureViewVersion) -> FeatureTable:
    assert version.table is not None
    return version.table


def materialize(
    version: FeatureViewVersion, *, end: datetime = AT, **asked: Any
) -> MaterializationRun:
    """Ask for a run as the schedule would, and perform it."""
    run = request_run(version=fresh(version), window_end=end, **{"at": end, "actor": None, **asked})
    return perform(run, at=asked.get("at", end))


def perform(run: MaterializationRun, *, at: datetime = AT) -> MaterializationRun:
    """Do a worker's work; every reading of its clock is ``at``."""
    runner.run(run_id=run.pk, worker="worker-1", clock=lambda: at)
    run.refresh_from_db()
    return run


@contextmanager
def nothing_recorded() -> Iterator[None]:
    """Let what is stored inside have been committed and not recorded, as of a worker that died."""
    before = list(StoredWindow.objects.all())
    stored = {
        run.pk: {each.until for each in read_chunks(run.chunks) if each.stored_at is not None}
        for run in MaterializationRun.objects.all()
    }
    yield
    StoredWindow.objects.all().delete()
    StoredWindow.objects.bulk_create(before)
    for run in MaterializationRun.objects.all():
        chunks = [
            each if each.until in stored.get(run.pk, ()) else _unrecorded(each)
            for each in read_chunks(run.chunks)
        ]
        MaterializationRun.objects.filter(pk=run.pk).update(chunks=written_chunks(chunks))


def _unrecorded(chunk: Chunk) -> Chunk:
    return msgspec.structs.replace(chunk, stored_at=None, is_committed=False)


def staging_of(version: FeatureViewVersion) -> Path:
    return Path(table_at(table_of(version)).uri, "_staging")


def staged(version: FeatureViewVersion) -> list[str]:
    """Return the rows that lie staged for chunks to come: the folder of each file."""
    return sorted(file.parent.name for file in staging_of(version).rglob("*.parquet"))


def snapshot(version: FeatureViewVersion) -> Any:
    return offline_store().snapshot(table_at(table_of(version)))


def marker(version: FeatureViewVersion) -> Any:
    return online_store().marker(table_of(version).uid)


def differences(version: FeatureViewVersion, *, at: datetime) -> tuple[int, list[Any]]:
    """Return how many rows a comparison of all looks at, and the differences that it finds."""
    table, spec = table_of(fresh(version)), version.spec
    subject = Subject(spec, layout_of(spec, uid=table.uid), table_at(table), table.generation)
    found = compare_online(
        subject,
        Stores(offline_store(), online_store(), engine()),
        sample=None,
        repair=False,
        clock=lambda: at,
        watch=lambda found, cost: None,
    ).findings
    return found.compared, found.examples


def online(
    version: FeatureViewVersion, entities: dict[str, list[Any]], *, at: datetime
) -> dict[str, list[Any]]:
    """Return each feature's values as a reader gets them at ``at``, asked for by version."""
    answer = online_answer(version, entities, at=at)
    wanted = [feature.name for feature in version.spec.features]
    found = dict(zip(answer.names, answer.columns, strict=True))
    return {name: list(found[name].values) for name in wanted}


def online_answer(
    version: FeatureViewVersion,
    entities: dict[str, list[Any]],
    *,
    at: datetime,
    stored: bool = False,
) -> OnlineAnswer:
    owner = User.objects.get(username="owner")
    return get_online_features(
        project=version.feature_view.project.name,
        token=factories.token_for(owner),
        request=OnlineRequest(entities=entities, features=_references(version)),
        at=at,
        limits=online_limits(),
        stored=stored,
    )


def _references(version: FeatureViewVersion) -> list[str]:
    pin = f"{version.feature_view.name}@{version.number}"
    return [f"{pin}:{feature.name}" for feature in version.spec.features]


def offline(
    version: FeatureViewVersion, entities: dict[str, list[Any]], *, at: datetime
) -> dict[str, list[Any]]:
    """Return each feature's values in a training set whose every row asks about ``at``."""
    return offline_at(version, entities, [at] * len(next(iter(entities.values()))))


def offline_at(
    version: FeatureViewVersion, entities: dict[str, list[Any]], instants: list[datetime]
) -> dict[str, list[Any]]:
    """Return each feature's values in a training set, a row for each entity and its instant."""
    spec = version.spec
    names = tuple(feature.name for feature in spec.features)
    keys = {
        (key.name, key.value_type): pa.array(entities[key.name], key.value_type.arrow)
        for key in spec.join_keys
    }
    frame = EntityFrame(pa.table({"event_timestamp": pa.array(instants, INSTANT)}), keys)
    part = ViewPart("view", spec, snapshot(version).read_by(spec), names)
    asked = [JoinedFeature(f.name, 0, f.name, f.type) for f in spec.features]
    answer = join_features(frame, [part], asked, engine=engine())
    return {name: answer.table[name].to_pylist() for name in names}
