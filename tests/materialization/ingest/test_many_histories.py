"""Thousands of random histories of windows over pushed rows: online, offline and in the loop.

Each entity is a history of its own, so that one push, one read and one training set have them all.
Not for what single rules of events are (``test_exact_windows``), nor for types of columns
(``test_window_functions``).
"""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from materialization.choices import RunKind
from materialization.edges.stores import push_log
from materialization.requests.certificates import request_certificate
from materialization.runner.certifying import certify, words_of
from materialization.runner.draining import drain_logs
from materialization.transforms.windows.functions import FUNCTIONS
from registry.spec.durations import parse_duration
from serving.online import windows as online_windows
from serving.online.arrow import answer_stream
from tests.materialization.aggregation_cases import same
from tests.materialization.ingest.push_world import ready
from tests.materialization.ingest.window_world import STAMPED, TOLD, definitions, push
from tests.materialization.run_world import (
    committed,
    fresh,
    materialize,
    offline_at,
    online_answer,
    table_of,
)
from tests.oracle_ticks import corrected, values_as_of

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db
US = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Of each world. The loop has each of them at one instant in each stage, the engines at all.
HISTORIES = 700
#: Rows are pushed at the first instants, hops and windows end between them; then time passes alone.
PUSHES, LATER = 4, 4
VALUES: dict[str, list[Any]] = {
    "fare": [0.0, -0.0, 0.1, 0.2, 0.3, -2.5, 1e16, -1e16, float("nan"), float("inf")],
    "seats": [0, -1, 2, 2**31 - 1],
    "city": ["", "a", 'q"', "b" * 40],
    "ok": [True, False],
}
#: Column → its functions as outputs are named by them, with the type of what each gives.
ASKED: dict[str, dict[str, str]] = {
    "fare": {
        **dict.fromkeys(("sum", "mean", "stddev", "variance", "min", "first"), "float64"),
        **dict.fromkeys(("percentile_37_5", "approx_percentile_90"), "float64"),
        **dict.fromkeys(("first_k_2", "last_k_2", "top_k_2"), "list<float64>"),
    },
    "seats": {"count": "int64", "sum": "int64", "max": "int32"},
    "city": {"histogram_3": "json", "count_distinct": "int64", "last": "string"},
    "ok": {"any": "bool", "all": "bool"},
}
PARAMETERS = {"percentile_37_5": "p: 37.5", "approx_percentile_90": "p: 90", "first_k_2": "k: 2",
              "last_k_2": "k: 2", "top_k_2": "k: 2", "histogram_3": "k: 3"}  # fmt: skip

#: Feature → the output that its steps take, its type, and the steps.
ENCODED = {
    "size": ("fare_sum", "float32", "{step: log, plus: 1}, {step: clip, max: 20}"),
    "busy": ("seats_count", "int32", "{step: bucketize, edges: [1, 3]}"),
    "place": (
        "city_last",
        "list<float32>",
        "{step: impute, value: none}, {step: hashed, width: 7}",
    ),
}


class World(NamedTuple):
    """What the histories have in common; ``partial``: hops are told by what is known of them."""

    seed: int
    windows: tuple[str, ...]
    told_by: str | None = None
    ttl: str | None = None
    partial: bool = False

    @property
    def lengths(self) -> list[timedelta]:
        return [parse_duration(each) for each in self.windows]


WORLDS = [
    World(1, ("7s", "90s", "1h")),
    World(2, ("1h", "3h"), told_by="city", partial=True),
    World(3, ("1m", "100m"), ttl="2m", partial=True),
]


def view(world: World) -> str:
    aggregations, features = [], []
    for column, functions in ASKED.items():
        asked = ", ".join(map(_written, functions))
        lengths = ", ".join(world.windows)
        aggregations.append(f"  - {{column: {column}, functions: [{asked}], windows: [{lengths}]}}")
        features += [
            f'  - {{name: {column}_{name}_{window}, type: "{kind}"}}'
            for name, kind in functions.items()
            for window in world.windows
        ]
    features.append(f'  - {{name: share, type: float64, sql: "{_share(world)}"}}')
    features += [
        f'  - {{name: {name}, type: "{kind}", column: {column}_{world.windows[0]},'
        f" encode: {{steps: [{steps}]}}}}"
        for name, (column, kind, steps) in ENCODED.items()
    ]
    head = "kind: FeatureView\nname: spending\nentities: [driver]\nsource: trips\n"
    ttl = "" if world.ttl is None else f"ttl: {world.ttl}\n"
    middle = f"accuracy: temporal\n{ttl}aggregations:\n"
    return head + middle + "\n".join([*aggregations, "features:", *features, ""])


def _share(world: World) -> str:
    """Return what is computed of the windows at each read."""
    return "fare_sum_{0} / nullif(seats_count_{0}, 0)".format(world.windows[-1])


def _written(name: str) -> str:
    if name not in PARAMETERS:
        return name
    head = name[: min(name.index(digit) for digit in "0123456789" if digit in name) - 1]
    return f"{{function: {head}, {PARAMETERS[name]}}}"


def history(world: World, chance: random.Random, instants: list[datetime]) -> list[list[Any]]:
    """Return what is pushed at each of the first instants: rows as the loop has them, no key yet.

    Events lie where windows or hops begin and end as of some instant, and a microsecond beside it;
    or where an earlier one does, which they correct. Many are late, some later than all windows.
    """
    lengths, had = world.lengths, list[datetime]()
    hop = -(-lengths[-1] // US // 100) * US
    rounds = []
    for at in instants[:PUSHES]:
        rows = []
        for _ in range(chance.choice((0, 1, 1, 2, 3, 5))):
            edge = chance.choice(instants) - chance.choice([*lengths, timedelta(), lengths[0] / 2])
            if chance.random() < 0.3:
                edge = EPOCH + (edge - EPOCH) // hop * hop
            event = min(edge + chance.choice((-1, 0, 1)) * US, at)
            if had and chance.random() < 0.35:
                event = chance.choice(had)
            had.append(event)
            late = chance.choice((timedelta(), timedelta(), US, lengths[0], lengths[-1]))
            row: dict[str, Any] = {"event": event, "created": at - late}
            row |= {name: chance.choice([None, *some]) for name, some in VALUES.items()}
            if world.told_by is not None:
                row[world.told_by] = row[world.told_by] or ""
            rows.append(row)
        rounds.append(rows)
    return rounds


def wanted(world: World, version: FeatureViewVersion, rows: list[Any], at: datetime) -> Any:
    """Return the features of one history as the slow and obviously right way has them, or None."""
    made = version.spec.view.aggregate_outputs()
    asked = {
        feature.name: (
            made[feature.source_column].column,
            made[feature.source_column].function,
            parse_duration(feature.name.rpartition("_")[2]),
        )
        for feature in version.spec.features
        if feature.sql is None and feature.encode is None
    }
    ttl = None if world.ttl is None else parse_duration(world.ttl)
    there = corrected(rows, told_by=world.told_by)
    found = values_as_of(there, rows[0]["key"], at, asked, ttl=ttl) if rows else None
    if found is None:
        return dict.fromkeys((*asked, "share", *ENCODED))
    total, seats = (found[f"{name}_{world.windows[-1]}"] for name in ("fare_sum", "seats_count"))
    share = total / seats if total is not None and seats else None
    return {**found, "share": share, **encoded(world, found)}


def encoded(world: World, found: dict[str, Any]) -> dict[str, Any]:
    """Return what the steps make of a history's shortest windows."""
    total, seats, city = (found[f"{column}_{world.windows[0]}"] for column, *_ in ENCODED.values())
    with np.errstate(all="ignore"):
        size = None if total is None else float(np.float32(np.minimum(np.log(total + 1), 20)))
    digest = hashlib.md5(
        ("none" if city is None else city).encode(), usedforsecurity=False
    ).digest()
    place = [0.0] * 7
    place[int.from_bytes(digest[8:], "little") % 7] = -1.0 if digest[0] % 2 else 1.0
    return {"size": size, "busy": (seats >= 1) + (seats >= 3), "place": place}


def online_rows(version: FeatureViewVersion, at: datetime) -> list[dict[str, Any]]:
    asked = {"driver_id": list(range(HISTORIES))}
    stream = answer_stream(online_answer(version, asked, at=at, stored=True))
    names = [feature.name for feature in version.spec.features]
    rows: list[dict[str, Any]] = pa.ipc.open_stream(stream).read_all().select(names).to_pylist()
    return rows


def offline_rows(version: FeatureViewVersion, instants: list[datetime]) -> list[dict[str, Any]]:
    """Return the rows of all histories at the first instant, then those at the next."""
    keys = list(range(HISTORIES)) * len(instants)
    every = [at for at in instants for _ in range(HISTORIES)]
    columns = offline_at(version, {"driver_id": keys}, every)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_every_function_is_asked_for():
    asked = {name.rpartition("_")[0] if name in PARAMETERS else name for each in ASKED.values()
             for name in each}  # fmt: skip
    assert {name.removesuffix("_37") for name in asked} == set(FUNCTIONS)


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_thousands_of_histories_are_the_same_in_both_stores_and_in_the_loop(
    cast, monkeypatch, online_redis, world
):
    if world.partial:
        monkeypatch.setattr(online_windows, "MANY_ROWS", 1)
        monkeypatch.setattr(online_windows, "KNOWN_SHARE", 100)
        monkeypatch.setattr(online_windows, "MOST_LOOKED_AT", 1 << 30)
    chance = random.Random(world.seed)
    instants = [EPOCH - world.lengths[-1] / 2]  # from before 1970 to after
    for _ in range(PUSHES + LATER - 1):
        step = chance.choice([*world.lengths, world.lengths[0] / 3, world.lengths[-1] / 2])
        instants.append(instants[-1] + step + chance.choice((-1, 0, 1)) * US)
    source = (TOLD if world.told_by else STAMPED).replace("seats: int32", "seats: int32, ok: bool")
    version = ready(cast, definitions(view(world), source))
    every = [history(world, chance, instants) for _ in range(HISTORIES)]
    known: list[list[Any]] = [[] for _ in every]

    def check(there: list[dict[str, Any]], at: datetime, places: range) -> None:
        for place in places:
            same_as(there[place], wanted(world, version, known[place], at), at, place, same)

    def same_as(one: Any, other: Any, at: datetime, place: int, alike: Any) -> None:
        wrong = {n: (v, other[n]) for n, v in one.items() if not alike({n: v}, {n: other[n]})}
        assert not wrong, (wrong, world, at, known[place])

    for number, at in enumerate(instants[:PUSHES]):
        rows = [
            {"key": (place,), **row} for place, each in enumerate(every) for row in each[number]
        ]
        push(cast, rows, at)
        for row in rows:
            known[row["key"][0]].append(row)
        check(online_rows(version, at), at, range(number, HISTORIES, PUSHES))
        if chance.random() < 0.5:
            drain_logs()
    certified(version, at, sum(map(bool, known)))  # of rows that wait it is who stores them
    assert not push_log().lag(table_of(version).uid)
    offline = offline_rows(version, instants)
    for number, at in enumerate(instants):
        there = offline[number * HISTORIES : (number + 1) * HISTORIES]
        check(there, at, range(number, HISTORIES, len(instants)))
        if number == PUSHES:
            emptied_and_loaded(version, online_redis, at)
        if number >= PUSHES - 1:
            for _ in range(1 + world.partial):  # the second from what the first knows of hops
                for place, found in enumerate(online_rows(version, at)):
                    same_as(found, there[place], at, place, lambda a, b: repr(a) == repr(b))
    if world.ttl is not None:  # some entities are over
        certified(version, at, sum(map(bool, known)))


def certified(version: FeatureViewVersion, at: datetime, entities: int) -> None:
    """A certificate sees what a reader and a training set were seen to have."""
    asked = request_certificate(version=fresh(version), sample=None, at=at, actor=None)
    with committed():
        certify(certificate_id=asked.pk, worker="w", clock=lambda: at)
    asked.refresh_from_db()
    assert (asked.status, asked.equal) == ("equal", entities), (words_of(asked), asked.examples)


def emptied_and_loaded(version: FeatureViewVersion, online_redis: Any, at: datetime) -> None:
    """Lose what Redis has of a table, and load it again from what was drained."""
    for key in online_redis.scan_iter(match=f"w{table_of(version).uid}*"):
        online_redis.delete(key)
    with committed():
        assert materialize(version, kind=RunKind.RELOAD, end=at).status == "succeeded"
