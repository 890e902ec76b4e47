"""Every enumeration of materialization, with its named groups. [pure]"""

from __future__ import annotations

from enum import StrEnum


class RunKind(StrEnum):
    BACKFILL = "backfill"
    INCREMENTAL = "incremental"
    #: What is stored of a range is compared with the source again; what lacks is stored.
    AGAIN = "again"
    #: The same of a range that somebody named, its ticks too: what differs becomes a correction.
    RECOMPUTE = "recompute"
    #: Nothing new is computed: the online store is filled again from the offline store.
    RELOAD = "reload"
    #: Nothing new is computed: what an earlier run's checks refused is published by decision.
    RELEASE = "release"


COMPARING_KINDS = (RunKind.AGAIN, RunKind.RECOMPUTE)
#: What keeps a table up to date, or somebody waits for: goes before what computes histories.
FIRST_KINDS = (RunKind.INCREMENTAL, RunKind.RELEASE)


class RunQueue(StrEnum):
    """Which workers a run waits for; each queue has processes of its own."""

    #: What computes: it may take hours, and as many at once as there are slots.
    RUNS = "runs"
    #: What readers wait for: their answers are 503 until it has ended.
    RELOADS = "reloads"


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    #: An expected refusal: a failed check, a missing file, a value of the wrong type.
    FAILED = "failed"
    #: Something nobody expected; the traceback is kept.
    ERRORED = "errored"
    CANCELLED = "cancelled"
    #: Stopped on request; it goes on where it stopped when somebody lets it.
    PAUSED = "paused"


#: What has a worker, or waits for one: one run a table.
LIVE_STATUSES = (RunStatus.QUEUED, RunStatus.RUNNING)
UNFINISHED_STATUSES = (*LIVE_STATUSES, RunStatus.PAUSED)
UNSUCCESSFUL_STATUSES = (RunStatus.FAILED, RunStatus.ERRORED)


class PartState(StrEnum):
    """What becomes of one partition of a stream."""

    #: Nobody reads it yet, or it cannot be taken now; it is tried again.
    WAITING = "waiting"
    READING = "reading"
    #: Records are gone, or are others: somebody has to say where to read on.
    STOPPED = "stopped"


class LetterState(StrEnum):
    """What becomes of a record that could not be taken."""

    WAITING = "waiting"
    #: Somebody wants it read again; a consumer does.
    ASKED = "asked"
    TAKEN = "taken"
    #: Somebody said why it is left out for good.
    DISMISSED = "dismissed"


#: Those that somebody has to see to still.
OPEN_LETTERS = (LetterState.WAITING, LetterState.ASKED)


class RunStep(StrEnum):
    """Where a run is, in order."""

    QUEUED = "queued"
    READING = "reading"
    OFFLINE = "offline"
    ONLINE = "online"
    DONE = "done"


class QuarantineState(StrEnum):
    """What became of the rows that a run's checks refused."""

    HELD = "held"
    #: Somebody decided to publish them; a run does.
    RELEASING = "releasing"
    RELEASED = "released"
    DISCARDED = "discarded"
    #: A later run stored, or holds, rows of the same time.
    SUPERSEDED = "superseded"
    #: Nobody decided for too long, or there was no more room.
    EXPIRED = "expired"


#: Their files are kept; in every other state they are removed.
KEPT_STATES = (QuarantineState.HELD, QuarantineState.RELEASING)


class Budgeted(StrEnum):
    """What of the stores a view has a budget of."""

    #: Bytes of its tables' files in the offline store.
    DISK = "disk"
    #: Keys of the online store, one an entity and table.
    KEYS = "keys"
    #: Bytes that those take.
    MEMORY = "memory"


class CertificateKind(StrEnum):
    """What is compared."""

    #: The rows of the online store with the latest stored ones.
    ONLINE = "online"
    #: The stored rows with those the source has.
    SOURCE = "source"


#: The code of the alert of a table that differs, by what it was compared with.
DIFFERS = {CertificateKind.ONLINE: "online_differs", CertificateKind.SOURCE: "source_differs"}


class CertificateStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    EQUAL = "equal"
    DIFFERENT = "different"
    #: Nothing can be said: a store was away, or the table is not loaded.
    FAILED = "failed"


LIVE_CERTIFICATES = (CertificateStatus.QUEUED, CertificateStatus.RUNNING)


class Span(StrEnum):
    """Of how much time one profile is, once those of its runs are merged."""

    DAY = "day"
    MONTH = "month"


class AlertKind(StrEnum):
    """What can be wrong; ``quality.alerts.causes`` says how grave each is."""

    OVERDUE = "overdue"
    FAILED = "failed"
    BLOCKED = "blocked"
    DRIFTED = "drifted"
    INCONSISTENT = "inconsistent"
    BROKEN_SERVICE = "broken_service"
    #: Approved by one person alone, and nobody has looked at it.
    BROKEN_GLASS = "broken_glass"
    SOURCE_CHANGED_SCHEMA = "source_changed_schema"
    STORE_NEARLY_FULL = "store_nearly_full"
    #: A kind of process is silent, or a queue stands still.
    STALLED = "stalled"
    #: A stream is read by nobody, or a part of it cannot be.
    STREAM_UNREAD = "stream_unread"
    #: Pushed rows that no worker brings into the offline store.
    UNDRAINED = "undrained"


class Severity(StrEnum):
    """How grave an alert is: readers are served wrongly or not at all, or will be if it lasts."""

    CRITICAL = "critical"
    WARNING = "warning"


class AlertState(StrEnum):
    OPEN = "open"
    #: Open, and somebody has said that they know.
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class NoticeEvent(StrEnum):
    """What a channel is told."""

    OPENED = "opened"
    CLOSED = "closed"
    TEST = "test"
    #: Of a review: submitted, commented on, decided.
    NEWS = "news"
