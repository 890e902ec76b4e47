"""What every online store promises: the greatest row stays, and nobody reads half a table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialization.edges.stores import ONLINE
from materialization.stores.layout import BadOnlineRows, EntityKey, TableLayout
from materialization.stores.online_protocol import Marker, WriteResult
from registry import epoch
from registry.spec.value_types import parse_type
from tests.materialization.store_cases import (
    INSTANT,
    INT,
    NOON,
    PROJECT,
    TEXT,
    TRIPS,
    load,
    read_online,
    trips,
)

OTHER = replace(TRIPS, uid="bbbbbbb2")
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
SEQUENCES = st.sampled_from([1, 2, 2**31, 2**53, 2**53 + 1]) | st.integers(1, 2**63 - 1)


@pytest.fixture(params=ONLINE)
def store(request, online_redis):
    return ONLINE[request.param]()


def tags(*drivers):
    return TRIPS.entity.tags([drivers])


# --- rows ---------------------------------------------------------------------------------------


def test_a_row_is_read_back_as_written(store, at):
    result = store.write(TRIPS, [trips((1001, 5, 6, 7, 42))], ttl=None, at=at)
    load(store)

    assert result == WriteResult(written=1, skipped=0)
    assert read_online(store, [[1001, 1002]]) == [[5, 1, 7, 42], [None, None, None, None]]


@given(rows=st.lists(st.tuples(MICROS, MICROS, SEQUENCES), min_size=1, max_size=6), data=st.data())
@settings(max_examples=200)
def test_any_order_of_writes_leaves_the_greatest_triple(store, at, rows, data):
    store.drop(TRIPS.uid)
    order = data.draw(st.permutations([*rows, *rows]))
    cut = data.draw(st.integers(0, len(order)))

    for part in (order[:cut], order[cut:]):
        store.write(TRIPS, [trips(*[(1, *row, 0) for row in part])], ttl=None, at=at)
    load(store)

    event, created, sequence = max(rows)
    assert read_online(store, [[1]]) == [[event, created - event, sequence, 0]]


def test_a_replay_and_a_straggler_are_skipped(store, at):
    newest, older = trips((1, 20, 20, 2, 9)), trips((1, 20, 19, 3, 8))

    assert store.write(TRIPS, [newest, newest, older], ttl=None, at=at) == WriteResult(
        written=1, skipped=2
    )
    load(store)
    assert read_online(store, [[1]]) == [[20, 0, 2, 9]]


@pytest.mark.parametrize("order", [(5, 7), (7, 5)])
def test_of_equal_times_the_later_sequence_stays(store, at, order):
    for sequence in order:
        store.write(TRIPS, [trips((1, 20, 20, sequence, sequence))], ttl=None, at=at)
    load(store)

    assert read_online(store, [[1]]) == [[20, 0, 7, 7]]


def test_a_large_batch_arrives_whole(store, at):
    rows = 21_001
    numbers = pa.array(range(rows))
    times = pa.array([0] * rows, pa.int64()).cast(INSTANT)
    whole = pa.RecordBatch.from_arrays(
        [numbers, times, times, pa.array([1] * rows), numbers], trips((1, 1, 1, 1, 1)).schema.names
    )

    assert store.write(TRIPS, [whole], ttl=timedelta(days=1), at=at) == WriteResult(rows, 0)
    load(store)
    assert [row[3] for row in read_online(store, [[0, 20_999, 21_000]])] == [0, 20_999, 21_000]


def test_a_write_that_leaves_room_writes_the_same(store, at):
    rows = [(key, 5, 6, 7, key % 100) for key in range(2_500)]

    result = store.write(TRIPS, [trips(*rows)], ttl=None, at=at, share=0.5)
    load(store)

    assert result == WriteResult(written=2_500, skipped=0)
    assert read_online(store, [[0, 999, 1_000, 2_499]]) == [
        [5, 1, 7, n % 100] for n in (0, 999, 1000, 2499)
    ]


def test_composite_keys_are_never_concatenated(store, at):
    entity = EntityKey(("a", "b"), (TEXT, TEXT))
    layout = TableLayout("aaaaaaa3", entity, ("x",), (INT,))
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
    load(store, layout)
    found = read_online(store, list(zip(*pairs, strict=True)), layout)

    assert [row[3] for row in found] == list(range(len(pairs)))


def test_rows_that_cannot_be_right_are_refused_by_name(store, at):
    rows = trips((1, 1, 1, 1, 1))
    null_key = rows.set_column(0, "driver_id", pa.array([None], pa.int64()))
    text = rows.set_column(4, "trips", pa.array(["many"]))

    for wrong, name in (
        (null_key, "driver_id"),
        (text, "trips"),
        (rows.drop_columns("trips"), "trips"),
    ):
        with pytest.raises(BadOnlineRows, match=name):
            store.write(TRIPS, [wrong], ttl=None, at=at)


def test_rows_of_many_features_are_ordered_and_read_like_those_of_few(store, at):
    names = tuple(
        f"x{n:02}" for n in range(13)
    )  # with the header 16 items: another array of msgpack
    layout = replace(TRIPS, features=names, types=(INT,) * 13)
    first, second = (trips((1, 20, created, 1, created)) for created in (21, 22))
    for rows in (second, first):
        columns = [*rows.columns[:4], *[rows.column(4)] * 13]
        wide = pa.RecordBatch.from_arrays(columns, [*rows.schema.names[:4], *names])
        store.write(layout, [wide], ttl=timedelta(days=1), at=at)
    load(store, layout)

    assert read_online(store, [[1]], layout) == [[20, 2, 1, *[22] * 13]]


# --- one read -----------------------------------------------------------------------------------


def test_one_read_answers_for_several_tables_each_in_its_order(store, at):
    store.write(TRIPS, [trips((1, 1, 1, 1, 10), (2, 2, 2, 1, 20))], ttl=None, at=at)
    store.write(OTHER, [trips((2, 3, 3, 1, 30))], ttl=None, at=at)
    for layout in (TRIPS, OTHER):
        load(store, layout)

    found = store.read(PROJECT, (), [(OTHER, tags(2, None)), (TRIPS, tags(2, 4711, 1, 2))])

    none = [None] * 4
    assert found.tables == [
        (1, NOON, [[3, 0, 1, 30], none], True),
        (1, NOON, [[2, 0, 1, 20], none, [1, 0, 1, 10], [2, 0, 1, 20]], True),
    ]


def test_a_table_that_is_not_loaded_is_told_apart_from_missing_rows(store, at):
    for layout in (TRIPS, OTHER):
        store.write(layout, [trips((1, 1, 1, 1, 10))], ttl=None, at=at)
    load(store, OTHER)

    found = store.read(PROJECT, (), [(TRIPS, tags(1)), (OTHER, tags(1, 2)), (OTHER, tags())])

    rows = [[1, 0, 1, 10], [None] * 4]
    assert found.tables == [None, (1, NOON, rows, True), (1, NOON, [], True)]


def test_a_read_tells_the_epochs_of_its_project_and_views(store):
    nothing = store.read(PROJECT, ["trips"], ())
    assert nothing == ((None, None), nothing.server, [])

    ours, theirs = epoch.ensure(PROJECT, ["trips", "other"]), epoch.ensure(PROJECT + 1, ["trips"])

    found = store.read(PROJECT, ["other", "trips"], [(TRIPS, tags(1))])
    assert found.epochs == (ours[0], ours[2], ours[1])
    assert found.tables == [None]
    assert store.read(PROJECT + 1, ["trips"], ()).epochs == theirs
    assert len({*ours, *theirs}) == 5


# --- loading ------------------------------------------------------------------------------------


def test_a_marker_says_that_a_table_is_loaded(store):
    assert store.marker(TRIPS.uid) is None

    load(store, sequence=7, generation=2)

    assert store.marker(TRIPS.uid) == Marker(generation=2, as_of=NOON, sequence=7)
    assert store.marker(OTHER.uid) is None
    assert store.markers([OTHER.uid, TRIPS.uid]) == [None, store.marker(TRIPS.uid)]
    assert store.markers([]) == []


def test_a_marker_keeps_for_how_long_rows_stay(store, at):
    ticket, ttl = store.begin_load(TRIPS.uid), timedelta(days=2)

    assert store.finish_load(TRIPS.uid, ticket, generation=7, as_of=at, sequence=3, ttl=ttl)
    assert store.marker(TRIPS.uid) == Marker(generation=7, as_of=at, sequence=3, ttl=ttl)


def test_a_load_that_another_overtook_is_not_marked(store):
    first = store.begin_load(TRIPS.uid)
    load(store, sequence=7)
    facts = {"generation": 1, "as_of": NOON, "sequence": 6, "ttl": None}

    assert not store.finish_load(TRIPS.uid, first, **facts)
    assert store.marker(TRIPS.uid).sequence == 7


def test_a_table_loaded_again_stays_readable(store, at):
    store.write(TRIPS, [trips((1, 1, 1, 1, 10))], ttl=None, at=at)
    load(store)

    store.begin_load(TRIPS.uid)

    assert read_online(store, [[1]]) == [[1, 0, 1, 10]]


def test_drop_removes_one_table_and_no_other(store, at):
    for layout in (TRIPS, OTHER):
        rows = trips(*[(i, 1, 1, 1, i) for i in range(1_200)])
        store.write(layout, [rows], ttl=None, at=at)
        load(store, layout)

    assert store.drop(TRIPS.uid) == 1_200

    assert store.marker(TRIPS.uid) is None
    assert store.read(PROJECT, (), [(TRIPS, tags(1))]).tables == [None]
    assert read_online(store, [[1_199]], OTHER) == [[1, 0, 1, 1_199]]
    load(store)
    assert read_online(store, [[1]]) == [[None] * 4]


def test_a_load_of_a_table_that_was_dropped_meanwhile_is_not_marked(store, at):
    ticket = store.begin_load(TRIPS.uid)
    store.drop(TRIPS.uid)

    assert not store.finish_load(TRIPS.uid, ticket, generation=1, as_of=at, sequence=1, ttl=None)
    assert store.marker(TRIPS.uid) is None


def test_a_reader_sees_each_row_wholly_old_or_wholly_new_while_many_are_merged(store, at):
    """Of one question some rows may be old and some new: rows change one by one."""
    drivers = range(60_000)

    def rows(n: int) -> Any:
        return trips(*[(driver, n, n, n, n) for driver in drivers])

    store.write(TRIPS, [rows(1)], ttl=None, at=at)
    load(store)
    seen = set()
    with ThreadPoolExecutor(1) as pool:
        merge = pool.submit(store.write, TRIPS, [rows(2)], ttl=None, at=at)
        while not merge.done():
            seen |= {tuple(row) for row in read_online(store, [list(drivers[::1_000])])}
    seen |= {tuple(row) for row in read_online(store, [list(drivers[::1_000])])}

    assert merge.result().written == len(drivers)
    assert seen == {(1, 0, 1, 1), (2, 0, 2, 2)}


# --- looking at rows, and putting them right ----------------------------------------------------


def test_rows_lie_under_keys_that_can_be_found_whether_the_table_is_loaded_or_not(store, at):
    rows = trips(*[(i, 1, 1, 1, i) for i in range(1_200)])
    store.write(TRIPS, [rows], ttl=None, at=at)
    store.write(OTHER, [trips((1, 1, 1, 1, 1))], ttl=None, at=at)
    expected = dict(
        zip(TRIPS.keys(tags(*range(1_200))), TRIPS.arrow_rows(rows).to_pylist(), strict=True)
    )

    every = [key for piece in store.keys_of(TRIPS.uid) for key in piece]
    some = store.some_keys_of(TRIPS.uid, 100)

    assert set(every) == set(expected)
    assert len(set(some)) == 100
    assert set(some) <= set(expected)
    assert set(store.some_keys_of(OTHER.uid, 100)) == set(OTHER.keys(tags(1)))
    assert store.rows_at([*every, b"r-"]) == [*[expected[key] for key in every], None]


def test_a_row_is_put_right_only_where_what_was_seen_still_is(store, at):
    wrong, newer = trips((1, 9, 9, 9, 0), (2, 9, 9, 9, 0)), trips((2, 10, 9, 9, 1))
    store.write(TRIPS, [wrong], ttl=None, at=at)
    keys = TRIPS.keys(tags(1, 2, 3))
    seen = store.rows_at(keys)
    store.write(TRIPS, [newer], ttl=None, at=at)

    right = trips((1, 5, 5, 5, 1), (2, 5, 5, 5, 2), (3, 5, 5, 5, 3))
    assert store.correct(TRIPS, right, seen, ttl=timedelta(days=1), at=at) == 2
    load(store)

    assert read_online(store, [[1, 2, 3]]) == [[5, 0, 5, 1], [10, -1, 9, 1], [5, 0, 5, 3]]
    assert store.remove(keys[:2], store.rows_at(keys[:1]) + seen[1:2]) == 1
    assert [row[0] for row in read_online(store, [[1, 2, 3]])] == [None, 10, 5]


@pytest.mark.parametrize("kinds", [["int64"], ["string", "bytes"], ["bool", "date", "timestamp"]])
def test_a_tag_is_read_back_as_the_values_it_was_written_from(kinds):
    values = {
        "int64": -(2**63), "string": "1/2:é}", "bytes": b"/3:\xff", "bool": True,
        "date": date(1969, 1, 31), "timestamp": NOON,
    }  # fmt: skip
    entity = EntityKey(tuple(kinds), tuple(parse_type(kind) for kind in kinds))
    (tag,) = entity.tags([[values[kind]] for kind in kinds])

    assert entity.values(tag) == tuple(values[kind] for kind in kinds)
    for wrong in (b"", b"{}", tag + b"x", b"x" + tag, tag[:-1], tag[:2] + b"0" + tag[2:]):
        assert entity.values(wrong) is None, wrong


@pytest.mark.parametrize("tag", [b"{01}", b"{+1}", b"{ 1}", b"{1_0}", b"{1/1}", b"{2147483648}"])
def test_what_is_no_number_of_the_key_is_no_key(tag):
    assert EntityKey(("a",), (parse_type("int32"),)).values(tag) is None
