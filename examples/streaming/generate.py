"""Write the data of the streaming service; run again, append the hours that are missing.
Files and command line only: ``viewing.py`` and ``segments.py`` say what is in the rows."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from examples.streaming.segments import LOADED_UNTIL, WINDOW, snapshot
from examples.streaming.viewing import MAX_LATENESS_HOURS, Viewers, make_viewers, watch_events

DEFAULT_DATA_DIR = Path(__file__).parent / "data"
DEFAULT_USERS, DEFAULT_SEED, DEFAULT_DAYS = 4000, 7, 90
STATE_FILE = "streaming.json"
DAY = timedelta(days=1)
# No segments before a week of watching: they would say more about the week than about the viewer.
FIRST_SNAPSHOT_AFTER = timedelta(days=7)
HOUR_FORMAT = "%Y%m%dT%H%MZ"


class DataDoesNotMatch(ValueError):
    """The folder holds data of another seed or number of users, or something else altogether."""


@dataclass(frozen=True)
class State:
    """What the data was made from, kept in a small JSON file beside it.

    The end of the data is not here: the names of the event files carry it, and a file appears
    whole or not at all, so an interrupted run leaves nothing that the next one does not complete.
    """

    seed: int
    users: int
    start: str

    @property
    def start_at(self) -> datetime:
        return datetime.fromisoformat(self.start)


@dataclass(frozen=True)
class Generated:
    """What there is after a run, from ``start`` to ``end``, and what that run added."""

    data_dir: Path
    start: datetime
    end: datetime
    new_events: int
    new_snapshots: int


def generate(
    data_dir: Path,
    *,
    at: datetime,
    users: int | None = None,
    seed: int | None = None,
    days: int = DEFAULT_DAYS,
) -> Generated:
    """Bring the data up to the whole hour before ``at``; a new folder begins ``days`` earlier.

    A row is written once it was loaded by then, so late rows come with a later run. Existing files
    are never touched, and the rows do not depend on how many runs it took to write them.

    :raises DataDoesNotMatch: the folder was made with another ``seed`` or other ``users``.
    """
    end = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    state = _open_state(data_dir, start=end - days * DAY, users=users, seed=seed)
    viewers = make_viewers(seed=state.seed, users=state.users)
    new_snapshots = _append_segments(data_dir, state, viewers, end)
    new_events = _append_events(data_dir, state, viewers, end)
    known_end = data_end(data_dir) or state.start_at
    return Generated(data_dir, state.start_at, known_end, new_events, new_snapshots)


def data_end(data_dir: Path) -> datetime | None:
    """Return the hour up to which events were loaded, or None when there are none yet."""
    files = (data_dir / "watch_events").glob("*.parquet")
    ends = [datetime.strptime(file.stem.split("_")[1], HOUR_FORMAT) for file in files]  # noqa: DTZ007
    return max(ends).replace(tzinfo=UTC) if ends else None


def _open_state(data_dir: Path, *, start: datetime, users: int | None, seed: int | None) -> State:
    """Read the folder's state, or begin it; what was asked for must agree with what is there."""
    path = data_dir / STATE_FILE
    if not path.exists():
        if data_end(data_dir):
            raise DataDoesNotMatch(
                f"{data_dir} has events but no {STATE_FILE}: remove the folder or choose another"
            )
        state = State(_or(seed, DEFAULT_SEED), _or(users, DEFAULT_USERS), start.isoformat())
        _replace_with(path, json.dumps(asdict(state), indent=2).encode() + b"\n")
        return state
    state = State(**json.loads(path.read_text()))
    asked = (_or(seed, state.seed), _or(users, state.users))
    if asked != (state.seed, state.users):
        raise DataDoesNotMatch(
            f"{data_dir} was made with seed {state.seed} and {state.users} users,"
            f" not seed {asked[0]} and {asked[1]} users:"
            " leave both out to append, or choose another folder"
        )
    return state


def _append_events(data_dir: Path, state: State, viewers: Viewers, end: datetime) -> int:
    """Write the rows loaded since the last run, a file a day, oldest first; return how many."""
    loaded_until = data_end(data_dir) or state.start_at
    first = max(state.start_at, loaded_until - timedelta(hours=MAX_LATENESS_HOURS))
    events = watch_events(viewers, first=first, end=end).sort_by("loaded_at")
    written = 0
    for after, until in _day_windows(loaded_until, end):
        loaded = (pc.field("loaded_at") > after) & (pc.field("loaded_at") <= until)
        rows = events.filter(loaded)
        name = f"{after.strftime(HOUR_FORMAT)}_{until.strftime(HOUR_FORMAT)}.parquet"
        _write(data_dir / "watch_events" / name, rows)
        written += len(rows)
    return written


def _append_segments(data_dir: Path, state: State, viewers: Viewers, end: datetime) -> int:
    """Write the daily snapshots that are missing and loaded by ``end``; return how many."""
    paths = {
        day: data_dir / "user_segments" / f"{day:%Y%m%d}.parquet" for day in _nights(state, end)
    }
    missing = [day for day, path in paths.items() if not path.exists()]
    if not missing:
        return 0
    first = max(state.start_at, missing[0] - WINDOW)
    events = watch_events(viewers, first=first, end=missing[-1])
    for day in missing:
        _write(paths[day], snapshot(viewers, events, as_of=day, start=state.start_at))
    return len(missing)


def _nights(state: State, end: datetime) -> Iterator[datetime]:
    """The midnights whose snapshot is completely loaded by ``end``."""
    night = _midnight_after(state.start_at + FIRST_SNAPSHOT_AFTER)
    while night + LOADED_UNTIL <= end:
        yield night
        night += DAY


def _day_windows(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut ``(start, end]`` at each midnight; nothing when it is empty."""
    while start < end:
        until = min(_midnight_after(start), end)
        yield start, until
        start = until


def _midnight_after(at: datetime) -> datetime:
    return at.replace(hour=0) + DAY


def _write(path: Path, rows: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    _replace_with(path, sink.getvalue())


def _replace_with(path: Path, content: bytes) -> None:
    """Let the file appear under its name whole: whoever globs for it never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def _utc(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an ISO time such as 2026-01-31T12:00"
        ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(prog="examples.streaming.generate", description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_DATA_DIR)
    parser.add_argument("--users", type=_positive, help=f"first run only; default {DEFAULT_USERS}")
    parser.add_argument("--seed", type=_positive, help=f"first run only; default {DEFAULT_SEED}")
    parser.add_argument("--at", type=_utc, help="generate as if it were then (ISO); default now")
    args = parser.parse_args()
    try:
        done = generate(
            args.data_dir, at=args.at or datetime.now(UTC), users=args.users, seed=args.seed
        )
    except DataDoesNotMatch as error:
        parser.exit(2, f"{error}\n")
    print(
        f"{done.data_dir}: {done.new_events:,} watch events and {done.new_snapshots} snapshots of"
        f" segments added; data from {done.start:%Y-%m-%d %H:%M} to {done.end:%Y-%m-%d %H:%M} UTC"
    )


if __name__ == "__main__":
    main()
