"""How far back a question looks for what counted at its first instant, and for whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.compute.earlier_rows import find_earlier, prepare
from materialization.compute.point_in_time_sql import (
    ENTITY_ROWS,
    ROW,
    earlier_rows,
    stamps,
    stamps_sql,
)
from materialization.compute.questions import JoinQuestion, Timing
from materialization.stores.columns import INSTANT, stored_schema
from tests.materialization.engine_cases import make_spec

DAY, US = timedelta(days=1), timedelta(microseconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


class Looking:
    """A session that notes the spans it looks for earlier rows in."""

    def __init__(self):
        self._session = duckdb.connect()
        self._session.execute("SET TimeZone = 'UTC'")
        self.looks = []

    def execute(self, sql):
        if sql.startswith("INSERT INTO earlier_"):
            self.looks.append(sql)
        return self._session.execute(sql)

    def register(self, name, table):
        self._session.register(name, table)


@pytest.fixture
def look(tmp_path):
    """A function: stored (key, event), asked (key, time) → (looks, {key: earlier event})."""

    def looked(rows, asked, *, ttl=None, timing=Timing.KNOWN):
        spec = make_spec(keys=[("k", "int64")], features=[("x", "float64")], ttl=ttl)
        stored = [
            {"k": k, "event_timestamp": at, "created_timestamp": at, "__sequence": 1, "x": 1.0}
            for k, at in rows
        ]
        file = str(tmp_path / "rows.parquet")
        pq.write_table(pa.Table.from_pylist(stored, schema=stored_schema(spec)), file)
        entities = pa.table(
            [
                pa.array(each, kind)
                for each, kind in zip(zip(*asked, strict=True), KINDS, strict=True)
            ],
            names=["k", "event_timestamp"],
        )
        question = JoinQuestion(spec, (file,), ("x",), entities, timing)
        session = Looking()
        numbers = pa.array(np.arange(entities.num_rows))
        session.register(ENTITY_ROWS, entities.append_column(ROW, numbers))
        oldest = prepare(session, question)
        session.execute(f"CREATE TEMP TABLE {stamps(timing)} AS {stamps_sql(question)}")
        are_any = find_earlier(session, question, oldest)
        found = dict(session.execute(f"FROM {earlier_rows(timing)}").fetchall())
        assert are_any == bool(found)
        return len(session.looks), found

    return looked


KINDS = (pa.int64(), INSTANT)


def test_what_finds_something_later_is_not_looked_for(look):
    rows = [(key, START + day * DAY) for key in range(5) for day in (0, 10)]

    looks, found = look(
        rows, [(9, START + 5 * DAY), *((key, START + 11 * DAY) for key in range(5))]
    )

    assert (looks, found) == (3, {})  # for 9 alone
    looks, found = look(
        rows, [(0, START + 5 * DAY), *((key, START + 11 * DAY) for key in range(5))]
    )
    assert found == {0: START}


def test_nothing_is_looked_for_before_the_first_stored_row(look):
    rows = [(key, START + 10 * DAY) for key in range(5)]

    assert look(rows, [(key, START) for key in range(5)]) == (0, {})
    assert look(rows, [(key, START + 10 * DAY) for key in range(5)]) == (
        1,
        dict.fromkeys(range(5), START + 10 * DAY),
    )


def test_what_a_ttl_has_ended_is_not_looked_for(look):
    rows = [(1, START), (2, START + 99 * DAY)]
    asked = [(2, START + 100 * DAY), (1, START + 102 * DAY)]

    _, found = look(rows, asked, ttl="1d")

    assert found == {2: START + 99 * DAY}  # 1 is asked about where all before is past it


@pytest.mark.parametrize("timing", Timing)
def test_steps_are_as_long_as_the_keys_left_need(look, timing):
    chance = np.random.default_rng(3)
    rows = [
        (key, START + int(at) * US)
        for key in range(3_000)
        for at in chance.uniform(0, 90 * 86_400 * 10**6, 90)
    ]
    first = START + 50 * DAY

    looks, found = look(rows, [(key, first) for key in range(3_000)], timing=timing)

    latest = {}
    for key, at in rows:
        if at <= first:
            latest[key] = max(latest.get(key, at), at)
    assert found == latest
    # Six hours, some days by what those left, and what chance leaves.
    assert looks <= 4


def test_keys_without_any_row_end_at_the_first_stored_one(look):
    rows = [(1, START), (2, START + 400 * DAY)]

    looks, found = look(rows, [(key, START + 400 * DAY) for key in range(5)])

    assert found == {1: START, 2: START + 400 * DAY}
    assert looks <= 7
