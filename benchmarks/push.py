"""Pushes: the latency of single rows at one connection, rows a second in batches, one worker.

Rows have a key, a time and ten numbers. Against the floor (a bare Django view that merges and logs
the same bodies); then how long draining takes what was logged, and the latency of single rows that
a view makes by ``where``, SQL and an encoding.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import parts
from benchmarks.http_load import Load, measure

ENTITIES = 100_000
BODIES = {1: 500, 1000: 20}
DEFINITIONS = """
kind: Entity
name: driver
join_keys: [{{name: driver_id, type: int64}}]
---
kind: DataSource
name: wide_rows
type: push
schema: {{driver_id: int64, at: timestamp, {columns}}}
event_timestamp: at
---
kind: FeatureView
name: wide
entities: [driver]
source: wide_rows
features: [{features}]
ttl: 3650d
"""
MADE = """
kind: DataSource
name: made_rows
type: push
schema: {{driver_id: int64, at: timestamp, {columns}}}
event_timestamp: at
---
kind: FeatureView
name: made
entities: [driver]
source: made_rows
sql: SELECT driver_id, at, f0 * 2 AS twice, f1 FROM made_rows WHERE f0 >= 0
features:
  - {{name: twice, type: float64}}
  - {{name: f1, type: float64, encode: {{steps: [{{step: clip, min: 0.1, max: 0.9}}, log]}}}}
"""


class Peer(NamedTuple):
    name: str
    port: int
    path: str
    headers: dict[str, str]


def prepare(folder: Path, redis_url: str) -> str:
    """Register and approve the views; return a token that may push."""
    parts.use_server(folder, redis_url)
    from materialization.edges.looks import look_at_sources
    from registry.choices import Role
    from tests import factories

    columns = ", ".join(f"{name}: float64" for name in parts.FEATURES)
    features = ", ".join(f"{{name: {name}, type: float64}}" for name in parts.FEATURES)
    people = factories.make_cast(root=str(parts.source_folder(folder)))
    text = DEFINITIONS.format(columns=columns, features=features)
    factories.make_version(people, text=text, look=look_at_sources)
    text = factories.ENTITY + "---\n" + MADE.format(columns=columns)
    factories.make_version(people, text=text, look=look_at_sources)
    return factories.token_for(factories.make_service_account("stream", people, Role.PRODUCER))


def write_bodies(folder: Path, source: str, rows: int) -> Path:
    """Write bodies of so many rows of recent moments, one a line."""
    random = np.random.default_rng(rows)
    now = datetime.now(UTC)
    bodies = []
    for number in range(BODIES[rows]):
        at = [(now - timedelta(milliseconds=10 * (number + n))).isoformat() for n in range(rows)]
        df = {"driver_id": random.integers(0, ENTITIES, rows).tolist(), "at": at}
        df |= {name: random.random(rows).tolist() for name in parts.FEATURES}
        bodies.append(json.dumps({"push_source_name": source, "df": df}))
    path = folder / f"{source}-{rows}.jsonl"
    path.write_text("\n".join(bodies))
    return path


def start(stack: ExitStack, folder: Path, redis_url: str, token: str) -> list[Peer]:
    ours, floor = parts.free_port(), parts.free_port()
    command = parts.granian("benchmarks.push_floor:application", floor)
    log = folder / "floor.log"
    stack.enter_context(parts.running(command, port=floor, log=log, REDIS_URL=redis_url))
    command = parts.granian("featurestore_project.wsgi:application", ours)
    # Nobody drains while it is measured: what is logged has to fit.
    env = {"PUSH_MAX_WAITING_MB": "8000", "PUSH_MAX_WAITING": "100000000"}
    stack.enter_context(parts.running(command, port=ours, log=folder / "assay.log", **env))
    bearer = {"Authorization": f"Bearer {token}"}
    return [
        Peer("floor", floor, "/push", {}),
        Peer("assay", ours, "/api/v1/projects/rides/push", bearer),
    ]


def median(peer: Peer, bodies: Path, connections: int, arguments: argparse.Namespace) -> Load:
    """Return the median of several rounds by their rate, behind one that warms up."""
    loads = [
        measure(
            port=peer.port,
            path=peer.path,
            bodies=bodies,
            headers=peer.headers,
            connections=connections,
            seconds=arguments.seconds if turn else 1,
        )
        for turn in range(1 + arguments.rounds)
    ]
    return sorted(loads[1:])[arguments.rounds // 2]


def drain() -> tuple[int, float]:
    """Store what was logged; return how many rows, and in how many seconds."""
    from materialization.runner.draining import drain_logs

    before = time.perf_counter()
    return drain_logs(), time.perf_counter() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        redis_url = stack.enter_context(parts.redis_server(folder))
        peers = start(stack, folder, redis_url, prepare(folder, redis_url))
        for rows, connections in ((1, 1), (1000, arguments.connections)):
            bodies = write_bodies(folder, "wide_rows", rows)
            print(f"\n{rows} rows a push, {connections} connections")
            for peer in peers:
                tell(peer.name, median(peer, bodies, connections, arguments), rows)
        stored, seconds = drain()
        print(f"\ndrained {stored:,} rows in {seconds:.1f} s, {stored / seconds:,.0f} rows/s")
        for rows in (1, 1000):
            bodies = write_bodies(folder, "made_rows", rows)
            print(f"\n{rows} rows a push that a view makes by SQL, 1 connection")
            tell("assay", median(peers[1], bodies, 1, arguments), rows)


def tell(name: str, load: Load, rows: int) -> None:
    print(
        f"  {name:6} {load.requests_per_second * rows:10,.0f} rows/s"
        f"   p50 {load.p50_ms:7.2f} ms   p99 {load.p99_ms:7.2f} ms"
    )


if __name__ == "__main__":
    main()
