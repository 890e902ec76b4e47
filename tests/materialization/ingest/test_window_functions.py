"""Every function over pushed rows, of every type that it takes: online as offline, to the bit."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from materialization.ingest.refusals import Refusals
from materialization.ingest.taking import Sent, judge, take
from materialization.ingest.targets import targets_of_source
from materialization.runner.draining import drain_logs
from materialization.stores.push_command import MostWaiting
from materialization.transforms.windows.functions import FUNCTIONS
from registry import access
from registry.spec.value_types import parse_type
from serving.online import windows
from serving.online.arrow import answer_stream
from tests import factories
from tests.materialization.ingest.push_world import ready
from tests.materialization.run_world import AT, offline, online_answer

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db
HOUR, US = timedelta(hours=1), timedelta(microseconds=1)
TYPES = {
    "i": "int32",
    "n": "int64",
    "d": "decimal(10,2)",
    "x": "float64",
    "f": "float32",
    "ok": "bool",
    "s": "string",
    "t": "timestamp",
    "day": "date",
    "raw": "bytes",
}
VALUES: dict[str, list[Any]] = {
    "i": [0, -1, 7, 2**31 - 1],
    "n": [0, 3, -5, 2**53 + 1, 2**61],
    "d": [Decimal("0.10"), Decimal("-3.05"), Decimal("99999999.99")],
    "x": [0.0, -0.0, 0.1, 1e300, -1e300, 2**-1074, float("nan"), float("inf"), -2.5],
    "f": [0.5, -0.0, 3.25, float("nan")],
    "ok": [True, False],
    "s": ["", "a", "Ä", "b\u2028", 'quo"te', "z" * 40],
    "t": [datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), AT],
    "day": [date(1969, 1, 1), date(2026, 2, 28)],
    "raw": [b"", b"\x00\xc4\x08", b"\xff"],
}
#: Squares of the others are sums of so many digits that to plan them takes the engine seconds.
SQUARED = {"x": [0.0, -0.0, 0.1, 1e15, float("nan"), float("inf"), -2.5]}
_NUMBERS = ("i", "n", "d", "x", "f", "ok")
_ANY = tuple(TYPES)
#: Function → the columns that it takes, and the type of what it gives; None: the column's.
CASES: dict[str, tuple[tuple[str, ...], str | None]] = {
    "count": (_ANY, "int64"),
    "count_distinct": (_ANY, "int64"),
    "min": (_ANY, None),
    "max": (_ANY, None),
    "first": (_ANY, None),
    "last": (_ANY, None),
    "first_k": (_ANY, "list"),
    "last_k": (_ANY, "list"),
    "top_k": (_ANY, "list"),
    "sum": (_NUMBERS, "float64"),
    "mean": (_NUMBERS, "float64"),
    "stddev": (("n", "x"), "float64"),
    "variance": (("d", "x"), "float64"),
    "any": (("ok",), "bool"),
    "all": (("ok",), "bool"),
    "histogram": (("s",), "json"),
    "percentile": (("i", "x", "f"), "float64"),
    "approx_percentile": (("i", "x", "f"), "float64"),
}
PARAMETERS = {"first_k": "k: 2", "last_k": "k: 2", "top_k": "k: 2", "histogram": "k: 3",
              "percentile": "p: 37.5", "approx_percentile": "p: 90"}  # fmt: skip


def definitions(name: str) -> str:
    columns, gives = CASES[name]
    asked = f"{{function: {name}, {PARAMETERS[name]}}}" if name in PARAMETERS else name
    output = (
        f"{name}_{PARAMETERS[name].split()[1].replace('.', '_')}" if name in PARAMETERS else name
    )
    features, aggregations = [], []
    for column in columns:
        kind = f"list<{TYPES[column]}>" if gives == "list" else gives or TYPES[column]
        aggregations.append(f"  - {{column: {column}, functions: [{asked}], windows: [1h, 2h]}}")
        features += [
            f'  - {{name: {column}_{window}, type: "{kind}", column: {column}_{output}_{window}}}'
            for window in ("1h", "2h")
        ]
    schema = ", ".join(f'{column}: "{kind}"' for column, kind in TYPES.items())
    source = f"""
kind: DataSource
name: things
type: push
schema: {{driver_id: int64, at: timestamp, {schema}}}
event_timestamp: at
"""
    view = f"""
kind: FeatureView
name: windows
entities: [driver]
source: things
accuracy: temporal
aggregations:
{chr(10).join(aggregations)}
features:
{chr(10).join(features)}
"""
    return "\n---\n".join((factories.ENTITY, source, view))


def push(cast: factories.Cast, rows: list[dict[str, Any]], at: datetime) -> None:
    (target,) = targets_of_source("things", cast.project, access.Rights(cast.owner))
    kinds = {"driver_id": "int64", "at": "timestamp", **TYPES}
    read = target.spec.columns_read
    assert read is not None
    columns = {
        name: pa.array([row[name] for row in rows], parse_type(kind).arrow)
        for name, kind in kinds.items()
        if name in read
    }
    judged = judge(
        [Sent(target, pa.RecordBatch.from_pydict(columns))], Refusals(), partial_ok=False, at=at
    )
    take(judged, at=at, once=None, most=MostWaiting(10_000, 1 << 30))


def online(
    version: FeatureViewVersion, entities: dict[str, list[Any]], at: datetime
) -> dict[str, list[Any]]:
    """Return each feature's values as Python has those of its type."""
    stream = answer_stream(online_answer(version, entities, at=at, stored=True))
    table = pa.ipc.open_stream(stream).read_all()
    return {each.name: table[each.name].to_pylist() for each in version.spec.features}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_gives_online_what_it_gives_offline(cast, monkeypatch, name):
    monkeypatch.setattr(windows, "MANY_ROWS", 1)
    monkeypatch.setattr(windows, "KNOWN_SHARE", 100)
    chance = random.Random(name)
    given = VALUES | (SQUARED if name in ("stddev", "variance") else {})
    version = ready(cast, definitions(name))
    asked = {"driver_id": [1, 2, 3]}
    at = AT
    for _ in range(12):
        at += chance.choice([timedelta(), US, HOUR / 4, HOUR])
        rows = [
            {
                "driver_id": chance.choice([1, 2]),
                "at": at - chance.choice([timedelta(), US, HOUR / 2, HOUR]),
                **{
                    column: chance.choice([None, *chance.sample(values, 2)])
                    for column, values in given.items()
                },
            }
            for _ in range(chance.randint(1, 3))
        ]
        push(cast, rows, at)
        online(version, asked, at)
    drain_logs()

    for ahead in (timedelta(), US, HOUR / 4, HOUR / 2, HOUR, 2 * HOUR, 9 * HOUR):
        there = offline(version, asked, at=at + ahead)
        for _ in range(2):  # the second makes them of what the first has found of hops
            assert repr(online(version, asked, at + ahead)) == repr(there), ahead
