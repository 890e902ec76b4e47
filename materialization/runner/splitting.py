"""A source that lies in no order of time, read once for several chunks instead of once for each.

The rows of the chunks to come are staged apart, under the table and in no snapshot; each chunk then
takes its own. That is only ever quicker: where it cannot be, or the files are not those of the
source any more, a chunk reads the source itself. What is staged outlives the attempt that dies or
gives its worker away; it is removed after the last chunk, and by the sweep where no run of the
table is live.
"""

from __future__ import annotations

import logging
import shutil
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from lib.decoding import json_reader
from lib.errors import Invalid
from materialization.chunks import read_chunks, staging_name, window_of
from materialization.compute.jobs import SplitJob
from materialization.compute.limits import EngineLimits
from materialization.compute.reports import Prepared
from materialization.edges.engines import spilled_beside, storing_engine
from materialization.edges.stores import offline_store
from materialization.errors import EngineLimitExceeded, EngineStopped
from materialization.queries import runs_in_chunks, table_at
from materialization.runner.ending import MAX_ATTEMPTS
from materialization.runner.parts import refuse_changed
from materialization.stores.columns import stored_schema
from materialization.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from materialization.chunks import Chunk
    from materialization.compute.child import Watch
    from materialization.compute.jobs import ComputeJob
    from materialization.models import MaterializationRun
    from materialization.runner.work import Work

log = logging.getLogger(__name__)
#: Written last: without it a folder is what somebody died over.
_NOTE = "split.json"
#: A number in a file takes about so many bytes.
_BYTES = 8
#: What one run may stage before its chunks are committed.
MOST_BYTES = EngineLimits().temp_limit_mb << 20
#: Of fewer chunks that are left each reads the source.
_FEWEST = 2


class Staged(msgspec.Struct, frozen=True):
    """What lies staged, or, without ``parts``, that nothing does: ``why`` where that is a pity.

    ``source`` are the identities of the parts that were read; ``first`` is the number of the chunk
    of the first of the ``parts``, ``ends`` are those of their windows.
    """

    source: dict[str, str]
    sequence: int
    first: int
    ends: tuple[datetime, ...]
    parts: tuple[Prepared, ...] | None = None
    why: str = ""


class Lying(NamedTuple):
    """What is staged, and the folder in which it lies."""

    folder: Path
    staged: Staged


class Asked(NamedTuple):
    """The chunk that is to be computed."""

    run: MaterializationRun
    number: int
    work: Work
    job: ComputeJob


_read = json_reader(Staged)


def drop_staged(run: MaterializationRun) -> None:
    """Remove what is staged for the run's chunks: all are stored."""
    offline_store().drop_staged(table_at(run.table), staging_name(run.pk))


def prepared(
    asked: Asked, folder: str, *, watch: Watch, check: Callable[[], None]
) -> Prepared | None:
    """Move the rows of a chunk that are staged into ``folder``; None: it reads the source itself.

    ``check`` asks whether the attempt still has the run.

    :raises LeaseLost, RunCancelled: the run should stop.
    """
    if not _stands_alone(asked):
        return None
    lying = _found(asked) or _made_if_possible(asked, watch, check)
    if lying is None or lying.staged.parts is None:
        return None
    return _taken(asked, lying, folder)


def why_not(run: MaterializationRun) -> str:
    """Return why chunks read the source again that had better not; empty where that is no pity."""
    lying = _lying(run)
    return lying.staged.why if lying is not None else ""


def _stands_alone(asked: Asked) -> bool:
    """Say whether the chunk takes the rows of its window and nothing else, known since events."""
    chunks = read_chunks(asked.run.chunks)
    own = window_of(asked.run.window, chunks, asked.number)
    if len(chunks) < _FEWEST or len(asked.job.readings) != 1:
        return False
    (reading,) = asked.job.readings
    is_plain = not reading.unseen and reading.known_since is None
    return is_plain and [Window(*each) for each in reading.windows] == [own]


def _found(asked: Asked) -> Lying | None:
    """Return what an earlier chunk, or an attempt that died, has staged, if it holds this one."""
    lying = _lying(asked.run)
    if lying is None:
        return None
    staged = lying.staged
    is_there = staged.first <= asked.number < staged.first + len(staged.ends)
    is_same = staged.source == _source(asked.work) and staged.sequence == asked.job.sequence
    return lying if is_there and is_same else None


def _lying(run: MaterializationRun) -> Lying | None:
    folder = offline_store().staged(table_at(run.table), staging_name(run.pk))
    if folder is None:
        return None
    try:
        return Lying(Path(folder), _read(Path(folder, _NOTE).read_bytes()))
    except (OSError, msgspec.DecodeError):
        return None


def _source(work: Work) -> dict[str, str]:
    return {part.name: part.identity for part in work.parts if part.name in work.reads}


def _made_if_possible(asked: Asked, watch: Watch, check: Callable[[], None]) -> Lying | None:
    try:
        return _made(asked, watch, check)
    except OSError as exc:  # a disk that is full but for what the note takes
        log.warning("%s: chunk %d reads the source: %s", asked.run, asked.number, exc)
        return None


def _made(asked: Asked, watch: Watch, check: Callable[[], None]) -> Lying | None:
    """Stage this chunk and those that follow, as many as there is room for."""
    run, number = asked.run, asked.number
    following = read_chunks(run.chunks)[number:]
    if len(following) < _FEWEST or any(each.expected is None for each in following):
        return None
    place = table_at(run.table)
    with offline_store().staging(place, f"{run.pk}-{run.attempt}-chunks") as folder:
        ends, why = _those_with_room(asked, following, folder)
        staged = Staged(_source(asked.work), asked.job.sequence, number, ends, why=why)
        if len(ends) >= _FEWEST:
            staged = _split(asked, staged, folder, watch)
            refuse_changed(asked.work)
        else:
            staged = msgspec.structs.replace(staged, ends=tuple(each.until for each in following))
        if staged.why:
            log.warning("%s: each of its chunks reads the source: %s", run, staged.why)
        Path(folder, _NOTE).write_bytes(msgspec.json.encode(staged))
        check()  # or it would put its folder in the place of the one that another attempt takes
        kept = offline_store().keep_staged(place, folder, staging_name(run.pk))
    return Lying(Path(kept), staged)


def _those_with_room(
    asked: Asked, following: list[Chunk], folder: str
) -> tuple[tuple[datetime, ...], str]:
    """Return the ends of as many chunks as may be staged, and why not more, if they are too few."""
    if asked.run.tries >= MAX_ATTEMPTS:
        before = asked.run.tries - 1
        return (), f"{before} attempts stored no chunk, and reading it once may be what ended them."
    columns = len(stored_schema(asked.run.version.spec))
    size = sum(part.size for part in asked.work.parts if part.name in asked.work.reads)
    rows = [each.expected or 0 for each in following]
    counted = sum(each.expected or 0 for each in read_chunks(asked.run.chunks))
    each_row = max(columns * _BYTES, size // max(counted, 1))
    room, spill = _share_of(shutil.disk_usage(folder).free), spilled_beside(folder)
    ends, taken = [], 0
    for chunk, count in zip(following, rows, strict=True):
        taken += count * each_row
        # Rows that are written apart may be held until they are: on the disk, beyond the memory.
        if taken > MOST_BYTES or taken + min(taken, spill) > room:
            break
        ends.append(chunk.until)
    if len(ends) >= _FEWEST:
        return tuple(ends), ""
    needed = sum(rows) * each_row
    beside = f" and spill up to {min(needed, spill) >> 20:,} MB beside them" if spill else ""
    return tuple(ends), (
        f"reading it once would stage about {needed >> 20:,} MB{beside}, and there is room for"
        f" {min(room, MOST_BYTES) >> 20:,} MB."
    )


def _share_of(free: int) -> int:
    """Return what one run in chunks may take: all that run now take less together than is free.

    The first was promised half of what was free then, the second half of the other half.
    """
    return free >> runs_in_chunks()


def _split(asked: Asked, staged: Staged, folder: str, watch: Watch) -> Staged:
    """Have the rows staged; whatever is wrong with them is for the chunk they are in to say.

    Files of two attempts have different names: nobody takes some of the one and some of the other.
    """
    own = Path(folder, str(asked.run.attempt))
    own.mkdir()
    job = SplitJob(
        spec=asked.job.spec,
        source=asked.job.source.only(asked.work.reads),
        window_start=asked.job.readings[0].windows[0][0],
        ends=staged.ends,
        staging=str(own),
        sequence=staged.sequence,
    )
    try:
        found = storing_engine().split(job, watch=watch)
    except (Invalid, EngineLimitExceeded, EngineStopped) as exc:
        said = "not all of it can be read." if isinstance(exc, Invalid) else exc.message
        shutil.rmtree(own, ignore_errors=True)
        return msgspec.structs.replace(staged, why=f"reading it once failed: {said}")
    if found.parts is None:
        return staged
    parts = tuple(
        msgspec.structs.replace(
            part, files=tuple(str(Path(file).relative_to(folder)) for file in part.files)
        )
        for part in found.parts
    )
    return msgspec.structs.replace(staged, parts=parts)


def _taken(asked: Asked, lying: Lying, folder: str) -> Prepared | None:
    """Move a chunk's files; None where one is gone, with an attempt that died over its commit."""
    staged = lying.staged
    part = (staged.parts or ())[asked.number - staged.first]
    moved = []
    try:
        for number, file in enumerate(part.files):
            to = Path(folder, f"{number}.parquet")
            (lying.folder / file).rename(to)
            moved.append(str(to))
    except OSError as exc:
        log.warning("%s: chunk %d reads the source: %s", asked.run, asked.number, exc)
        for each in moved:
            Path(each).unlink(missing_ok=True)
        return None
    return msgspec.structs.replace(part, files=tuple(moved))
