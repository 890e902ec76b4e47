"""Telling a lineage server of runs, when the installation names one: of the start and the end.

What is told is sent by a worker of its own queue, after the run's transaction: a server that is
slow, away or wrong costs no run anything. Not for what an event says (``openlineage``).
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec
import urllib3
from celery import current_app
from django.conf import settings
from django.db import transaction

from lib.commits import once_committed
from materialization.choices import RunStatus
from materialization.openlineage import EventType, Told, event

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from materialization.models import MaterializationRun

log = logging.getLogger(__name__)
TASK = "materialization.tell_lineage"
#: Seconds for one event, and for which none is sent after one that failed: a server that does not
#: answer holds no worker up.
TIMEOUT_SECONDS, SILENT_SECONDS = 5.0, 30.0
ENDS = {
    RunStatus.SUCCEEDED: EventType.COMPLETE,
    RunStatus.FAILED: EventType.FAIL,
    RunStatus.ERRORED: EventType.FAIL,
    RunStatus.CANCELLED: EventType.ABORT,
}

_pool = urllib3.PoolManager(maxsize=1, retries=False)
#: Until when this process sends nothing, by its own clock.
_silence = {"until": 0.0}


def tell_start(run: MaterializationRun, at: datetime) -> None:
    """Tell of a run that a worker has begun; of one that goes on after a pause, again."""
    _tell(run, EventType.START, at)


def tell_end(run: MaterializationRun, actor: User | None, at: datetime) -> None:  # noqa: ARG001
    """Tell how a run ended; one that no worker ever began was never told of."""
    if run.started_at is not None:
        _tell(run, ENDS[RunStatus(run.status)], at)


def _tell(run: MaterializationRun, kind: EventType, at: datetime) -> None:
    if not settings.OPENLINEAGE_URL:
        return
    version = run.version
    told = Told(
        namespace=settings.OPENLINEAGE_NAMESPACE,
        project=version.feature_view.project.name,
        view=version.feature_view.name,
        version=str(version.number),
        run=run.pk,
        requested_at=run.requested_at,
        window_end=run.window_end,
        kind=run.kind,
        rows=run.rows_offline if kind == EventType.COMPLETE else None,
        error=run.error,
    )
    try:
        said = event(kind, told, version.spec, at=at)
    except Exception:  # a run is worth more than a word of it
        log.exception("telling the lineage of %s failed", run)
        return
    words = msgspec.json.encode(said).decode()
    with transaction.atomic():
        once_committed("telling the lineage of a run", _hand_on, words=words)


def _hand_on(words: str) -> None:
    current_app.send_task(TASK, kwargs={"words": words}, retry=False)


def send(words: str) -> bool:
    """Send one event; return whether the server took it. Whatever it does, nothing is raised."""
    if not settings.OPENLINEAGE_URL or time.monotonic() < _silence["until"]:
        return False
    headers = {"Content-Type": "application/json"}
    if settings.OPENLINEAGE_API_KEY:
        headers["Authorization"] = f"Bearer {settings.OPENLINEAGE_API_KEY}"
    why = _sent(words, headers)
    if why:
        _silence["until"] = time.monotonic() + SILENT_SECONDS
        log.warning("the lineage server did not take an event: %s", why)
    return not why


def _sent(words: str, headers: dict[str, str]) -> str:
    """Send, and return why it was not taken; empty: it was."""
    try:
        answer: Any = _pool.request(
            "POST",
            f"{settings.OPENLINEAGE_URL}/api/v1/lineage",
            body=words.encode(),
            headers=headers,
            timeout=urllib3.Timeout(total=TIMEOUT_SECONDS),
            redirect=False,
            preload_content=False,
        )
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as exc:
        return f"{type(exc).__name__}"
    answer.release_conn()
    return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"
