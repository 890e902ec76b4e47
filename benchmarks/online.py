"""Online reads of one granian worker, by scenario; each prints one table.

``sizes``: 1 and 100 entities of 10 features, against the limit (a bare handler without Django, the
values alone), what a team writes by hand (the same answer by redis-py), the floor (a bare Django
view over the same rows), itself without noting who reads what (silent) and, when FEAST_PYTHON names
an interpreter that has Feast, its feature server over the same values.
``views``: 1, 3 and 30 views in one question. ``connections``: 500 at once, none refused.
``backfill``: latencies while another process materializes, and what the limit has beside the same.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks import materialization, parts
from benchmarks.http_load import Load, generator, measure
from benchmarks.online_peers import ENTITIES, start_peers, view_name
from benchmarks.reads_beside_backfill import backfill, second_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.online_peers import Peer

SIZES, VIEWS, MANY_CONNECTIONS = (1, 100), (1, 3, 30), 500
BODIES = 500
#: Under a backfill each caller does something with an answer before it asks again, in seconds.
PAUSE = 0.005
#: How far a worker's run steps back, and how much of Redis it may take: the settings' defaults.
NICE, PERCENT = 10, 50


class Found(NamedTuple):
    """A load, and the microseconds of processor that the server spent on each request."""

    load: Load
    processor_us: float


class World(NamedTuple):
    folder: Path
    redis_url: str
    peers: list[Peer]
    arguments: argparse.Namespace

    @property
    def ours(self) -> Peer:
        return next(each for each in self.peers if each.name == "assay")


def write_bodies(folder: Path, size: int, views: int = 1) -> Path:
    """Write the same random questions for every peer, one JSON body a line."""
    file = folder / f"bodies-{size}-{views}.jsonl"
    keys = np.random.default_rng(11).integers(0, ENTITIES, (BODIES, size)).tolist()
    asked = {"features": [f"{view_name(i)}:{f}" for i in range(views) for f in parts.FEATURES]}
    if views > 1:
        asked |= {"full_feature_names": True}
    lines = [json.dumps({**asked, "entities": {"driver_id": each}}) for each in keys]
    file.write_text("\n".join(lines))
    return file


def ask(peer: Peer, bodies: Path, *, connections: int, seconds: float, pause: float = 0.0) -> Found:
    before = peer.processor_seconds()
    load = measure(
        port=peer.port,
        path=peer.path,
        bodies=bodies,
        headers=peer.headers,
        connections=connections,
        seconds=seconds,
        pause=pause,
    )
    spent = peer.processor_seconds() - before
    return Found(load, spent / (load.requests_per_second * seconds) * 1e6)


def in_turn(
    sides: dict[str, tuple[Peer, Path]], world: World, connections: int
) -> dict[str, Found]:
    """Ask each side in turn, several rounds; return each one's median round."""
    rounds: dict[str, list[Found]] = {name: [] for name in sides}
    for turn in range(-1, world.arguments.rounds):
        for name, (peer, bodies) in sides.items():
            # The first round warms up and is not counted.
            seconds = world.arguments.seconds if turn >= 0 else min(1, world.arguments.seconds)
            found = ask(peer, bodies, connections=connections, seconds=seconds)
            if turn >= 0:
                rounds[name].append(found)
    return {name: statistics.median_low(found) for name, found in rounds.items()}


def line(name: str, found: Found, more: str = "") -> str:
    load, spent = found
    return (
        f"  {name:16} {load.requests_per_second:8.0f} requests/s   p50 {load.p50_ms:7.2f} ms"
        f"   p99 {load.p99_ms:7.2f} ms   processor {spent:7.1f} us   {more}"
    )


def sizes(world: World) -> None:
    for size in SIZES:
        bodies = write_bodies(world.folder, size)
        sides = {peer.name: (peer, bodies) for peer in world.peers}
        found = in_turn(sides, world, world.arguments.connections)
        ours = found["assay"].load.requests_per_second
        print(f"\n{size} entities x 10 features, {world.arguments.connections} connections")
        for name, each in found.items():
            ratio = ours / each.load.requests_per_second
            print(line(name, each, f"assay is {ratio:5.2f} x"), flush=True)


def views(world: World) -> None:
    sides = {f"{n} views": (world.ours, write_bodies(world.folder, 1, n)) for n in VIEWS}
    found = in_turn(sides, world, 1)
    one = found[f"{VIEWS[0]} views"].load.p50_ms
    print("\nviews of 10 features in one question, 1 entity, 1 connection")
    for number, (name, each) in zip(VIEWS, found.items(), strict=True):
        ratio = each.load.p50_ms / one
        more = f"{ratio:5.2f} x one view, {ratio / number:5.2f} x as many questions"
        print(line(name, each, more), flush=True)


def connections(world: World) -> None:
    bodies = write_bodies(world.folder, 1)
    found = ask(world.ours, bodies, connections=MANY_CONNECTIONS, seconds=world.arguments.seconds)
    print(f"\n1 entity x 10 features, {MANY_CONNECTIONS} connections")
    print(line("assay", found, "no error"), flush=True)


def under_backfill(world: World) -> None:
    """Ask by the second while a run is under way; the whole of its time is measured."""
    spawn, rows = multiprocessing.get_context("spawn"), world.arguments.rows
    large = (parts.source_folder(world.folder) / "large.parquet", rows, max(rows // 6, 1))
    with spawn.Pool(1) as pool:
        pool.apply(materialization.write_source, large)
    bodies, few = write_bodies(world.folder, 1), world.arguments.connections

    limit = next(peer for peer in world.peers if peer.name == "limit")
    sides = {peer.name: peer for peer in (world.ours, limit)}
    seconds = min(1, world.arguments.seconds)

    def second(peer: Peer) -> Found:
        return ask(peer, bodies, connections=few, seconds=seconds, pause=PAUSE)

    alone = {name: _middle([second(peer) for _ in range(5)]) for name, peer in sides.items()}
    given = (world.folder, world.redis_url, second_version("online"), NICE, PERCENT)
    worker = spawn.Process(target=backfill, args=given)
    worker.start()
    beside: dict[str, list[Found]] = {name: [] for name in sides}
    while worker.is_alive():
        for name, peer in sides.items():
            beside[name].append(second(peer))
    if worker.exitcode != 0:
        raise RuntimeError(f"the backfill ended with {worker.exitcode}")
    print(
        f"\n1 entity x 10 features beside a backfill of {rows:,} rows, {few} connections that wait"
    )
    for name, each in alone.items():
        print(line(name, each, "alone"))
        middle = _middle(beside[name])
        ratio = middle.load.p99_ms / each.load.p99_ms
        more = f"p99 is {ratio:5.2f} x, the median of {len(beside[name])} seconds"
        print(line(f"{name} beside", middle, more), flush=True)


def _middle(seconds: list[Found]) -> Found:
    """Return the one with the median p99; of two the lower."""
    return sorted(seconds, key=by_p99)[(len(seconds) - 1) // 2]


def by_p99(found: Found) -> float:
    return found.load.p99_ms


SCENARIOS: dict[str, Callable[[World], None]] = {
    "sizes": sizes,
    "views": views,
    "connections": connections,
    "backfill": under_backfill,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rows", type=int, default=300_000, help="of the backfill")
    parser.add_argument("--scenarios", nargs="*", choices=SCENARIOS, default=list(SCENARIOS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        redis_url = stack.enter_context(parts.redis_server(folder))
        wanted = max(VIEWS) if "views" in arguments.scenarios else 1
        peers = start_peers(stack, folder, redis_url, views=wanted)
        print(f"load by {generator(seconds=arguments.seconds)}, where callers wait by Python")
        for scenario in arguments.scenarios:
            SCENARIOS[scenario](World(folder, redis_url, peers, arguments))


if __name__ == "__main__":
    main()
