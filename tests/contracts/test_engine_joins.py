"""Every engine's point-in-time joins against the oracle: made histories, then the traps by name.

Not for sources and latest rows: ``test_engine`` has those.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits
from materialization.compute.questions import JoinQuestion, Timing
from materialization.stores.columns import INSTANT, stored_schema
from materialization.stores.offline_protocol import OfflineStoreUnavailable
from tests.materialization.engine_cases import make_spec
from tests.oracle import Row, latest_known, stamps

US = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
INT_KEY = {"driver_id": "int64"}
STRING_KEYS = {"left": "string", "right": "string"}
FEATURES = [("value", "float64"), ("note", "string")]


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request):
    return ENGINES[request.param](EngineLimits(memory_limit_mb=256, threads=1, timeout_s=60))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stored")


@pytest.fixture(scope="module")
def join(engine, folder):
    """A function: rows and entities → [(event stamp of the row taken, value, note)], one a row."""

    def answers(rows, entities, *, keys=INT_KEY, ttl=None, timing=Timing.KNOWN):
        question = asked(folder, rows, entities, keys=keys, ttl=ttl)._replace(timing=timing)
        [answer] = engine.point_in_time_joins([question])
        assert answer.differing is None
        return as_tuples(answer)

    return answers


def written(ttl):
    """Write a duration as definitions do."""
    if ttl is None:
        return None
    return f"{ttl.days}d" if not ttl % timedelta(days=1) else f"{ttl // SECOND}s"


def asked(folder, rows, entities, *, keys=INT_KEY, ttl=None, **written_as) -> JoinQuestion:
    """Store the rows in two files and ask for both features."""
    spec = make_spec(
        keys=list(keys.items()),
        features=FEATURES,
        ttl=written(ttl),
    )
    schema = stored_schema(spec)
    table = pa.Table.from_pylist(rows, schema=schema)
    half = table.num_rows // 2
    files = tuple(str(folder / f"{name}.parquet") for name in ("first", "second"))
    pq.write_table(table.slice(0, half), files[0], **written_as)
    pq.write_table(table.slice(half), files[1], **written_as)
    fields = [*[schema.field(name) for name in keys], pa.field("event_timestamp", INSTANT)]
    entity_rows = pa.Table.from_pylist(entities, schema=pa.schema(fields))
    return JoinQuestion(spec, files, tuple(name for name, _ in FEATURES), entity_rows)


def as_tuples(answer):
    return list(zip(*(column.to_pylist() for column in answer.rows.columns), strict=True))


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
    st.sampled_from([0, 0, 0, 1, -1, 10**6, 10**6 + 1]),
)
ttls = st.sampled_from([None, SECOND, STEP, 2 * STEP, 100 * 365 * DAY])
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


def check_against_the_oracle(engine, folder, rows, entities, *, keys, ttl, **written_as):
    """Ask for both timings at once, and how often they differ."""
    rows = one_value_a_stamp(rows)
    question = asked(folder, rows, entities, keys=keys, ttl=ttl, **written_as)
    question = question._replace(explain=True)

    known, event = engine.point_in_time_joins([question._replace(timing=t) for t in Timing])

    for answer, is_known in ((known, True), (event, False)):
        assert same(as_tuples(answer), expect(rows, entities, keys, ttl=ttl, known=is_known))
        assert answer.differing == count_differing(rows, entities, keys, ttl=ttl)


def count_differing(rows, entities, keys, *, ttl):
    def taken(one: Row, *, known: bool):
        found = latest_known(
            rows, {k: one[k] for k in keys}, one["event_timestamp"], ttl=ttl, known=known
        )
        return stamps(found) if found else None

    return sum(taken(one, known=True) != taken(one, known=False) for one in entities)


slow = settings(  # each example stores its rows and opens an engine
)


@settings(slow, max_examples=150)
@given(history=histories(int_keys), ttl=ttls)
def test_both_timings_answer_as_the_oracle_does(engine, folder, history, ttl):
    check_against_the_oracle(engine, folder, *history, keys=INT_KEY, ttl=ttl)


@settings(slow, max_examples=100)
@given(history=histories(string_keys), ttl=ttls)
def test_composite_keys_are_never_concatenated(engine, folder, history, ttl):
    check_against_the_oracle(engine, folder, *history, keys=STRING_KEYS, ttl=ttl)


#: How files may have been written: with all statistics, with those of small groups, with none, or
#: with those of one column.
WRITTEN_AS = [
    {},
    {"row_group_size": 7},
    {"write_statistics": False},
    {"row_group_size": 7, "write_statistics": ["event_timestamp"]},
    {"row_group_size": 20, "write_statistics": ["left", "created_timestamp"]},
]
#: Longer than what statistics keep of a text.
LONG = "x" * 9_000


@pytest.mark.parametrize("seed", range(12))
def test_few_entity_rows_late_in_a_long_history_answer_as_the_oracle_does(engine, folder, seed):
    chance = random.Random(seed)
    lefts = ["p", "q", "r"] if seed % 2 else [f"{LONG}a", f"{LONG}b", LONG]
    keys = [{"left": left, "right": right} for left in lefts for right in ("", "s", None)]
    rows = [
        {
            **chance.choice(keys),
            "event_timestamp": (event := NOON - chance.random() ** 3 * 400 * DAY),
            "created_timestamp": event + chance.choice([0, 0, 1, 30, 3_000]) * STEP,
            "__sequence": chance.randrange(3),
            "value": float(number),
        }
        for number in range(600)
    ]
    if chance.random() < 0.5:  # as runs write them
        rows.sort(key=lambda one: one["event_timestamp"])
    start = NOON - chance.choice([1, 20, 90, 600]) * DAY
    entities = [
        {**chance.choice(keys), "event_timestamp": start + chance.random() * DAY}
        for _ in range(chance.choice([3, 29, 40]))
    ]
    ttl = chance.choice([None, None, 3 * DAY, 50 * DAY])

    check_against_the_oracle(
        engine, folder, rows, entities, keys=STRING_KEYS, ttl=ttl, **WRITTEN_AS[seed % 5]
    )


# --- traps by name ----------------------------------------------------------------------------


@pytest.mark.parametrize("timing", Timing)
@pytest.mark.parametrize(
    ("age", "found"),
    [(DAY - US, True), (DAY, True), (DAY + US, False), (0 * US, True), (-US, False)],
    ids=["inside", "exactly at the ttl", "one microsecond past", "the same instant", "the future"],
)
def test_both_ends_of_the_ttl_are_inclusive(join, timing, age, found):
    answer = join([row(NOON - age)], [at(NOON)], ttl=DAY, timing=timing)

    assert answer == [(NOON - age, 1.0, "") if found else (None, None, None)]


def test_a_row_created_later_leaks_only_into_event_timing(join):
    rows = [row(NOON - DAY, value=1.0), row(NOON - STEP, NOON + US, value=2.0)]

    assert join(rows, [at(NOON)])[0][1] == 1.0
    assert join(rows, [at(NOON + US)])[0][1] == 2.0
    assert join(rows, [at(NOON)], timing=Timing.EVENT)[0][1] == 2.0


def test_a_late_correction_replaces_its_row_and_a_late_older_event_does_not(join):
    rows = [
        row(NOON, value=1.0),
        row(NOON, NOON + STEP, value=2.0),
        row(NOON - DAY, NOON + 2 * STEP, value=3.0),
    ]
    times = [NOON, NOON + STEP - US, NOON + STEP, NOON + 3 * STEP]

    assert [one[1] for one in join(rows, list(map(at, times)))] == [1.0, 1.0, 2.0, 2.0]


def test_a_fresh_row_of_long_ago_does_not_hide_behind_a_late_one_past_its_ttl(join):
    rows = [row(NOON - 3 * DAY, NOON - STEP, value=3.0), row(NOON - DAY, value=1.0)]

    assert join(rows, [at(NOON)], ttl=2 * DAY)[0][1] == 1.0


def test_ties_go_to_the_later_created_then_to_the_later_run(join):
    rows = [
        row(NOON, NOON, value=1.0, run=9),
        row(NOON, NOON + US, value=2.0, run=1),
        row(NOON, NOON + US, value=3.0, run=2),
    ]

    assert join(rows, [at(NOON + DAY)])[0][1] == 3.0
    assert join(rows, [at(NOON)])[0][1] == 1.0


def test_exact_duplicates_never_multiply_and_entity_rows_keep_order_and_duplicates(join):
    rows = [row(NOON, value=1.0)] * 3
    entities = [at(NOON + DAY), at(NOON - DAY), at(NOON + DAY), at(NOON, driver_id=9), at(NOON)]

    assert [one[1] for one in join(rows, entities)] == [1.0, None, 1.0, None, 1.0]


def test_a_null_key_matches_nothing_not_even_a_null(join):
    rows = [row(NOON, left=None, right="3"), row(NOON, left="1", right="3")]
    entities = [at(NOON, left=None, right="3"), at(NOON, left="1", right=None)]

    assert join(rows, entities, keys=STRING_KEYS) == [(None, None, None)] * 2


NAMES = ["found", "entity_time", "Found", "event", "created", "run", "time", "row", "rowid",
         "filename", "a", "b", "e", "f", "h", "l", "o", "entity_rows", "feature_rows",
         "file_index", "file_row_number", "select"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_join_key_may_have_any_name(engine, folder, name):
    rows = [row(NOON - DAY, value=1.0), row(NOON - DAY, NOON + US, value=2.0)]
    keyed = [{**one, name: NOON} for one in rows]
    entities = [{**at(NOON), name: NOON}, {**at(NOON), name: NOON - DAY}]
    question = asked(folder, keyed, entities, keys={name: "timestamp"})._replace(explain=True)

    known, event = engine.point_in_time_joins([question._replace(timing=t) for t in Timing])

    assert as_tuples(known) == [(NOON - DAY, 1.0, ""), (None, None, None)]
    assert as_tuples(event) == [(NOON - DAY, 2.0, ""), (None, None, None)]
    assert (known.differing, event.differing) == (1, 1)


def test_null_nan_and_missing_stay_three_things(join):
    rows = [row(NOON, value=None), row(NOON, value=math.nan, driver_id=2)]
    entities = [at(NOON), at(NOON, driver_id=2), at(NOON, driver_id=3)]

    found = join(rows, entities)

    assert same(found, [(NOON, None, ""), (NOON, math.nan, ""), (None, None, None)])


def test_instants_before_1970_and_in_other_zones_compare_as_instants(join):
    moon = datetime(1969, 7, 20, 20, 17, tzinfo=UTC)
    houston = moon.astimezone(timezone(timedelta(hours=-5)))

    assert join([row(moon)], [at(houston)], ttl=SECOND)[0][1] == 1.0
    assert join([row(moon)], [at(houston - US)], ttl=SECOND)[0][1] is None


@pytest.mark.parametrize("timing", Timing)
def test_empty_frames_give_empty_answers(join, timing):
    assert join([], [at(NOON)], timing=timing) == [(None, None, None)]
    assert join([row(NOON)], [], timing=timing) == []
    assert join([], [], timing=timing) == []


def test_several_tables_are_answered_each_for_itself_and_typed_as_declared(engine, folder):
    first = asked(folder, [row(NOON)], [at(NOON), at(NOON, driver_id=2)])
    nothing = first._replace(files=(), features=("note",), explain=True)

    answers = engine.point_in_time_joins([first, nothing])

    assert as_tuples(answers[0]) == [(NOON, 1.0, ""), (None, None, None)]
    assert as_tuples(answers[1]) == [(None, None)] * 2
    assert [answer.differing for answer in answers] == [None, 0]
    assert answers[1].rows.schema == pa.schema([("__event", INSTANT), ("note", pa.string())])


def test_a_file_that_is_gone_is_an_unavailable_store(engine, folder):
    question = asked(folder, [row(NOON)], [at(NOON)])

    with pytest.raises(OfflineStoreUnavailable, match=r"gone\.parquet"):
        engine.point_in_time_joins([question._replace(files=(str(folder / "gone.parquet"),))])
