"""The servers that ``online`` asks: ours, the bare ones and Feast, each with one worker.

Not for asking them.
"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import psutil

from benchmarks import parts

if TYPE_CHECKING:
    from contextlib import ExitStack

ENTITIES = 10_000
PATH = "/get-online-features"


class Peer(NamedTuple):
    name: str
    port: int
    path: str
    headers: dict[str, str]
    #: The server and what it started.
    processes: list[psutil.Process]

    def processor_seconds(self) -> float:
        """Return what its processes have used of the processor until now."""
        times = [each.cpu_times() for each in self.processes]
        return float(sum(each.user + each.system for each in times))


def processes_of(port: int) -> list[psutil.Process]:
    """Return the processes of the server that was started for a port."""
    ours = psutil.Process().children()
    server = next(each for each in ours if str(port) in each.cmdline())
    return [server, *server.children(recursive=True)]


def view_name(number: int) -> str:
    return "wide" if not number else f"wide_{number}"


def prepare(folder: Path, redis_url: str, *, views: int = 1) -> tuple[str, str]:
    """Fill our store through the registry with so many views of ten features.

    Return a token and the prefix of the first view's value keys.
    """
    parts.use_server(folder, redis_url)
    import pyarrow as pa

    from materialization.edges.stores import online_store
    from materialization.stores.layout import layout_of
    from registry.operations.lifecycle.releases import mark_table_ready
    from tests import factories

    frame = parts.wide_rows(ENTITIES, drivers=ENTITIES)
    frame.to_parquet(parts.source_folder(folder) / "wide.parquet")
    people = factories.make_cast(root=str(parts.source_folder(folder)))
    rows = pa.Table.from_pandas(frame.rename(columns={"created": "created_timestamp"}))
    rows = rows.append_column(
        "__sequence", pa.array([1] * rows.num_rows, pa.int64())
    ).combine_chunks()
    store, prefixes = online_store(), []
    for number in range(views):
        text = parts.definitions("wide.parquet")
        text = text.replace("name: wide\n", f"name: {view_name(number)}\n")
        version = factories.make_version(people, text=text)
        now, ttl = datetime.now(UTC), version.spec.ttl
        layout = layout_of(version.spec, uid=version.table.uid)
        ticket = store.begin_load(layout.uid)
        store.write(layout, rows.to_batches(), ttl=ttl, at=now)
        store.finish_load(layout.uid, ticket, generation=1, as_of=now, sequence=1, ttl=ttl)
        mark_table_ready(table=version.table, at=now, kept_for=None)
        prefixes.append(layout.key_prefix + b"{")
    return factories.token_for(people.consumer), prefixes[0].decode()


def start_peers(stack: ExitStack, folder: Path, redis_url: str, *, views: int) -> list[Peer]:
    token, prefix = prepare(folder, redis_url, views=views)
    env = {"REDIS_URL": redis_url, "KEY_PREFIX": prefix}
    bearer = {"Authorization": f"Bearer {token}"}
    path = f"/api/v1/projects/rides{PATH}"
    ours = "featurestore_project.wsgi"
    sides = [
        ("limit", "benchmarks.online_limit", env, PATH, {}),
        ("by hand", "benchmarks.online_by_hand", env, PATH, {}),
        ("floor", "benchmarks.online_floor", env, PATH, {}),
        ("assay", ours, {}, path, bearer),
        ("silent", ours, {"USAGE_DAYS": "0"}, path, bearer),
    ]
    peers = []
    for name, module, settings, at, headers in sides:
        port = parts.free_port()
        command = parts.granian(f"{module}:application", port)
        log = folder / f"{name}.log"
        stack.enter_context(parts.running(command, port=port, log=log, **settings))
        peers.append(Peer(name, port, at, headers, processes_of(port)))
    return [*peers, *start_feast(stack, folder, redis_url)]


def start_feast(stack: ExitStack, folder: Path, redis_url: str) -> list[Peer]:
    python = parts.feast_python()
    if python is None:
        print("Feast: skipped. Set FEAST_PYTHON to the python of a venv with `feast[redis]`.")
        return []
    repository, redis_port = folder / "feast", str(urlsplit(redis_url).port)
    peer = [python, str(parts.ROOT / "benchmarks" / "feast_peer.py"), str(repository), redis_port]
    peer += [str(parts.source_folder(folder) / "wide.parquet"), "file"]
    subprocess.run(peer, check=True, stdout=subprocess.DEVNULL)
    port = parts.free_port()
    feast = [str(Path(python).parent / "feast"), "-c", str(repository), "serve", "-h", "127.0.0.1"]
    # By default its worker restarts after a thousand requests, which would break connections.
    command = [*feast, "-p", str(port), "-w", "1", "--no-access-log"]
    command += ["--max-requests", "0", "--max-requests-jitter", "0"]
    stack.enter_context(parts.running(command, port=port, log=folder / "feast.log"))
    return [Peer("feast", port, PATH, {}, processes_of(port))]
