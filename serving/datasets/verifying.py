"""Computing a dataset again and saying where it is not equal: by counts, never by values.

Not for asking for it (``checks``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import Unavailable
from registry import access, audit
from registry.choices import Right
from registry.models import AuditEntry
from serving.choices import Verdict, WorkStatus
from serving.datasets.content import content_hash, same_values
from serving.datasets.files import read_rows, rows_name
from serving.datasets.joining import held_states, join_again, joined_parts, parts_of
from serving.datasets.manifest import hash_of, hashed_parameters
from serving.datasets.reading import require_made
from serving.models import DatasetCheck
from serving.working import perform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from materialization.stores.kept_files import FileKeeper
    from materialization.stores.offline_protocol import OfflineStore
    from serving.datasets.joining import Stores
    from serving.models import Dataset, DatasetPart

#: Rows that are named of those that differ.
MOST_NAMED = 10


def verify_dataset(
    *, check_id: int, worker: str, stores: Stores, clock: Callable[[], datetime]
) -> None:
    """Perform a queued check; one that another worker has, or that is over, is left alone."""
    related = "dataset__project", "dataset__requested_by", "dataset__ended_by", "requested_by"
    perform(
        DatasetCheck.objects.filter(pk=check_id).select_related(*related),
        worker=worker,
        clock=clock,
        do=lambda check: _checked(check, stores),
        tell=tell,
    )


def _checked(check: DatasetCheck, stores: Stores) -> dict[str, Any]:
    """:raises DatasetEnded: its files went before, or while they were read."""
    require_made(check.dataset)
    try:
        return _compared(check, stores)
    except Unavailable:
        check.dataset.refresh_from_db()
        require_made(check.dataset)
        raise


def _compared(check: DatasetCheck, stores: Stores) -> dict[str, Any]:
    dataset = check.dataset
    parts = parts_of(dataset)
    for part in parts:
        access.require(check.requested_by, Right.READ_OFFLINE, part.version.feature_view)
    changed = [
        *_changed_tables(parts, stores.offline),
        *_changed_record(dataset, stores.keeper),
        *_changed_parameters(dataset, parts),
    ]
    again = join_again(dataset, parts, stores).table
    kept = read_rows(stores.keeper, dataset)
    found = {
        "rows": kept.num_rows,
        "rows_again": again.num_rows,
        "content_hash": dataset.content_hash,
        "content_hash_again": content_hash([again], again.schema),
        "changed": changed,
        **_differing(kept, again),
    }
    is_equal = not changed and found["content_hash"] == found["content_hash_again"]
    is_equal = is_equal and not found["rows_differing"]
    return {"verdict": Verdict.EQUAL if is_equal else Verdict.DIFFERENT, "found": found}


def _changed_tables(parts: Sequence[DatasetPart], store: OfflineStore) -> Iterator[str]:
    """Say which files of tables are not the ones that were read."""
    states = held_states(parts, store)
    seen = set()
    for part in parts:
        hold = part.hold
        if hold is None or hold.pk in seen:
            continue
        seen.add(hold.pk)
        for file, state in zip(hold.files, states[hold.pk], strict=True):
            if file["sha256"] != state.sha256:
                yield f"{file['name']} of table {part.version.table} is another file than was read"


def _changed_record(dataset: Dataset, keeper: FileKeeper) -> Iterator[str]:
    """Say what of the dataset itself is not as it was written."""
    if hash_of(dataset.manifest) != dataset.manifest_hash:
        yield "the manifest is not the one that was hashed"
    if dataset.manifest_hash not in _told_hashes(dataset):
        yield "the manifest's hash is not the one that the trail has"
    if keeper.state(rows_name(dataset)).sha256 != dataset.manifest["rows"]["sha256"]:
        yield "the file of its rows is not the one that was written"


def _changed_parameters(dataset: Dataset, parts: Sequence[DatasetPart]) -> Iterator[str]:
    """Say which encodings are not fitted to what they were: values were made by it."""
    for part, view in zip(joined_parts(parts), dataset.manifest["views"], strict=True):
        now = hashed_parameters(part, dataset.manifest["nonce"])
        for name, known in view["parameters_sha256"].items():
            if now.get(name) != known:
                yield f"what {part.version}:{name} is fitted to is not what it was"


def _told_hashes(dataset: Dataset) -> set[str]:
    """Return what the trail, which is chained, has of the dataset's manifest."""
    entries = AuditEntry.objects.filter(
        verb="dataset.made", subject_type="dataset", subject_id=str(dataset.pk)
    )
    return {str(entry.data.get("manifest_hash")) for entry in entries}


def _differing(kept: pa.Table, again: pa.Table) -> dict[str, Any]:
    """Count what differs, row by row: both are in the frame's order."""
    if kept.num_rows != again.num_rows or kept.column_names != again.column_names:
        return {"rows_differing": max(kept.num_rows, again.num_rows), "columns": {}, "first": []}
    counts, any_differs = {}, pa.nulls(kept.num_rows, pa.bool_()).fill_null(False)
    for name in kept.column_names:
        differs = pc.invert(same_values(kept[name], again[name]))
        if count := pc.sum(differs).as_py():
            counts[name] = count
            any_differs = pc.or_(any_differs, differs)
    first = pc.indices_nonzero(any_differs)[:MOST_NAMED].to_pylist()
    return {
        "rows_differing": pc.sum(any_differs).as_py() or 0,
        "columns": counts,
        "first": first,
    }


def tell(check: DatasetCheck, at: datetime) -> None:
    """Note what a check found."""
    data: dict[str, Any] = {"check": check.pk, "dataset": str(check.dataset)}
    verb = "dataset.check_failed"
    if check.status == WorkStatus.DONE:
        verb = "dataset.differed" if check.verdict == Verdict.DIFFERENT else "dataset.verified"
        data |= {"rows_differing": check.found["rows_differing"]}
    else:
        data |= {"code": check.error_code}
    audit.record(actor=check.requested_by, verb=verb, subject=check.dataset, data=data, at=at)
