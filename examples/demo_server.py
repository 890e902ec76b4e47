"""The server of the demo and its screen: started, awaited, ended; steps are told as they happen.

Not for the path that is walked through it: ``examples.demo``.
"""

from __future__ import annotations

import socket
import sys
import time
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from examples.streaming.generate import generate
from featurestore_project import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from featurestore_project.processes import Child

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "examples" / "streaming" / "data"
TOLD_EVERY_SECONDS = 10
STEPS = 8
console = Console(highlight=False, soft_wrap=True)


class DemoFailed(RuntimeError):
    """What went wrong, in a sentence for the person in front of the screen."""


def stay(server: Child) -> None:
    console.print("\nServing until Ctrl-C.")
    while server.process.poll() is None:
        time.sleep(0.3)
    raise DemoFailed(f"the server ended by itself:\n{server.tail()}")


@contextmanager
def running_server(port: int) -> Iterator[Child]:
    """Generate the data and run ``manage.py serve`` on ``port``; it ends with the block.

    :raises DemoFailed: the port is taken, or the server ended before it was ready: what it said.
    """
    check_port(port)
    step(1, "Data: watch events of 4,000 users over 90 days (the first time takes seconds)")
    made = generate(DATA, at=datetime.now(UTC))
    console.print(
        f"    {made.new_events:,} new events, {made.new_snapshots} new snapshots, "
        f"until {made.end:%Y-%m-%d %H:%M} UTC"
    )
    step(2, f"Server: database, Redis, Celery worker, beat and web on port {port}")
    log = ROOT / "var" / "logs" / "serve.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, str(ROOT / "manage.py"), "serve", "--port", str(port)]
    server = processes.start("serve", command, log=log)
    try:
        _await_ready(server, f"http://127.0.0.1:{port}/readyz")
        yield server
    finally:
        processes.stop([server], grace_seconds=40)


def _await_ready(server: Child, url: str) -> None:
    """Wait while the server lives: it ends by itself where it does not become ready."""
    began = said = time.monotonic()
    while server.process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own address
                if response.status == 200:
                    console.print("    ready")
                    return
        except OSError:
            time.sleep(0.1)
        if time.monotonic() - said > TOLD_EVERY_SECONDS:
            said = time.monotonic()
            last = escape(server.tail(lines=1)) or "nothing said yet"
            console.print(f"    {said - began:.0f} s, starting still: {last}")
    raise DemoFailed(f"the server did not start:\n{server.tail()}")


def check_port(port: int) -> None:
    with socket.socket() as look:
        look.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            look.bind(("127.0.0.1", port))
        except OSError as exc:
            raise DemoFailed(
                f"port {port} is in use. Choose another: make demo PORT={port + 1}"
            ) from exc


def step(number: int, text: str) -> None:
    console.print(f"[bold cyan]{number}/{STEPS}[/] {text}")
