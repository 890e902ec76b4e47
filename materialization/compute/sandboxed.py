"""Users' SQL and files as DuckDB computes them: in a child process that has no credentials.

Not for our own stored rows: ``duckdb_engine`` answers from those, here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.ipc

from materialization.compute import child
from materialization.compute.bringing import brings_nothing
from materialization.compute.fitted import none_fitted, with_fitted
from materialization.compute.jobs import LookJob, QueryJob
from materialization.compute.look import looks_of, told_by, with_fetched
from materialization.compute.mask_keys import no_keys
from materialization.compute.read_files import no_files, with_read_files
from materialization.compute.staging import staged
from materialization.errors import TEMP_PREFIX, EngineLimitExceeded
from materialization.finding.fetching import no_fetch
from materialization.sources.inputs import StoredRows

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from materialization.compute.bringing import Bring
    from materialization.compute.child import Watch
    from materialization.compute.fitted import Fitted
    from materialization.compute.jobs import ComputeJob, FitJob, ListJob, SplitJob, SurveyJob
    from materialization.compute.limits import EngineLimits
    from materialization.compute.look import Look
    from materialization.compute.mask_keys import MaskKeys
    from materialization.compute.read_files import ReadFiles
    from materialization.compute.reports import Computed, Fit, ListedRow, Split, Survey
    from materialization.compute.staging import Staged, _Reading
    from materialization.finding.fetching import Fetch
    from materialization.sources.inputs import SourceInput
    from registry.spec.version_spec import VersionSpec


class Sandboxed:
    """One machine's sandbox; see ``engine.Engine`` for what each method promises."""

    def __init__(
        self,
        limits: EngineLimits,
        mask_keys: MaskKeys = no_keys,
        fitted: Fitted = none_fitted,
        fetch: Fetch = no_fetch,
        read_files: ReadFiles = no_files,
        bring: Bring = brings_nothing,
    ) -> None:
        self._limits, self._mask_keys = limits, mask_keys
        self._fitted, self._fetch = fitted, fetch
        self._read_files, self._bring = read_files, bring

    def compute(self, job: ComputeJob, *, watch: Watch) -> Computed:
        job, keys = with_fitted(job, self._fitted), self._mask_keys(job.spec)
        self._bring(job.own_files)
        with self._staged(job, watch) as here:
            computed = child.compute(here.job, self._limits, watch=watch, mask_keys=keys)
            counters = here.counted(computed.counters)
        return msgspec.structs.replace(computed, counters=counters)

    def survey(self, job: SurveyJob, *, watch: Watch) -> Survey:
        with self._staged(job, watch) as here:
            return child.survey(here.job, self._limits, watch=watch)

    def fit(self, job: FitJob, *, watch: Watch) -> Fit:
        if isinstance(job.source, StoredRows):
            self._bring(job.source.paths)
        with self._staged(job, watch) as here:
            return child.fit(here.job, self._limits, watch=watch)

    def query(
        self, spec: VersionSpec, source: SourceInput, *, most_rows: int, most_bytes: int
    ) -> pa.Table:
        with tempfile.TemporaryDirectory(prefix=TEMP_PREFIX, dir=self._limits.temp_root) as folder:
            job = QueryJob(spec, source, folder, most_rows, most_bytes)
            with self._staged(job, None) as here:
                file = child.query(here.job, self._limits)
            if Path(file).stat().st_size > most_bytes:
                raise EngineLimitExceeded(
                    f"the query gives more than {most_bytes:,} bytes; name fewer columns, or choose"
                    " fewer rows in its WHERE.",
                    limit="bytes",
                )
            # Mapped, the columns take memory only while they are looked at, and outlive the file.
            with pa.ipc.open_stream(pa.memory_map(file)) as stream:
                return stream.read_all()

    def split(self, job: SplitJob, *, watch: Watch) -> Split:
        job, keys = with_fitted(job, self._fitted), self._mask_keys(job.spec)
        with self._staged(job, watch) as here:
            return child.split(here.job, self._limits, watch=watch, mask_keys=keys)

    def look(
        self,
        specs: Sequence[VersionSpec],
        source: SourceInput,
        *,
        unseen: Collection[int] = (),
        at: datetime | None = None,
    ) -> list[Look]:
        job = LookJob(tuple(specs), source, frozenset(unseen), at)
        with self._staged(job, None) as here, child.start_child(here.job, self._limits) as started:
            looks = [told_by(each, here.told) for each in looks_of(started.report())]
            return with_fetched(looks, here.fetched, here.in_part)

    def _staged(
        self, job: _Reading, watch: Watch | None
    ) -> contextlib.AbstractContextManager[Staged[_Reading]]:
        def watch_fetching() -> None:
            if watch is not None:
                watch(0.0)

        if not isinstance(job, LookJob):
            job = with_read_files(job, self._read_files)
            self._bring(file for files in job.spec.read_files.values() for file in files)
        return staged(job, self._limits, self._fetch, watch_fetching)

    def list_failing(self, job: ListJob) -> list[ListedRow]:
        self._bring([*job.files, *job.stored_files])
        with child.start_child(job, self._limits) as started:
            return started.report().rows or []
