"""A training set that nobody waits for any more ends where it is, and so does what comes next."""

from __future__ import annotations

import threading
import time
from contextvars import copy_context

import pyarrow as pa
import pytest

from lib.readers_gone import READER, Reader, ReaderGone
from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.questions import JoinQuestion
from materialization.stores.columns import INSTANT
from tests.materialization.engine_cases import LIMITS, at, make_spec

#: A statement that takes hours.
HOURS = "SELECT count(*) FROM range(9000000) a, range(9000000) b WHERE a.range + b.range < 0"
ENGINE = DuckDBEngine(LIMITS)


def asked_by(reader, work):
    def run():
        READER.set(reader)
        return work()

    return copy_context().run(run)


def take_hours():
    with ENGINE._session() as session:
        session.execute(HOURS)


def ask():
    rows = pa.table({"k": [1], "event_timestamp": pa.array([at("2024-03-01T00:00")], INSTANT)})
    return ENGINE.point_in_time_joins([JoinQuestion(make_spec(), (), ("x",), rows)])


def test_what_is_under_way_is_stopped_and_nothing_more_begins():
    reader = Reader()
    threading.Timer(0.5, reader.leave).start()
    begun = time.monotonic()

    with pytest.raises(ReaderGone, match="went away"):
        asked_by(reader, take_hours)
    with pytest.raises(ReaderGone):
        asked_by(reader, ask)

    assert time.monotonic() - begun < 10


def test_who_stays_and_who_is_nobody_have_their_answer():
    assert asked_by(Reader(), ask)[0].rows.num_rows == ask()[0].rows.num_rows == 1
