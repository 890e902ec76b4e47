"""Runs, schedules and alerts; one import place for the rest of the code."""

from __future__ import annotations

from materialization.models.alerts import Alert
from materialization.models.care import TableCare, TableSize, ViewBudget
from materialization.models.certificates import Certificate
from materialization.models.channels import AlertChannel, AlertNotice
from materialization.models.holds import FileHold
from materialization.models.processes import ProcessClock, SweepTurn
from materialization.models.profiles import Baseline, ProfileSpan
from materialization.models.quarantine import Quarantine
from materialization.models.runs import MaterializationRun, MaterializationSchedule
from materialization.models.stored import SourcePart, StoredWindow, TableSequence
from materialization.models.streams import DeadLetter, StreamConsumer, StreamPart
from materialization.models.vectors import VectorIndex

__all__ = [
    "Alert",
    "AlertChannel",
    "AlertNotice",
    "Baseline",
    "Certificate",
    "DeadLetter",
    "FileHold",
    "MaterializationRun",
    "MaterializationSchedule",
    "ProcessClock",
    "ProfileSpan",
    "Quarantine",
    "SourcePart",
    "StoredWindow",
    "StreamConsumer",
    "StreamPart",
    "SweepTurn",
    "TableCare",
    "TableSequence",
    "TableSize",
    "VectorIndex",
    "ViewBudget",
]
