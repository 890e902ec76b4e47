"""The stream of who read what, and the table it ends up in."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from materialization.stores.offline_protocol import OfflineStoreUnavailable
from materialization.stores.usage_stream import Batch, UsageStream
from materialization.stores.usage_table import MANY, UsageAt, UsageTable

SCHEMA = pa.schema([("project", pa.string()), ("day", pa.date32()), ("n", pa.int64())])
ROOM = 1 << 20


@pytest.fixture
def stream(online_redis) -> UsageStream:
    return UsageStream(online_redis)


@pytest.fixture
def table(tmp_path) -> UsageTable:
    return UsageTable(UsageAt(str(tmp_path / "usage")), SCHEMA)


def rows(n: int, day: date = date(2026, 3, 1), project: str = "rides") -> pa.Table:
    return pa.Table.from_pylist([{"project": project, "day": day, "n": n}], SCHEMA)


def numbers(table: UsageTable) -> list[int]:
    found = table.batches(["n"], pc.field("project") == "rides")
    return sorted(n for batch in found for n in batch["n"].to_pylist())


def test_a_batch_that_is_sent_again_is_taken_once(stream):
    for _ in range(3):
        assert stream.add(Batch(b"one", 1, b"first", 5, 2), most_bytes=ROOM)
    stream.add(Batch(b"one", 2, b"second", 1), most_bytes=ROOM)
    stream.add(Batch(b"two", 1, b"third", 1), most_bytes=ROOM)

    found = stream.entries(after=0, until=stream.last(), count=10)
    assert [entry.data for entry in found] == [b"first", b"second", b"third"]
    assert [entry.number for entry in found] == sorted({entry.number for entry in found})
    assert stream.dropped() == 2


def test_what_has_no_room_is_dropped_and_counted(stream):
    assert stream.add(Batch(b"one", 1, b"x" * 100, 5), most_bytes=ROOM)
    assert not stream.add(Batch(b"one", 2, b"x" * ROOM, 7, 1), most_bytes=ROOM)

    assert (stream.waiting(), stream.dropped()) == (1, 8)


def test_nothing_is_dropped_for_what_may_be_left_out(stream, online_redis):
    """The room of all else is full before one is dropped, whatever its entries take beside it.

    Compared by the memory that Redis tells: how many entries fit differs by a few, for what it
    takes to find one depends on the milliseconds that its name has.
    """
    chance, least = random.Random(71), b"l" * 9_000

    def taken(sizes: list[int]) -> tuple[int, int]:
        online_redis.flushdb()
        for number, more in enumerate(sizes, 1):
            whole = Batch(b"one", number, b"m" * more + least, 1, least=least if more else b"")
            stream.add(whole, most_bytes=ROOM)
        found = [entry.data for entry in stream.entries(after=0, until=stream.last(), count=999)]
        assert stream.dropped() == len(sizes) - len(found) > 0
        more = sum(len(data) - len(least) for data in found)
        memory = online_redis.memory_usage("a:{usage}:log", samples=0)
        assert ROOM - len(least) < memory - more
        assert memory < 1.35 * ROOM
        return len(found), more

    assert taken([0] * 130)[1] == 0
    for large, share in ((300_000, 0.8), (20_000, 0.8), (300, 0.05)):
        found, more = taken([chance.randrange(large) for _ in range(130)])
        assert found <= ROOM // len(least), large
        assert share * ROOM / 4 < more <= ROOM / 4, large
    stream.trim(until=stream.last())
    assert stream.add(Batch(b"two", 1, b"m" * (ROOM // 5) + least, 1, least=least), most_bytes=ROOM)
    [entry] = stream.entries(after=0, until=stream.last(), count=9)
    assert len(entry.data) > ROOM // 5


def test_entries_behind_a_number_are_given_and_forgotten(stream):
    for number in range(1, 6):
        stream.add(Batch(b"one", number, str(number).encode(), 1), most_bytes=ROOM)
    names = [entry.number for entry in stream.entries(after=0, until=stream.last(), count=10)]

    found = stream.entries(after=names[1], until=names[3], count=10)
    assert [entry.data for entry in found] == [b"3", b"4"]
    stream.trim(until=names[2])
    assert [e.data for e in stream.entries(after=0, until=stream.last(), count=9)] == [b"4", b"5"]
    waits = stream.waits_since_ms()
    assert waits is not None
    assert 0 <= waits < 60_000


def test_only_one_stores_at_a_time(stream):
    with stream.draining() as first, stream.draining() as second:
        assert (first, second) == (True, False)
    with stream.draining() as third:
        assert third


def test_rows_are_added_once_for_a_number(table):
    assert table.last("t") is None
    assert table.append(rows(1), transaction="t", number=7, after=None)
    assert not table.append(rows(2), transaction="t", number=7, after=None)
    assert table.append(rows(3), transaction="t", number=9, after=7)
    assert table.append(rows(4), transaction="u", number=1, after=None)

    assert (table.last("t"), numbers(table)) == (9, [1, 3, 4])


def test_of_many_at_once_one_adds(tmp_path):
    def append(n: int) -> bool:
        own = UsageTable(UsageAt(str(tmp_path / "usage")), SCHEMA)
        return own.append(rows(n), transaction="t", number=1, after=None)

    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(append, range(6)))

    assert sum(done) == 1
    assert numbers(UsageTable(UsageAt(str(tmp_path / "usage")), SCHEMA)) == [done.index(True)]


def test_days_are_removed_and_files_made_few(table, tmp_path):
    first = date(2026, 3, 1)
    for n in range(MANY):
        table.append(rows(n), transaction="t", number=n, after=n - 1 if n else None)
    table.append(rows(99, first - timedelta(days=1)), transaction="u", number=1, after=None)

    assert table.remove_before(first) == 1
    table.care(keep=timedelta(0))

    assert numbers(table) == list(range(MANY))
    assert len(list((tmp_path / "usage").glob("project=rides/day=2026-03-01/*.parquet"))) == 1
    assert not list((tmp_path / "usage").glob("project=rides/day=2026-02-28/*.parquet"))
    assert table.last("t") == MANY - 1


def test_a_table_that_cannot_be_read_says_so(table, tmp_path):
    table.append(rows(1), transaction="t", number=1, after=None)
    (tmp_path / "usage/_delta_log/00000000000000000001.json").write_text("{")

    with pytest.raises(OfflineStoreUnavailable, match="cannot be read"):
        table.last("t")


def test_before_the_first_there_is_nothing(table):
    assert numbers(table) == []
    assert table.remove_before(date(2026, 3, 1)) == 0
    table.care(keep=timedelta(hours=1))


def test_a_table_that_was_begun_when_less_was_noted_goes_on(table, tmp_path):
    table.append(rows(1), transaction="t", number=1, after=None)
    struct = pa.struct([("a", pa.timestamp("us", tz="UTC"))])
    more = pa.schema([*SCHEMA, ("samples", pa.list_(struct)), ("unkept", pa.int64())])
    later = UsageTable(UsageAt(str(tmp_path / "usage")), more)

    def kept() -> list[tuple[object, ...]]:
        found = later.batches(["n", "unkept", "samples"], pc.scalar(True))
        return sorted(tuple(row.values()) for batch in found for row in batch.to_pylist())

    assert kept() == [(1, None, None)]
    row = {"project": "rides", "day": date(2026, 3, 2), "n": 2, "samples": [], "unkept": 3}
    later.append(pa.Table.from_pylist([row], more), transaction="t", number=2, after=1)
    assert kept() == [(1, None, None), (2, 3, [])]
    assert (numbers(table), later.last("t")) == ([1, 2], 2)
