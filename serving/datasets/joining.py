"""A dataset's join as it was asked for: of its own versions and the files that are held for it.

Whatever came to the tables since is not looked at, whoever may read what is not asked. Not for what
is kept of it (``making``) or found by it (``verifying``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materialization.compute.questions import Timing
from materialization.queries import table_at
from serving.datasets.files import read_frame
from serving.datasets.holding import known_files
from serving.datasets.splits import read_stored, with_split
from serving.historical.entity_frame import entity_frame
from serving.historical.forms import ArrowFrame
from serving.historical.kept_plan import plan_again
from serving.historical.training_set import ViewPart, join_features

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from materialization.compute.engine import Engine
    from materialization.stores.kept_files import FileKeeper
    from materialization.stores.offline_protocol import OfflineStore
    from materialization.stores.offline_values import FileState, StoredFile
    from serving.historical.training_set import TrainingSet
    from serving.models import Dataset, DatasetPart


class Stores(NamedTuple):
    """What a dataset is made with: its own files, the tables, and what joins them."""

    keeper: FileKeeper
    offline: OfflineStore
    engine: Engine


def parts_of(dataset: Dataset) -> list[DatasetPart]:
    related = "version__feature_view__project", "version__table__feature_view__project", "hold"
    return list(dataset.parts.select_related(*related))


def joined_parts(parts: Iterable[DatasetPart]) -> list[DatasetPart]:
    """Return those whose features are stored, and not computed of the others'."""
    return [part for part in parts if part.version.spec.transform.is_stored]


def join_again(dataset: Dataset, parts: Sequence[DatasetPart], stores: Stores) -> TrainingSet:
    """Join the kept frame to the held files, and split the rows where that was asked for.

    :raises DatasetDamaged, KeptFileUnavailable: the frame is not there as it was sent.
    :raises OfflineStoreBehind: a held file is gone.
    :raises OnDemandBroken: as ``plan_again``.
    :raises EngineLimitExceeded, OfflineStoreUnavailable: as ``Engine.point_in_time_joins``.
    """
    plan = plan_again(dataset.columns, parts)
    frame = entity_frame(ArrowFrame(read_frame(stores.keeper, dataset)), plan.asked_of_frame)
    timing = Timing(dataset.request["timing"])
    views = [_view(part, stores.offline) for part in joined_parts(parts)]
    answer = join_features(frame, views, plan.columns, engine=stores.engine, timing=timing)
    if (split := dataset.request["split"]) is None:
        return answer
    return answer._replace(table=with_split(answer.table, read_stored(split)))


def held_states(parts: Sequence[DatasetPart], store: OfflineStore) -> dict[int, list[FileState]]:
    """Return what the files of each hold are now.

    :raises OfflineStoreBehind: one is gone; names it.
    """
    holds = {part.hold.pk: part for part in parts if part.hold is not None}
    return {
        pk: list(store.file_states(table_at(part.version.table), part.hold.names))
        for pk, part in holds.items()
        if part.hold is not None and part.version.table is not None
    }


def _view(part: DatasetPart, store: OfflineStore) -> ViewPart:
    files: tuple[str, ...] = ()
    known: dict[str, StoredFile] = {}
    if part.hold is not None and part.version.table is not None:
        files = store.find_files(table_at(part.version.table), part.hold.names)
        known = known_files(part.hold, files)
    return ViewPart(
        label=part.label,
        spec=part.version.spec,
        files=files,
        features=tuple(part.features),
        key_columns=part.key_columns,
        known=known,
    )
