"""Online reads: requests a second for 1 and 100 entities of 10 features, one granian worker.

Against the limit (a bare handler without Django), the floor (a bare Django view over the same
rows), itself without noting who reads what (silent) and, when FEAST_PYTHON names an interpreter
that has Feast, its feature server over the same values in the same Redis.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from benchmarks import parts
from benchmarks.http_load import Load, measure

ENTITIES = 10_000
SIZES = (1, 100)
BODIES = 500
PATH = "/get-online-features"


class Peer(NamedTuple):
    name: str
    port: int
    path: str
    headers: dict[str, str]


def prepare(folder: Path, redis_url: str) -> tuple[str, str]:
    """Fill our store through the registry; return a token and the prefix of the value keys."""
    parts.use_server(folder, redis_url)
    import pyarrow as pa

    from materialization.edges.stores import online_store
    from materialization.stores.layout import layout_of
    from registry.operations.lifecycle.releases import mark_table_ready
    from tests import factories

    frame = parts.wide_rows(ENTITIES, drivers=ENTITIES)
    frame.to_parquet(parts.source_folder(folder) / "wide.parquet")
    people = factories.make_cast(root=str(parts.source_folder(folder)))
    version = factories.make_version(people, text=parts.definitions("wide.parquet"))
    rows = pa.Table.from_pandas(frame.rename(columns={"created": "created_timestamp"}))
    rows = rows.append_column(
        "__sequence", pa.array([1] * rows.num_rows, pa.int64())
    ).combine_chunks()
    layout = layout_of(version.spec, uid=version.table.uid)
    store, now = online_store(), datetime.now(UTC)
    store.write(layout, rows.to_batches(), ttl=version.spec.ttl, at=now)
    ticket = store.begin_load(version.table.uid)
    store.finish_load(
        version.table.uid, ticket, generation=1, as_of=now, sequence=1, ttl=version.spec.ttl
    )
    mark_table_ready(table=version.table, at=now, kept_for=None)
    prefix = layout.key_prefix + b"{"
    return factories.token_for(people.consumer), prefix.decode()


def write_bodies(folder: Path) -> dict[int, Path]:
    """Write the same random questions for every peer, one JSON body a line."""
    random = np.random.default_rng(11)
    files = {}
    for size in SIZES:
        files[size] = folder / f"bodies-{size}.jsonl"
        keys = random.integers(0, ENTITIES, (BODIES, size)).tolist()
        features = [f"wide:{name}" for name in parts.FEATURES]
        lines = [json.dumps({"features": features, "entities": {"driver_id": k}}) for k in keys]
        files[size].write_text("\n".join(lines))
    return files


def start_peers(stack: ExitStack, folder: Path, redis_url: str) -> list[Peer]:
    token, prefix = prepare(folder, redis_url)
    ours, silent = parts.free_port(), parts.free_port()
    bare = {"limit": parts.free_port(), "floor": parts.free_port()}
    env = {"REDIS_URL": redis_url, "KEY_PREFIX": prefix}
    for name, port in bare.items():
        command = parts.granian(f"benchmarks.online_{name}:application", port)
        log = folder / f"{name}.log"
        stack.enter_context(parts.running(command, port=port, log=log, **env))
    command = parts.granian("featurestore_project.wsgi:application", ours)
    stack.enter_context(parts.running(command, port=ours, log=folder / "assay.log"))
    command = parts.granian("featurestore_project.wsgi:application", silent)
    log = folder / "silent.log"
    stack.enter_context(parts.running(command, port=silent, log=log, USAGE_DAYS="0"))
    bearer = {"Authorization": f"Bearer {token}"}
    peers = [
        *(Peer(name, port, PATH, {}) for name, port in bare.items()),
        Peer("assay", ours, f"/api/v1/projects/rides{PATH}", bearer),
        Peer("silent", silent, f"/api/v1/projects/rides{PATH}", bearer),
    ]
    return [*peers, *start_feast(stack, folder, redis_url)]


def start_feast(stack: ExitStack, folder: Path, redis_url: str) -> list[Peer]:
    python = parts.feast_python()
    if python is None:
        print("Feast: skipped. Set FEAST_PYTHON to the python of a venv with `feast[redis]`.")
        return []
    repository, redis_port = folder / "feast", str(urlsplit(redis_url).port)
    peer = [python, str(parts.ROOT / "benchmarks" / "feast_peer.py"), str(repository), redis_port]
    subprocess.run(
        [*peer, str(parts.source_folder(folder) / "wide.parquet")], check=True, capture_output=True
    )
    port = parts.free_port()
    feast = [str(Path(python).parent / "feast"), "-c", str(repository), "serve", "-h", "127.0.0.1"]
    # By default its worker restarts after a thousand requests, which would break connections.
    command = [*feast, "-p", str(port), "-w", "1", "--no-access-log"]
    command += ["--max-requests", "0", "--max-requests-jitter", "0"]
    stack.enter_context(parts.running(command, port=port, log=folder / "feast.log"))
    return [Peer("feast", port, PATH, {})]


def compare(peers: list[Peer], bodies: Path, arguments: argparse.Namespace) -> dict[str, Load]:
    """Measure the peers in turn, several rounds; return each one's median round."""
    rounds: dict[str, list[Load]] = {peer.name: [] for peer in peers}
    for turn in range(-1, arguments.rounds):
        for peer in peers:
            load = measure(
                port=peer.port,
                path=peer.path,
                bodies=bodies,
                headers=peer.headers,
                connections=arguments.connections,
                # The first round warms up and is not counted.
                seconds=arguments.seconds if turn >= 0 else 1,
            )
            if turn >= 0:
                rounds[peer.name].append(load)
    return {name: statistics.median_low(loads) for name, loads in rounds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        redis_url = stack.enter_context(parts.redis_server(folder))
        peers = start_peers(stack, folder, redis_url)
        for size, bodies in write_bodies(folder).items():
            loads = compare(peers, bodies, arguments)
            ours = loads["assay"].requests_per_second
            print(f"\n{size} entities x 10 features, {arguments.connections} connections")
            for peer, load in loads.items():
                print(
                    f"  {peer:6} {load.requests_per_second:8.0f} requests/s"
                    f"   p50 {load.p50_ms:7.2f} ms   p99 {load.p99_ms:7.2f} ms"
                    f"   assay is {ours / load.requests_per_second:5.2f} x"
                )


if __name__ == "__main__":
    main()
