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
    #: It had ended well; what it kept is removed, and its row stays.
    ENDED = "ended"
    #: Somebody wanted it no more.
    CANCELLED = "cancelled"


LIVE_WORK = (WorkStatus.QUEUED, WorkStatus.RUNNING)


class Verdict(StrEnum):
    """What computing a dataset again found."""

    EQUAL = "equal"
    DIFFERENT = "different"


class Door(StrEnum):
    """By which way something was read."""

    ONLINE = "online"
    CONTEXT = "context"
    SEARCH = "search"
    HISTORICAL = "historical"
    JOB = "job"
    DATASET = "dataset"
    DOWNLOAD = "download"
    FILES = "files"
