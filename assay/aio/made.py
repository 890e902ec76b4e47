"""What answers of an AsyncFeatureStore go on asking by: datasets, and training sets of jobs.
Not for asking for them; see client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from assay.aio.bridge import awaited, iterate, run
from assay.dataset import Dataset, DatasetFacts
from assay.historical_job import HistoricalJob, HistoricalJobFacts
from assay.waiting import OnProgress


class AsyncDataset(DatasetFacts):
    """A ``Dataset`` whose rows are awaited."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset._found, dataset._manifest)
        self._inner = dataset

    to_arrow = awaited(Dataset.to_arrow)
    to_df = awaited(Dataset.to_df)
    to_polars = awaited(Dataset.to_polars)
    verify = awaited(Dataset.verify)

    def chunks(self) -> AsyncIterator[bytes]:
        """Give its Parquet file piece by piece; see ``Dataset.chunks``."""
        return iterate(self._inner.chunks)


class AsyncHistoricalJob(HistoricalJobFacts):
    """A ``HistoricalJob`` that is awaited."""

    def __init__(self, job: HistoricalJob) -> None:
        super().__init__(job._found)
        self._inner = job

    to_arrow = awaited(HistoricalJob.to_arrow)
    to_df = awaited(HistoricalJob.to_df)
    to_polars = awaited(HistoricalJob.to_polars)
    write = awaited(HistoricalJob.write)

    def chunks(self) -> AsyncIterator[bytes]:
        """Wait for it, and give its Parquet file piece by piece; see ``HistoricalJob.chunks``."""
        return iterate(self._inner.chunks)

    async def refresh(self) -> Self:
        """Look again how far it is."""
        await run(self._inner.refresh)
        return self

    async def wait(
        self, timeout_seconds: float | None = None, *, on_progress: OnProgress | None = None
    ) -> Self:
        """Wait until it is made; see ``HistoricalJob.wait``."""
        await run(self._inner.wait, timeout_seconds, on_progress=on_progress)
        return self

    async def cancel(self) -> Self:
        """End it, and remove what it made."""
        await run(self._inner.cancel)
        return self
