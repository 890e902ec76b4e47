"""What the benchmarks start and fill: a Redis on loopback, granian, one project with one wide view.

Not for measuring.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
FEATURES = [f"f{i}" for i in range(10)]
#: The view of every benchmark: ten numbers a driver. Feast gets the same names.
DEFINITIONS = """
kind: Entity
name: driver
join_keys: [{{name: driver_id, type: int64}}]
---
kind: DataSource
name: wide_rows
type: file
path: {path}
event_timestamp: event_timestamp
created_timestamp: created
---
kind: FeatureView
name: wide
entities: [driver]
source: wide_rows
features: [{features}]
ttl: 3650d
"""


def definitions(path: str) -> str:
    features = ", ".join(f"{{name: {name}, type: float64}}" for name in FEATURES)
    return DEFINITIONS.format(path=path, features=features)


def wide_rows(rows: int, *, drivers: int) -> pd.DataFrame:
    """Return rows of the last 30 days in random order; each driver has about rows / drivers."""
    random = np.random.default_rng(7)
    end = pd.Timestamp.now(tz="UTC").floor("s")
    ages = pd.to_timedelta(random.integers(60, 30 * 86_400, rows), unit="s")
    frame = pd.DataFrame({"driver_id": np.arange(rows) % drivers, "event_timestamp": end - ages})
    frame["created"] = frame["event_timestamp"] + pd.Timedelta("10s")
    for name in FEATURES:
        frame[name] = random.random(rows)
    return frame


def free_port() -> int:
    with socket.socket() as look:
        look.bind(("127.0.0.1", 0))
        return int(look.getsockname()[1])


@contextmanager
def running(command: list[str], *, port: int, log: Path, **env: str) -> Iterator[int]:
    """Run a server until the block ends; gives its port once it accepts connections."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **env}
        )
    try:
        _await_port(process, port, log)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run an empty redis-server on loopback (Feast reads no sockets); gives its URL."""
    from featurestore_project.embedded import find_redis_server

    port = free_port()
    command = [str(find_redis_server()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with running([*command, "--dir", str(folder)], port=port, log=folder / "redis.log"):
        yield f"redis://127.0.0.1:{port}/0"


def granian(application: str, port: int) -> list[str]:
    """Return the command of one worker with one thread, as every peer runs it."""
    flags = ["--interface", "wsgi", "--no-ws", "--workers", "1", "--blocking-threads", "1"]
    address = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    return [sys.executable, "-m", "granian", *flags, *address, application]


def feast_python() -> str | None:
    """Return the interpreter that has Feast, None when FEAST_PYTHON does not name one."""
    python = os.environ.get("FEAST_PYTHON")
    return python if python and Path(python).exists() else None


def source_folder(folder: Path) -> Path:
    """Return where a benchmark's rows are: apart from the server's own state."""
    (folder / "source").mkdir(exist_ok=True)
    return folder / "source"


def use_server(folder: Path, redis_url: str) -> None:
    """Make this process a server with state of its own and an up-to-date database."""
    os.environ |= {
        "STATE_DIR": str(folder / "state"),
        "FILE_ROOTS": str(source_folder(folder)),
        "REDIS_URL": redis_url,
        "EMBEDDED": "true",
        "LOG_LEVEL": "WARNING",
        "SOURCE_SETTLE_SECONDS": "0",  # files are written before anything is measured
        "DJANGO_SETTINGS_MODULE": "featurestore_project.settings",
    }
    # Nobody reads beside it, unless a benchmark says so.
    os.environ.setdefault("ONLINE_WRITE_PERCENT", "100")
    (folder / "state").mkdir(exist_ok=True)
    import django
    from django.core.management import call_command

    from lib.shells import serve_others

    django.setup()
    serve_others()  # who approves what it measures is one of a server's people
    call_command("migrate", verbosity=0)


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{process.args} did not start:\n{log.read_text(errors='replace')[-2000:]}")
