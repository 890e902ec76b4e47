"""The streaming example's generator: what it promises about its rows, its files and later runs.
Not for the definitions: see ``test_definitions.py``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from examples.streaming.cast import power_user_of_the_demo
from examples.streaming.generate import DataDoesNotMatch, data_end, generate
from examples.streaming.segments import SEGMENTS_SCHEMA
from examples.streaming.viewing import EVENTS_SCHEMA

AT = datetime(2026, 3, 1, 14, 33, tzinfo=UTC)
END = datetime(2026, 3, 1, 14, tzinfo=UTC)
USERS = 300


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty days of 300 users; tests only read it."""
    folder = tmp_path_factory.mktemp("streaming")
    generate(folder, at=AT, users=USERS, days=40)
    return folder


def rows(data_dir: Path, folder: str) -> pa.Table:
    order = [("loaded_at", "ascending"), ("user_id", "ascending")]
    return pq.read_table(data_dir / folder).sort_by(order)


def files(data_dir: Path) -> dict[str, bytes]:
    paths = (path for path in data_dir.rglob("*") if path.is_file())
    return {str(path.relative_to(data_dir)): path.read_bytes() for path in paths}


def test_the_files_have_the_columns_that_the_definitions_name(data_dir: Path) -> None:
    assert rows(data_dir, "watch_events").schema.equals(EVENTS_SCHEMA)
    assert rows(data_dir, "user_segments").schema.equals(SEGMENTS_SCHEMA)


def test_the_data_ends_at_the_whole_hour(data_dir: Path) -> None:
    events, segments = rows(data_dir, "watch_events"), rows(data_dir, "user_segments")

    assert data_end(data_dir) == END
    assert pc.max(events["loaded_at"]).as_py() <= END
    assert pc.max(segments["loaded_at"]).as_py() <= END
    assert pc.min(events["watched_at"]).as_py() >= END - timedelta(days=40)
    assert pc.all(pc.greater(events["loaded_at"], events["watched_at"])).as_py()


def test_the_same_arguments_give_the_same_files(data_dir: Path, tmp_path: Path) -> None:
    generate(tmp_path, at=AT, users=USERS, days=40)

    assert files(tmp_path) == files(data_dir)


def test_another_seed_gives_other_rows(data_dir: Path, tmp_path: Path) -> None:
    generate(tmp_path, at=AT, users=USERS, days=40, seed=8)

    assert not rows(tmp_path, "watch_events").equals(rows(data_dir, "watch_events"))


def test_many_small_runs_write_the_same_rows_as_one(data_dir: Path, tmp_path: Path) -> None:
    generate(tmp_path, at=END - timedelta(days=3), users=USERS, days=37)
    for hours_before in (71, 70, 49, 14, 13, 1, 0):
        generate(tmp_path, at=END - timedelta(hours=hours_before))

    assert rows(tmp_path, "watch_events").equals(rows(data_dir, "watch_events"))
    assert rows(tmp_path, "user_segments").equals(rows(data_dir, "user_segments"))


def test_a_later_run_appends_and_leaves_existing_files_alone(tmp_path: Path) -> None:
    generate(tmp_path, at=AT, users=USERS, days=10)
    before = files(tmp_path)

    done = generate(tmp_path, at=AT + timedelta(hours=2))

    assert done.end == END + timedelta(hours=2)
    assert before.items() < files(tmp_path).items()
    assert set(files(tmp_path)) - set(before) == {
        "watch_events/20260301T1400Z_20260301T1600Z.parquet"
    }


@pytest.mark.parametrize("at", [AT, AT + timedelta(minutes=20), AT - timedelta(days=1)])
def test_a_run_that_has_nothing_to_add_writes_nothing(tmp_path: Path, at: datetime) -> None:
    generate(tmp_path, at=AT, users=USERS, days=10)
    before = files(tmp_path)

    done = generate(tmp_path, at=at)

    assert (done.new_events, done.new_snapshots, done.end) == (0, 0, END)
    assert files(tmp_path) == before


def test_an_interrupted_run_is_completed_by_a_later_one(data_dir: Path, tmp_path: Path) -> None:
    generate(tmp_path, at=AT, users=USERS, days=40)
    for path in [
        *sorted((tmp_path / "watch_events").iterdir())[5:],
        tmp_path / "user_segments/20260215.parquet",
    ]:
        path.unlink()
    (tmp_path / "watch_events" / ".half.parquet.unfinished").write_bytes(b"PAR1")

    generate(tmp_path, at=AT)

    assert rows(tmp_path, "watch_events").equals(rows(data_dir, "watch_events"))
    assert rows(tmp_path, "user_segments").equals(rows(data_dir, "user_segments"))


def test_about_one_row_in_a_hundred_is_late_by_hours_to_two_days(data_dir: Path) -> None:
    events = rows(data_dir, "watch_events")
    delays = pc.subtract(events["loaded_at"], events["watched_at"]).to_pylist()
    late = [delay for delay in delays if delay > timedelta(minutes=10)]

    assert 0.005 < len(late) / len(delays) < 0.015
    assert timedelta(hours=2) <= min(late)
    assert timedelta(days=1) < max(late) <= timedelta(days=2)


def test_a_few_users_watch_much_and_most_watch_little(data_dir: Path) -> None:
    users = rows(data_dir, "watch_events").group_by("user_id").aggregate([("title_id", "count")])
    counts = sorted(users["title_id_count"].to_pylist(), reverse=True)

    assert sum(counts[: USERS // 10]) > 0.3 * sum(counts)
    assert counts[USERS // 2] < sum(counts) / USERS
    assert set(users["user_id"].to_pylist()) <= set(range(1001, 1001 + USERS))


def test_a_segment_counts_what_was_known_at_that_midnight(data_dir: Path) -> None:
    night = datetime(2026, 3, 1, tzinfo=UTC)
    snapshot = pq.read_table(data_dir / "user_segments/20260301.parquet")
    known = (
        (pc.field("watched_at") > night - timedelta(days=30))
        & (pc.field("watched_at") <= night)
        & (pc.field("loaded_at") <= night)
    )
    watches = rows(data_dir, "watch_events").filter(known)["user_id"].to_pylist()

    assert snapshot["user_id"].to_pylist() == list(range(1001, 1001 + USERS))
    assert set(snapshot["as_of"].to_pylist()) == {night}
    for user_id, segment in zip(
        *snapshot.select(["user_id", "segment"]).to_pydict().values(), strict=True
    ):
        count = watches.count(user_id)
        floor = {"power_user": 40, "regular": 10, "casual": 1, "dormant": 0}
        assert segment == next(name for name, least in floor.items() if count >= least)


def test_all_segments_occur_and_some_users_change_theirs(data_dir: Path) -> None:
    segments = rows(data_dir, "user_segments")
    kinds = segments.group_by("user_id").aggregate([("segment", "count_distinct")])

    assert set(segments["segment"].to_pylist()) == {"power_user", "regular", "casual", "dormant"}
    assert pc.sum(pc.greater(kinds["segment_count_distinct"], 1)).as_py() > USERS / 10


def test_the_demo_talks_about_a_power_user_who_watched_a_documentary_last(data_dir: Path) -> None:
    user_id = power_user_of_the_demo(data_dir)

    snapshot = pq.read_table(data_dir / "user_segments/20260301.parquet").to_pylist()
    watched = rows(data_dir, "watch_events").sort_by("watched_at").to_pylist()
    assert next(row["segment"] for row in snapshot if row["user_id"] == user_id) == "power_user"
    assert [row["genre"] for row in watched if row["user_id"] == user_id][-1] == "documentary"


def test_without_data_there_is_no_power_user(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="has no events: run"):
        power_user_of_the_demo(tmp_path)


@pytest.mark.parametrize("other", [{"users": 301}, {"seed": 8}])
def test_a_folder_of_another_crowd_is_refused(data_dir: Path, other: dict[str, int]) -> None:
    before = files(data_dir)

    with pytest.raises(DataDoesNotMatch, match="was made with seed 7 and 300 users"):
        generate(data_dir, at=AT + timedelta(days=1), **other)

    assert files(data_dir) == before


def test_events_without_their_state_are_refused(tmp_path: Path) -> None:
    generate(tmp_path, at=AT, users=USERS, days=2)
    (tmp_path / "streaming.json").unlink()

    with pytest.raises(DataDoesNotMatch, match=r"no streaming\.json"):
        generate(tmp_path, at=AT, users=USERS)


def test_seed_users_and_start_are_kept_beside_the_data(data_dir: Path) -> None:
    state = json.loads((data_dir / "streaming.json").read_text())

    assert state == {"seed": 7, "users": 300, "start": "2026-01-20T14:00:00+00:00"}
