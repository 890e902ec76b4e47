"""``manage.py serve``: the whole server on one machine, its parts as supervised child processes.

Not for production, where a container runs each part; see docker/compose.yaml.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from argparse import ArgumentTypeError
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from featurestore_project import embedded
from featurestore_project.desk import DeskAway
from featurestore_project.supervision import Part, PartFailed, Supervisor
from lib import metrics

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator
    from pathlib import Path

#: From when the parts are started: those of a machine with much else to do take minutes.
READY_TIMEOUT_SECONDS = 600.0
#: For each part, between being asked to end and being killed.
GRACE_SECONDS = 8.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PROJECT = "featurestore_project"
DESK_AWAY = DeskAway.code.encode()


def port_number(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ArgumentTypeError(f"{text!r} is not a port. Valid: 1 to 65535.")
    return int(text)


class Command(BaseCommand):
    help = "Run Redis (unless REDIS_URL is set) and all other parts here. Ctrl-C ends them all."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own declaration

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host", default="127.0.0.1", help="address to listen on (default: loopback only)"
        )
        parser.add_argument("--port", type=port_number, default=8000, help="TCP port to listen on")
        parser.add_argument(
            "--workers", type=int, default=2, help="materializations that may run at once"
        )

    def handle(self, *, host: str, port: int, workers: int, **options: Any) -> None:
        supervisor = Supervisor(self._say)
        for number in SIGNALS:
            # A flag, not an exception: whatever is under way ends as it should, a start included.
            signal.signal(number, lambda *_: supervisor.asked_to_stop.set())
        for folder in settings.FILE_ROOTS:
            if not os.path.isdir(folder):  # noqa: PTH112 - it is a text
                self._say(f"FILE_ROOTS has {folder}, where no folder is; it takes commas")
        try:
            with only_one(settings.STATE_DIR):
                check_port(host, port)
                metrics.clean()  # of processes that are gone
                self._start(supervisor, host=host, port=port, workers=workers)
                supervisor.watch()
                self._say("stopping")
                supervisor.stop(grace_seconds=GRACE_SECONDS)
        except PartFailed as failed:
            raise CommandError(str(failed)) from failed
        finally:
            supervisor.stop(grace_seconds=GRACE_SECONDS)

    def _start(self, supervisor: Supervisor, *, host: str, port: int, workers: int) -> None:
        """Start the parts, each after what it needs; leave off when asked to stop."""
        if not os.environ.get("REDIS_URL") and not os.environ.get("REDIS_URL_FILE"):
            start_redis(supervisor, settings.STATE_DIR)
        self._say("database: applying migrations")
        call_command("migrate", interactive=False, verbosity=0)
        connections.close_all()  # children open their own
        desk = embedded.desk_socket(settings.STATE_DIR)
        for name, command in parts(host=host, port=port, workers=workers, desk=desk):
            if not supervisor.asked_to_stop.is_set():
                log = fresh_log(settings.STATE_DIR, name)
                supervisor.start(Part(name, command, log, folder=settings.BASE_DIR))
        self._await_web(supervisor, f"http://{url_host(host)}:{port}")

    def _await_web(self, supervisor: Supervisor, url: str) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        # The door says that it lives, the desk behind it whether all is ready.
        supervisor.watch(until=lambda: time.monotonic() > deadline or answers(f"{url}/readyz"))
        if supervisor.asked_to_stop.is_set():
            return
        if time.monotonic() > deadline:
            logs = settings.STATE_DIR / "logs"
            raise CommandError(
                f"the web part does not answer at {url} after {READY_TIMEOUT_SECONDS:.0f} s."
                f" See {logs}/web.log and {logs}/desk.log."
            )
        supervisor.settle()
        self._say(
            f"ready at {url}/admin/ · logs in {settings.STATE_DIR}/logs · Ctrl-C ends everything"
        )

    def _say(self, text: str) -> None:
        self.stdout.write(f"assay: {text}")
        self.stdout.flush()


def parts(*, host: str, port: int, workers: int, desk: Path) -> list[tuple[str, list[str]]]:
    """Return (name, command) of every part but Redis, in starting order."""
    celery = [sys.executable, "-m", "celery", "--app", PROJECT]
    quiet = ["--loglevel", "INFO", "--without-gossip", "--without-mingle"]
    queues = "evidence,runs,datasets,certificates"
    worker = ["worker", "--hostname", "worker@%h", "--queues", queues, *quiet]
    # Processes of their own: however long runs take, neither what Redis lost nor the sweep is
    # behind them. Two slots, so that a large table does not hold up a small one.
    reload = ["worker", "--hostname", "reload@%h", "--queues", "reloads,alerts", *quiet]
    sweep = ["worker", "--hostname", "sweep@%h", "--queues", "sweep", "--pool", "solo", *quiet]
    # The plain scheduler keeps no file: one entry every few seconds has nothing to remember.
    beat = ["beat", "--scheduler", "celery.beat:Scheduler", "--loglevel", "INFO", "--pidfile", ""]
    # Online reads have a process of their own too, at the door: nothing else computes there.
    web = [sys.executable, "-m", f"{PROJECT}.web"]
    door = ["--host", host, "--port", str(port), "--desk", str(desk)]
    return [
        ("worker", [*celery, *worker, "--concurrency", str(workers)]),
        ("reload", [*celery, *reload, "--concurrency", "2"]),
        ("sweep", [*celery, *sweep]),
        ("beat", [*celery, *beat]),
        ("streams", [sys.executable, "manage.py", "consume"]),
        ("desk", [*web, "--as-desk", str(desk)]),
        ("web", [*web, *door]),
    ]


def start_redis(supervisor: Supervisor, state_dir: Path) -> None:
    """Start the embedded Redis and wait until it has read its data."""
    if embedded.redis_answers(embedded.redis_url(state_dir)):
        raise CommandError(
            f"a Redis of somebody else already answers at {embedded.socket_path(state_dir)}. "
            "End it, or set STATE_DIR to another folder."
        )
    log = fresh_log(state_dir, "redis")
    # TERM lets it save what it holds.
    part = Part("redis", embedded.redis_command(state_dir), log, signal.SIGTERM)
    child = supervisor.start(part)
    try:
        embedded.wait_for_redis(state_dir, child.process, log)
    except embedded.EmbeddedRedisFailed as error:
        raise CommandError(str(error)) from error


def fresh_log(state_dir: Path, name: str) -> Path:
    """Return the part's log, empty; what an earlier start wrote is kept beside it as ``.1``."""
    log: Path = state_dir / "logs" / f"{name}.log"
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    return log


@contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Hold the state folder's lock; the kernel releases it however this process ends."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "serve.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise CommandError(
                f"a server (process {owner}) already runs on {state_dir}. "
                "End it, or set STATE_DIR to another folder."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def check_port(host: str, port: int) -> None:
    """:raises CommandError: somebody listens there, or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as look:
        look.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            look.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"port {port} on {host} cannot be used: {error.strerror}. "
                f"Choose another, as in PORT={port + 1 if port < 65535 else 8000}."
            ) from None


def url_host(host: str) -> str:
    """Return a host a browser here can open."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return "localhost"
    return f"[{host}]" if ":" in host else host


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own http address
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        return DESK_AWAY not in error.read()  # it answers; what it says is for its log
    except OSError:
        return False
