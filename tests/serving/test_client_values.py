"""Typed values: equal in type and value, online and in a training set, for every type there is.

The answers are the server's own; no socket lies between.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from assay.answers import Answer
from assay.frames import SentFrame
from assay.historical import ARROW_STREAM, RetrievalJob
from assay.online import OnlineResponse
from tests import factories
from tests.serving import historical_world, online_world

pytestmark = pytest.mark.django_db

NAN, INF = math.nan, math.inf
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
FIRST = datetime(1, 1, 1, tzinfo=UTC)
#: Type → (values of rows, what Python has of them).
TYPES: dict[str, list[Any]] = {
    "bool": [True, False],
    "int32": [2**31 - 1, -(2**31)],
    "int64": [2**63 - 1, -(2**63), 2**53 + 1],
    "float32": [0.10000000149011612, NAN, INF, -INF, -0.0, 3.4028234663852886e38],
    "float64": [0.1, NAN, INF, -INF, -0.0, 5e-324, 1.7976931348623157e308, 3.0],
    "string": ["NaN", "Infinity", "-Infinity", "", "1", "2026-01-01T00:00:00Z", "null", "ä\n"],
    "bytes": [b"", b"\x00\xff", b"NaN"],
    "timestamp": [FIRST, LAST, datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)],
    "date": [date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1)],
    "decimal(38,2)": [Decimal("1.10"), Decimal(f"-{'9' * 36}.99"), Decimal("0.00")],
    "list<string>": [["NaN", None, ""], [], ["Infinity"]],
    "list<int64>": [[2**63 - 1, None], [], [-(2**63)]],
    "list<float64>": [[NAN, None, 1.0], [INF], []],
    "list<timestamp>": [[LAST, None], [], [FIRST]],
    "list<list<date>>": [[[date(1, 1, 1), None], None, []], []],
    "vector<2>": [[1.0, NAN], [INF, -0.5]],
    "json": [
        '{"b":1,"a":[1.5,null,"NaN"]}',
        '"text"',
        "12",
        "true",
        "[]",
        '{"n": 9007199254740993}',
    ],
}
NAMES = {f"f{place}": kind for place, kind in enumerate(TYPES)}
ROWS = max(map(len, TYPES.values())) + 1
VIEW = "\n---\n".join(
    (
        factories.ENTITY,
        factories.SOURCE,
        factories.VIEW.partition("features:")[0]
        + "features:\n"
        + "\n".join(f'  - {{name: {name}, type: "{kind}"}}' for name, kind in NAMES.items())
        + "\nowner: rides\n",
    )
)
FEATURES = [f"driver_hourly:{name}" for name in NAMES]
MEANT = [{"b": 1, "a": [1.5, None, "NaN"]}, "text", 12, True, [], {"n": 2**53 + 1}]


def padded(values: list[Any]) -> list[Any]:
    """Return one value a row, null after the last."""
    return [*values, *[None] * (ROWS - len(values))]


def expected(kind: str) -> list[Any]:
    return padded(MEANT if kind == "json" else TYPES[kind])


def same(left: object, right: object) -> bool:
    """Compare values and their types, NaN with NaN and 0.0 apart from -0.0."""
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and repr(left) == repr(right)


@pytest.fixture
def asked(client, cast, token, now):
    """Return the answers to one question, online and twice as a training set."""
    at = now - timedelta(hours=1)
    rows = [
        {"driver_id": row, "event": at, **{n: padded(TYPES[k])[row] for n, k in NAMES.items()}}
        for row in range(ROWS)
    ]
    version = online_world.loaded_view(cast, VIEW, rows, at=now)
    historical_world.commit(version, rows)
    keys = {"driver_id": list(range(ROWS))}
    online = online_world.ask(client, token, {"features": FEATURES, "entities": keys})
    frame = {**keys, "event_timestamp": [now.isoformat()] * ROWS}
    body = {"features": FEATURES, "entities": frame}
    arrow = historical_world.ask(client, token, body, accept=ARROW_STREAM)
    text = historical_world.ask(client, token, body)
    jobs = [
        RetrievalJob(Answer(each.status_code, each.headers, each.content), frame=sent)
        for each, sent in ((arrow, SentFrame(pa.table(keys), {})), (text, SentFrame(None, keys)))
    ]
    return OnlineResponse(online.json()), *jobs


def test_every_type_is_the_same_in_serving_and_in_training(asked, monkeypatch):
    online, *training = asked

    for answer in (online, *training):
        values = answer.to_dict()
        wrong = {
            kind: values[name]
            for name, kind in NAMES.items()
            if not all(map(same, values[name], expected(kind)))
        }
        assert wrong == {}
    assert online.value_types == {"driver_id": "int64", **NAMES}


def test_tables_and_frames_are_the_same_in_serving_and_in_training(asked):
    online, *training = asked

    for job in training:
        for name in NAMES:
            served, trained = online.to_arrow()[name], job.to_arrow()[name]
            assert served.type == trained.type
            assert all(map(same, served.to_pylist(), trained.to_pylist())), name
            served, trained = online.to_df()[name], job.to_df()[name]
            assert served.dtype == trained.dtype, name
            assert all(map(same, served.tolist(), trained.tolist())), name


def test_a_frame_keeps_integers_beside_nulls_and_nan_apart_from_null(asked):
    frame = asked[1].to_df()
    types = dict(zip(NAMES.values(), frame[list(NAMES)].dtypes, strict=True))

    assert str(types["int64"]) == "int64[pyarrow]"
    assert str(types["timestamp"]) == "datetime64[us, UTC]"
    assert str(frame["driver_id"].dtype) == "int64"
    name = next(name for name, kind in NAMES.items() if kind == "int64")
    assert frame[name].tolist()[:3] == TYPES["int64"]
    floats = frame[next(name for name, kind in NAMES.items() if kind == "float64")]
    assert (math.isnan(floats[1]), floats[1] is pd.NA, floats[8] is pd.NA) == (True, False, True)


def test_text_that_reads_like_a_number_or_an_instant_stays_text(asked):
    name = next(name for name, kind in NAMES.items() if kind == "string")

    for answer in asked:
        assert answer.to_dict()[name][: len(TYPES["string"])] == TYPES["string"]


def test_a_column_of_a_declared_type_says_so_in_arrow_and_parquet(asked):
    schema = asked[1].to_arrow().schema

    said = {n: schema.field(n).metadata[b"assay.value_type"].decode() for n in NAMES}
    assert said == NAMES
    assert schema.field("driver_id").metadata is None
    assert pa.types.is_int64(schema.field("driver_id").type)
