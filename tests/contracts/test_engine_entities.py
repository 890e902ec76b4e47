"""Every engine's answer to which entities there are, and when, against the oracle's loops."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits
from materialization.compute.questions import EntitiesQuestion, StoredEntities, Timing
from materialization.stores.columns import INSTANT, stored_schema
from materialization.stores.offline_protocol import OfflineStoreUnavailable
from tests.contracts.test_engine_joins import (
    DAY,
    FEATURES,
    NOON,
    STEP,
    US,
    histories,
    instants,
    row,
    string_keys,
    ttls,
    written,
)
from tests.materialization.engine_cases import make_spec
from tests.oracle import beginnings, entities

#: What the answer calls the keys, which the two views list in different order.
CALLED = {"left": "from", "right": "__to"}
#: Pairs of which an engine that folds case, or names columns of its own, may make others.
ODD_NAMES = [("x", "X"), ("__at", "__AT"), ("__since", "__until"), ("k1", "k0"),
             ("Event_Timestamp", "__island"), ("right", "left"), ("", 'a "b"')]  # fmt: skip
KEYS = pa.schema([("from", pa.string()), ("__to", pa.string())])


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request):
    return ENGINES[request.param](EngineLimits(memory_limit_mb=256, threads=2, timeout_s=60))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stored")


def stored(folder, name, rows, keys, ttl):
    spec = make_spec(keys=[(key, "string") for key in keys], features=FEATURES, ttl=written(ttl))
    file = str(folder / f"{name}.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema=stored_schema(spec)), file)
    return StoredEntities(spec, (file,), CALLED)


def as_rows(table):
    assert table.column_names == ["from", "__to", "event_timestamp"]
    columns = [table["event_timestamp"], table["from"], table["__to"]]
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


rows_of = histories(string_keys).map(lambda made: made[0])


@settings(max_examples=150, deadline=None)
@given(rows_of, rows_of, ttls, ttls, st.sets(instants, min_size=1), st.sampled_from(Timing))
def test_at_instants_there_are_the_entities_of_which_a_join_finds_something(
    engine, folder, first, second, ttl, other_ttl, asked, timing
):
    at, known = tuple(sorted(asked)), timing is Timing.KNOWN
    views = (
        stored(folder, "first", first, ["left", "right"], ttl),
        stored(folder, "second", second, ["right", "left"], other_ttl),
    )

    found = engine.entity_rows(EntitiesQuestion(views, KEYS, (at[0], at[-1]), at, 1000, timing))

    assert as_rows(found) == sorted(
        entities(first, ["left", "right"], at, ttl=ttl, known=known)
        | entities(second, ["left", "right"], at, ttl=other_ttl, known=known)
    )


@settings(max_examples=150, deadline=None)
@given(rows_of, rows_of, ttls, instants, instants, st.sampled_from(Timing))
def test_between_two_instants_there_is_each_time_at_which_a_row_came_to_count(
    engine, folder, first, second, ttl, one, other, timing
):
    bounds, known = (min(one, other), max(one, other)), timing is Timing.KNOWN
    views = (
        stored(folder, "first", first, ["left", "right"], ttl),
        stored(folder, "second", second, ["right", "left"], None),
    )

    found = engine.entity_rows(EntitiesQuestion(views, KEYS, bounds, None, 1000, timing))

    expected = beginnings(first, ["left", "right"], ttl=ttl, known=known)
    expected |= beginnings(second, ["left", "right"], known=known)
    assert as_rows(found) == sorted(each for each in expected if bounds[0] <= each[0] <= bounds[1])


def test_pages_follow_one_another_without_gap_or_repetition(engine, folder):
    rows = [
        row(NOON + hour * STEP, left=left, right=right)
        for hour in range(3)
        for left in ("a", "b", "ä")
        for right in ("", "x")
    ]
    views = (stored(folder, "paged", rows, ["left", "right"], 2 * STEP),)
    at = tuple(NOON + hour * STEP + US for hour in range(6))
    question = EntitiesQuestion(views, KEYS, (at[0], at[-1]), at, 1000)
    whole, pages, after = engine.entity_rows(question), [], None

    while True:
        page = engine.entity_rows(question._replace(at_most=4, after=after))
        if not page.num_rows:
            break
        pages.append(page)
        after = page.slice(page.num_rows - 1)

    assert [page.num_rows for page in pages] == [4] * 6
    assert pa.concat_tables(pages).equals(whole)


def test_a_page_of_many_instants_looks_at_those_it_needs(engine, folder):
    """All of them would be 40 million rows, more than the engine may spill."""
    rows = [row(NOON, left=str(n), right="") for n in range(4_000)]
    views = (stored(folder, "many", rows, ["left", "right"], None),)
    at = tuple(NOON + n * US for n in range(10_000))
    small = type(engine)(
        EngineLimits(memory_limit_mb=128, threads=2, timeout_s=20, temp_limit_mb=64)
    )
    question = EntitiesQuestion(views, KEYS, (at[0], at[-1]), at, 10_000)

    first = small.entity_rows(question)
    late = first.slice(9_999).set_column(2, "event_timestamp", pa.array([at[9_000]], INSTANT))
    second = small.entity_rows(question._replace(after=late))

    expected = sorted(str(n) for n in range(4_000))
    assert first["from"].to_pylist() == (expected * 3)[:10_000]
    assert second["from"].to_pylist() == (expected * 4)[2_000:12_000]
    assert second["event_timestamp"][0].as_py() == at[9_000]


def test_keys_may_be_called_as_the_question_calls_its_own_columns(engine, folder):
    spec = make_spec(keys=[("since", "int64"), ("at", "date")], features=FEATURES, ttl="1d")
    schema = stored_schema(spec)
    rows = [row(NOON, since=1, at=NOON.date()), row(NOON, since=2, at=NOON.date())]
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "odd.parquet")
    keys = pa.schema([schema.field("since"), schema.field("at")])
    view = StoredEntities(spec, (str(folder / "odd.parquet"),))

    found = engine.entity_rows(EntitiesQuestion((view,), keys, (NOON, NOON), (NOON,), 10))

    assert found.schema.names == ["since", "at", "event_timestamp"]
    assert found["since"].to_pylist() == [1, 2]


@pytest.mark.parametrize("called", ODD_NAMES)
def test_keys_may_be_called_what_an_engine_takes_for_other_names(engine, folder, called):
    rows = [row(NOON, left=left, right=right) for left in "ab" for right in "xy"]
    view = stored(folder, "folded", rows, ["left", "right"], None)
    view = view._replace(key_columns=dict(zip(["right", "left"], called, strict=True)))
    keys = pa.schema([(name, pa.string()) for name in called])
    question = EntitiesQuestion((view, view), keys, (NOON, NOON), (NOON,), 3)

    first = engine.entity_rows(question)
    second = engine.entity_rows(question._replace(after=first.slice(2)))

    assert first.schema.names == second.schema.names == [*called, "event_timestamp"]
    found = [list(each.to_pydict().values())[:2] for each in (first, second)]
    assert found == [[["x", "x", "y"], ["a", "b", "a"]], [["y"], ["b"]]]
    between = engine.entity_rows(question._replace(instants=None, at_most=9))
    assert between.num_rows == 4


def test_where_nothing_is_stored_there_is_nobody(engine):
    spec = make_spec(keys=[("k", "int64")])
    keys = pa.schema([("k", pa.int64())])
    bounds = (NOON, NOON + DAY)

    found = engine.entity_rows(EntitiesQuestion((StoredEntities(spec, ()),), keys, bounds, None, 9))

    assert (found.num_rows, found.schema.names) == (0, ["k", "event_timestamp"])


def test_a_file_that_is_gone_is_an_unavailable_store(engine):
    spec = make_spec(keys=[("k", "int64")])
    view = StoredEntities(spec, ("/nowhere/at-all.parquet",))
    bounds = (NOON, NOON + timedelta(days=1))

    with pytest.raises(OfflineStoreUnavailable):
        engine.entity_rows(
            EntitiesQuestion((view,), pa.schema([("k", pa.int64())]), bounds, None, 9)
        )
