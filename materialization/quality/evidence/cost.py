"""What a version takes: what a trial read and made, and what the whole of it will take online.

Figures of the trial are measured; of the online store they are an estimate by rows of the trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from lib.instants import MICROSECOND
from materialization.stores.layout import layout_of
from materialization.ticks import DAY, every_us, ticks_between
from materialization.transforms.windows.telling import loaded_size

if TYPE_CHECKING:
    from datetime import datetime

    from materialization.compute.engine import Engine
    from materialization.quality.evidence.trial import Subject, Trial

#: What Redis needs for a key beside its bytes and its value's: its entry, its object, its expiry.
_PER_KEY = 96


def cost_of(subject: Subject, trial: Trial, *, engine: Engine) -> dict[str, Any]:
    """Return what was read and made, how long it took, and what the online store will hold."""
    keys, size = _online(trial, engine) if subject.spec.view.online else (0, 0)
    if trial.spec.has_windows_online:  # of each entity the events, in place of its newest row
        read, first = trial.counters.rows_read, trial.counters.first_event
        spans = 0 if first is None else (trial.window.end - first) // MICROSECOND
        size = loaded_size(trial.spec, rows=read, spans_us=spans)[1] + keys * _PER_KEY
    return {
        "source_bytes": subject.size,
        "parts": len(subject.source.parts()),
        "rows_read": trial.counters.rows_read,
        "rows_made": trial.counters.rows,
        "seconds": round(trial.seconds, 3),
        "offline_bytes": trial.bytes,
        "online_keys": keys,
        "online_bytes": size,
        "runs_a_day": runs_a_day(subject, until=trial.window.end),
    }


def _online(trial: Trial, engine: Engine) -> tuple[int, int]:
    """Return entities with a row in the trial, and about the bytes they take in Redis."""
    layout = layout_of(trial.spec, uid="a" * 8)
    keys = size = 0
    with engine.latest_rows(trial.files, trial.spec) as rows:
        for batch in rows:
            keys += batch.num_rows
            for column in (layout.arrow_keys(batch), layout.arrow_rows(batch)):
                size += int(np.sum(pc.binary_length(column).to_numpy(zero_copy_only=False)))
    return keys, size + keys * _PER_KEY


def runs_a_day(subject: Subject, *, until: datetime) -> float | None:
    """Return how often a day the schedule runs, or ticks; None: there is no schedule."""
    schedule = subject.spec.view.schedule
    if schedule is None:
        return None
    if period := every_us(schedule):
        return DAY / (period * MICROSECOND)
    week = 7 * DAY
    return len(ticks_between(schedule, until - week, until)) / 7
