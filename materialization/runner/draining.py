"""Bringing what was pushed into the offline store: each entry of a log once, then forgotten.

The commit says how far it came, and only what it says is forgotten: whoever dies after it, or was
overtaken by another, leaves nothing out and stores nothing twice. It says too how far each stream
came: rows that a stream gives again, for Redis came back without them, are stored once.
"""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from materialization.edges.stores import offline_store, push_log
from materialization.queries import table_at
from materialization.runner.recording import note_commit
from materialization.stores.columns import SEQUENCE, computed_schema, stored_schema
from materialization.stores.offline_values import Beside
from materialization.stores.push_log import TRANSACTION
from materialization.stores.stretches import stream_mark
from materialization.transforms.aggregation.events import events_schema
from materialization.transforms.windows.arguments import window_arguments
from registry.choices import SERVED_STATES
from registry.models import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from materialization.stores.push_log import LogEntry
    from registry.spec.version_spec import VersionSpec

log = logging.getLogger(__name__)
#: What one commit takes at most, beside the entry that goes beyond it.
_ROWS, _BYTES = 200_000, 64 << 20
#: Entries that are asked for at once, before anybody knows how large they are, and at most.
_FIRST_PAGE, _LARGEST_PAGE = 4, 1_000


def drain_logs() -> int:
    """Store what was pushed to all tables; return how many rows. What fails holds up no other."""
    rows = 0
    for uid in push_log().logged():
        table = FeatureTable.objects.select_related("feature_view__project").filter(uid=uid).first()
        try:
            rows += drain(table) if table is not None else 0
        except Exception:  # noqa: BLE001 - one table's trouble must not hold up the others
            log.exception("pushed rows of %s wait", table)
    return rows


def drain(table: FeatureTable) -> int:
    """Store what was pushed to a table before this was called; return how many rows.

    None where somebody else is at it. What was pushed to versions that are all retired by now
    nobody may read: it is forgotten.
    """
    pushed = push_log()
    with pushed.draining(table.uid) as is_ours:
        if not is_ours:
            return 0
        _remove_left_behind(table)
        until = pushed.last(table.uid)
        version = table.versions.filter(state__in=SERVED_STATES).defer("packet").first()
        if version is None:
            pushed.trim(table.uid, until=until)
            return 0
        if rows := _drain(table, version.spec, until):
            pushed.note_drained(table.uid, rows)
        return rows


def drained(table: FeatureTable, spec: VersionSpec) -> Iterator[pa.Table]:
    """Store what was pushed to a table; yield, as it is logged, what waits even so.

    That is what came since, or what somebody else is storing.
    """
    drain(table)
    after, until = 0, push_log().last(table.uid)
    while entries := _some_entries(table.uid, after=after, until=until):
        yield pa.Table.from_batches([each.batch(_logged_schema(spec)) for each in entries])
        after = entries[-1].last


def _logged_schema(spec: VersionSpec) -> pa.Schema:
    """Return the columns of a log: those of events where no more is stored of a version."""
    return window_arguments(spec).logged if spec.stores_events_only else computed_schema(spec)


def _drain(table: FeatureTable, spec: VersionSpec, until: int) -> int:
    """Store the entries up to ``until``; those that come meanwhile are the next one's."""
    store, pushed, total = offline_store(), push_log(), 0
    while True:
        done = store.committed(table_at(table), [TRANSACTION]).get(TRANSACTION)
        if done is not None:
            pushed.trim(table.uid, until=done)
        entries = _some_entries(table.uid, after=done or 0, until=until)
        if not entries:
            return total
        pushed.still_draining(table.uid)
        total += _store(table, spec, entries, done)


def _some_entries(uid: str, *, after: int, until: int) -> list[LogEntry]:
    """Return the first entries behind ``after``, as many as one commit takes."""
    pushed = push_log()
    found: list[LogEntry] = []
    rows = size = 0
    page = _FIRST_PAGE
    while rows < _ROWS and size < _BYTES:
        more = pushed.entries(uid, after=after, until=until, count=page)
        found += more
        if len(more) < page:
            break
        rows += sum(each.rows for each in more)
        size += sum(len(each.data) for each in more)
        after = more[-1].last
        room = len(found) * (_BYTES - size) // max(size, 1)
        page = max(1, min(room, 2 * page, _LARGEST_PAGE))
    return found


def _remove_left_behind(table: FeatureTable) -> None:
    """Remove what drains that died have staged: there is no other now."""
    store, place = offline_store(), table_at(table)
    for name in store.list_staged(place):
        if name.startswith(TRANSACTION):
            store.drop_staged(place, name)


def _store(
    table: FeatureTable, spec: VersionSpec, entries: Sequence[LogEntry], done: int | None
) -> int:
    """Commit entries, unless another has committed since; return how many rows are stored by it."""
    store, place = offline_store(), table_at(table)
    streams = {stream_mark(each.stretch.stream) for each in entries if each.stretch}
    came = store.committed(place, streams)
    rows = _rows(spec, entries, came)
    is_events = spec.stores_events_only
    with store.staging(place, f"{TRANSACTION}-{uuid.uuid4().hex}") as folder:
        path = Path(folder, "pushed.parquet")
        files = [str(path)] if rows.num_rows else []
        if files:
            pq.write_table(rows, path, compression="zstd")
        result = store.commit(
            place,
            [] if is_events else files,
            schema=stored_schema(spec),
            sequence=entries[-1].last,
            first=entries[0].first,
            transaction=TRANSACTION,
            rows=0 if is_events else rows.num_rows,
            events=Beside(tuple(files), rows.schema, rows.num_rows) if is_events else None,
            number=entries[-1].last,
            after=done,
            marks=_marks(entries, came),
        )
    note_commit(table, result)
    return 0 if result.already else rows.num_rows


def _marks(entries: Sequence[LogEntry], came: Mapping[str, int]) -> dict[str, int]:
    """Return how far each stream has come with these entries."""
    marks = dict(came)
    for each in entries:
        if each.stretch:
            mark = stream_mark(each.stretch.stream)
            marks[mark] = max(each.stretch.end, marks.get(mark, 0))
    return marks


def _rows(spec: VersionSpec, entries: Sequence[LogEntry], came: Mapping[str, int]) -> pa.Table:
    """Return the rows of entries, but for those of a stream that are stored already."""
    schema = _logged_schema(spec)
    rows = pa.Table.from_batches([each.batch(schema) for each in entries], schema)
    numbers = np.concatenate([np.arange(each.first, each.last + 1) for each in entries])
    new = np.concatenate([_new(each, came) for each in entries])
    stored = events_schema(spec) if spec.stores_events_only else stored_schema(spec)
    rows = rows.append_column(SEQUENCE, pa.array(numbers, pa.int64()))
    rows = rows.select(stored.names).cast(stored)
    return rows if new.all() else rows.filter(pa.array(new))


def _new(entry: LogEntry, came: Mapping[str, int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if entry.stretch is None:
        return np.ones(entry.rows, bool)
    return np.asarray(entry.stretch.places) >= came.get(stream_mark(entry.stretch.stream), 0)
