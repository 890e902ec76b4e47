"""Materialization's words: its audit verbs as sentences, the tones of its badges.

Not for words of other apps: each has its own ``words`` and registers them when it starts.
"""

from __future__ import annotations

from functools import partial

from materialization.choices import (
    AlertState,
    CertificateStatus,
    LetterState,
    PartState,
    QuarantineState,
    RunStatus,
    Severity,
)
from registry import verbs
from registry.markup import register_tones
from registry.verbs import Verb

#: Runs have a list and pages of their own. How one ended is not its requester's doing: the sentence
#: is about the run.
_run = partial(Verb, is_routine=True)
_ended = partial(_run, is_outcome=True)

VERBS = {
    "alert_channel.created": Verb("added the alert channel", "add_alert"),
    "alert_channel.changed": Verb("changed the alert channel", "edit_notifications"),
    "alert_channel.removed": Verb("removed the alert channel", "notifications_off"),
    "alert_channel.tested": Verb("tested the alert channel", "notifications_active"),
    "dead_letter.dismissed": Verb("left out for good", "mail_off"),
    "dead_letter.replayed": Verb("had a record read again,", "replay"),
    "stream.moved": Verb("said where to read on in", "moving"),
    "alert.acknowledged": Verb("acknowledged", "notifications_paused"),
    "budget.changed": Verb("changed what may be stored of", "data_thresholding"),
    "certificate.requested": Verb("asked for", "verified"),
    "certificate.differed": Verb("found differences", "difference", is_outcome=True),
    "certificate.repaired": Verb("put differences right", "build", is_outcome=True),
    "baseline.recorded": Verb("got the baseline of its approval", "straighten", is_outcome=True),
    "baseline.set": Verb("set a new baseline of", "straighten"),
    "feature_table.dropped_online": Verb("dropped online"),
    "feature_table.loss_accepted": Verb("gave up the stored data", "delete_sweep"),
    "materialization_run.requested": _run("asked for", "play_circle"),
    "materialization_run.cancel_requested": _run("cancel requested"),
    "materialization_run.cancelled": _run("cancelled"),
    "materialization_run.pause_requested": _run("pause requested"),
    "materialization_run.paused": _run("paused", "pause_circle"),
    "materialization_run.resumed": _run("resumed", "play_circle"),
    "materialization_run.requeued": _ended("was queued again"),
    "materialization_run.succeeded": _ended("succeeded", "task_alt"),
    "materialization_run.failed": _ended("failed", "error"),
    "materialization_run.errored": _ended("errored", "error"),
    "quarantine.read": Verb("read rows that checks refused of", "visibility", is_routine=True),
    "quarantine.released": Verb("released the rows that checks refused of", "lock_open"),
    "quarantine.discarded": Verb("threw away the rows that checks refused of", "delete"),
    "quarantine.expired": Verb("gave up the rows that checks refused of", "auto_delete"),
    "schedule.changed": Verb("changed the schedule", "tune"),
}
TONES: dict[str, str] = {
    RunStatus.QUEUED: "neutral",
    RunStatus.RUNNING: "info",
    RunStatus.SUCCEEDED: "good",
    RunStatus.FAILED: "bad",
    RunStatus.ERRORED: "bad",
    RunStatus.CANCELLED: "neutral",
    RunStatus.PAUSED: "neutral",
    # alerts
    "failing": "bad",
    "drifted": "warn",
    "kept": "good",
    Severity.CRITICAL: "bad",
    Severity.WARNING: "warn",
    AlertState.OPEN: "bad",
    AlertState.ACKNOWLEDGED: "info",
    AlertState.CLOSED: "good",
    # streams
    PartState.READING: "good",
    PartState.STOPPED: "bad",
    LetterState.TAKEN: "good",
    LetterState.DISMISSED: "neutral",
    # certificates
    CertificateStatus.EQUAL: "good",
    CertificateStatus.DIFFERENT: "bad",
    # quarantine
    QuarantineState.HELD: "bad",
    QuarantineState.RELEASING: "info",
    QuarantineState.RELEASED: "good",
    QuarantineState.DISCARDED: "neutral",
    QuarantineState.SUPERSEDED: "neutral",
    # checks that only warn
    "warns": "warn",
    # schedules
    "on": "good",
    # what the offline store says of a table
    "no answer": "bad",
    "missing": "bad",
    # what is searched, when rows came since
    "behind": "warn",
    # what a view may take
    "nearly full": "warn",
    # checks; one that did not pass has failed, as a run has
    "passed": "good",
}


def register() -> None:
    verbs.register(VERBS)
    register_tones(TONES)
