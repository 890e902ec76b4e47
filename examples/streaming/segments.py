"""The daily segment of every viewer, from what was known to have been watched [pure].
Not for reading or writing: ``generate.py`` hands the events in and stores the snapshot."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from examples.streaming.viewing import COUNTRIES, FIRST_USER_ID, Ints, Viewers, to_us

WINDOW = timedelta(days=30)
# Watches in 30 days from which on a viewer belongs to the segment; below the last: dormant.
THRESHOLDS = {"power_user": 40, "regular": 10, "casual": 1}
NAMES = [*THRESHOLDS, "dormant"]
# The nightly job writes viewers in order of their ids between these two instants after midnight.
LOADED_FROM, LOADED_UNTIL = timedelta(minutes=20), timedelta(minutes=50)

SEGMENTS_SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("segment", pa.string()),
        ("country", pa.string()),
        ("as_of", pa.timestamp("us", tz="UTC")),
        ("loaded_at", pa.timestamp("us", tz="UTC")),
    ]
)


def snapshot(viewers: Viewers, events: pa.Table, *, as_of: datetime, start: datetime) -> pa.Table:
    """Return one row a viewer: the segment as of a midnight, in order of user id.

    Counts the events watched in the 30 days up to ``as_of`` that were loaded by then, so that
    nothing leaks in from later; in the first 30 days after ``start`` scales the count up.
    ``events`` must reach back 30 days, or to ``start``.
    """
    days_seen = min(WINDOW, as_of - start) / timedelta(days=1)
    rate = _watches(events, as_of, users=len(viewers.hourly_rate)) * (30 / days_seen)
    index = np.searchsorted(-np.array(list(THRESHOLDS.values())), -rate, side="left")
    users = len(index)
    loaded = np.linspace(to_us(as_of + LOADED_FROM), to_us(as_of + LOADED_UNTIL), users)
    return pa.table(
        [
            viewers.user_ids,
            pa.array(NAMES).take(pa.array(index)),
            pa.array(COUNTRIES).take(pa.array(viewers.country)),
            np.full(users, to_us(as_of)),
            loaded.astype(np.int64),
        ],
        schema=SEGMENTS_SCHEMA,
    )


def _watches(events: pa.Table, as_of: datetime, *, users: int) -> Ints:
    known = (pc.field("watched_at") > as_of - WINDOW) & (pc.field("loaded_at") <= as_of)
    user_ids = events.filter(known)["user_id"].to_numpy()
    return np.bincount(user_ids - FIRST_USER_ID, minlength=users)
