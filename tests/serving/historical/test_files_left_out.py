"""Files that cannot hold what a question asks about are not opened, and nothing is lost by it."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.limits import EngineLimits
from materialization.compute.questions import Timing
from materialization.models import FileHold
from materialization.stores.offline import DeltaOfflineStore
from materialization.stores.offline_values import StoredFile, TableAt
from registry.choices import Accuracy
from serving.datasets.holding import known_files, noted_files
from serving.historical.entity_frame import entity_frame
from serving.historical.features import JoinedFeature
from serving.historical.forms import ArrowFrame
from serving.historical.training_set import ViewPart, join_features
from serving.values import KeyColumn
from tests.materialization.aggregation_cases import make_view
from tests.materialization.store_cases import SPEC, batch, commit
from tests.materialization.temporal_cases import temporal
from tests.oracle import latest_known

DAY, HOUR, US = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
ENGINE = DuckDBEngine(EngineLimits(memory_limit_mb=256, threads=1, timeout_s=60))
NAMES = ("a", "b", "event_timestamp", "created_timestamp", "x")


@pytest.fixture
def store(tmp_path):
    return DeltaOfflineStore(tmp_path)


@pytest.fixture
def place(tmp_path):
    return TableAt(str(tmp_path / "rides" / "stats" / "abc"))


#: What is known of files: what the table says, what a dataset's hold has of that, of every second
#: file only, or nothing.
TOLD_BY = ("table", "hold", "half a hold", "nothing")


def part_of(store, place, spec, told_by="table"):
    snapshot = store.snapshot(place)
    known = {file.uri: file for file in snapshot.known}
    if told_by != "table":
        hold = FileHold(files=json.loads(json.dumps(noted_files(snapshot, spec))))
        known = known_files(hold, store.find_files(place, hold.names))
    if told_by == "half a hold":
        for file in [*known][::2]:
            known[file] = msgspec.structs.replace(known[file], first_event=None, last_event=None)
    if told_by == "nothing":
        known = known_files(FileHold(files=[{"name": name} for name in hold.names]), snapshot.files)
        assert known == {}
    return ViewPart("stats", spec, snapshot.files, ("x",), known=known)


def answer(part, asked, timing):
    keys = [KeyColumn(key.name, key.value_type, part.label) for key in part.spec.join_keys]
    columns = {
        "a": [a for a, _, _ in asked],
        "b": [b for _, b, _ in asked],
        "event_timestamp": pa.array([at for *_, at in asked], pa.timestamp("us", "UTC")),
    }
    frame = entity_frame(ArrowFrame(pa.table(columns)), keys)
    columns = [JoinedFeature("x", 0, "x", "float64")]
    return (
        join_features(frame, [part], columns, engine=ENGINE, timing=timing).table["x"].to_pylist()
    )


def days_of_rows(chance, day, number):
    """Rows of one day, some late by up to three."""
    return [
        (
            chance.choice("pq"),
            chance.choice("rs"),
            (event := START + day * DAY + timedelta(microseconds=chance.randrange(86_400 * 10**6))),
            event + chance.choice([0, 0, 0, 1, 30, 70]) * HOUR,
            float(number * 100 + n),
        )
        for n in range(6)
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ttl", [None, "1d", "5d"])
def test_answers_are_those_of_all_files_also_after_they_became_fewer(store, place, seed, ttl):
    chance = random.Random(seed)
    spec = msgspec.structs.replace(SPEC, view=msgspec.structs.replace(SPEC.view, ttl=ttl))
    days, rows = chance.sample(range(20), 12), []
    for number, day in enumerate(days, start=1):
        made = days_of_rows(chance, day, number)
        commit(store, place, [batch(*made)], sequence=number, transaction=f"run-{number}")
        rows += [{**dict(zip(NAMES, row, strict=True)), "__sequence": number} for row in made]
        if number == 7:
            cared = store.care(place, keep=DAY, compact=store.snapshot(place).version)
            assert cared is not None
    first = START + chance.randrange(18) * DAY
    asked = [
        (chance.choice("pq"), chance.choice("rs"), first + chance.random() * 2 * DAY)
        for _ in range(40)
    ]
    edges = [row["event_timestamp"] + (spec.ttl or DAY) for row in rows]
    asked += [(row["a"], row["b"], at) for row, at in zip(rows, edges, strict=True)][:3]

    for timing in Timing:
        expected = [
            latest_known(rows, {"a": a, "b": b}, at, ttl=spec.ttl, known=timing is Timing.KNOWN)
            for a, b, at in asked
        ]
        values = [row["x"] if row else None for row in expected]
        for told_by in TOLD_BY:
            assert answer(part_of(store, place, spec, told_by), asked, timing) == values


def test_a_hold_knows_of_its_files_what_the_table_does(store, place):
    for number in range(1, 4):
        row = ("p", "r", START + number * DAY + 1_234 * US, START + number * DAY, float(number))
        commit(store, place, [batch(row)], sequence=number, transaction=f"run-{number}")
    snapshot = store.snapshot(place)
    hold = FileHold(files=noted_files(snapshot, SPEC))

    assert known_files(hold, snapshot.files) == {file.uri: file for file in snapshot.known}


def test_a_file_of_another_time_is_not_opened(store, place):
    spec = msgspec.structs.replace(SPEC, view=msgspec.structs.replace(SPEC.view, ttl="2d"))
    for number in range(1, 6):
        row = ("p", "r", START + number * DAY, START + number * DAY, float(number))
        commit(store, place, [batch(row)], sequence=number, transaction=f"run-{number}")
    part = part_of(store, place, spec)
    lost = [file for file, its in part.known.items() if its.first_event != START + 3 * DAY]
    for file in lost:
        Path(file).unlink()

    assert len(lost) == 4
    asked = [("p", "r", START + 4 * DAY - US)]
    first = part._replace(spec=SPEC)
    assert len(first.files_for(0, 2**60)) == 5
    with pytest.raises(Exception, match="cannot be read"):
        answer(part, [*asked, ("p", "r", START + 5 * DAY)], Timing.EVENT)
    narrow = msgspec.structs.replace(spec, view=msgspec.structs.replace(spec.view, ttl="1d"))
    assert answer(part._replace(spec=narrow), asked, Timing.EVENT) == [3.0]


def file(name, first=None, last=None):
    return StoredFile(name, 1, 1, first, last)


def within(spec, known, first, last):
    part = ViewPart("v", spec, tuple(known), ("x",), known=known)
    us = [(at - datetime(1970, 1, 1, tzinfo=UTC)) // US for at in (first, last)]
    return "".join(part.files_for(*us))


KNOWN = {
    "a": file("a", START, START + DAY),
    "b": file("b", START + 5 * DAY, START + 6 * DAY),
    "c": file("c"),
    "d": file("d", None, START + DAY),
    "e": file("e", START + 9 * DAY, None),
}


@pytest.mark.parametrize(
    ("ttl", "days", "kept"),
    [(None, (7, 8), "abcd"), ("1d", (7, 8), "bc"), ("1d", (8, 9), "ce"), ("99d", (1, 2), "acd")],
)
def test_what_is_not_known_of_a_file_leaves_nothing_out(ttl, days, kept):
    spec = msgspec.structs.replace(SPEC, view=msgspec.structs.replace(SPEC.view, ttl=ttl))

    assert within(spec, KNOWN, *(START + day * DAY for day in days)) == kept


def test_events_matter_for_as_long_as_windows_and_the_ttl_reach():
    spec = temporal(make_view(columns=("x",), functions=("count",))[0])
    assert spec.view.accuracy is Accuracy.TEMPORAL
    at = START + 2 * DAY

    assert within(spec, KNOWN, at, at) == "acd"  # without a TTL the first event matters
    short = msgspec.structs.replace(spec, view=msgspec.structs.replace(spec.view, ttl="20h"))
    assert within(short, KNOWN, at, at) == "c"  # 3 hours and 20 end before
    long = msgspec.structs.replace(spec, view=msgspec.structs.replace(spec.view, ttl="21h"))
    assert within(long, KNOWN, at, at) == "acd"


def test_instants_that_python_has_not_leave_nothing_out():
    part = ViewPart("v", SPEC, ("a", "c"), ("x",), known=KNOWN)

    assert part.files_for(0, 2**62) == ("a", "c")
    assert part.files_for(-(2**62), -(2**61)) == ("a", "c")
