"""The viewers of the example and what they watch [pure]: seed and hour in, Arrow rows out.
Not for files, clocks or segments: see ``generate.py`` and ``segments.py``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

HOUR_US = 3_600_000_000
FIRST_USER_ID = 1001
FIRST_TITLE_ID = 10_001
TITLES_PER_GENRE = 120

# genre: (share of viewers who like it best, length of a title in minutes)
GENRES = {
    "drama": (0.22, 52.0),
    "comedy": (0.18, 28.0),
    "thriller": (0.14, 104.0),
    "documentary": (0.12, 58.0),
    "sci-fi": (0.11, 112.0),
    "animation": (0.10, 24.0),
    "romance": (0.08, 98.0),
    "crime": (0.05, 46.0),
}
# country: (share of viewers, hours ahead of UTC); without daylight saving time
COUNTRIES = {
    "US": (0.34, -6),
    "BR": (0.16, -3),
    "GB": (0.14, 0),
    "DE": (0.12, 1),
    "IN": (0.14, 5),
    "JP": (0.10, 9),
}
DEVICES = {"tv": 0.46, "mobile": 0.30, "web": 0.15, "tablet": 0.09}

# How much is watched in each local hour: least at four in the morning, most at nine in the evening.
HOUR_WEIGHTS = np.array(
    [9, 5, 3, 2, 1, 2, 4, 7, 8, 8, 9, 11, 14, 14, 13, 14, 17, 21, 27, 35, 42, 43, 33, 18]
)
WEEKEND_WEIGHT = 1.25
FAVOURITE_GENRE_SHARE = 0.55
FAVOURITE_DEVICE_SHARE = 0.70
LATE_SHARE = 0.01
MAX_LATENESS_HOURS = 48

EVENTS_SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("title_id", pa.int64()),
        ("genre", pa.string()),
        ("minutes_watched", pa.float64()),
        ("device", pa.string()),
        ("watched_at", pa.timestamp("us", tz="UTC")),
        ("loaded_at", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True)
class Viewers:
    """All viewers as columns; row ``i`` is the user ``FIRST_USER_ID + i``."""

    seed: int
    hourly_rate: Floats
    country: Ints
    favourite_genre: Ints
    favourite_device: Ints
    cycle_hours: Floats
    cycle_phase: Floats
    break_share: Floats

    @property
    def user_ids(self) -> Ints:
        return np.arange(FIRST_USER_ID, FIRST_USER_ID + len(self.hourly_rate), dtype=np.int64)

    def activity(self, hour: int) -> Floats:
        """Expected watches of each viewer in the hour since 1970; 0 for those on a break."""
        ahead = np.array([offset for _, offset in COUNTRIES.values()])[self.country]
        rate = self.hourly_rate * (HOUR_WEIGHTS / HOUR_WEIGHTS.mean())[(hour + ahead) % 24]
        # Day 0 of the epoch was a Thursday, so days 2 and 3 of each week are the weekend.
        rate = np.where(np.isin((hour + ahead) // 24 % 7, (2, 3)), rate * WEEKEND_WEIGHT, rate)
        on_break = (hour / self.cycle_hours + self.cycle_phase) % 1 < self.break_share
        return np.where(on_break, 0.0, rate)


def make_viewers(*, seed: int, users: int) -> Viewers:
    """Draw the lasting traits of ``users`` viewers: the same for the same arguments.

    One log-normal gives the skew: half watch fewer than 20 titles in 30 days, the busiest 240.
    """
    rng = np.random.default_rng([seed, users])
    return Viewers(
        seed=seed,
        hourly_rate=np.minimum(20 * np.exp(1.1 * rng.standard_normal(users)), 240) / (30 * 24),
        country=_pick([share for share, _ in COUNTRIES.values()], rng.random(users)),
        favourite_genre=_pick([share for share, _ in GENRES.values()], rng.random(users)),
        favourite_device=_pick(list(DEVICES.values()), rng.random(users)),
        cycle_hours=24 * (40 + 80 * rng.random(users)),
        cycle_phase=rng.random(users),
        break_share=0.7 * rng.random(users) ** 2,
    )


def watch_events(viewers: Viewers, *, first: datetime, end: datetime) -> pa.Table:
    """Return what was watched in ``[first, end)``, both whole hours, in any order of rows.

    An hour's rows depend on the viewers and the hour alone, never on the range that was asked for.
    """
    who, when, draws = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty((0, 7))]
    for hour in range(to_us(first) // HOUR_US, to_us(end) // HOUR_US):
        rng = np.random.default_rng([viewers.seed, hour])
        reach = np.cumsum(viewers.activity(hour))
        count = rng.poisson(reach[-1])
        who.append(np.searchsorted(reach, rng.random(count) * reach[-1], side="right"))
        when.append(hour * HOUR_US + (rng.random(count) * HOUR_US).astype(np.int64))
        draws.append(rng.random((count, 7)))
    return _to_table(viewers, np.concatenate(who), np.concatenate(when), np.concatenate(draws))


def to_us(at: datetime) -> int:
    """Whole microseconds since 1970, exact (``timestamp()`` is a float and is not)."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _to_table(viewers: Viewers, who: Ints, when: Ints, draws: Floats) -> pa.Table:
    taste, fame, patience, is_usual, device, is_late, delay = draws.T
    # What is left of the draw beyond the favourite's share chooses among all genres alike.
    beyond = (taste - FAVOURITE_GENRE_SHARE) / (1 - FAVOURITE_GENRE_SHARE)
    other = (beyond * len(GENRES)).astype(np.int64)
    genre = np.where(taste < FAVOURITE_GENRE_SHARE, viewers.favourite_genre[who], other)
    rank = (TITLES_PER_GENRE * fame**2).astype(np.int64)
    length = np.array([minutes for _, minutes in GENRES.values()])[genre]
    any_device = _pick(list(DEVICES.values()), device)
    chosen = np.where(is_usual < FAVOURITE_DEVICE_SHARE, viewers.favourite_device[who], any_device)
    return pa.table(
        [
            viewers.user_ids[who],
            FIRST_TITLE_ID + rank * len(GENRES) + genre,
            pa.array(GENRES).take(pa.array(genre)),
            np.round(length * patience**0.4, 1),
            pa.array(DEVICES).take(pa.array(chosen)),
            when,
            when + _delay_us(is_late, delay),
        ],
        schema=EVENTS_SCHEMA,
    )


def _delay_us(is_late: Floats, draw: Floats) -> Ints:
    """Microseconds from watching to loading: 5 seconds to 10 minutes; late: 2 hours to 2 days."""
    seconds = np.where(is_late < LATE_SHARE, 7200 * (MAX_LATENESS_HOURS / 2) ** draw, 5 * 120**draw)
    return (seconds * 1_000_000).astype(np.int64)


def _pick(shares: list[float], draws: Floats) -> Ints:
    """Turn uniform draws into indexes that occur in the given shares, which add up to 1."""
    return np.searchsorted(np.cumsum(shares)[:-1], draws, side="right")
