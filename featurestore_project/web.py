"""The web server: granian, whose answering process never outlives its main one.

``python -m featurestore_project.web --port 8000``. Not for what is served: ``rsgi`` is that.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings

from featurestore_project import processes
from lib.without_pandas import hide_pandas

#: Seconds for a request line and its headers to arrive, and for a connection to be kept idle.
HEADER_SECONDS = 15
#: Seconds for which a worker may finish what it answers when the server ends.
KILL_AFTER_SECONDS = 6
#: How far the desk steps back behind online reads where both want the same core.
DESK_NICENESS = 5
#: Set by a worker that refuses to start; shared with its main process.
_refused = multiprocessing.Event()


def load(module: str) -> Any:
    """Return the application of ``module``; granian calls this in each worker process.

    A worker whose main process was killed would go on answering, on a port nobody else can take.
    Until granian sets the worker's own handlers it has those of its main process, which would note
    a signal and go on; a worker that still loads has nothing to finish.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    hide_pandas()
    main = multiprocessing.parent_process()
    if main is None or main.pid is None:
        return import_module(module).application
    processes.end_with_parent(main.pid, signal.SIGKILL)
    try:
        return import_module(module).application
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        _refused.set()
        os.kill(main.pid, signal.SIGTERM)  # it would start another that refuses as well
        sys.exit(processes.REFUSED)


def main() -> None:
    parser = ArgumentParser(description="Serve the admin and the API over HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="TCP port to listen on")
    parser.add_argument("--workers", type=int, default=1, help="processes that answer")
    parser.add_argument("--threads", type=int, help="online reads each answers at once")
    parser.add_argument(
        "--online",
        action="store_true",
        help="only online reads, behind a proxy that reads whole requests first: twice as many",
    )
    desk = parser.add_mutually_exclusive_group()
    desk.add_argument(
        "--desk", metavar="SOCKET", help="hand on what is no online read to the process there"
    )
    desk.add_argument(
        "--as-desk", metavar="SOCKET", type=Path, help="answer what others hand on, no port"
    )
    options = parser.parse_args()
    if options.threads:
        os.environ["WEB_THREADS"] = str(options.threads)
    os.environ["DESK_SOCKET"] = options.desk or ""
    os.environ["IS_DESK"] = str(options.as_desk is not None).lower()
    if options.as_desk:
        os.nice(DESK_NICENESS)
        options.as_desk.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        options.as_desk.unlink(missing_ok=True)  # of a process that was killed
    server = Granian(
        "featurestore_project.wsgi" if options.online else "featurestore_project.rsgi",
        address=options.host,
        port=options.port,
        uds=options.as_desk,
        uds_permissions=0o600,
        interface=Interfaces.WSGI if options.online else Interfaces.RSGI,
        websockets=False,
        workers=options.workers,
        blocking_threads=(options.threads or 4) if options.online else None,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
        respawn_failed_workers=True,
        workers_kill_timeout=KILL_AFTER_SECONDS,
    )
    server.serve(target_loader=load)
    if _refused.is_set():
        sys.exit(processes.REFUSED)


if __name__ == "__main__":
    main()
