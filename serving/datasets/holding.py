"""Having the files that a dataset is read from stay, for as long as it needs them.

Not for which files care leaves: ``materialization.queries.held_files`` says that of all holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from materialization.models import FileHold
from materialization.queries import table_at
from materialization.stores.offline_protocol import OfflineStoreBehind, name_in_table
from serving.datasets.working import require_owned
from serving.models import DatasetPart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from materialization.stores.offline_protocol import OfflineStore
    from serving.models import Dataset


def hold_files(
    dataset: Dataset, parts: Sequence[DatasetPart], store: OfflineStore, *, at: datetime
) -> None:
    """Have each table's files as they are now stay, unless an earlier attempt had.

    They are held before a byte of them is read, for that takes long and care does not wait.

    :raises OfflineStoreBehind: the store has not what was stored, or lost it just now.
    :raises LeaseLost: another attempt has the dataset.
    """
    _take_holds(dataset, parts, store, at)
    try:
        _note_hashes(dataset, parts, store)
    except OfflineStoreBehind:
        # Gone before it was held; nothing was read yet, so the next attempt looks again.
        with transaction.atomic():
            require_owned(dataset)
            let_go(dataset)
        raise


def _take_holds(
    dataset: Dataset, parts: Sequence[DatasetPart], store: OfflineStore, at: datetime
) -> None:
    """Write down which files each part is read from, all in one and as this attempt's."""
    held: dict[int, FileHold] = {}
    lacking = [part for part in parts if part.hold is None and part.version.table is not None]
    for part in lacking:
        table = part.version.table
        if table is None or table.pk in held:
            continue
        snapshot = store.snapshot(table_at(table))
        held[table.pk] = FileHold(
            table=table,
            stored_version=snapshot.version,
            stored_as=snapshot.identity,
            files=[{"name": name_in_table(file)} for file in snapshot.read_by(part.version.spec)],
            held_for=f"dataset {dataset} of {dataset.project.name}",
            held_at=at,
        )
    with transaction.atomic():
        require_owned(dataset)
        for hold in held.values():
            hold.save()
        for part in lacking:
            part.hold = held[part.version.table_id or 0]
            DatasetPart.objects.filter(pk=part.pk).update(hold=part.hold)


def _note_hashes(dataset: Dataset, parts: Sequence[DatasetPart], store: OfflineStore) -> None:
    """Note what the held files are, where no attempt before this one came to it."""
    seen: dict[int, FileHold] = {}
    for part in parts:
        if part.hold is None or part.version.table is None:
            continue
        hold = part.hold = seen.setdefault(part.hold.pk, part.hold)
        if all("sha256" in file for file in hold.files):
            continue
        states = store.file_states(table_at(part.version.table), hold.names)
        hold.files = [
            {"name": state.name, "size": state.size, "sha256": state.sha256} for state in states
        ]
        with transaction.atomic():
            require_owned(dataset)
            hold.save(update_fields=["files"])


def let_go(dataset: Dataset) -> None:
    """End the holds of a dataset that does not need the files any more."""
    holds = list(dataset.parts.exclude(hold=None).values_list("hold", flat=True))
    dataset.parts.update(hold=None)
    FileHold.objects.filter(pk__in=holds).delete()


def end_orphans() -> None:
    """End the holds that no dataset has: nothing would ever let their files go."""
    had = DatasetPart.objects.exclude(hold=None).values("hold")
    FileHold.objects.filter(held_for__startswith="dataset ").exclude(pk__in=had).delete()
