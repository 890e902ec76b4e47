"""Filling the online store again after a total loss, by this process and its children, at once.

The same reload runs as the sweep asks for, under the same claims: workers and sweep may do some of
them meanwhile, and a table is readable as soon as it is complete. Killed and called again it goes
on with the tables that are not complete.
"""

from __future__ import annotations

import multiprocessing
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from django.db import connections
from django.db.models import Q

from lib.errors import Unavailable
from materialization.choices import LIVE_STATUSES, RunKind, RunStatus
from materialization.models import MaterializationRun
from materialization.requests.reloads import lacking_tables
from materialization.requests.runs import request_run
from materialization.requests.sweep import requeue_dead
from materialization.runner.run import run as perform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

#: Seconds between two looks at how far the runs are.
LOOK_EVERY = 0.5


class Progress(NamedTuple):
    """One table that is done: the run that loaded it, and how many are left."""

    run: MaterializationRun
    left: int


def ask_for_reloads(
    *, project: str | None, feature_view: str | None, at: datetime
) -> list[MaterializationRun]:
    """Queue a reload of each table that readers find not loaded, or not completely.

    A live run of a table is taken as it is: whatever it does, it ends with loading.
    """
    runs = []
    for version, end in lacking_tables(at=at):
        view = version.feature_view
        if project not in (None, view.project.name) or feature_view not in (None, view.name):
            continue
        run = request_run(version=version, window_end=end, at=at, actor=None, kind=RunKind.RELOAD)
        runs.append(run)
    return runs


def rebuild(
    runs: Sequence[MaterializationRun],
    *,
    processes: int,
    say: Callable[[Progress], None],
    clock: Callable[[], datetime],
) -> list[MaterializationRun]:
    """Perform the runs in so many processes until none is live; return them as they ended.

    ``say`` is told of each as it ends. A run that another worker has is waited for, and taken over
    when its lease is over.
    """
    left = {run.pk for run in runs}
    helpers: list[multiprocessing.process.BaseProcess] = []
    try:
        while left:
            helpers = [each for each in helpers if each.is_alive()]
            if not helpers and (due := _due(left, at=clock())):
                helpers = _started(due, processes, clock)
            for run in _ended(left):
                left.discard(run.pk)
                say(Progress(run, len(left)))
            if left:
                time.sleep(LOOK_EVERY)
                requeue_dead(at=clock())
    finally:
        for each in helpers:
            each.terminate() if left else each.join()
    return list(_of({run.pk for run in runs}))


def _of(keys: Iterable[int]) -> Iterable[MaterializationRun]:
    related = "version__feature_view__project", "table"
    return MaterializationRun.objects.select_related(*related).filter(pk__in=list(keys))


def _ended(keys: Iterable[int]) -> list[MaterializationRun]:
    return [run for run in _of(keys) if run.status not in LIVE_STATUSES]


def _due(keys: Iterable[int], *, at: datetime) -> list[int]:
    """Return the runs that wait for a worker, and not for an outage to end."""
    now = Q(retry_at=None) | Q(retry_at__lte=at)
    waiting = MaterializationRun.objects.filter(now, pk__in=list(keys), status=RunStatus.QUEUED)
    return list(waiting.order_by("id").values_list("pk", flat=True))


def _started(
    runs: list[int], count: int, clock: Callable[[], datetime]
) -> list[multiprocessing.process.BaseProcess]:
    """Start processes that go through the same list: of each run the first to claim it has it.

    One is this process itself, and what it does is done when it returns.
    """
    if count == 1 or len(runs) == 1:
        _perform_all(runs, 0, clock)
        return []
    connections.close_all()  # each process opens its own
    context = multiprocessing.get_context("fork")
    made = [
        context.Process(target=_perform_all, args=(runs, number, clock), daemon=True)
        for number in range(min(count, len(runs)))
    ]
    for each in made:
        each.start()
    return list(made)


def _perform_all(runs: list[int], number: int, clock: Callable[[], datetime]) -> None:
    worker = f"rebuild_online@{socket.gethostname()}-{number}"
    for run_id in runs:
        with suppress(Unavailable):  # it is queued again, and tried when it has paused
            perform(run_id=run_id, worker=worker, clock=clock)
