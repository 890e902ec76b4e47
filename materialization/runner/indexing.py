"""Building what searches look through, of tables whose stored rows changed since.

From the newest stored rows, which are those that are online. Not for searching: ``serving.search``
looks at every hit's row of now, so that an index which lags misses rows and answers no old ones.
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from lib.errors import AssayError
from materialization.edges.engines import engine
from materialization.edges.stores import offline_store, vector_files
from materialization.models import VectorIndex
from materialization.queries import covered_until, table_at
from materialization.runner.draining import drain
from materialization.stores.layout import layout_of
from materialization.vector_indexes import tables_at_rest, tables_to_index, unread_indexes
from materialization.vectors.grouping import group_by_cells
from materialization.vectors.writing import IndexTooLarge, write_index
from registry.choices import SERVED_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    import pyarrow as pa

    from materialization.stores.offline_values import Snapshot
    from registry.models import FeatureTable
    from registry.spec.version_spec import VersionSpec

log = logging.getLogger(__name__)
#: For how long one table may take; then another worker may try it.
LEASE = timedelta(minutes=30)
#: For how long one message goes on; the sweep sends another while there is more to do.
TURN = timedelta(minutes=2)
#: How long after an index was begun the next one of its table is at least, and how many times as
#: long as it took; and after one that grew too large.
AFTER, TIMES, AFTER_TOO_LARGE = timedelta(minutes=1), 10, timedelta(hours=1)
#: A file that nobody's row names is left alone for so long: its row may be about to.
LEFT_BEHIND = timedelta(hours=1)


def index_tables(*, clock: Callable[[], datetime]) -> int:
    """Index the tables that are due, as many as fit in a turn; return how many those were."""
    began, tried = clock(), set[int]()
    while (at := clock()) - began < TURN:
        table = tables_at_rest(at).exclude(pk__in=tried).first()
        if table is None:
            break
        tried.add(table.pk)
        index_table(table.pk, clock=clock)
    forget_indexes(at=clock())
    return len(tried)


def index_table(table_id: int, *, clock: Callable[[], datetime]) -> None:
    """Index one table, if it is due and nobody else is at it; what fails is noted, not raised.

    Whoever loaded it has done so: of a search that lags its own answer tells, and the sweep asks
    for it again.
    """
    at = clock()
    table = tables_to_index(at).filter(pk=table_id).select_related("feature_view__project").first()
    if table is None:
        return
    VectorIndex.objects.get_or_create(table=table)
    row = VectorIndex.objects.filter(table=table)
    if not row.exclude(lease_expires_at__gt=at).update(lease_expires_at=at + LEASE):
        return
    said = ""
    try:
        _index(table, at, clock)
    except AssayError as exc:
        said = exc.message
        log.warning("vectors of %s: %s", table, said)
    except Exception as exc:
        said = f"unexpected {type(exc).__name__}; the worker's log has the traceback."
        log.exception("vectors of %s", table)
    row.update(error=said, lease_expires_at=None)


def _index(table: FeatureTable, at: datetime, clock: Callable[[], datetime]) -> None:
    """Write the table's file anew, name it in its row, and remove the one before.

    :raises IndexTooLarge: it may not have one; that is not tried before its rows are others.
    """
    spec = _spec(table)
    if spec is not None and spec.is_pushed:  # what waits in the log is online already
        drain(table)
        table.refresh_from_db()
    began = time.perf_counter()
    snapshot = offline_store().snapshot(table_at(table))
    found: dict[str, Any] = {"stored_as": snapshot.identity, "stored_version": snapshot.version}
    nothing: dict[str, Any] = {
        "built_at": None, "file": "", "rows": 0, "bytes": 0, "vectors": {}, "cells": {},
    }  # fmt: skip
    row = VectorIndex.objects.filter(table=table)
    old = row.get().file
    try:
        if spec is None:
            row.update(**found, **nothing)
            return
        made = _write(table, spec, snapshot, clock())
        seconds = time.perf_counter() - began
        rest = max(AFTER, TIMES * timedelta(seconds=seconds))
        row.update(**found, **made, built_at=at, seconds=seconds, not_before=at + rest)
    except IndexTooLarge:
        row.update(**found, **nothing, not_before=at + AFTER_TOO_LARGE)
        raise
    finally:
        if old and old != row.get().file:
            vector_files().remove(old)


def _spec(table: FeatureTable) -> VersionSpec | None:
    """Return what a served version of the table says that is online; None: none is."""
    served = table.versions.filter(state__in=SERVED_STATES).defer("packet").order_by("pk")
    specs = [version.spec for version in served]
    is_stored = (each for each in specs if each.view.online and not each.stores_events_only)
    return next(is_stored, None)


def _write(
    table: FeatureTable, spec: VersionSpec, snapshot: Snapshot, at: datetime
) -> dict[str, Any]:
    layout = layout_of(spec, uid=table.uid)
    as_of = covered_until(table) or at
    if spec.is_pushed:
        as_of = max(as_of, at)
    file = f"{table.uid}/{secrets.token_hex(8)}.arrow"
    most_bytes = settings.SEARCH_INDEX_MAX_MB << 20
    with vector_files().writing(file) as path:
        with (
            engine().latest_rows(snapshot.files, spec, as_of=as_of) as rows,
            _waiting(snapshot, spec, as_of) as later,
        ):
            written = write_index(path, layout, chain(rows, later), most_bytes=most_bytes)
        cells = group_by_cells(
            path, [*written.vectors], from_rows=settings.SEARCH_CELLS_FROM, most_bytes=most_bytes
        )
        size = Path(path).stat().st_size
    return {
        "file": file,
        "rows": written.rows,
        "bytes": size,
        "vectors": written.vectors,
        "cells": cells,
    }


@contextmanager
def _waiting(
    snapshot: Snapshot, spec: VersionSpec, after: datetime
) -> Iterator[Iterable[pa.RecordBatch]]:
    """Give the rows that come online when their time comes, without anything being stored then.

    Who has one is in the index with both: whichever is online is looked at.
    """
    if not spec.is_pushed or snapshot.is_empty:
        yield ()
        return
    with engine().later_rows(snapshot.files, spec, after=after) as rows:
        yield rows


def forget_indexes(*, at: datetime) -> None:
    """Remove the files of tables that nobody may read any more, and those that were left behind."""
    for row in unread_indexes():
        if row.file:
            vector_files().remove(row.file)
        VectorIndex.objects.filter(pk=row.pk, file=row.file).delete()
    known = set(VectorIndex.objects.values_list("file", flat=True))
    for name in vector_files().unchanged_since(at - LEFT_BEHIND):
        if name not in known:
            vector_files().remove(name)
