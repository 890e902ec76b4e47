"""Online reads of a whole server (``manage.py serve``) while it does something else besides.

Alone, during a backfill, during training sets, during lifecycle changes: requests a second and
latencies of callers who ask, wait a little and ask again. The ratio is to the reads alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import parts
from benchmarks.http_load import Load, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.factories import Cast

PROJECT = "/api/v1/projects/rides"
DRIVERS = 10_000
#: Each caller's pause after an answer, in seconds: applications do something with it.
PAUSE = 0.005


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run the whole server, its state in ``folder``; gives its URL. This process shares it."""
    from featurestore_project import embedded

    state, port = folder / "state", parts.free_port()
    state.mkdir()
    env = {"STATE_DIR": str(state), "FILE_ROOTS": str(parts.source_folder(folder))}
    env["SWEEP_EVERY_SECONDS"] = "1"
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    with parts.running(command, port=port, log=folder / "serve.log", **env):
        parts.use_server(folder, embedded.redis_url(state))
        yield f"http://127.0.0.1:{port}"


class World:
    """A project with a view that is loaded, its files and its people."""

    def __init__(self, folder: Path, url: str, rows: int) -> None:
        from tests import factories

        self.folder, self.url = folder, url
        frame = parts.wide_rows(rows, drivers=DRIVERS)
        frame.to_parquet(parts.source_folder(folder) / "wide.parquet")
        self.people: Cast = factories.make_cast(root=str(parts.source_folder(folder)))
        self.token = factories.token_for(self.people.consumer)
        self.author = factories.token_for(self.people.author)
        self.steward = factories.token_for(self.people.steward)
        self.views = 0
        self.frame = frame[["driver_id", "event_timestamp"]].head(100_000)
        self.frame.to_parquet(folder / "frame.parquet")

    def add_view(self) -> str:
        """Register and approve one more view of the file; the sweep backfills it."""
        from tests import factories

        name = "wide" if not self.views else f"wide_{self.views}"
        self.views += 1
        text = parts.definitions("wide.parquet").replace("name: wide\n", f"name: {name}\n")
        factories.make_version(self.people, text=text)
        return name

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        token = headers.pop("token", self.steward)
        headers = {"Authorization": f"Bearer {token}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        asked = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(asked, timeout=600) as answer:  # noqa: S310 - ours
            return bytes(answer.read())

    def is_ready(self, view: str) -> bool:
        path = f"{PROJECT}/feature-views/{view}/versions/1.0.0"
        return bool(json.loads(self.ask("GET", path))["ready"])

    def await_ready(self, view: str) -> None:
        while not self.is_ready(view):
            time.sleep(0.1)


def backfills(world: World) -> None:
    world.await_ready(world.add_view())


def training_sets(world: World) -> None:
    """Ask for 100,000 rows of ten features."""
    names = "&".join(f"features=wide:{name}" for name in parts.FEATURES)
    body = (world.folder / "frame.parquet").read_bytes()
    headers = {"Content_Type": "application/vnd.apache.parquet", "token": world.token}
    accept = "application/vnd.apache.arrow.stream"
    world.ask("POST", f"{PROJECT}/get-historical-features?{names}", body, Accept=accept, **headers)


def changes(world: World) -> None:
    """Deprecate and restore a version that nobody reads: each empties every plan."""
    for verb in ("deprecate", "restore"):
        path = f"{PROJECT}/feature-views/wide_1/versions/1.0.0/{verb}"
        world.ask("POST", path, b'{"comment": "again"}', Content_Type="application/json")


WORKS: dict[str, Callable[[World], None]] = {
    "backfills": backfills,
    "training sets": training_sets,
    "changes": changes,
}


@contextmanager
def beside(work: Callable[[World], None], world: World, done: list[float]) -> Iterator[None]:
    """Do the work again and again while the block runs; ``done`` has what each time took."""
    over = threading.Event()

    def again() -> None:
        while not over.is_set():
            begin = time.perf_counter()
            work(world)
            done.append(time.perf_counter() - begin)

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def write_bodies(folder: Path) -> Path:
    keys = np.random.default_rng(11).integers(0, DRIVERS, 500).tolist()
    names = [f"wide:{name}" for name in parts.FEATURES]
    lines = [json.dumps({"features": names, "entities": {"driver_id": [key]}}) for key in keys]
    file = folder / "bodies.jsonl"
    file.write_text("\n".join(lines))
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--beside", nargs="*", choices=list(WORKS), default=list(WORKS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(folder) as url:
            run(World(folder, url, arguments.rows), arguments)


def run(world: World, arguments: argparse.Namespace) -> None:
    bodies = write_bodies(world.folder)
    for _ in range(2):
        world.await_ready(world.add_view())

    def load() -> Load:
        return measure(
            port=int(world.url.rpartition(":")[2]),
            path=f"{PROJECT}/get-online-features",
            bodies=bodies,
            headers={"Authorization": f"Bearer {world.token}"},
            connections=arguments.connections,
            seconds=arguments.seconds,
            pause=PAUSE,
        )

    load()  # warms up
    alone = load()
    print(f"{'':16} {'requests/s':>12} {'p50 ms':>9} {'p99 ms':>9} {'p99 is':>8}  done beside")
    print(line("alone", alone, alone, []))
    for name in arguments.beside:
        done: list[float] = []
        with beside(WORKS[name], world, done):
            time.sleep(1)
            found = load()
        print(line(name, found, alone, done), flush=True)


def line(name: str, load: Load, alone: Load, done: list[float]) -> str:
    share = load.p99_ms / alone.p99_ms
    what = f"{len(done)} times, {sum(done) / len(done):.2f} s each" if done else ""
    return (
        f"{name:16} {load.requests_per_second:>12,.0f} {load.p50_ms:>9.2f} {load.p99_ms:>9.2f}"
        f" {share:>7.2f}×  {what}"
    )


if __name__ == "__main__":
    main()
