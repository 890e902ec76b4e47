"""Making a dataset, in a worker: its tables' files are held, joined, and all of it is written down.

Not for asking (``asking``) nor for what a claim is (``working``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from lib.commits import once_committed
from lib.errors import Forbidden
from registry import audit
from serving.choices import Door, WorkStatus
from serving.datasets.files import remove_others, write_rows
from serving.datasets.holding import hold_files, let_go
from serving.datasets.joining import join_again, parts_of
from serving.datasets.manifest import Made, hash_of, make_manifest
from serving.datasets.reading import require_readable
from serving.models import Dataset
from serving.stored_queries import require_frame
from serving.usage.slow_reads import note_kept
from serving.working import perform, require_owned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from materialization.quality.profiles import Profile
    from registry.spec.model import FeatureSpec
    from serving.datasets.joining import Stores
    from serving.models import DatasetPart


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
    _require_still(dataset, parts, at=clock())
    hold_files(dataset, parts, stores.offline, at=clock())
    answer = join_again(dataset, parts, stores)
    require_owned(dataset)
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


def _require_still(dataset: Dataset, parts: Sequence[DatasetPart], *, at: datetime) -> None:
    """Return if whoever asked may still read what the dataset will have.

    :raises AskerShutOut: the account was. :raises ActionNotPermitted: it lost the right.
    :raises GrantNeeded: its grant ended, or was taken back.
    """
    if not dataset.requested_by.is_active:
        raise AskerShutOut(f"whoever asked for {dataset} is shut out since.")
    require_readable(parts, dataset.requested_by, at=at, came_as_own=True)
    require_frame(dataset, dataset.requested_by, at=at, came_as_own=True)


def tell(dataset: Dataset, stores: Stores, at: datetime) -> None:
    """Note what came of a dataset; of one that failed nothing is kept but its row.

    What attempts before this one wrote goes in each case.
    """
    what = f"removing files of dataset {dataset.pk}"
    once_committed(what, remove_others, keeper=stores.keeper, dataset=dataset)
    if dataset.status == WorkStatus.DONE:
        audit.record(
            actor=dataset.requested_by,
            verb="dataset.made",
            subject=dataset,
            data={"rows": dataset.rows, "manifest_hash": dataset.manifest_hash},
            at=at,
        )
        what, reader = f"noting the read of {dataset}", dataset.requested_by
        once_committed(what, note_kept, of=dataset, door=Door.DATASET, actor=reader, at=at)
        return
    let_go(dataset)
    data = {"code": dataset.error_code, "detail": dataset.error}
    audit.record(
        actor=dataset.requested_by, verb="dataset.failed", subject=dataset, data=data, at=at
    )
