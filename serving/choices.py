"""The words that serving stores. [pure]"""

from __future__ import annotations

from enum import StrEnum


class WorkStatus(StrEnum):
    """How far a worker is with something that was asked for."""

    QUEUED = "queued"
    RUNNING = "running"
    #: It ended well; what it found is in its row.
    DONE = "done"
    FAILED = "failed"


LIVE_WORK = (WorkStatus.QUEUED, WorkStatus.RUNNING)


class Verdict(StrEnum):
    """What computing a dataset again found."""

    EQUAL = "equal"
    DIFFERENT = "different"
