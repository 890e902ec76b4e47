"""Messages that are tried again: how long after each attempt, and what is said of a lost one."""

from __future__ import annotations

from datetime import timedelta

#: Until the next attempt, after each; then it is given up.
PAUSES = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=1),
)
UNENDED = "the attempt did not come to an end in its time"
