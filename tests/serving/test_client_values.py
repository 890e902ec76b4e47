"""Typed values: equal in type and value, online and in a training set, for every type there is.

The answers are the server's own; no socket lies between.
"""

from __future__ import annotations

import io
import json
import math
import random
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa
import pytest

from assay.answers import Answer
from assay.frames import SentFrame, entity_frame
from assay.historical import ARROW_STREAM, RetrievalJob
from assay.online import OnlineResponse
from assay.online_arrow import read_stream
from assay.value_types import json_text, json_value
from serving.values import json_text_ready
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
    rows = [{n: padded(TYPES[k])[row] for n, k in NAMES.items()} for row in range(ROWS)]
    online, _, *training = answers(client, cast, token, now, rows)
    return online, *training


def answers(client, cast, token, now, rows):
    """Return what the client makes of each form: online and historical, JSON and Arrow."""
    at, keys = now - timedelta(hours=1), {"driver_id": list(range(len(rows)))}
    stored = [{"driver_id": row, "event": at, **values} for row, values in enumerate(rows)]
    version = online_world.loaded_view(cast, VIEW, stored, at=now)
    historical_world.commit(version, stored)
    asked = {"features": FEATURES, "entities": keys}
    online = online_world.ask(client, token, asked)
    streamed = client.post(
        "/api/v1/projects/rides/get-online-features",
        data=json.dumps(asked),
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}", "Accept": ARROW_STREAM},
    )
    body = {**asked, "entities": {**keys, "event_timestamp": [now.isoformat()] * len(rows)}}
    arrow = historical_world.ask(client, token, body, accept=ARROW_STREAM)
    text = historical_world.ask(client, token, body)
    stream = Answer(streamed.status_code, streamed.headers, streamed.content)
    jobs = [
        RetrievalJob(Answer(each.status_code, each.headers, each.content), frame=sent)
        for each, sent in ((arrow, SentFrame(pa.table(keys), {})), (text, SentFrame(None, keys)))
    ]
    return OnlineResponse(online.json()), read_stream(stream, warnings=()), *jobs


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


def test_times_sent_as_text_come_back_as_times(client, cast, token, now):
    at = now - timedelta(hours=1)
    rows = [{"driver_id": 1, "event": at, "f0": True}]
    version = online_world.loaded_view(cast, VIEW, rows, at=now)
    historical_world.commit(version, rows)
    frame = {"driver_id": [1], "event_timestamp": [now.isoformat()]}
    jobs = []
    for sent in (entity_frame(pd.DataFrame(frame)), entity_frame(pa.table(frame))):
        stream = io.BytesIO()
        with pa.ipc.new_stream(stream, sent.table.schema) as writer:
            writer.write_table(sent.table)
        answer = client.post(
            "/api/v1/projects/rides/get-historical-features" + "?features=driver_hourly:f0",
            data=stream.getvalue(),
            content_type=ARROW_STREAM,
            headers={"Authorization": f"Bearer {token}", "Accept": ARROW_STREAM},
        )
        assert answer.status_code == 200, answer.content
        jobs.append(
            RetrievalJob(Answer(answer.status_code, answer.headers, answer.content), frame=sent)
        )

    for job in jobs:
        assert str(job.to_df()["event_timestamp"].dtype) == "datetime64[us, UTC]"
        assert job.to_dict()["event_timestamp"] == [now]
        assert job.to_arrow()["event_timestamp"].type == pa.timestamp("us", "UTC")


def drawn(kind: str, way: random.Random) -> Any:
    """Return some value of a type, or null."""
    if way.random() < 0.2:
        return None
    if kind.startswith("list<"):
        return [drawn(kind[5:-1], way) for _ in range(way.randrange(4))]
    if kind.startswith("decimal"):
        return Decimal(f"{way.randrange(-(10**38) + 1, 10**38)}E-2")
    return DRAWS[kind](way)


def _text(way: random.Random) -> str:
    return "".join(chr(way.choice((way.randrange(32, 127), 0xE4, 0x1F600))) for _ in range(5))


def _single(way: random.Random) -> float:
    return float(struct.unpack("<f", way.randbytes(4))[0])


def _json(way: random.Random) -> str:
    said = {"n": way.randrange(-(2**63), 2**63), _text(way): [way.random(), None, _text(way)]}
    return json.dumps(way.choice((said, [said], 1, "text", True)), ensure_ascii=False)


DRAWS: dict[str, Any] = {
    "bool": lambda way: way.random() < 0.5,
    "int32": lambda way: way.randrange(-(2**31), 2**31),
    "int64": lambda way: way.randrange(-(2**63), 2**63),
    "float32": _single,
    "float64": lambda way: struct.unpack("<d", way.randbytes(8))[0],
    "string": _text,
    "bytes": lambda way: way.randbytes(way.randrange(6)),
    "timestamp": lambda way: FIRST + (LAST - FIRST) * way.random(),
    "date": lambda way: date.fromordinal(way.randrange(1, date.max.toordinal())),
    "vector<2>": lambda way: [_single(way), _single(way)],
    "json": _json,
}


@pytest.mark.parametrize("seed", range(3))
def test_random_values_are_the_same_in_every_form_a_program_asks_for(
    client, cast, token, now, seed
):
    way = random.Random(seed)
    rows = [{n: drawn(k, way) for n, k in NAMES.items()} for _ in range(40)]

    first, *others = answers(client, cast, token, now, rows)

    for other in others:
        for name, kind in NAMES.items():
            pairs = (
                (first.to_dict()[name], other.to_dict()[name]),
                (first.to_arrow()[name].to_pylist(), other.to_arrow()[name].to_pylist()),
                (first.to_df()[name].tolist(), other.to_df()[name].tolist()),
                (first.to_polars()[name].to_list(), other.to_polars()[name].to_list()),
            )
            for left, right in pairs:
                assert all(map(same, left, right)), (seed, kind)
            assert first.to_arrow()[name].type == other.to_arrow()[name].type
            assert first.to_df()[name].dtype == other.to_df()[name].dtype
            assert first.to_polars()[name].dtype == other.to_polars()[name].dtype
    # JSON is told as what it means, not as its text.
    stored = {n: [row[n] for row in rows] for n, k in NAMES.items() if k != "json"}
    for name, values in stored.items():
        assert all(map(same, first.to_dict()[name], values)), (seed, NAMES[name])
    assert_whole_numbers_are_text(client, token, now, rows)


def assert_whole_numbers_are_text(client, token, now, rows):
    """Look at JSON for clients whose numbers are fractions of 53 bits; online and in training."""
    keys, at = {"driver_id": list(range(len(rows)))}, [now.isoformat()] * len(rows)
    asked = {"features": FEATURES, "entities": keys, "int64_as_text": True}
    timed = {**asked, "entities": {**keys, "event_timestamp": at}}
    online, trained = (
        dict(zip(found["metadata"]["feature_names"], found["results"], strict=True))
        for found in (
            online_world.ask(client, token, asked).json(),
            historical_world.ask(client, token, timed).json(),
        )
    )
    for name, kind in NAMES.items():
        assert online[name]["values"] == trained[name]["values"], kind
    for kind in ("int64", "list<int64>"):
        name = next(name for name, each in NAMES.items() if each == kind)
        assert online[name]["values"] == [digits(row[name]) for row in rows]


#: Beside random ones: what decoders of JSON differ in.
JSON_TEXTS = [
    '"\\ud800"', '{"a":["x\\ud83d"]}', '"\\ud83d\\ude00"', '"\\u0000"', "NaN", "[-Infinity]",
    "[1e400]", "1e-400", "1" * 5000, "-9223372036854775809", "[" * 200 + "]" * 200,
    "[" * 201 + "]" * 201, '{"a":1,"a":2}', "\u00a01", "\ufeff1", "1\n", '"\x01"', '"\x7f"',
    "-0", "01", "1.", ".5", "",
]  # fmt: skip


def test_any_text_means_to_the_client_what_the_server_says_it_means():
    way = random.Random(4)
    signs = '{}[]:,"0123456789.eE+-truefalsn \\ud8\n'
    texts = ["".join(way.choices(signs, k=way.randrange(1, 9))) for _ in range(5000)]
    for text in [*JSON_TEXTS, *texts]:
        sent = json.loads(msgspec.json.encode(json_text_ready(text)))
        meant = json_value(text)
        assert same(meant, sent), text
        assert pa.array([json_text(meant)], pa.string())[0].as_py() == json_text(sent)


def digits(value):
    """Return whole numbers as text, in lists too; null stays null."""
    if isinstance(value, list):
        return list(map(digits, value))
    return None if value is None else str(value)
