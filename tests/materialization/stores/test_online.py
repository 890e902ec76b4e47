"""The online store on a real Redis: keys, bytes, memory, and a server that forgets or is away.

What any online store promises is in ``contracts``.
"""

from __future__ import annotations

import signal
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import cast

import pyarrow as pa
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from lib.connections import MOST_LENT, RedisRefused, RedisUnreachable, new_client
from materialization.stores.layout import (
    EntityKey,
    TableLayout,
    decode_rows,
    layout_of,
    marker_key,
)
from materialization.stores.online import RedisOnlineStore
from materialization.stores.online_commands import packed
from materialization.stores.online_protocol import Marker, Walked
from registry.epoch import epoch_keys
from registry.models.feature_view import new_uid
from registry.spec.model import EntitySpec, FeatureSpec, FeatureViewSpec, JoinKey
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.files import FileSource
from registry.spec.value_types import parse_type
from registry.spec.version_spec import VersionSpec
from tests import servers
from tests.materialization.store_cases import INSTANT, INT, TEXT, TRIPS, load, trips

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def store_on(client: redis.Redis) -> RedisOnlineStore:
    return RedisOnlineStore(client, epoch_keys=epoch_keys)


@pytest.fixture
def store(online_redis):
    return store_on(online_redis)


def keys_for(layout, columns):
    return layout.keys(layout.entity.tags(columns))


def stored(client: redis.Redis, *drivers: int) -> list[list[int | None]]:
    """Return the rows that lie in Redis, loaded or not."""
    found = cast("list[bytes | None]", client.mget(keys_for(TRIPS, [drivers])))
    return decode_rows(found, missing=TRIPS.missing)


def test_the_key_can_be_read_by_people():
    assert keys_for(TRIPS, [[1001, None]]) == [
        b"raaaaaaa2{1001}",
        b"r-",
    ]


def test_a_server_that_lost_the_script_gets_it_again(store, online_redis, at):
    store.write(TRIPS, [trips((1, 1, 1, 1, 1))], ttl=None, at=at)
    online_redis.script_flush()

    store.write(TRIPS, [trips((1, 2, 2, 2, 2))], ttl=None, at=at)

    assert stored(online_redis, 1) == [[2, 0, 2, 2]]


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
        [trips((1, event, event, 1, 1))],
        ttl=timedelta(days=2),
        at=at,
        grace=timedelta(days=1),
    )

    assert 0 <= expected / timedelta(milliseconds=1) - milliseconds_left(online_redis, 1) < 2_000


def test_without_a_ttl_nothing_expires_and_a_new_row_forgets_the_old_expiry(
    store, online_redis, at
):
    store.write(TRIPS, [trips((1, 1, 1, 1, 1))], ttl=timedelta(days=1), at=at)

    store.write(TRIPS, [trips((1, 2, 2, 2, 2))], ttl=None, at=at)

    assert milliseconds_left(online_redis, 1) == -1


def test_a_replay_under_a_longer_ttl_moves_the_expiry_and_a_shorter_one_does_not(
    store, online_redis, at
):
    event = (at - EPOCH) // timedelta(microseconds=1)
    row, grace = trips((1, event, event, 1, 1)), timedelta(milliseconds=1)

    left = []
    for days in (2, 3, 1):
        store.write(TRIPS, [row], ttl=timedelta(days=days), at=at, grace=grace)
        left.append(round(milliseconds_left(online_redis, 1) / 86_400_000))

    assert left == [2, 3, 3]


@pytest.mark.parametrize("ttl", [None, timedelta(days=5)])
def test_a_replay_of_a_row_whose_end_is_far_or_nowhere_takes_its_expiry_away(
    store, online_redis, at, ttl
):
    event = (at - EPOCH) // timedelta(microseconds=1)
    row = trips((1, event, event, 1, 1))
    store.write(TRIPS, [row], ttl=timedelta(days=1), at=at)

    store.write(TRIPS, [row], ttl=ttl, at=at)

    assert milliseconds_left(online_redis, 1) == -1


# --- the walk that gives rows their expiry ------------------------------------------------------

DAY, NO_PACE = timedelta(days=1), 1e9


def in_use(uids: set[str]) -> dict[str, bool]:
    return dict.fromkeys(uids, True)


def walk(store, at, *, known=in_use, pace=NO_PACE) -> Walked:
    """Walk through all rows; unless told otherwise every table is in use."""
    return store.expire(known=known, at=at, pace=pace)


def days_left(online_redis, driver: int) -> float:
    left = milliseconds_left(online_redis, driver)
    return left if left < 0 else round(left / 86_400_000, 2)


@pytest.fixture
def far(store, at):
    """A loaded table whose TTL is ten days: one row of now, one of nine days ago."""
    now = (at - EPOCH) // timedelta(microseconds=1)
    ticket, ttl = store.begin_load(TRIPS.uid), 10 * DAY
    old = now - 9 * DAY // timedelta(microseconds=1)
    store.write(TRIPS, [trips((1, now, now, 1, 1), (2, old, old, 1, 1))], ttl=ttl, at=at)
    facts = {"generation": 1, "as_of": at, "sequence": 1, "ttl": ttl}
    assert store.finish_load(TRIPS.uid, ticket, **facts)
    return facts


def test_only_rows_whose_end_is_near_have_an_expiry_and_the_walk_gives_others_theirs_in_time(
    store, online_redis, at, far
):
    assert [days_left(online_redis, key) for key in (1, 2)] == [-1, 2.0]

    assert walk(store, at + 6 * DAY).given == 0
    assert walk(store, at + 8 * DAY).given == 1
    assert days_left(online_redis, 1) == 3.0
    assert walk(store, at + 8 * DAY).given == 0


def test_what_is_past_its_end_when_the_walk_comes_is_kept_for_the_grace(
    store, online_redis, at, far
):
    assert walk(store, at + 400 * DAY).given == 1
    assert days_left(online_redis, 1) == 1.0


def test_the_walk_leaves_tables_alone_that_are_being_loaded_are_not_loaded_or_keep_for_ever(
    store, online_redis, at, far
):
    ticket = store.begin_load(TRIPS.uid)
    assert walk(store, at + 400 * DAY).given == 0
    assert store.finish_load(TRIPS.uid, ticket, **far | {"ttl": None})
    assert walk(store, at + 400 * DAY).given == 0
    online_redis.delete(marker_key(TRIPS.uid))
    assert walk(store, at + 400 * DAY).given == 0

    assert days_left(online_redis, 1) == -1


def test_runs_that_end_while_it_walks_do_not_keep_the_walk_from_the_rest(
    store, online_redis, at, far
):
    """Each run sets another marker, and its table is passed over only while it loads."""
    now, rows, over = (at - EPOCH) // timedelta(microseconds=1), 20_000, threading.Event()
    store.write(TRIPS, [trips(*((i, now, now, 1, 1) for i in range(rows)))], ttl=10 * DAY, at=at)

    def run_after_run() -> None:
        for generation in count(2):
            ticket = store.begin_load(TRIPS.uid)
            store.finish_load(TRIPS.uid, ticket, **far | {"generation": generation})
            if over.wait(0.02):
                return

    with ThreadPoolExecutor(1) as runs:
        runs.submit(run_after_run)
        ended = [walk(store, at + 8 * DAY, pace=100_000).given for _ in range(3)]
        over.set()

    assert sum(ended) > rows * 0.9


def test_the_walk_passes_over_what_is_no_row(store, online_redis, at, far):
    for number, wrong in enumerate((b"", b"\xdc", b"\x94\xd3\x00", b"nonsense and more of it")):
        online_redis.set(TRIPS.key_prefix + b"{9%d}" % number, wrong)

    assert walk(store, at + 400 * DAY).given == 1


def test_the_walk_removes_rows_of_tables_that_are_not_in_use_loaded_or_not(
    store, online_redis, at, far
):
    """Found loaded in an old dump they must not pass for whole afterwards."""
    other = replace(TRIPS, uid="bbbbbbb2")
    store.write(other, [trips(*((i, 1, 1, 1, 1) for i in range(2_000)))], ttl=None, at=at)
    of_others = [b"runs", b"reloads", b"r-", b"registry{1}x", b"r{1}", b"rate{user:1}"]
    for key in of_others:
        online_redis.rpush(key, b"a message")

    def retired(uids: set[str]) -> dict[str, bool]:
        return {uid: uid not in over for uid in uids}

    over = {other.uid}
    assert walk(store, at, known=retired) == Walked(0, 2_000)
    ticket = store.begin_load(TRIPS.uid)
    over = {TRIPS.uid}
    assert walk(store, at, known=retired) == Walked(0, 2)

    assert sorted(online_redis.keys()) == sorted(of_others)
    assert not store.finish_load(TRIPS.uid, ticket, **far)


def test_a_table_that_is_made_while_the_walk_is_under_way_keeps_its_rows(store, online_redis, at):
    """Whether it is in use is asked after its rows were seen."""
    made, new = set(), replace(TRIPS, uid="bbbbbbb2")

    def write(layout: TableLayout) -> None:
        made.add(layout.uid)
        rows = trips(*((i, 1, 1, 1, 1) for i in range(2_000)))
        store.write(layout, [rows], ttl=None, at=at)

    def known(uids: set[str]) -> dict[str, bool]:
        found = in_use(uids & made)
        if new.uid not in made:
            write(new)
        return found

    write(TRIPS)
    assert walk(store, at, known=known) == Walked(0, 0)
    assert walk(store, at, known=known) == Walked(0, 0)


def test_the_walk_leaves_rows_of_tables_that_nobody_here_knows_and_names_them(
    store, online_redis, at, far
):
    """A shell with an empty database, or a drill, that was given the Redis of production."""
    before = sorted(online_redis.keys())

    assert walk(store, at, known=lambda uids: {}) == Walked(0, 0, frozenset({TRIPS.uid}))

    assert sorted(online_redis.keys()) == before


def test_one_of_those_who_ask_is_to_walk_until_it_is_time_again_or_redis_lost_its_data(
    store, online_redis
):
    assert [store.claim_expiry(every=DAY) for _ in range(2)] == [True, False]
    online_redis.flushall()
    assert store.claim_expiry(every=timedelta(milliseconds=1))


def test_ten_numbers_take_at_most_215_bytes_with_a_ttl_of_a_year(tmp_path, at):
    """On a server that has freed nothing yet: rows may lie in places that were made for more."""
    rows, number = 1_000, parse_type("float64")
    names = tuple(f"f{place}" for place in range(10))
    layout = TableLayout(new_uid(), TRIPS.entity, names, (number,) * 10)
    events = pa.array([(at - EPOCH) // timedelta(microseconds=1)] * rows).cast(INSTANT)
    created = pa.array([(at + 40 * DAY - EPOCH) // timedelta(microseconds=1)] * rows).cast(INSTANT)
    header = [pa.array(range(rows)), events, created, pa.array([30_000] * rows, pa.int64())]
    values = [pa.array([place / 7] * rows) for place in range(10)]
    batch = pa.RecordBatch.from_arrays(
        [*header, *values],
        ["driver_id", "event_timestamp", "created_timestamp", "__sequence", *names],
    )

    with servers.redis_server(tmp_path) as url:
        client = redis.Redis.from_url(url)
        store_on(client).write(layout, [batch], ttl=timedelta(days=365), at=at)

        keys = keys_for(layout, [range(100, 200)])
        size = statistics.median(client.memory_usage(key) for key in keys)
        assert {client.ttl(key) for key in keys} == {-1}  # it would take 32 more
    # The dictionary's table, eight bytes a place, has up to twice as many places as keys.
    assert size + 16 <= 215


# --- keys ---------------------------------------------------------------------------------------


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
    entity = EntityKey(names, types)

    tags = entity.tags(columns)

    assert tags == entity.arrow_tags(pa.RecordBatch.from_arrays(arrays, list(names))).to_pylist()
    assert len(set(tags)) == len({tuple(map(str, row)) for row in rows})


def test_the_type_is_part_of_the_key():
    assert EntityKey(("id",), (INT,)).tags([[1]]) != EntityKey(("id",), (TEXT,)).tags([["1"]])


def test_all_tables_of_an_entity_are_in_one_cluster_slot(store, online_redis):
    other = replace(TRIPS, uid="bbbbbbb2")
    braces = EntityKey(("s",), (TEXT,))
    layouts = [TableLayout(uid, braces, ("x",), (INT,)) for uid in ("ccccccc3", "ddddddd4")]

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

    layout = layout_of(one, uid="u")

    assert layout == layout_of(two, uid="u")
    assert (layout.entity.names, layout.features, layout.position("y")) == (
        ("a", "b"),
        ("x", "y"),
        4,
    )


# --- markers, drop, health ----------------------------------------------------------------------


def test_a_marker_says_that_a_table_is_loaded(store, online_redis, at):
    assert store.marker(TRIPS.uid) is None

    load(store, generation=2, sequence=7)

    assert store.marker(TRIPS.uid) == Marker(generation=2, as_of=at, sequence=7)
    assert online_redis.exists(marker_key(TRIPS.uid))
    store.drop(TRIPS.uid)
    assert store.marker(TRIPS.uid) is None


def test_a_load_is_marked_unless_redis_was_emptied_meanwhile(store, online_redis, at):
    ticket = store.begin_load(TRIPS.uid)
    online_redis.flushall()

    assert not store.finish_load(TRIPS.uid, ticket, generation=7, as_of=at, sequence=7, ttl=None)
    assert store.marker(TRIPS.uid) is None

    ticket, days = store.begin_load(TRIPS.uid), timedelta(days=2)
    assert store.finish_load(TRIPS.uid, ticket, generation=7, as_of=at, sequence=7, ttl=days)
    assert store.marker(TRIPS.uid) == Marker(generation=7, as_of=at, sequence=7, ttl=days)


def test_a_load_that_a_snapshot_cut_in_two_is_not_marked(tmp_path, at):
    """The ticket is in the snapshot, half of the values is not."""
    with servers.redis_server(tmp_path) as url:
        client = redis.Redis.from_url(url)
        before = store_on(client)
        ticket = before.begin_load(TRIPS.uid)
        before.write(TRIPS, [trips((1, 1, 1, 7, 10))], ttl=None, at=at)
        client.save()
        before.write(TRIPS, [trips((2, 1, 1, 7, 20))], ttl=None, at=at)
        client.shutdown(nosave=True)
    with servers.redis_server(tmp_path) as url:
        client = redis.Redis.from_url(url)
        after, facts = store_on(client), {"generation": 7, "as_of": at, "sequence": 7, "ttl": None}

        assert [row[3] for row in stored(client, 1, 2)] == [10, None]
        assert not after.finish_load(TRIPS.uid, ticket, **facts)
        assert after.marker(TRIPS.uid) is None

        again = after.begin_load(TRIPS.uid)
        assert after.finish_load(TRIPS.uid, again, **facts)


def test_drop_removes_one_table_and_no_other(store, online_redis, at):
    other = replace(TRIPS, uid="bbbbbbb2")
    for layout in (TRIPS, other):
        store.write(layout, [trips(*[(i, 1, 1, 1, 1) for i in range(1_200)])], ttl=None, at=at)
        load(store, layout)

    assert store.drop(TRIPS.uid) == 1_200
    assert store.marker(TRIPS.uid) is None
    assert online_redis.dbsize() == 1_201


def test_a_redis_that_does_not_answer_is_unavailable(tmp_path, at):
    gone = store_on(new_client(f"unix://{tmp_path}/none.sock"))

    for call in (
        lambda: gone.read(1, (), ()),
        lambda: gone.begin_load("u"),
        lambda: gone.marker("u"),
        lambda: gone.write(TRIPS, [trips((1, 1, 1, 1, 1))], ttl=None, at=at),
    ):
        with pytest.raises(RedisUnreachable):
            call()


def test_each_reader_gets_its_own_answer_however_the_one_before_it_ended(store, online_redis):
    """Connections go from reader to reader unlooked at: none may have anything left to read."""
    online_redis.mset({f"k{i}": i for i in range(MOST_LENT + 24)})

    def asked(i: int) -> list[bytes]:
        return [packed(b"MGET", b"k%d" % i), packed(b"BLPOP", b"nothing", b"0.05")]

    def answer(i: int) -> list[object]:
        return store._get(asked(i))[0]

    with ThreadPoolExecutor(MOST_LENT + 24) as readers:
        for _ in range(3):
            found = list(readers.map(answer, range(MOST_LENT + 24)))
            assert found == [[[b"%d" % i], None] for i in range(MOST_LENT + 24)]
    with pytest.raises(RedisRefused, match="WRONGTYPE"):
        store._get([packed(b"LPOP", b"k1"), packed(b"MGET", b"k2")])
    assert answer(3) == [[b"3"], None]

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, leave)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            answer(4)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert answer(5) == [[b"5"], None]
