"""Making a job's answer, in a worker: piece by piece, so that none of it has to fit anywhere.

Not for asking (``asking``) nor for what a claim is (``working``).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq

from lib.commits import once_committed
from lib.decoding import converter
from lib.errors import Forbidden, TooLarge
from materialization.compute.questions import Timing
from registry import access, audit
from registry.choices import Right
from registry.grants import Grants
from serving.choices import Door, WorkStatus
from serving.historical.all_entities import AllEntities
from serving.historical.answers import for_parquet
from serving.historical.entity_frame import entity_frame
from serving.historical.forms import ArrowFrame
from serving.historical.found_frame import common_keys, find_entities
from serving.historical.kept_plan import parts_to_keep, plan_again
from serving.historical.read import warnings_of
from serving.historical.training_set import join_features, late_events
from serving.historical.waiting import Waiting, rows_that_wait, waiting_words
from serving.jobs.files import answer_name, frame_pieces, frame_size, remove_others
from serving.jobs.room import note_size
from serving.models import HistoricalJob
from serving.stored_queries import require_frame
from serving.usage.slow_reads import note_kept
from serving.working import perform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    import pyarrow as pa
    from django.contrib.auth.models import User

    from materialization.compute.engine import Engine
    from serving.historical.entity_frame import EntityFrame
    from serving.historical.plan import TrainingPlan
    from serving.historical.training_set import PartCounts, ViewPart
    from serving.jobs.bounds import JobBounds
    from serving.jobs.edges import JobStores
    from serving.limits import ReadLimits


_read_all_entities = converter(AllEntities)


class AskerShutOut(Forbidden):
    code = "asker_shut_out"


class JobTooLarge(TooLarge):
    code = "historical_job_too_large"


class JobTooLong(TooLarge):
    code = "historical_job_too_long"


def make_answer(
    *,
    job_id: int,
    worker: str,
    stores: JobStores,
    limits: ReadLimits,
    bounds: JobBounds,
    clock: Callable[[], datetime],
) -> None:
    """Answer a queued job; one that another worker has, or that is over, is left alone."""
    rows = HistoricalJob.objects.filter(pk=job_id).select_related("project", "requested_by")
    perform(
        rows,
        worker=worker,
        clock=clock,
        do=lambda job: _Making(job, stores, limits, bounds).made(clock),
        tell=lambda job, at: tell(job, stores, at),
    )


def plan_of(job: HistoricalJob) -> TrainingPlan:
    """Return what a job reads, as it was when it was asked for."""
    parts = job.parts.select_related(
        "version__feature_view__project", "version__table__feature_view__project"
    )
    return plan_again(job.columns, list(parts))


def require_reader(
    job: HistoricalJob,
    actor: User,
    plan: TrainingPlan,
    *,
    at: datetime,
    came_as_own: bool = False,
) -> None:
    """Return if somebody may read all that a job reads, now: rights end, and so do grants.

    ``came_as_own`` is as of ``Grants``.

    :raises ActionNotPermitted: the actor may not read one of its views offline.
    :raises GrantNeeded: the actor has no grant for a feature that is sensitive; names it.
    """
    for version in plan.versions:
        access.require(actor, Right.READ_OFFLINE, version.feature_view)
    read = [(part.version, name) for part in parts_to_keep(plan) for name in part.features]
    Grants(actor, at=at, came_as_own=came_as_own).require(read)
    require_frame(job, actor, at=at, came_as_own=came_as_own)


class _Making:
    """One attempt at a job."""

    def __init__(
        self, job: HistoricalJob, stores: JobStores, limits: ReadLimits, bounds: JobBounds
    ) -> None:
        self._job, self._stores, self._limits, self._bounds = job, stores, limits, bounds
        self._plan = plan_of(job)
        self._timing = Timing(job.request["timing"])
        self._until = time.monotonic() + bounds.seconds
        self._counts: list[PartCounts] = []
        self._lacking: dict[str, None] = {}  # in order, each once
        #: What was not stored when its tables were opened, and which of that it may lack, in words.
        self._waiting: list[Waiting] = []
        self._late: dict[str, None] = {}
        self._rows = 0
        self._frame_size = 0

    def made(self, clock: Callable[[], datetime]) -> dict[str, Any]:
        """Return what the row of a job says once its file is written."""
        at = clock()
        self._require_still(at)
        self._job.owned().update(rows_done=0)  # what an attempt before had done is done again
        self._waiting = rows_that_wait(self._plan.versions)
        parts = self._plan.parts(self._stores.offline)
        self._job.written_by = self._job.attempt
        name = answer_name(self._job)
        self._frame_size = frame_size(self._stores.keeper, self._job)
        with self._stores.keeper.writing(name) as path:
            self._write(path, parts)
        kept = self._stores.keeper.state(name)
        said = [warning for each in self._counts for warning in each.warnings(self._timing)]
        said += [*late_events(parts, self._timing), *self._lacking, *self._late]
        return {
            "written_by": self._job.written_by,
            "rows": self._rows,
            "rows_done": self._rows,
            "size": kept.size,
            "sha256": kept.sha256,
            "expires_at": clock() + self._bounds.kept_for,
            "found": {
                "warnings": [
                    *warnings_of(self._plan.versions, at),
                    *self._job.request.get("frame_warnings", []),
                    *said,
                ],
                "views": [each.to_json() for each in self._counts],
            },
        }

    def _require_still(self, at: datetime) -> None:
        """Return if whoever asked may still read the views.

        :raises AskerShutOut: the account was. :raises ActionNotPermitted, GrantNeeded: as then.
        """
        if not self._job.requested_by.is_active:
            raise AskerShutOut(f"whoever asked for {self._job} is shut out since.")
        require_reader(self._job, self._job.requested_by, self._plan, at=at, came_as_own=True)

    def _write(self, path: str, parts: Sequence[ViewPart]) -> None:
        """Write piece after piece, and say how far it is after each."""
        writer: pq.ParquetWriter | None = None
        try:
            for frame in self._frames(parts):
                answer = for_parquet(self._joined(frame, parts))
                writer = writer or pq.ParquetWriter(path, answer.schema, compression="zstd")
                writer.write_table(answer)
                self._note(answer.num_rows, path)
        finally:
            if writer is not None:
                writer.close()
        self._note(0, path)  # what the file ends with too

    def _joined(self, frame: EntityFrame, parts: Sequence[ViewPart]) -> pa.Table:
        answer = join_features(
            frame,
            parts,
            self._plan.columns,
            engine=self._engine(),
            timing=self._timing,
            explain=self._job.request["explain"],
        )
        self._lacking |= dict.fromkeys(answer.lacking)
        self._late |= dict.fromkeys(waiting_words(self._waiting, frame.table, self._timing))
        counts = [part.counts() for part in answer.parts]
        before = self._counts
        self._counts = (
            [old.with_more(new) for old, new in zip(before or counts, counts, strict=True)]
            if before
            else counts
        )
        return answer.table

    def _note(self, rows: int, path: str) -> None:
        """Say how many rows are done, and how much of the room of all it takes.

        :raises LeaseLost: the job was cancelled, or another attempt has it.
        :raises JobTooLarge: its file is larger than it may be.
        """
        self._rows += rows
        size = Path(path).stat().st_size
        most = note_size(
            self._job, self._bounds, frame=self._frame_size, answer=size, rows=self._rows
        )
        if size > most:
            raise JobTooLarge(
                f"after {self._rows:,} rows the file has more than the {most >> 20:,}"
                " MB that it may take now (HISTORICAL_JOB_MAX_MB of one job,"
                " HISTORICAL_JOBS_MAX_MB of all). Ask for fewer rows or features, or again when"
                " others are removed."
            )

    def _engine(self) -> Engine:
        """:raises JobTooLong: there is no time left."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise JobTooLong(
                f"after {self._rows:,} rows it took the {self._bounds.seconds:,.0f} seconds that"
                " a job may take (ENGINE_TIME_LIMIT_SECONDS). Ask about fewer rows, in several."
            )
        return self._stores.engine(left)

    def _frames(self, parts: Sequence[ViewPart]) -> Iterator[EntityFrame]:
        needed = self._plan.asked_of_frame
        size = self._bounds.rows_at_a_time(self._plan.width + len(needed) + 1)
        if self._job.request["all_entities"] is not None:
            return self._found_frames(parts, size)
        pieces = frame_pieces(self._stores.keeper, self._job, size)
        return (entity_frame(ArrowFrame(piece), needed) for piece in pieces)

    def _found_frames(self, parts: Sequence[ViewPart], size: int) -> Iterator[EntityFrame]:
        """Yield page after page of all entities.

        :raises TooManyRows: there are more than a job may have.
        """
        asked = _read_all_entities(self._job.request["all_entities"])
        keys = common_keys(self._plan.uses)
        after: dict[str, Any] | None = None
        while True:
            page = msgspec.structs.replace(asked, limit=size, after=after)
            frame, after = find_entities(
                page, keys, parts, engine=self._engine(), timing=self._timing, limits=self._limits
            )
            if self._rows + frame.table.num_rows > self._limits.rows:
                raise self._limits.too_many_rows(
                    f"all_entities: there are more than {self._limits.rows:,} rows"
                )
            yield frame
            if after is None:
                return


def tell(job: HistoricalJob, stores: JobStores, at: datetime) -> None:
    """Note what came of a job; of one that failed nothing is kept but its row."""
    once_committed(f"removing files of {job}", remove_others, keeper=stores.keeper, job=job)
    data: dict[str, Any] = {"rows": job.rows}
    verb = "historical_job.made"
    if job.status != WorkStatus.DONE:
        HistoricalJob.objects.filter(pk=job.pk).update(size=0)
        verb, data = "historical_job.failed", {"code": job.error_code, "detail": job.error}
    else:
        reader = job.requested_by
        what = f"noting the read of {job}"
        once_committed(what, note_kept, of=job, door=Door.JOB, actor=reader, at=at)
    audit.record(actor=job.requested_by, verb=verb, subject=job, data=data, at=at)
