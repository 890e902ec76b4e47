"""Making a dataset, in a worker: its tables' files are held, joined, and all of it is written down.

Not for asking (``asking``) nor for what a claim is (``working``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction

from lib.errors import Forbidden
from materialization.models import FileHold
from materialization.queries import table_at
from materialization.stores.offline_protocol import name_in_table
from registry import access, audit
from registry.choices import Right
from serving.choices import WorkStatus
from serving.datasets.files import remove_files, write_rows
from serving.datasets.joining import join_again, parts_of
from serving.datasets.manifest import Made, hash_of, make_manifest
from serving.datasets.working import perform
from serving.models import Dataset, DatasetPart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from materialization.quality.profiles import Profile
    from materialization.stores.offline_protocol import OfflineStore
    from registry.models import FeatureTable, FeatureViewVersion
    from registry.spec.model import FeatureSpec
    from serving.datasets.joining import Stores


class AskerShutOut(Forbidden):
    code = "asker_shut_out"


def make_dataset(
    *, dataset_id: int, worker: str, stores: Stores, clock: Callable[[], datetime]
) -> None:
    """Make a queued dataset; one that another worker has, or that is over, is left alone."""
    rows = Dataset.objects.filter(pk=dataset_id).select_related("project", "requested_by")
    perform(
        rows,
        worker=worker,
        clock=clock,
        do=lambda dataset: _made(dataset, stores, clock),
        tell=lambda dataset, at: tell(dataset, stores, at),
    )


def _made(dataset: Dataset, stores: Stores, clock: Callable[[], datetime]) -> dict[str, Any]:
    """Return what the row of a dataset says once its files are written."""
    parts = parts_of(dataset)
    _require_still(dataset, parts)
    _hold_files(dataset, parts, stores.offline, at=clock())
    answer = join_again(dataset, parts, stores)
    dataset.written_by = dataset.attempt
    profiled: list[Profile] = []

    def look(path: str) -> None:
        profiled.append(stores.engine.profile([path], _columns(dataset, parts)))

    kept = write_rows(stores.keeper, dataset, answer.table, look)
    made = Made(answer, kept)
    manifest = make_manifest(dataset, parts, made, engine=stores.engine.identity, at=clock())
    return {
        "written_by": dataset.written_by,
        "size": kept.size,
        "content_hash": manifest["rows"]["content_hash"],
        "manifest": manifest,
        "manifest_hash": hash_of(manifest),
        "profile": profiled[0].to_json(),
    }


def _columns(dataset: Dataset, parts: Sequence[DatasetPart]) -> list[FeatureSpec]:
    """Return the dataset's features as their versions declare them, by their names in it."""
    declared = [{feature.name: feature for feature in part.version.spec.features} for part in parts]
    return [
        msgspec.structs.replace(declared[each["part"]][each["feature"]], name=each["name"])
        for each in dataset.columns
    ]


def _require_still(dataset: Dataset, parts: Sequence[DatasetPart]) -> None:
    """Return if whoever asked may still read the views.

    :raises AskerShutOut: the account was. :raises ActionNotPermitted: it lost the right.
    """
    if not dataset.requested_by.is_active:
        raise AskerShutOut(f"whoever asked for {dataset} is shut out since.")
    for part in parts:
        access.require(dataset.requested_by, Right.READ_OFFLINE, part.version.feature_view)


def _hold_files(
    dataset: Dataset, parts: Sequence[DatasetPart], store: OfflineStore, *, at: datetime
) -> None:
    """Have each table's files as they are now stay, unless an earlier attempt had.

    :raises OfflineStoreBehind: the store has not what was stored.
    """
    held: dict[int, FileHold] = {}
    for part in parts:
        table = part.version.table
        if table is None or part.hold is not None:
            continue
        if table.pk not in held:
            held[table.pk] = _hold(dataset, part.version, table, store, at)
        part.hold = held[table.pk]
        DatasetPart.objects.filter(pk=part.pk, hold=None).update(hold=part.hold)


def _hold(
    dataset: Dataset,
    version: FeatureViewVersion,
    table: FeatureTable,
    store: OfflineStore,
    at: datetime,
) -> FileHold:
    place = table_at(table)
    snapshot = store.snapshot(place)
    names = [name_in_table(file) for file in snapshot.read_by(version.spec)]
    states = store.file_states(place, names)
    return FileHold.objects.create(
        table=table,
        stored_version=snapshot.version,
        stored_as=snapshot.identity,
        files=[
            {"name": state.name, "size": state.size, "sha256": state.sha256} for state in states
        ],
        held_for=f"dataset {dataset} of {dataset.project.name}",
        held_at=at,
    )


def tell(dataset: Dataset, stores: Stores, at: datetime) -> None:
    """Note what came of a dataset; of one that failed nothing is kept but its row."""
    if dataset.status == WorkStatus.DONE:
        audit.record(
            actor=dataset.requested_by,
            verb="dataset.made",
            subject=dataset,
            data={"rows": dataset.rows, "manifest_hash": dataset.manifest_hash},
            at=at,
        )
        return
    let_go(dataset)
    data = {"code": dataset.error_code, "detail": dataset.error}
    audit.record(
        actor=dataset.requested_by, verb="dataset.failed", subject=dataset, data=data, at=at
    )
    transaction.on_commit(lambda: remove_files(stores.keeper, dataset))


def let_go(dataset: Dataset) -> None:
    """End the holds of a dataset that does not need the files any more."""
    holds = list(dataset.parts.exclude(hold=None).values_list("hold", flat=True))
    dataset.parts.update(hold=None)
    FileHold.objects.filter(pk__in=holds).delete()
