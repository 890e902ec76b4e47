"""Real servers for tests: the session's redis-server, and whole servers for journeys.

Not for fixtures: ``conftest`` and the journeys make them from these.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from moto.server import ThreadedMotoServer

from featurestore_project import embedded, processes
from tests.environment import STATE_DIR, without_ours

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent


class Server(NamedTuple):
    """A whole server as a user starts it; ``env`` runs commands against the same state."""

    url: str
    state_dir: Path
    env: dict[str, str]
    child: processes.Child


@contextmanager
def redis_server(state_dir: Path) -> Iterator[str]:
    """Run a real redis-server on the private socket of ``state_dir``; gives its URL."""
    log = state_dir / "logs" / "redis.log"
    child = processes.start("redis", embedded.redis_command(state_dir), log=log)
    try:
        embedded.wait_for_redis(state_dir, child.process, log)
        yield embedded.redis_url(state_dir)
    finally:
        processes.stop([child])


@contextmanager
def evicting_redis(state_dir: Path) -> Iterator[str]:
    """Run a redis-server that drops values when memory is short; gives its URL."""
    command = embedded.redis_command(state_dir)
    command[command.index("noeviction")] = "allkeys-lru"
    log = state_dir / "logs" / "redis.log"
    child = processes.start("redis", command, log=log)
    try:
        embedded.wait_for_redis(state_dir, child.process, log)
        yield embedded.redis_url(state_dir)
    finally:
        processes.stop([child])


@contextmanager
def s3_server() -> Iterator[str]:
    """Run a server that speaks S3, with nothing in it and open to every key; gives its URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        yield url
    finally:
        # What it holds is the process's, not the server's.
        urllib.request.urlopen(f"{url}/moto-api/reset", data=b"").close()  # noqa: S310 - our own
        server.stop()


#: Below what Linux gives whoever asks for any port, so that nobody is given ours meanwhile.
_PORTS = range(15_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """Return a port for a server that is yet to start, which this session is given once."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - other sessions choose beside this one
        with socket.socket() as look, suppress(OSError):
            if port not in _given:
                look.bind(("127.0.0.1", port))
                _given.add(port)
                return port


def server_env(state_dir: Path, **extra: str) -> dict[str, str]:
    """Return the environment of a server with its own state, on the session's kind of database."""
    env = without_ours() | {
        "STATE_DIR": str(state_dir),
        "EMBEDDED": "true",
        "SWEEP_EVERY_SECONDS": "1",
        "LOCK_ORDER_CHECKED": "true",
    }
    env |= extra
    if url := os.environ.get("DATABASE_URL"):
        env["DATABASE_URL"] = new_database(url)
    return env


def new_database(url: str) -> str:
    """Make an empty database on the PostgreSQL server of ``url``; return its URL."""
    name = f"journey_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def assay_server(state_dir: Path, **extra: str) -> Iterator[Server]:
    """Run ``manage.py serve`` on a free port, its state in ``state_dir``; ``extra``: environment.

    :raises RuntimeError: it ended or did not become ready; with the end of its log.
    """
    env, port = server_env(state_dir, **extra), free_port()
    command = [
        sys.executable,
        "-W",
        "default",
        str(ROOT / "manage.py"),
        "serve",
        "--port",
        str(port),
    ]
    _give_database(state_dir, env)
    child = processes.start("serve", command, log=state_dir / "serve.log", env=env)
    try:
        await_ready(child, f"http://127.0.0.1:{port}/readyz")
        yield Server(f"http://127.0.0.1:{port}", state_dir, env, child)
        # A test may have ended it.
        if child.process.poll() is None and (found := processes_with("/pandas/_libs/", of=child)):
            raise AssertionError(f"pandas was loaded by {found}")
    finally:
        processes.stop([child], grace_seconds=40)


def processes_with(library: str, *, of: processes.Child) -> list[str]:
    """Return the commands of a server's processes that have a library loaded, by part of its path.

    Operators' functions may load what they like; a process that ends meanwhile has nothing.
    """
    found = []
    for process in psutil.Process(of.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            command = " ".join(process.cmdline())
            maps = Path(f"/proc/{process.pid}/maps").read_text()
            if library in maps and str(ROOT / "materialization/confined/main.py") not in command:
                found.append(command)
    return found


def _give_database(state_dir: Path, env: dict[str, str]) -> None:
    """Spare a server its first migrations, which ``project/test_serve`` has made by others."""
    database = state_dir / "db.sqlite3"
    if "DATABASE_URL" not in env and not database.exists():
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy(_migrated(), database)


@cache
def _migrated() -> Path:
    """Return the file of a database in which there is what migrations store, and nothing else."""
    folder = STATE_DIR / "migrated"
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "-v0"]
    subprocess.run(command, env=server_env(folder), cwd=ROOT, check=True)
    return folder / "db.sqlite3"


def await_ready(child: processes.Child, url: str, *, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and child.process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                if response.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server is not ready at {url}:\n{child.tail(lines=40)}")
