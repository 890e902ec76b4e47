"""Who read which sensitive features online, and how often: an entry of the trail for each period.

A read leaves a note in its process (``watching``), which adds them up here once a second; the sweep
writes the entries. Not for whether somebody may (``registry.grants``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model

from lib import rates
from lib.rates import Counting, Rate
from registry.models import Project
from registry.trail import excess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: What is counted, by name.
SENSITIVE_READS = "sensitive_reads"
#: Characters of the features' names that an entry has.
MOST_NAMES = 1000


def register() -> None:
    excess.register({SENSITIVE_READS: entry_of})


class SensitiveRead(NamedTuple):
    """One reader, and what of one version they read at once."""

    reader_id: int
    project: str
    version: str
    features: str


def note_reads(reads: Mapping[SensitiveRead, int], *, at: datetime) -> None:
    """Count reads, which the entry of their period will have."""
    rate = Rate(SENSITIVE_READS, 0, settings.SENSITIVE_READS_SECONDS)
    counts: dict[Counting, int] = {
        (rate, (str(read.reader_id), *read[1:])): number for read, number in reads.items()
    }
    rates.tally(counts, at=at)


def entry_of(reader_id: str, project: str, version: str, features: str) -> dict[str, Any]:
    """Return what the trail says of the reads of a period."""
    return {
        "actor": get_user_model().objects.filter(pk=reader_id).first(),
        "verb": "sensitive_features.read",
        "subject": None,
        "project": Project.objects.filter(name=project).first(),
        "label": version,
        "data": {"features": features.split(" "), "door": "online"},
    }
