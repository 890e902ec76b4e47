"""The online store on a real Redis: the greatest row stays, whatever the order; memory, markers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from lib.connections import RedisUnreachable
from materialization.stores.online import (
    BadOnlineRows,
    EntityKey,
    Marker,
    OnlineStore,
    TableLayout,
    WriteResult,
    decode_rows,
    keys_for,
    layout_of,
    marker_key,
)
from registry.spec.model import (
    EntitySpec,
    FeatureSpec,
    FeatureViewSpec,
    JoinKey,
    VersionSpec,
)
from registry.spec.sources import FileSource, TimeColumn
from registry.spec.value_types import parse_type
from tests import servers

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INSTANT = pa.timestamp("us", tz="UTC")
INT, TEXT = parse_type("int64"), parse_type("string")
DRIVER = EntityKey(1, ("driver_id",), (INT,))
TRIPS = TableLayout("00000000000000a1", DRIVER, ("trips",), (INT,))
#: Around zero, the 32-bit halves, the last exact double, and the ends of what a datetime can hold.
EDGES = [
    -62135596800000000,
    -(2**53) - 1,
    -(2**53),
    -(2**32),
    -1,
    0,
    1,
    2**31,
    2**32 - 1,
    2**32,
    2**32 + 1,
]
EDGES += [2**53, 2**53 + 1, 2**53 + 2, 253402300799999999]
MICROS = st.sampled_from(EDGES) | st.integers(-62135596800000000, 253402300799999999)
RUNS = st.sampled_from([1, 2, 2**31, 2**53, 2**53 + 1]) | st.integers(1, 2**63 - 1)


@pytest.fixture
def store(online_redis):
    return OnlineStore(online_redis)


def batch(*rows: tuple[int, int, int, int, int], layout: TableLayout = TRIPS) -> pa.RecordBatch:
    """Make (driver, event µs, created µs, run, trips) rows an Arrow batch."""
    columns = list(zip(*rows, strict=True)) or [()] * 5
    kinds = [pa.int64(), INSTANT, INSTANT, pa.int64(), pa.int64()]
    arrays = [
        pa.array(column, pa.int64()).cast(kind) for column, kind in zip(columns, kinds, strict=True)
    ]
    names = ["driver_id", "event_timestamp", "created_timestamp", "__sequence", "trips"]
    return pa.RecordBatch.from_arrays(arrays, names)


def read(store: OnlineStore, *drivers: int) -> list[list[int | None]]:
    return decode_rows(store.read(keys_for(TRIPS, [drivers])), missing=TRIPS.missing)


def test_a_row_is_read_back_as_written(store, at):
    result = store.write(TRIPS, [batch((1001, 5, 6, 7, 42))], ttl=None, at=at)

    assert result == WriteResult(written=1, skipped=0)
    assert read(store, 1001, 1002) == [[5, 6, 7, 42], [None, None, None, None]]


def test_the_key_can_be_read_by_people():
    assert keys_for(TRIPS, [[1001, None]]) == [
        b"a:v:00000000000000a1:{1/driver_id:int64/1001}",
        b"a:v:-",
    ]


@given(rows=st.lists(st.tuples(MICROS, MICROS, RUNS), min_size=1, max_size=6), data=st.data())
@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_any_order_of_writes_leaves_the_greatest_triple(store, at, rows, data):
    store.drop(TRIPS.uid)
    order = data.draw(st.permutations([*rows, *rows]))
    cut = data.draw(st.integers(0, len(order)))

    for part in (order[:cut], order[cut:]):
        store.write(TRIPS, [batch(*[(1, *row, 0) for row in part])], ttl=None, at=at)

    assert read(store, 1) == [[*max(rows), 0]]


def test_a_replay_and_a_straggler_are_skipped(store, at):
    newest, older = batch((1, 20, 20, 2, 9)), batch((1, 20, 19, 3, 8))

    assert store.write(TRIPS, [newest, newest, older], ttl=None, at=at) == WriteResult(
        written=1, skipped=2
    )
    assert read(store, 1) == [[20, 20, 2, 9]]


def test_a_large_batch_is_cut_into_calls(store, at):
    rows = 21_001
    numbers = pa.array(range(rows))
    times = pa.array([0] * rows, pa.int64()).cast(INSTANT)
    whole = pa.RecordBatch.from_arrays(
        [numbers, times, times, pa.array([1] * rows), numbers], batch((1, 1, 1, 1, 1)).schema.names
    )

    assert store.write(TRIPS, [whole], ttl=timedelta(days=1), at=at) == WriteResult(rows, 0)
    assert [row[3] for row in read(store, 0, 20_999, 21_000)] == [0, 20_999, 21_000]


def test_a_server_that_lost_the_script_gets_it_again(store, online_redis, at):
    store.write(TRIPS, [batch((1, 1, 1, 1, 1))], ttl=None, at=at)
    online_redis.script_flush()

    store.write(TRIPS, [batch((1, 2, 2, 2, 2))], ttl=None, at=at)

    assert read(store, 1) == [[2, 2, 2, 2]]


# --- memory -------------------------------------------------------------------------------------


def milliseconds_left(online_redis, driver: int) -> int:
    return online_redis.pttl(keys_for(TRIPS, [[driver]])[0])


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(0), timedelta(days=3)),
        (timedelta(days=1), timedelta(days=2)),
        (timedelta(days=2), timedelta(days=1)),  # exactly at its TTL: only the grace is left
        (timedelta(days=400), timedelta(days=1)),  # long past it: still readable as OUTSIDE_MAX_AGE
    ],
)
def test_memory_is_freed_a_grace_after_the_ttl_or_the_write(store, online_redis, at, age, expected):
    event = (at - age - EPOCH) // timedelta(microseconds=1)

    store.write(
        TRIPS,
        [batch((1, event, event, 1, 1))],
        ttl=timedelta(days=2),
        at=at,
        grace=timedelta(days=1),
    )

    assert 0 <= expected / timedelta(milliseconds=1) - milliseconds_left(online_redis, 1) < 2_000


def test_without_a_ttl_nothing_expires_and_a_new_row_forgets_the_old_expiry(
    store, online_redis, at
):
    store.write(TRIPS, [batch((1, 1, 1, 1, 1))], ttl=timedelta(days=1), at=at)

    store.write(TRIPS, [batch((1, 2, 2, 2, 2))], ttl=None, at=at)

    assert milliseconds_left(online_redis, 1) == -1


def test_a_replay_under_a_longer_ttl_moves_the_expiry_and_a_shorter_one_does_not(
    store, online_redis, at
):
    event = (at - EPOCH) // timedelta(microseconds=1)
    row, grace = batch((1, event, event, 1, 1)), timedelta(milliseconds=1)

    left = []
    for days in (2, 5, 3):
        store.write(TRIPS, [row], ttl=timedelta(days=days), at=at, grace=grace)
        left.append(round(milliseconds_left(online_redis, 1) / 86_400_000))
    store.write(TRIPS, [row], ttl=None, at=at)

    assert left == [2, 5, 5]
    assert milliseconds_left(online_redis, 1) == -1


# --- keys ---------------------------------------------------------------------------------------


def test_composite_keys_are_never_concatenated(store, at):
    entity = EntityKey(1, ("a", "b"), (TEXT, TEXT))
    layout = TableLayout("00000000000000a2", entity, ("x",), (INT,))
    pairs = [
        ("1", "23"),
        ("12", "3"),
        ("1/2", "3"),
        ("1", "2/3"),
        ("", "1:23"),
        ("}", "{"),
        ("é", ""),
    ]
    times = pa.array([1] * len(pairs), pa.int64()).cast(INSTANT)
    rows = pa.RecordBatch.from_arrays(
        [
            *map(pa.array, zip(*pairs, strict=True)),
            times,
            times,
            pa.array([1] * len(pairs)),
            pa.array(range(len(pairs))),
        ],
        ["a", "b", "event_timestamp", "created_timestamp", "__sequence", "x"],
    )

    store.write(layout, [rows], ttl=None, at=at)
    found = decode_rows(
        store.read(keys_for(layout, list(zip(*pairs, strict=True)))), missing=layout.missing
    )

    assert [row[3] for row in found] == list(range(len(pairs)))


KEYS = {
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "string": st.text(st.characters(exclude_categories=["Cs"])),
    "bytes": st.binary(),
    "timestamp": st.datetimes(timezones=st.just(UTC)),
    "date": st.dates(),
}


@given(kinds=st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=3), data=st.data())
def test_reader_and_writer_give_an_entity_the_same_tag_and_no_two_share_one(kinds, data):
    types = tuple(parse_type(kind) for kind in kinds)
    names = tuple(f"k{i}" for i in range(len(kinds)))
    rows = data.draw(st.lists(st.tuples(*[KEYS[kind] for kind in kinds]), min_size=1, max_size=8))
    columns = list(zip(*rows, strict=True))
    arrays = [pa.array(column, kind.arrow) for column, kind in zip(columns, types, strict=True)]
    entity = EntityKey(1, names, types)

    tags = entity.tags(columns)

    assert tags == entity.arrow_tags(pa.RecordBatch.from_arrays(arrays, list(names))).to_pylist()
    assert len(set(tags)) == len({tuple(map(str, row)) for row in rows})


def test_the_type_is_part_of_the_key():
    assert EntityKey(1, ("id",), (INT,)).tags([[1]]) != EntityKey(1, ("id",), (TEXT,)).tags([["1"]])


def test_all_tables_of_an_entity_are_in_one_cluster_slot(store, online_redis):
    other = replace(TRIPS, uid="00000000000000b2")
    braces = EntityKey(1, ("s",), (TEXT,))
    layouts = [
        TableLayout(uid, braces, ("x",), (INT,)) for uid in ("00000000000000c3", "00000000000000d4")
    ]

    assert key_slot(keys_for(TRIPS, [[7]])[0]) == key_slot(keys_for(other, [[7]])[0])
    assert len({key_slot(keys_for(layout, [["}{"]])[0]) for layout in layouts}) == 1


# --- layout -------------------------------------------------------------------------------------


def version_spec(*, keys: list[tuple[str, str]], features: list[tuple[str, str]]) -> VersionSpec:
    view = FeatureViewSpec(
        name="v",
        entities=("e",),
        source="s",
        features=tuple(FeatureSpec(name=name, type=kind) for name, kind in features),
    )
    entity = EntitySpec(
        name="e", join_keys=tuple(JoinKey(name=name, type=kind) for name, kind in keys)
    )
    source = FileSource(name="s", path="x.parquet", event_timestamp=TimeColumn(column="t"))
    return VersionSpec(view=view, source=source, entities=(entity,))


def test_the_layout_does_not_depend_on_the_order_of_keys_or_features():
    one = version_spec(
        keys=[("a", "int64"), ("b", "string")], features=[("x", "int64"), ("y", "string")]
    )
    two = version_spec(
        keys=[("b", "string"), ("a", "int64")], features=[("y", "string"), ("x", "int64")]
    )

    layout = layout_of(one, uid="u", project_id=1)

    assert layout == layout_of(two, uid="u", project_id=1)
    assert (layout.entity.names, layout.features, layout.position("y")) == (
        ("a", "b"),
        ("x", "y"),
        4,
    )


def test_rows_that_cannot_be_right_are_refused_by_name(store, at):
    rows = batch((1, 1, 1, 1, 1))
    null_key = rows.set_column(0, "driver_id", pa.array([None], pa.int64()))
    text = rows.set_column(4, "trips", pa.array(["many"]))

    for wrong, name in (
        (null_key, "driver_id"),
        (text, "trips"),
        (rows.drop_columns("trips"), "trips"),
    ):
        with pytest.raises(BadOnlineRows, match=name):
            store.write(TRIPS, [wrong], ttl=None, at=at)


# --- markers, drop, health ----------------------------------------------------------------------


def test_a_marker_says_that_a_table_is_loaded(store, online_redis, at):
    assert store.marker(TRIPS.uid) is None

    store.mark_loaded(TRIPS.uid, generation=2, as_of=at, run=7)

    assert store.marker(TRIPS.uid) == Marker(generation=2, as_of=at, run=7)
    assert online_redis.exists(marker_key(TRIPS.uid))
    store.unmark(TRIPS.uid)
    assert store.marker(TRIPS.uid) is None


def test_a_load_is_marked_unless_redis_was_emptied_meanwhile(store, online_redis, at):
    ticket = store.begin_load(TRIPS.uid)
    online_redis.flushall()

    assert not store.finish_load(TRIPS.uid, ticket, as_of=at, run=7, ttl=None)
    assert store.marker(TRIPS.uid) is None

    ticket = store.begin_load(TRIPS.uid)
    assert store.finish_load(TRIPS.uid, ticket, as_of=at, run=7, ttl=timedelta(days=2))
    assert store.marker(TRIPS.uid) == Marker(generation=7, as_of=at, run=7, ttl=timedelta(days=2))


def test_a_load_that_a_snapshot_cut_in_two_is_not_marked(tmp_path, at):
    """The ticket is in the snapshot, half of the values is not."""
    with servers.redis_server(tmp_path) as url:
        client = redis.Redis.from_url(url)
        before = OnlineStore(client)
        ticket = before.begin_load(TRIPS.uid)
        before.write(TRIPS, [batch((1, 1, 1, 7, 10))], ttl=None, at=at)
        client.save()
        before.write(TRIPS, [batch((2, 1, 1, 7, 20))], ttl=None, at=at)
        client.shutdown(nosave=True)
    with servers.redis_server(tmp_path) as url:
        after = OnlineStore(redis.Redis.from_url(url))

        assert [row[3] for row in read(after, 1, 2)] == [10, None]
        assert not after.finish_load(TRIPS.uid, ticket, as_of=at, run=7, ttl=None)
        assert after.marker(TRIPS.uid) is None

        again = after.begin_load(TRIPS.uid)
        assert after.finish_load(TRIPS.uid, again, as_of=at, run=7, ttl=None)


def test_drop_removes_one_table_and_no_other(store, online_redis, at):
    other = replace(TRIPS, uid="00000000000000b2")
    for layout in (TRIPS, other):
        store.write(layout, [batch(*[(i, 1, 1, 1, 1) for i in range(1_200)])], ttl=None, at=at)
        store.mark_loaded(layout.uid, generation=1, as_of=at, run=1)

    assert store.drop(TRIPS.uid) == 1_200
    assert store.marker(TRIPS.uid) is None
    assert online_redis.dbsize() == 1_201


def test_a_redis_that_does_not_answer_is_unavailable(tmp_path, at):
    gone = OnlineStore(redis.Redis(unix_socket_path=str(tmp_path / "none.sock"), retry=None))

    for call in (
        lambda: gone.read([b"k"]),
        lambda: gone.marker("u"),
        lambda: gone.write(TRIPS, [batch((1, 1, 1, 1, 1))], ttl=None, at=at),
    ):
        with pytest.raises(RedisUnreachable):
            call()
