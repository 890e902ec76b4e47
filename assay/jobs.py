"""Calls for training sets that are too large to wait for: the server makes them as jobs.
Not for those that are answered at once; see reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from assay.all_entities import AllEntities
from assay.asking import arrow_bytes, as_parameters, selection, unframed, whole_body
from assay.calls import Calls
from assay.entity_query import EntityQuery
from assay.files import content_type, opened_frame
from assay.frames import SentFrame, entity_frame
from assay.historical import ARROW_STREAM
from assay.historical_job import HistoricalJob
from assay.resuming import resumed
from assay.shapes import JSON, EntityFrame, Features, Listed, NamedViews, Timing
from assay.transport import Transport


class HistoricalJobCalls(Calls):
    """Historical jobs by number: each is there for some hours once it is made."""

    def request_historical_features(
        self,
        entity_df: EntityFrame | AllEntities | EntityQuery | Path | str,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        feature_service: str | None = None,
        timing: Timing = "known",
        explain: bool = False,
        views: NamedViews = None,
    ) -> HistoricalJob:
        """Ask for a training set as a job, without waiting for it.

        What it takes is as for ``get_historical_features``, with more rows; ``entity_df`` may also
        be the path of a file (.parquet, .csv, .arrow).

        :raises Conflict: you have as many jobs as one person has; cancel one.
        """
        options: JSON = {
            **selection(features, feature_service),
            "full_feature_names": full_feature_names,
            "timing": timing,
            "explain": explain,
        }
        query = {**options, **as_parameters(views)}
        if (about := unframed(entity_df)) is not None:
            return self._job(self._asked(whole_body(options, views, about)))
        if isinstance(entity_df, Path):
            with opened_frame(entity_df) as file:
                return self._job(
                    self._send("historical-jobs", query, file.read(), content_type(entity_df))
                )
        frame = entity_frame(cast("EntityFrame", entity_df))
        if frame.table is not None:
            found = self._send("historical-jobs", query, arrow_bytes(frame.table), ARROW_STREAM)
            return self._job(found, frame=frame)
        return self._job(self._asked(whole_body(options, views, frame.columns)), frame=frame)

    def historical_jobs(self, *, status: str | None = None, limit: int | None = None) -> Listed:
        """List jobs, newest first: dicts with ``id``, ``status``, ``progress``, …"""
        return self._list("historical-jobs", query={"status": status}, limit=limit)

    def get_historical_job(self, job_id: int) -> HistoricalJob:
        """Give one job, as it is now.

        :raises NotFound: there is none. Those that are over are forgotten after 30 days.
        """
        return self._job(self._get("historical-jobs", str(job_id)))

    def _asked(self, body: JSON) -> JSON:
        return self._post("historical-jobs", value=body)

    def _job(self, found: JSON, *, frame: SentFrame | None = None) -> HistoricalJob:
        path = self._transport.project_path("historical-jobs", str(found["id"]))
        return HistoricalJob(found, _Calls(self._transport, path), frame=frame)


class _Calls:
    """The calls about the job at one address."""

    def __init__(self, transport: Transport, path: str) -> None:
        self._transport, self._path = transport, path
        self.pause = transport.pause

    def look(self) -> JSON:
        found: JSON = self._transport.get(self._path)
        return found

    def cancel(self) -> JSON:
        found: JSON = self._transport.post(f"{self._path}/cancel", {})
        return found

    def download(self) -> Iterator[bytes]:
        return resumed(self._transport, f"{self._path}/download")
