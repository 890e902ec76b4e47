"""Calls that fill the stores, and waiting for them with progress.
Not for scheduling: the server starts what each version's schedule says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from assay.calls import Calls
from assay.encoding import instant
from assay.errors import RunFailed, WaitTimedOut
from assay.progress import of_runs
from assay.references import version_of, view_alone
from assay.shapes import JSON, Listed
from assay.waiting import OnProgress, Waiting

TERMINAL_STATUSES = ("succeeded", "failed", "errored", "cancelled")
_ABOUT = "materialize computes"
STATUSES = ("queued", "running", "paused", *TERMINAL_STATUSES)


class RunCalls(Calls):
    """Materialization runs: dicts with ``id``, ``status``, ``step``, ``progress`` (0..1)."""

    def materialize(
        self,
        start_date: datetime | str,
        end_date: datetime | str,
        feature_views: Sequence[str] | None = None,
        *,
        wait: bool = False,
    ) -> list[JSON]:
        """Compute ``(start_date, end_date]`` of the named views, or all, and load it.

        Naive times are UTC. Answers the runs: queued ones, or with ``wait`` finished ones.

        :raises RunFailed: with ``wait``, when a run did not succeed.
        """
        body = {"start_ts": instant(start_date), "end_ts": instant(end_date)}
        return self._start("materialize", body, feature_views, wait=wait)

    def materialize_incremental(
        self,
        end_date: datetime | str,
        feature_views: Sequence[str] | None = None,
        *,
        wait: bool = False,
    ) -> list[JSON]:
        """Compute what each view misses up to ``end_date``; else like :meth:`materialize`."""
        body = {"end_ts": instant(end_date)}
        return self._start("materialize-incremental", body, feature_views, wait=wait)

    def backfill(
        self,
        feature_view: str,
        version: str | None = None,
        start_date: datetime | str | None = None,
        end_date: datetime | str | None = None,
        *,
        wait: bool = False,
    ) -> JSON:
        """Store ``(start_date, end_date]`` of ``view@1.2.0`` anew; without a bound all there is.

        What lacks is stored. What is stored is compared with the source: rows that differ become
        corrections, which win and are known from now on. Answers the run, with ``wait`` when it
        has ended; its ``source`` counts what was corrected.

        :raises RunFailed: with ``wait``, when the run did not succeed.
        """
        bounds = (("start_ts", start_date), ("end_ts", end_date))
        body = {name: instant(value) for name, value in bounds if value is not None}
        view, named = version_of(feature_view, version)
        path = "feature-views", view, "versions", named, "backfill"
        run = self._post(*path, value=body)
        return self.wait_for_run(run["id"]) if wait else run

    def runs(
        self,
        *,
        feature_view: str | None = None,
        status: str | None = None,
        limit: int | None = None,
    ) -> Listed:
        return self._list_of("runs", feature_view, status, limit)

    def get_run(self, run_id: int) -> JSON:
        run: JSON = self._get("runs", str(run_id))
        return run

    def cancel_run(self, run_id: int) -> JSON:
        return self._post("runs", str(run_id), "cancel", value={})

    def pause_run(self, run_id: int) -> JSON:
        """Let a run lie: at once, or when its worker next looks; what it stored stays."""
        return self._post("runs", str(run_id), "pause", value={})

    def resume_run(self, run_id: int) -> JSON:
        """Let a paused run go on where it stopped."""
        return self._post("runs", str(run_id), "resume", value={})

    def quarantine(
        self, run_id: int, *, limit: int | None = None, cursor: str | None = None
    ) -> JSON:
        """What a run's checks refused: ``state``, ``rows``, ``checks`` and a page of ``results``.

        ``next`` is the ``cursor`` of the page after. Rows are for those who may read the values.
        """
        query = {"limit": limit, "cursor": cursor}
        found: JSON = self._get("runs", str(run_id), "quarantine", query=query)
        return found

    def release_quarantine(self, run_id: int, *, reason: str, wait: bool = False) -> JSON:
        """Publish what a run's checks refused, as it is; answers the run that does.

        :raises RunFailed: with ``wait``, when that run did not succeed.
        """
        parts = "runs", str(run_id), "quarantine", "release"
        run: JSON = self._post(*parts, value={"reason": reason})
        return self.wait_for_run(run["id"]) if wait else run

    def discard_quarantine(self, run_id: int, *, reason: str) -> JSON:
        """Throw away what a run's checks refused; the next run reads the source again."""
        parts = "runs", str(run_id), "quarantine", "discard"
        return self._post(*parts, value={"reason": reason})

    def wait_for_run(
        self,
        run_id: int,
        *,
        on_progress: OnProgress | None = None,
        timeout_seconds: float | None = None,
    ) -> JSON:
        """Wait for one run; see :meth:`wait_for_runs`."""
        runs = self.wait_for_runs(
            [run_id], on_progress=on_progress, timeout_seconds=timeout_seconds
        )
        return runs[0]

    def wait_for_runs(
        self,
        run_ids: Sequence[int],
        *,
        on_progress: OnProgress | None = None,
        timeout_seconds: float | None = None,
    ) -> list[JSON]:
        """Poll until every run has ended; ``on_progress`` gets each run as each poll found it.

        :raises RunFailed: when all have ended and not all succeeded.
        :raises WaitTimedOut: they take longer than ``timeout_seconds``; they go on.
        """
        wait = Waiting(timeout_seconds, pause=self._transport.pause)
        ended: dict[int, JSON] = {}
        with of_runs(on_progress) as tell:
            while waiting := [run_id for run_id in run_ids if run_id not in ended]:
                for run_id in waiting:
                    run = self.get_run(run_id)
                    tell(run)
                    if run["status"] in TERMINAL_STATUSES:
                        ended[run_id] = run
                if unfinished := [run_id for run_id in waiting if run_id not in ended]:
                    if wait.is_over:
                        raise _timed_out(unfinished)
                    wait.pause()
        return _all_succeeded([ended[run_id] for run_id in run_ids])

    def _start(
        self, call: str, body: JSON, feature_views: Sequence[str] | None, *, wait: bool
    ) -> list[JSON]:
        if feature_views is not None:
            views = [view_alone(each, _ABOUT, "backfill") for each in feature_views]
            body = {**body, "feature_views": views}
        answer: list[JSON] = self._post(call, value=body)["runs"]
        # One entry a version: versions that share a table share its run.
        runs = list({run["id"]: run for run in answer}.values())
        return self.wait_for_runs([run["id"] for run in runs]) if wait else runs


def _timed_out(unfinished: list[int]) -> WaitTimedOut:
    said = ", ".join(map(str, unfinished))
    return WaitTimedOut(f"still running: {said}; they go on, see get_run", runs=unfinished)


def _all_succeeded(runs: list[JSON]) -> list[JSON]:
    failed = [run for run in runs if run["status"] != "succeeded"]
    if failed:
        raise RunFailed("; ".join(_failure(run) for run in failed), runs=failed)
    return runs


def _failure(run: JSON) -> str:
    subject = f"run {run['id']} of {run['feature_view']}@{run['version']}"
    return f"{subject} {run['status']}: {run.get('error') or 'the server gives no reason'}"
