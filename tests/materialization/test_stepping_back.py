"""How far a worker of runs steps back from other processes of the machine."""

from __future__ import annotations

import os

import pytest

from materialization import tasks


@pytest.mark.parametrize(
    ("niceness", "expected"), [(0, (0, "other")), (10, (10, "other")), (20, (0, "idle"))]
)
def test_a_worker_of_runs_steps_back_as_far_as_is_set(settings, niceness, expected):
    """In a process of its own: who has stepped back does not come forward again."""
    settings.RUN_NICENESS = niceness
    if (child := os.fork()) == 0:
        tasks._step_back()
        is_idle = os.sched_getscheduler(0) == os.SCHED_IDLE
        found = os.getpriority(os.PRIO_PROCESS, 0), "idle" if is_idle else "other"
        os._exit(0 if found == expected else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
