"""Where a run is cut into chunks, decided once: its later attempts find the same ones.

Not for what a chunk is (``chunks``) or for storing one (``storing``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

from lib.instants import MICROSECOND
from materialization.chunks import Chunk, read_chunks, written_chunks
from materialization.compute.jobs import SurveyJob
from materialization.edges.engines import engine
from materialization.runner.heartbeat import LeaseLost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.compute.child import Watch
    from materialization.models import MaterializationRun
    from materialization.runner.work import Work

#: A row takes at least so much of a file: smaller sources need not be counted.
_BYTES = 8
#: Each chunk reads the source again, at least its times: of so many that is the lesser part.
_MOST, _MOST_OF_TICKS = 8, 64
#: A row of an aggregation costs about so many times as much as one that stands alone.
_DEARER = 5
#: Each chunk of ticks reads again what its first windows reach back to: it has to be longer.
_TIMES_LONGER = 4


def cut(run: MaterializationRun, work: Work, *, watch: Watch) -> list[Chunk]:
    """Return the run's chunks, of which there is one where its source is small.

    :raises LeaseLost: another attempt has the run.
    """
    if run.chunks:
        return read_chunks(run.chunks)
    chunks = _counted(run, work, watch) or [Chunk(run.window_end)]
    note(run, chunks)
    return chunks


def note(run: MaterializationRun, chunks: Sequence[Chunk], **columns: object) -> None:
    """:raises LeaseLost: another attempt has the run."""
    if not run.advance(chunks=written_chunks(chunks), **columns):
        raise LeaseLost("another attempt owns the run")


def _counted(run: MaterializationRun, work: Work, watch: Watch) -> list[Chunk]:
    """Return where the source's rows say to cut; nothing where it is too small to ask."""
    spec, at_most = run.version.spec, settings.RUN_CHUNK_ROWS
    ticks = spec.transform.makes_ticks
    if ticks and spec.view.is_unbounded:  # each chunk would read all before it again
        return []
    if ticks:
        at_most = max(at_most // _DEARER, 1)
    size = sum(part.size for part in work.parts if part.name in work.reads)
    if work.job is None or size <= at_most * _BYTES:
        return []
    job = SurveyJob(
        spec=spec,
        source=work.job.source.only(work.reads),
        window_start=run.window_start,
        window_end=run.window_end,
        at_most=at_most,
        parts=_MOST_OF_TICKS if ticks else _MOST,
        shortest_us=_TIMES_LONGER * spec.view.longest_window // MICROSECOND if ticks else 0,
    )
    return [Chunk(until, rows) for until, rows in engine().survey(job, watch=watch).parts]
