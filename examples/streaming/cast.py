"""Pick the viewer whom the demo talks about, from the generated files.
Not for computing features: what the demo prints about the viewer comes from the product."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from examples.streaming.generate import data_end
from examples.streaming.segments import WINDOW

WATCHES, GENRE = 47, "documentary"


def power_user_of_the_demo(data_dir: Path) -> int:
    """Return the id of a power user, best one with about 47 watches in 30 days, a documentary last.

    :raises LookupError: there is no data yet, or nobody is a power user.
    """
    watches, last_genre = _recent_watching(data_dir)
    viewers = [user for user in _power_users(data_dir) if user in watches]
    if not viewers:
        raise LookupError(f"{data_dir} has no power user: generate it with more users")
    return min(
        viewers, key=lambda user: (last_genre[user] != GENRE, abs(watches[user] - WATCHES), user)
    )


def _power_users(data_dir: Path) -> list[int]:
    snapshots = sorted((data_dir / "user_segments").glob("*.parquet"))
    if not snapshots:
        return []
    power_users = pq.read_table(snapshots[-1], filters=pc.field("segment") == "power_user")
    user_ids: list[int] = power_users["user_id"].to_pylist()
    return user_ids


def _recent_watching(data_dir: Path) -> tuple[dict[int, int], dict[int, str]]:
    """Watches in the last 30 days, and the genre of the last one, by user id."""
    end = data_end(data_dir)
    if end is None:
        raise LookupError(f"{data_dir} has no events: run examples.streaming.generate first")
    recent = pc.field("watched_at") > end - WINDOW
    events = pq.read_table(data_dir / "watch_events", filters=recent).sort_by("watched_at")
    # "last" keeps to the order of the rows only on one thread.
    viewers = events.group_by("user_id", use_threads=False).aggregate(
        [("title_id", "count"), ("genre", "last")]
    )
    user_ids = viewers["user_id"].to_pylist()
    watches = dict(zip(user_ids, viewers["title_id_count"].to_pylist(), strict=True))
    return watches, dict(zip(user_ids, viewers["genre_last"].to_pylist(), strict=True))
