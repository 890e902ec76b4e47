"""What a run notes of its chunks once they are stored, by this attempt or by an earlier one.

Not for what they hold (``storing``), nor for what runs that ended left unnoted (``adopting``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from django.db import transaction

from lib.errors import Conflict
from materialization.choices import RunStep
from materialization.chunks import committed_before, read_chunks
from materialization.comparisons import corrects_ticks
from materialization.edges.stores import offline_store
from materialization.quality.stored_profiles import of_all
from materialization.queries import coverage, table_at, uncovered
from materialization.runner.adopting import transaction_name
from materialization.runner.chunking import note
from materialization.runner.recording import note_commit, note_windows, number_of_more
from materialization.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from materialization.chunks import Chunk
    from materialization.models import MaterializationRun
    from materialization.runner.heartbeat import Heartbeat


class ChunksForgotten(Conflict):
    """The table does not know the run any more, so it takes none of its further chunks."""

    code = "chunks_forgotten"


def note_stored_chunks(
    run: MaterializationRun,
    numbers: Iterable[int],
    *,
    at: datetime,
    is_committed: bool,
    rows_offline: int,
    began: datetime | None = None,
) -> None:
    """Note that chunks are stored; until the last is, the run may be stopped before the next."""
    chunks = read_chunks(run.chunks)
    for number in numbers:
        chunks[number] = msgspec.structs.replace(
            chunks[number],
            stored_at=at,
            is_committed=is_committed,
            seconds=0.0 if began is None else max((at - began).total_seconds(), 0.0),
        )
    said: dict[str, object] = {"rows_offline": rows_offline, "step": RunStep.OFFLINE}
    if corrects_ticks(run) or any(each.stored_at is None for each in chunks):
        said = {"rows_offline": rows_offline, "publishing": False, "stored_attempt": run.attempt}
    else:
        said["profile"] = of_all(run.profile)
    note(run, chunks, **said)


def catch_up(run: MaterializationRun, heartbeat: Heartbeat) -> None:
    """Note what earlier attempts of the run committed; their evidence is on the run already.

    The source may be another by now, and nothing more can be committed under the same numbers. So
    it is not read, and no part is remembered: what comes next compares what they did not see.

    :raises LeaseLost: another attempt has the run; it will note the same.
    :raises ChunksForgotten: what the run stored was given up, or is older than runs are known for.
    """
    if run.sequence is None:
        return
    name, place = transaction_name(run.pk), table_at(run.table)
    count = offline_store().committed(place, [name]).get(name, 0)
    chunks = read_chunks(run.chunks)
    _require_known(run, chunks, count)
    new = [place for place, each in enumerate(chunks[:count]) if each.stored_at is None]
    if not new:
        return
    snapshot = offline_store().snapshot(place, sequence=run.sequence)
    stored = Window(run.window_start, chunks[count - 1].until)
    windows = uncovered(run.version, coverage(run.table), stored)
    with transaction.atomic():
        under = number_of_more([run])
        note_stored_chunks(
            run, new, at=heartbeat.now(), is_committed=True, rows_offline=snapshot.rows
        )
        note_windows(run, windows or [stored], under=under)
    note_commit(run.table, snapshot)


def _require_known(run: MaterializationRun, chunks: Sequence[Chunk], count: int) -> None:
    """Return if a further chunk could follow the ``count`` that the table knows."""
    noted = committed_before(chunks, len(chunks)) or 0
    if count < noted and any(each.stored_at is None for each in chunks):
        raise ChunksForgotten(
            f"{run} stored {noted} of {len(chunks)} chunks and its table knows of {count}: it lay"
            " for too long (90 days), or what it stored was given up. What is stored stays;"
            " materialize again, which stores what lacks."
        )
