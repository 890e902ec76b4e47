"""Jobs asked for over HTTP and made by a worker, as tests of them need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from serving.jobs.edges import job_bounds, job_limits, job_stores
from serving.jobs.making import make_answer
from serving.models import HistoricalJob
from tests.serving.callers import Asking
from tests.serving.online_world import committed

if TYPE_CHECKING:
    from datetime import datetime

URL = "/api/v1/projects/rides/historical-jobs"


class Caller(Asking):
    url = URL

    def ask(self, body: Any, **more: Any) -> int:
        """Ask for a job, and return its number."""
        response = self.post(body=body, **more)
        assert response.status_code == 202, response.content
        return int(response.json()["id"])

    def rows(self, job: int) -> pa.Table:
        return self.downloaded(f"/{job}")


def make(job: int, at: datetime, *, worker: str = "w1", **stores: Any) -> HistoricalJob:
    """Have a job answered, as the worker that is woken for it does."""
    with committed():
        make_answer(
            job_id=job,
            worker=worker,
            stores=job_stores()._replace(**stores),
            limits=job_limits(),
            bounds=job_bounds(),
            clock=lambda: at,
        )
    return HistoricalJob.objects.get(pk=job)
