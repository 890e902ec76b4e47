"""Having the files that a dataset is read from stay, for as long as it needs them.

Not for which files care leaves: ``materialization.queries.held_files`` says that of all holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from lib.instants import from_us, to_us
from materialization.models import FileHold
from materialization.queries import table_at
from materialization.stores.offline_protocol import OfflineStoreBehind
from materialization.stores.offline_values import StoredFile, name_in_table
from serving.models import DatasetPart
from serving.working import require_owned

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from materialization.stores.offline_protocol import OfflineStore
    from materialization.stores.offline_values import Snapshot
    from registry.spec.version_spec import VersionSpec
    from serving.models import Dataset


#: Other holds of a table, newest first, of which one may know what a file is.
LOOKED_AT = 10


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
            files=noted_files(snapshot, part.version.spec),
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


def noted_files(snapshot: Snapshot, spec: VersionSpec) -> list[dict[str, Any]]:
    """Return what a hold says of the files of a snapshot before their bytes are read."""
    known = {file.uri: file for file in snapshot.known}
    return [
        {
            "name": name_in_table(uri),
            "rows": known[uri].rows,
            "size": known[uri].size,
            "first_event": _us(known[uri].first_event),
            "last_event": _us(known[uri].last_event),
        }
        for uri in snapshot.read_by(spec)
    ]


def _us(at: datetime | None) -> int | None:
    return None if at is None else to_us(at)


def known_files(hold: FileHold, uris: Sequence[str]) -> dict[str, StoredFile]:
    """Return what the table knew of its held files, which lie at ``uris`` in their order.

    Of a hold that was made before holds had it, that is nothing.
    """
    return {
        uri: StoredFile(
            uri, file["rows"], file["size"], _at(file["first_event"]), _at(file["last_event"])
        )
        for uri, file in zip(uris, hold.files, strict=True)
        if "rows" in file
    }


def _at(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _note_hashes(dataset: Dataset, parts: Sequence[DatasetPart], store: OfflineStore) -> None:
    """Note what the held files are, where no attempt before this one came to it.

    Copies on this machine that are not what they were noted as go, whoever noted it.
    """
    seen: dict[int, FileHold] = {}
    for part in parts:
        if part.hold is None or part.version.table is None:
            continue
        hold = part.hold = seen.setdefault(part.hold.pk, part.hold)
        if all("sha256" in file for file in hold.files):
            store.drop_untrue_copies(table_at(part.version.table), _hashes(hold.files))
            continue
        hold.files = _noted(hold, store)
        with transaction.atomic():
            require_owned(dataset)
            hold.save(update_fields=["files"])


def _noted(hold: FileHold, store: OfflineStore) -> list[dict[str, Any]]:
    """Return what each held file is: as another hold has it, else by its bytes.

    A file of a table is written once, under a name that no other gets; whether it is still that is
    for a check of the dataset to say, which reads every byte. What is read is that or is no copy
    of it.
    """
    at, found = table_at(hold.table), _known(hold)
    store.find_files(at, hold.names)
    store.drop_untrue_copies(at, _hashes(found[name] for name in hold.names if name in found))
    unknown = [name for name in hold.names if name not in found]
    for state in store.file_states(at, unknown) if unknown else ():
        found[state.name] = {"name": state.name, "size": state.size, "sha256": state.sha256}
    return [{**file, **found[file["name"]]} for file in hold.files]


def _hashes(files: Iterable[dict[str, Any]]) -> dict[str, str]:
    return {file["name"]: file["sha256"] for file in files}


def _known(hold: FileHold) -> dict[str, dict[str, Any]]:
    others = FileHold.objects.filter(table=hold.table, stored_as=hold.stored_as)
    newest = others.exclude(pk=hold.pk).order_by("-pk").values_list("files", flat=True)
    return {
        file["name"]: file for files in newest[:LOOKED_AT] for file in files if "sha256" in file
    }


def let_go(dataset: Dataset) -> None:
    """End the holds of a dataset that does not need the files any more."""
    holds = list(dataset.parts.exclude(hold=None).values_list("hold", flat=True))
    dataset.parts.update(hold=None)
    FileHold.objects.filter(pk__in=holds).delete()


def end_orphans() -> None:
    """End the holds that no dataset has: nothing would ever let their files go."""
    had = DatasetPart.objects.exclude(hold=None).values("hold")
    FileHold.objects.filter(held_for__startswith="dataset ").exclude(pk__in=had).delete()
