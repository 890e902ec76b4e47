"""The point-in-time SQL against the oracle: made histories, then the traps by name."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.instants import to_us
from serving.historical.join import JoinQuestion, Timing, difference_sql, point_in_time_sql
from tests.oracle import Row, latest_known, stamps

US = timedelta(microseconds=1)
DAY = timedelta(days=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TIME = pa.timestamp("us", tz="UTC")
STAMPS = [("event_timestamp", TIME), ("created_timestamp", TIME), ("__sequence", pa.int64())]
INT_KEY = {"driver_id": pa.int64()}
STRING_KEYS = {"left": pa.string(), "right": pa.string()}


@pytest.fixture(scope="module")
def engine():
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
        yield connection


def ask(engine, sql: str, rows: list[Row], entities: list[Row], keys: dict[str, pa.DataType]):
    """Run SQL over literal rows; the features are ``value`` float64 and ``note`` string."""
    key_fields = list(keys.items())
    features = [("value", pa.float64()), ("note", pa.string())]
    feature_rows = pa.Table.from_pylist(rows, schema=pa.schema([*key_fields, *STAMPS, *features]))
    entity_schema = pa.schema([("__row", pa.int64()), *key_fields, ("event_timestamp", TIME)])
    numbered = [{"__row": number, **entity} for number, entity in enumerate(entities)]
    engine.register("feature_rows", feature_rows)
    engine.register("entity_rows", pa.Table.from_pylist(numbered, schema=entity_schema))
    return engine.sql(sql).to_arrow_table()


def join(engine, rows, entities, *, keys=INT_KEY, ttl=None, timing=Timing.KNOWN, bounds=True):
    """Return [(event stamp of the row taken, value, note)], one an entity row."""
    times = [to_us(entity["event_timestamp"]) for entity in entities] if bounds else []
    question = JoinQuestion(
        join_keys=tuple(keys),
        features=("value", "note"),
        ttl=ttl,
        timing=timing,
        earliest_us=min(times, default=None),
        latest_us=max(times, default=None),
    )
    answer = ask(engine, point_in_time_sql(question), rows, entities, keys)
    return list(zip(*(column.to_pylist() for column in answer.columns), strict=True))


def row(event, created=None, *, value=1.0, run=1, note="", **keys) -> Row:
    stamps = {"event_timestamp": event, "created_timestamp": created or event, "__sequence": run}
    return {**(keys or {"driver_id": 1}), **stamps, "value": value, "note": note}


def at(time, **keys) -> Row:
    return {**(keys or {"driver_id": 1}), "event_timestamp": time}


# --- made histories ---------------------------------------------------------------------------

#: Few instants, close together and on both sides of 1970, so that ties and edges are frequent.
STEP = timedelta(hours=1)
instants = st.builds(
    lambda base, steps, micros: base + steps * STEP + micros * US,
    st.sampled_from([NOON, datetime(1969, 12, 31, 23, tzinfo=UTC)]),
    st.integers(-3, 3),
    st.sampled_from([0, 0, 0, 1, -1]),
)
ttls = st.sampled_from([None, US, STEP, 2 * STEP, 100 * 366 * DAY])
int_keys = st.fixed_dictionaries({"driver_id": st.sampled_from([1, 2, -(2**63), 2**53 + 1])})
string_keys = st.sampled_from(
    [{"left": left, "right": right} for left, right in [("1", "23"), ("12", "3"), ("", "123")]]
)
values = st.sampled_from([0.0, 1.5, -1.0, math.nan, math.inf, None])


def histories(keys):
    rows = st.builds(
        lambda keys, event, late, **columns: {
            **keys,
            "event_timestamp": event,
            "created_timestamp": event + late,
            **columns,
        },
        keys,
        instants,
        st.sampled_from([0, 0, 1, 2, -1]).map(lambda steps: steps * STEP),
        __sequence=st.integers(1, 2),
        value=values,
    )
    entity_keys = st.one_of(keys, keys.map(dict.fromkeys))
    entities = st.builds(
        lambda keys, time: {**keys, "event_timestamp": time}, entity_keys, instants
    )
    return st.tuples(st.lists(rows, max_size=12), st.lists(entities, max_size=8))


def one_value_a_stamp(rows: list[Row]) -> list[Row]:
    """Give rows equal in keys and stamps one value: which of them answers is nobody's promise."""
    first: dict[Any, Row] = {}
    for one in rows:
        identity = tuple(item for name, item in one.items() if name != "value")
        first.setdefault(identity, {**one, "note": str(len(first))})
    return [first[tuple(item for name, item in one.items() if name != "value")] for one in rows]


def expect(rows, entities, keys, *, ttl, known):
    answers = [
        latest_known(rows, {k: one[k] for k in keys}, one["event_timestamp"], ttl=ttl, known=known)
        for one in entities
    ]
    return [
        (one["event_timestamp"], one["value"], one["note"]) if one else (None, None, None)
        for one in answers
    ]


def same(found, expected):
    """Compare with NaN equal to NaN and different from None."""
    plain = [
        [tuple("NaN" if item != item else item for item in one) for one in answers]
        for answers in (found, expected)
    ]
    return plain[0] == plain[1]


@pytest.mark.parametrize("timing", Timing)
@pytest.mark.parametrize("bounds", [True, False])
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories(int_keys), ttl=ttls)
def test_sql_answers_as_the_oracle_does(engine, timing, bounds, history, ttl):
    rows, entities = one_value_a_stamp(history[0]), history[1]

    found = join(engine, rows, entities, ttl=ttl, timing=timing, bounds=bounds)

    assert same(found, expect(rows, entities, INT_KEY, ttl=ttl, known=timing is Timing.KNOWN))


@pytest.mark.parametrize("timing", Timing)
@settings(max_examples=100, deadline=None)
@given(history=histories(string_keys), ttl=ttls)
def test_composite_keys_are_never_concatenated(engine, timing, history, ttl):
    rows, entities = one_value_a_stamp(history[0]), history[1]

    found = join(engine, rows, entities, keys=STRING_KEYS, ttl=ttl, timing=timing)

    assert same(found, expect(rows, entities, STRING_KEYS, ttl=ttl, known=timing is Timing.KNOWN))


@settings(max_examples=100, deadline=None)
@given(history=histories(int_keys), ttl=ttls)
def test_explain_counts_the_rows_on_which_the_timings_take_different_rows(engine, history, ttl):
    rows, entities = one_value_a_stamp(history[0]), history[1]
    question = JoinQuestion(join_keys=("driver_id",), features=(), ttl=ttl)

    answer = ask(engine, difference_sql(question), rows, entities, INT_KEY)

    def taken(one: Row, *, known: bool):
        keys = {"driver_id": one["driver_id"]}
        found = latest_known(rows, keys, one["event_timestamp"], ttl=ttl, known=known)
        return stamps(found) if found else None

    differing = [one for one in entities if taken(one, known=True) != taken(one, known=False)]
    assert answer[0].to_pylist() == [len(differing)]


# --- traps by name ----------------------------------------------------------------------------


@pytest.mark.parametrize("timing", Timing)
@pytest.mark.parametrize(
    ("age", "found"),
    [(DAY - US, True), (DAY, True), (DAY + US, False), (0 * US, True), (-US, False)],
    ids=["inside", "exactly at the ttl", "one microsecond past", "the same instant", "the future"],
)
def test_both_ends_of_the_ttl_are_inclusive(engine, timing, age, found):
    answer = join(engine, [row(NOON - age)], [at(NOON)], ttl=DAY, timing=timing)

    assert answer == [(NOON - age, 1.0, "") if found else (None, None, None)]


def test_a_row_created_later_leaks_only_into_event_timing(engine):
    rows = [row(NOON - DAY, value=1.0), row(NOON - STEP, NOON + US, value=2.0)]

    assert join(engine, rows, [at(NOON)])[0][1] == 1.0
    assert join(engine, rows, [at(NOON + US)])[0][1] == 2.0
    assert join(engine, rows, [at(NOON)], timing=Timing.EVENT)[0][1] == 2.0


def test_a_late_correction_replaces_its_row_and_a_late_older_event_does_not(engine):
    rows = [
        row(NOON, value=1.0),
        row(NOON, NOON + STEP, value=2.0),
        row(NOON - DAY, NOON + 2 * STEP, value=3.0),
    ]
    times = [NOON, NOON + STEP - US, NOON + STEP, NOON + 3 * STEP]

    assert [one[1] for one in join(engine, rows, list(map(at, times)))] == [1.0, 1.0, 2.0, 2.0]


def test_a_fresh_row_of_long_ago_does_not_hide_behind_a_late_one_past_its_ttl(engine):
    rows = [row(NOON - 3 * DAY, NOON - STEP, value=3.0), row(NOON - DAY, value=1.0)]

    assert join(engine, rows, [at(NOON)], ttl=2 * DAY)[0][1] == 1.0


def test_ties_go_to_the_later_created_then_to_the_later_run(engine):
    rows = [
        row(NOON, NOON, value=1.0, run=9),
        row(NOON, NOON + US, value=2.0, run=1),
        row(NOON, NOON + US, value=3.0, run=2),
    ]

    assert join(engine, rows, [at(NOON + DAY)])[0][1] == 3.0
    assert join(engine, rows, [at(NOON)])[0][1] == 1.0


def test_exact_duplicates_never_multiply_and_entity_rows_keep_order_and_duplicates(engine):
    rows = [row(NOON, value=1.0)] * 3
    entities = [at(NOON + DAY), at(NOON - DAY), at(NOON + DAY), at(NOON, driver_id=9), at(NOON)]

    assert [one[1] for one in join(engine, rows, entities)] == [1.0, None, 1.0, None, 1.0]


def test_a_null_key_matches_nothing_not_even_a_null(engine):
    rows = [row(NOON, left=None, right="3"), row(NOON, left="1", right="3")]
    entities = [at(NOON, left=None, right="3"), at(NOON, left="1", right=None)]

    assert join(engine, rows, entities, keys=STRING_KEYS) == [(None, None, None)] * 2


@pytest.mark.parametrize("timing", Timing)
@pytest.mark.parametrize(
    "name",
    ["found", "entity_time", "Found", "event", "created", "run", "time", "row", "rowid", "filename"]
    + ["a", "b", "e", "f", "h", "l", "o", "entity_rows", "feature_rows", "select"],
)
def test_a_join_key_may_have_any_name(engine, timing, name):
    rows = [row(NOON - DAY, value=1.0), row(NOON - DAY, NOON + US, value=2.0)]
    keyed = [{**one, name: NOON} for one in rows]
    entities = [{**at(NOON), name: NOON}, {**at(NOON), name: NOON - DAY}]
    question = JoinQuestion(join_keys=(name,), features=("value",))

    found = join(engine, keyed, entities, keys={name: TIME}, timing=timing)
    differing = ask(engine, difference_sql(question), keyed, entities, {name: TIME})

    expected = 1.0 if timing is Timing.KNOWN else 2.0
    assert found == [(NOON - DAY, expected, ""), (None, None, None)]
    assert differing[0].to_pylist() == [1]


def test_null_nan_and_missing_stay_three_things(engine):
    rows = [row(NOON, value=None), row(NOON, value=math.nan, driver_id=2)]
    entities = [at(NOON), at(NOON, driver_id=2), at(NOON, driver_id=3)]

    found = join(engine, rows, entities)

    assert same(found, [(NOON, None, ""), (NOON, math.nan, ""), (None, None, None)])


def test_instants_before_1970_and_in_other_zones_compare_as_instants(engine):
    moon = datetime(1969, 7, 20, 20, 17, tzinfo=UTC)
    houston = moon.astimezone(timezone(timedelta(hours=-5)))

    assert join(engine, [row(moon)], [at(houston)], ttl=US)[0][1] == 1.0
    assert join(engine, [row(moon)], [at(houston - US)], ttl=US)[0][1] is None


@pytest.mark.parametrize("timing", Timing)
def test_empty_frames_give_empty_answers(engine, timing):
    assert join(engine, [], [at(NOON)], timing=timing) == [(None, None, None)]
    assert join(engine, [row(NOON)], [], timing=timing) == []
    assert join(engine, [], [], timing=timing) == []
